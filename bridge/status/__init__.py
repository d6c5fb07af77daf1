"""Keeps retained status equal to what Argo has: list and watch, transitions, publishing, availability, state.

It never submits anything and never reads a device's message; what the pipeline must know goes out by callback.
Threads: `bridge.status.service` starts them and says which owns what.
"""
