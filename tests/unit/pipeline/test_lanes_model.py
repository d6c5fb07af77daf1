"""Lanes against a simple model: a set of rows that wait."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from lane_fakes import LaneBench
from pipeline_fakes import event

from bridge.core.backoff import JITTER
from bridge.spool.records import (
    QUARANTINE_FAILURES,
    Postponed,
    WaitingEvent,
)


class LanesMachine(RuleBasedStateMachine):
    """Any order of stores, takes and ends, against a simple model: a set of rows that wait."""

    flying = Bundle("flying")

    def __init__(self) -> None:
        super().__init__()
        JITTER.seed(0)
        self.bench = LaneBench()
        self.flights: dict[int, WaitingEvent] = {}
        self.claimed: dict[int, WaitingEvent] = {}
        self.ended = 0

    @rule(lane=st.sampled_from("abc"), count=st.integers(1, 4), key=st.sampled_from(["", "k", "l"]))
    def store(self, lane: str, count: int, key: str) -> None:
        """New rows."""
        self.bench.store(lane, count, order_key=f"{lane}:{key}" if key else "")

    @rule(target=flying)
    def take(self) -> WaitingEvent | None:
        """A row in flight is never given out twice, and a key never twice at a time."""
        row = self.bench.take()
        if row is not None:
            assert row.seq not in self.flights
            assert row.seq not in self.claimed
            assert not row.is_quarantined or not any(one.is_quarantined for one in self.flights.values())
            keys = {one.event.order_key for one in self.flights.values()} - {""}
            assert row.event.order_key not in keys
            self.flights[row.seq] = row
        return row

    @rule(row=consumes(flying))
    def finish(self, row: WaitingEvent | None) -> None:
        """An end."""
        if row is not None and self.flights.pop(row.seq, None):
            self.bench.finish(row)
            self.ended += 1

    @rule(row=consumes(flying), seconds=st.integers(1, 90))
    def postpone(self, row: WaitingEvent | None, seconds: int) -> None:
        """A fault of the row."""
        if row is not None and self.flights.pop(row.seq, None):
            self.bench.postpone(row, seconds)

    @rule(row=consumes(flying), own_failures=st.integers(0, QUARANTINE_FAILURES))
    def fail(self, row: WaitingEvent | None, own_failures: int) -> None:
        """A fault of the row, that may put it into quarantine."""
        if row is not None and self.flights.pop(row.seq, None):
            now_s = self.bench.spool.real.age.now_s()
            own = max(row.own_failures, own_failures)
            self.bench.spool.real.settle([], [Postponed(row.seq, row.attempts + 1, now_s + 1, own)])
            self.bench.lanes.postponed(row)
            self.bench.lanes.failed(row, now_s, "500")

    @rule(number=st.integers(1, 60))
    def claim(self, number: int) -> None:
        """A row is ended from elsewhere: granted unless it is in flight, and it is never given out again."""
        row = self.bench.spool.real.find_waiting(event(number).id)
        if row is not None:
            is_free = row.seq not in self.flights.keys() | self.claimed.keys()
            assert self.bench.lanes.claim(row) == is_free
            if is_free:
                self.claimed[row.seq] = row

    @rule(data=st.data())
    def finish_a_claimed_one(self, data: st.DataObject) -> None:
        """Its end is committed."""
        if self.claimed:
            self.bench.finish(self.claimed.pop(data.draw(st.sampled_from(sorted(self.claimed)))))
            self.ended += 1

    @rule()
    def something_changes(self) -> None:
        """What parked lanes wait for may be there."""
        self.bench.lanes.probe_parked(self.bench.spool.real.age.now_s())

    @rule(row=consumes(flying), park=st.booleans())
    def give_back(self, row: WaitingEvent | None, park: bool) -> None:
        """No fault of the row."""
        if row is not None and self.flights.pop(row.seq, None):
            if park:
                self.bench.park(row.event.lane)
            self.bench.lanes.give_back(row)

    @rule(seconds=st.integers(1, 100))
    def pass_time(self, seconds: int) -> None:
        """Time."""
        self.bench.clock.advance(seconds)

    @precondition(lambda self: not self.flights and not self.claimed)
    @rule()
    def is_told_when_to_come_again(self) -> None:
        """With nothing in flight and rows waiting, time alone brings a row, and `wait_s` says when."""
        while (row := self.bench.take()) is not None:
            self.bench.finish(row)
            self.ended += 1
            self.bench.lanes.unpark(row.event.lane)
        if self.bench.count > self.ended:
            wait_s = self.bench.wait_s()
            assert wait_s is not None
            assert wait_s > 0
            self.bench.clock.advance(wait_s)
            assert self.bench.wait_s() == pytest.approx(0.0, abs=1e-6)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every row that did not end waits in the spool."""
        assert self.bench.spool.real.figures().waiting == self.bench.count - self.ended

    def teardown(self) -> None:
        """In the end every row comes out exactly once."""
        for row in self.flights.values():
            self.bench.lanes.give_back(row)
        for row in self.claimed.values():
            self.bench.finish(row)
            self.ended += 1
        for _ in range(300):
            row = self.bench.take()
            if row is None:
                self.bench.clock.advance(max(self.bench.wait_s() or 0.0, 0.001))
                if self.bench.count == self.ended:
                    break
                continue
            self.bench.lanes.unpark(row.event.lane)
            self.bench.finish(row)
            self.ended += 1
        assert self.bench.count == self.ended
        self.bench.spool.real.close()


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
