"""Observations of workflows: lists, watches, look-ups, retained messages."""
