"""The exit codes of every verb."""

OK = 0
PROBLEMS = 1
"""Problems were found: an invalid config, a failed workflow, a refused request."""
USAGE = 2
UNEXPECTED = 3
"""An unexpected error: one line, and a report file."""
NO_ANSWER = 4
"""No reply in time from the bridge, or no end of a workflow."""
INTERRUPTED = 130
