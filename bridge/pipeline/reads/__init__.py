"""Requests that only read: answered at once, never stored."""
