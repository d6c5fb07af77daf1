"""``window``: figures over the last readings of a key, for `when` and for texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.rules.model import NEVER, Due, Now

FIGURES = ("avg", "min", "max", "sum", "count", "delta", "first", "last")


@dataclass(frozen=True, slots=True)
class Window:
    """Its state is a list of ``[known seconds, value]``, oldest first.

    Attributes:
        last_s: how long a reading is in it.
        at_most: how many readings; the oldest leave first.
    """

    last_s: float
    at_most: int
    name: str = "window"

    def add(self, state: Any, value: float, now: Now) -> Any:
        """Return the state with one reading more."""
        return [*self._inside(state, now), [now.known_s, value]][-self.at_most :]

    def figures(self, state: Any, now: Now) -> dict[str, float]:
        """Return `FIGURES`; without a reading only the count and the sum."""
        values = [value for _, value in self._inside(state, now)]
        total = float(sum(values))
        if not values:
            return {"count": 0, "sum": total}
        first, last = values[0], values[-1]
        lowest, highest, count = min(values), max(values), len(values)
        figures = (total / count, lowest, highest, total, count, last - first, first, last)
        return dict(zip(FIGURES, figures, strict=True))

    def tick(self, state: Any, now: Now) -> Any:
        """Return no state once all readings have left it."""
        return state if self._inside(state, now) else None

    def due(self, state: Any) -> Due:
        """Return when the newest reading leaves it."""
        return NEVER if not state else Due(known_s=state[-1][0] + self.last_s)

    def _inside(self, state: Any, now: Now) -> list[Any]:
        return [one for one in state or () if now.known_s < one[0] + self.last_s]
