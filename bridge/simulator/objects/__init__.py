"""What the simulated cluster stores, and what it takes."""
