"""What is seen of workflows: lists, watches, look-ups, retained messages."""
