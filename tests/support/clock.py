"""A clock for tests."""

from __future__ import annotations


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, wall_s: float = 1_750_000_000.0) -> None:
        self._wall_s = wall_s
        self._monotonic_s = 1000.0

    def wall_s(self) -> float:
        """The wall time as set."""
        return self._wall_s

    def monotonic_s(self) -> float:
        """Seconds added by `advance`."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._wall_s += seconds
        self._monotonic_s += seconds

    def jump_wall(self, seconds: float) -> None:
        """Move only the wall clock, as NTP does."""
        self._wall_s += seconds
