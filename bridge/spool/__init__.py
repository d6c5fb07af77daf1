"""The durable store between what arrives and what is submitted. The only place that imports sqlite3."""
