"""The simulator's HTTP: requests, replies, streams, faults."""
