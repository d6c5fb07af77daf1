"""Wall time, monotonic time, and the bridge's own clock, which survives restarts and clock jumps.

Source: docs/design/promises.md, Time.

Wall time is for display only. Every age (keep-done, max-age, not-before, cooldown) is measured on the
`AgeClock`: gateways boot in 1970, and NTP moves the wall clock by decades in one step.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

MAX_RESTART_GAP_S = 30 * 86400.0


class Clock(Protocol):
    """Source of time; tests pass one that stands still."""

    def wall_s(self) -> float:
        """Seconds since 1970 according to the machine."""

    def monotonic_s(self) -> float:
        """Seconds that never go back during the life of the process."""


class SystemClock:
    """The machine's clocks."""

    def wall_s(self) -> float:
        """Seconds since 1970 according to the machine."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds that never go back during the life of the process."""
        return time.monotonic()


class AgeClock:
    """The bridge's own clock: seconds that only increase, also over restarts. Thread: any; reads are a subtraction.

    It starts from the value stored with the last commit, plus the wall-clock difference since then if that is between 0
    and 30 days, otherwise plus 0. While running it advances by the monotonic clock alone.
    """

    def __init__(self, clock: Clock, stored_age_s: float = 0.0, stored_wall_s: float | None = None) -> None:
        self._clock = clock
        gap = 0.0 if stored_wall_s is None else clock.wall_s() - stored_wall_s
        self._offset_s = stored_age_s + (gap if 0 <= gap <= MAX_RESTART_GAP_S else 0.0) - clock.monotonic_s()

    def now_s(self) -> float:
        """Seconds on the bridge's own clock."""
        return self._clock.monotonic_s() + self._offset_s

    def wall_s(self) -> float:
        """The machine's wall time, stored beside `now_s` in each commit."""
        return self._clock.wall_s()


def rfc3339(wall_s: float) -> str:
    """Return wall seconds as UTC RFC 3339 with milliseconds, e.g. ``2026-11-24T14:00:00.000Z``."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
