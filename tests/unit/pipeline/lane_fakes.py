"""Lanes over the real spool, for their tests."""

from __future__ import annotations

from pipeline_fakes import FlakySpool, event

from bridge.pipeline.dispatch.lanes import Lanes
from bridge.spool.records import (
    Finished,
    NewEvent,
    NewRows,
    Outcome,
    Postponed,
    WaitingEvent,
)
from tests.support.clock import FakeClock


class LaneBench:
    """Lanes over the real spool."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.lanes = Lanes(self.spool)  # type: ignore[arg-type]  # the real one, with a switch
        self.count = 0

    def store(self, lane: str, count: int = 1, **changes: object) -> None:
        """Commit rows of one lane, and say so."""
        events: list[NewEvent] = []
        for _ in range(count):
            self.count += 1
            events.append(event(self.count, lane, **changes))
        self.spool.real.commit(NewRows(events=list(events)))
        self.lanes.stored([lane])

    def take(self) -> WaitingEvent | None:
        """The next row."""
        return self.lanes.take(self.spool.real.age.now_s())

    def park(self, lane: str) -> None:
        """Hold the lane back from now on."""
        self.lanes.park(lane, self.spool.real.age.now_s(), "no template")

    def wait_s(self) -> float | None:
        """How long until time alone brings a row."""
        return self.lanes.wait_s(self.spool.real.age.now_s())

    def finish(self, row: WaitingEvent) -> None:
        """End a row."""
        self.spool.real.settle([Finished(row.seq, Outcome.DONE)])
        self.lanes.finished(row)

    def postpone(self, row: WaitingEvent, seconds: float) -> None:
        """Postpone a row."""
        due_s = self.spool.real.age.now_s() + seconds
        self.spool.real.settle([], [Postponed(row.seq, row.attempts + 1, due_s, row.own_failures)])
        self.lanes.postponed(row)

    def drain(self) -> list[str]:
        """Take and finish all that can be taken; the names in order."""
        names = []
        while (row := self.take()) is not None:
            names.append(row.event.lane)
            self.finish(row)
        return names
