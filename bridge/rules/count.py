"""``count``: only the n-th reading within a time goes on; then the count begins anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.rules.model import NEVER, Due, Now, Readings, Rule


@dataclass(frozen=True, slots=True)
class Count(Rule):
    """Its state is the known seconds of the readings that count.

    Attributes:
        at_least: how many, 2 or more.
        within_s: how long a reading counts.
    """

    at_least: int
    within_s: float
    name: str = "count"

    def take(self, state: Any, readings: Readings, now: Now) -> tuple[Any, Readings]:
        """Return the state after one reading more, and the reading if it is the last that was wanted."""
        times = [at_s for at_s in state or () if now.known_s < at_s + self.within_s]
        if len(times) + 1 >= self.at_least:
            return None, readings
        return [*times, now.known_s], ()

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return no state: all of it is too old."""
        return (None if self.due(state).is_reached(now) else state), ()

    def due(self, state: Any) -> Due:
        """Return when the newest reading ceases to count."""
        return NEVER if state is None else Due(known_s=state[-1] + self.within_s)
