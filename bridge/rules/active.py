"""``active``: the days and hours in which readings go on. The only rule that looks at wall time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from bridge.rules.model import NEVER, Due, Now, Readings, Rule

if TYPE_CHECKING:
    from datetime import tzinfo

CLOCK_IS_SET_S = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class Active(Rule):
    """Its state is ``[look, reading]``: the age at which it looks at the clock again, and the reading that it holds.

    Attributes:
        days: numbers from 0 (Monday) on which the hours begin.
        begin: local time.
        end: local time; up to `begin` it is that of the next day.
        zone: of the local times.
        holds: whether the last reading outside is held until the hours begin; otherwise none is.
    """

    days: frozenset[int]
    begin: time
    end: time
    zone: tzinfo
    holds: bool = False
    name: str = "active"

    def take(self, state: Any, readings: Readings, now: Now) -> tuple[Any, Readings]:
        """Return the state, and the readings if they came within the hours."""
        if self._is_inside(now.wall_s):
            return None, readings
        return (self._held(readings, now), ()) if self.holds else (state, ())

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return the state after time passed, and what it held once the hours have begun."""
        return (None, tuple(state[1])) if self._is_inside(now.wall_s) else (self._held(tuple(state[1]), now), ())

    def due(self, state: Any) -> Due:
        """Return when it looks at the clock: once a minute, because the clock may be set."""
        return NEVER if state is None else Due(age_s=state[0])

    def _held(self, readings: Readings, now: Now) -> Any:
        return [now.age_s + _LOOK_S - now.wall_s % _LOOK_S, list(readings)]

    def _is_inside(self, wall_s: float) -> bool:
        """Whether the hours have begun and not ended; with a clock that was never set, they have."""
        if wall_s < CLOCK_IS_SET_S:
            return True
        local = datetime.fromtimestamp(wall_s, self.zone)
        today, yesterday = local.weekday(), (local - timedelta(days=1)).weekday()
        clock = local.time()
        if self.begin < self.end:
            return today in self.days and self.begin <= clock < self.end
        return (today in self.days and clock >= self.begin) or (yesterday in self.days and clock < self.end)
