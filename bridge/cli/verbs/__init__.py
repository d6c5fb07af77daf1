"""One module for each verb of the command: its arguments, and what it does."""
