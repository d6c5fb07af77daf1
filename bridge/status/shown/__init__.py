"""What is published: status, availability, state."""
