"""Shared by commands that use a running bridge through messages: connect, request, follow."""
