"""The control channel: commands that change the spool use it to talk to a running bridge, or to the spool directly."""
