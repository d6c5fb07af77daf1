"""``collect``: many readings become one event."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any

from bridge.rules.model import NEVER, Due, Now, Readings, Rule

MAX_READINGS = 1000
MAX_CHARACTERS = 256 * 2**10
"""What `keep: all` holds at most; then its event is made early."""


class Keep(StrEnum):
    """Which of the readings the event is made of."""

    FIRST = "first"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Collect(Rule):
    """Its state is ``[began, last, count, readings]``: two ages, how many came, and those that are kept.

    Attributes:
        quiet_s: its event is made once nothing came for so long.
        at_most_s: so long after the first reading, at the latest.
        count: after so many readings.
        keep: which readings the event is made of.
        size: returns the characters of a reading.
    """

    quiet_s: float = inf
    at_most_s: float = inf
    count: int | None = None
    keep: Keep = Keep.LAST
    name: str = "collect"

    def take(self, state: Any, readings: Readings, now: Now) -> tuple[Any, Readings]:
        """Return the state with `readings`, or the event that they complete."""
        began, _, count, kept = state or (now.age_s, now.age_s, 0, [])
        count += len(readings)
        if self.keep is Keep.LAST:
            kept = [readings[-1]]
        elif self.keep is Keep.ALL or not kept:
            kept = [*kept, *readings]
        if count == self.count or self._is_full(kept):
            return None, tuple(kept)
        return [began, now.age_s, count, kept], ()

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return the state after time passed, or the event if it is time for it."""
        return (None, tuple(state[3])) if self.due(state).is_reached(now) else (state, ())

    def due(self, state: Any) -> Due:
        """Return when its event is made."""
        return NEVER if state is None else Due(age_s=min(state[1] + self.quiet_s, state[0] + self.at_most_s))

    def _is_full(self, kept: list[Any]) -> bool:
        return self.keep is Keep.ALL and (
            len(kept) >= MAX_READINGS or sum(len(one[0] or "") for one in kept) >= MAX_CHARACTERS
        )
