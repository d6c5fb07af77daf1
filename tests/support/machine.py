"""How slow this machine is just now, measured once in a run of tests, so that deadlines and CPU budgets fit it."""

from __future__ import annotations

import functools
import os
import time

_ROUNDS = 200_000
_REFERENCE_S = 0.012
"""What the work takes on the machine that the deadlines were written on, with nothing else to do."""
_MOST = 10.0


@functools.cache
def _measured() -> tuple[float, float]:
    """Seconds on the clock, and seconds of CPU, of a fixed piece of work."""
    wall_s, cpu_s = time.perf_counter(), time.thread_time()
    total = 0
    for number in range(_ROUNDS):
        total += number & 3
    assert total
    return time.perf_counter() - wall_s, time.thread_time() - cpu_s


@functools.cache
def patience() -> float:
    """What a deadline is multiplied with: 1 where nothing else runs, more the busier and slower the machine is."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(_MOST, max(1.0, _measured()[0] / _REFERENCE_S, busy))


def scaled(seconds: float) -> float:
    """A deadline as it is on this machine now; every wait of the tests for something else is given by it."""
    return seconds * patience()


@functools.cache
def cpu_slowness() -> float:
    """What a budget of CPU seconds is multiplied with; other work on the machine hardly changes it."""
    return max(1.0, _measured()[1] / _REFERENCE_S)
