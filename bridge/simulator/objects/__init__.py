"""The objects of the simulated cluster, and their validation."""
