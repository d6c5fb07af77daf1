"""The durable store between arrival and submission. The only place that imports sqlite3."""
