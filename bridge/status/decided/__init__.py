"""Decisions about workflows. Pure: no I/O."""
