"""What operators write to say something of a message: CEL, paths, simple comparisons, topic patterns. Pure."""
