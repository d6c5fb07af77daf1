"""Shared by every layer: model, errors, clocks, backoff, log, metrics, topic filters. Imports no other part."""
