"""From messages to stored events: parse, decide, store, acknowledge."""
