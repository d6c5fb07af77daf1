"""What every layer shares: model, errors, clocks, backoff, log, metrics, topic filters. Imports no other part."""
