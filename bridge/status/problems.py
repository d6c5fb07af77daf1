"""A current problem of status. A value only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatusProblem:
    """A reason why status may be wrong now, for readiness and the ``state`` topic.

    Attributes:
        code: kebab-case.
        message: a sentence.
        namespace: the namespace concerned, or "".
    """

    code: str
    message: str
    namespace: str = ""
