"""From stored events to requests to the Argo Server, and to their outcomes."""
