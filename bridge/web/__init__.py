"""HTTP for people and machines that look after the bridge: health and metrics. It changes nothing."""
