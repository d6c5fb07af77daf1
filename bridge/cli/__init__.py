"""The `argo-bridge` command: one module per verb, chosen by `main`. The only place that prints."""
