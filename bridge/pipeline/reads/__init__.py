"""Read requests: answered at once, never stored."""
