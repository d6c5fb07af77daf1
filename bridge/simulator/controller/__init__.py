"""The simulated workflow controller: what becomes of a workflow."""
