"""One module per verb of the command: its arguments and its implementation."""
