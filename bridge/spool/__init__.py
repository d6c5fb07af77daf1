"""The durable store between what arrives and what is submitted (DESIGN 2, 3). The only place that imports sqlite3."""
