"""HTTP pages for monitoring the bridge: health and metrics. It changes nothing."""
