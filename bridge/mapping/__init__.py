"""Mapping files and their application to messages: reading, compiling, routing, evaluating."""
