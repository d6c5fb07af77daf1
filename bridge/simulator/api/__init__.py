"""The endpoints of the simulated Argo Server."""
