"""Connections to message brokers, each with its own thread. Nothing here decides what a message means."""
