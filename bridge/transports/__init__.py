"""Connections to message brokers. One connection, one thread; nothing here decides what a message means."""
