"""Why status may not be true at the moment. A value only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatusProblem:
    """Something that keeps status from being true, for readiness and the ``state`` topic.

    Attributes:
        code: kebab-case.
        message: a sentence.
        namespace: the namespace that it concerns, or "".
    """

    code: str
    message: str
    namespace: str = ""
