"""Payload formats: each module decodes some of them; `bridge.mapping.payloads` has the table."""
