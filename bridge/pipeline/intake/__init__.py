"""From messages to stored events: read, decide, store, acknowledge."""
