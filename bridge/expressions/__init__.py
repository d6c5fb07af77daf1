"""Expressions about a message: CEL, paths, simple comparisons, topic patterns. Pure."""
