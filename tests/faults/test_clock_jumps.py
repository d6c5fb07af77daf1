"""A whole bridge whose wall clock boots in 1970, jumps by 50 years and goes back, running and between two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.clock import SystemClock
from bridge.simulator import FaultKind, InjectedFault
from tests.support.mosquitto import Mosquitto
from tests.support.spine import DEAD_LETTER, TRIGGER, Spine, mapping, submit

YEAR_S = 365.25 * 86_400.0
ALL = mapping("all", "sensors/{device}", "event-id: payload.n", "max-age: 1h")


class WallClock(SystemClock):
    """The machine's clocks, but for a wall clock that can be set.

    shift_s: what it goes ahead of the machine's, seconds.
    """

    def __init__(self) -> None:
        self.shift_s = 0.0

    def wall_s(self) -> float:
        """Seconds since 1970 as this machine believes."""
        return super().wall_s() + self.shift_s

    def set(self, wall_s: float) -> None:
        """Set it, as NTP or a dead battery does."""
        self.shift_s += wall_s - self.wall_s()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_no_jump_of_the_wall_clock_expires_or_forgets_an_event(
    version: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """From 1970 to today, 50 years on and back: what waits is run, what has run stays known, nothing is dead-lettered.

    Each jump comes once under the running bridge and once between two runs.
    """
    clock = WallClock()
    today = clock.wall_s()
    jumps = [today, today + 50 * YEAR_S, today, 60.0]
    clock.set(30.0)
    with Spine(tmp_path, mosquitto, ALL, version, clock=clock) as spine:
        spine.publish("sensors/a", {"n": 0})
        spine.await_numbers(0)
        done = [0]
        for number, wall_s in enumerate(jumps, 1):
            away = spine.simulator.faults.add(InjectedFault(FaultKind.STATUS, method="POST", status=503))
            known = spine.bridge.count("events_stored_total", mapping="all")
            waits = [10 * number, 10 * number + 1]
            spine.publish("sensors/a", {"n": waits[0]})
            clock.set(wall_s)
            spine.publish("sensors/a", {"n": waits[1]})
            spine.bridge.await_count("events_stored_total", known + 2, mapping="all")
            clock.set(30.0)
            spine.restart(lambda wall_s=wall_s: clock.set(wall_s))
            spine.simulator.faults.remove(away)
            done += waits
            spine.await_numbers(*done, within_s=60)
            for again in done:
                spine.publish("sensors/a", {"n": again})
            spine.fence()
            spine.await_numbers(*done)
        assert spine.on(DEAD_LETTER) == []
        assert not spine.bridge.service.readiness()
        assert "workflowId" in spine.ask(submit(requestId="last"), TRIGGER)
