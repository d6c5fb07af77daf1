"""argo-bridge: MQTT messages become Argo Workflows, and their status comes back as retained messages."""

__version__ = "0.1.0"
