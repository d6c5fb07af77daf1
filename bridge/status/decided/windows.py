"""Counts finished workflows and their durations within the last hour or day, in limited memory.

Pure except for its state.

Durations are counted in bins: whole seconds up to 100, then steps of 2.5%. Ends are counted in slices of the window,
and leave with them. Thread: the status thread owns it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

SLICES = 60
_EXACT_S = 100
_STEP = math.log(1.025)


@dataclass(slots=True)
class _Slice:
    """The ends of one slice of time."""

    succeeded: int = 0
    failed: int = 0
    bins: Counter[int] = field(default_factory=Counter)


class Window:
    """The ends within the last `length_s` seconds, in steps of a sixtieth."""

    def __init__(self, length_s: float) -> None:
        self._slice_s = length_s / SLICES
        self._slices: dict[int, _Slice] = {}

    def add(self, at_s: float, now_s: float, *, succeeded: bool, duration_s: float | None) -> None:
        """Count an end at `at_s` (monotonic seconds); one before the window is ignored. An unknown duration is None."""
        number = int(at_s // self._slice_s)
        if number <= int(now_s // self._slice_s) - SLICES:
            return
        place = self._slices.setdefault(number, _Slice())
        place.succeeded += succeeded
        place.failed += not succeeded
        if duration_s is not None:
            place.bins[_bin(duration_s)] += 1

    def summary(self, now_s: float) -> dict[str, object]:
        """Return counts (``ended``, ``succeeded``, ``failed``), ``successRate``, ``p50Seconds`` and ``p95Seconds``.

        Rate and durations are None where nothing ended.
        """
        oldest = int(now_s // self._slice_s) - SLICES
        for number in [number for number in self._slices if number <= oldest]:
            del self._slices[number]
        succeeded = sum(place.succeeded for place in self._slices.values())
        failed = sum(place.failed for place in self._slices.values())
        bins: Counter[int] = Counter()
        for place in self._slices.values():
            bins.update(place.bins)
        ended = succeeded + failed
        return {
            "ended": ended,
            "succeeded": succeeded,
            "failed": failed,
            "successRate": round(succeeded / ended, 4) if ended else None,
            "p50Seconds": _quantile(bins, 0.50),
            "p95Seconds": _quantile(bins, 0.95),
        }


def _bin(duration_s: float) -> int:
    if duration_s <= _EXACT_S:
        return max(0, round(duration_s))
    return _EXACT_S + 1 + int(math.log(duration_s / _EXACT_S) / _STEP)


def _seconds(place: int) -> int:
    if place <= _EXACT_S:
        return place
    return round(_EXACT_S * math.exp((place - _EXACT_S - 0.5) * _STEP))


def _quantile(bins: Counter[int], share: float) -> int | None:
    wanted = share * bins.total()
    passed = 0
    for place in sorted(bins):
        passed += bins[place]
        if passed >= wanted:
            return _seconds(place)
    return None
