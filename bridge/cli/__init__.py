"""The `argo-bridge` command: one module a verb, `main` picks one. The only place that prints."""
