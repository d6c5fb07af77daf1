"""The simulated workflow controller."""
