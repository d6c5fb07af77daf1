"""What is decided about workflows. Pure: no I/O."""
