"""Keeps retained status in agreement with Argo: list and watch, transitions, publishing, availability, state.

It submits nothing and reads no device messages; callbacks inform the pipeline. Threads: `bridge.status.service` starts
them and says which owns what.
"""
