"""The exit codes of every verb."""

OK = 0
PROBLEMS = 1
"""Problems were found: a bad config, a failed workflow, a refused request."""
USAGE = 2
UNEXPECTED = 3
"""An error that is ours: one line, and a report file."""
NO_ANSWER = 4
"""No answer in time, of the bridge or from a workflow."""
INTERRUPTED = 130
