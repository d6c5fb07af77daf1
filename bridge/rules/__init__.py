"""Rules over time: which of the readings of one key start a workflow, and when. Pure: no I/O, no clock of their own."""
