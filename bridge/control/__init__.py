"""The control channel: what the verbs that change the spool ask of a bridge that runs, and of one that does not."""
