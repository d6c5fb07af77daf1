"""Lanes are fair, bounded, and hide no row."""

from __future__ import annotations

import contextlib

import pytest
from lane_fakes import LaneBench
from pipeline_fakes import event

from bridge.core.errors import SpoolError
from bridge.pipeline.dispatch.lanes import FAILURES, PAGE, PROBE, SLOW, Lanes
from bridge.spool.records import (
    QUARANTINE_FAILURES,
    Postponed,
    WaitingEvent,
)


@pytest.fixture
def bench() -> LaneBench:
    """Lanes without rows."""
    return LaneBench()


def test_rows_of_a_lane_come_in_order_of_arrival(bench: LaneBench) -> None:
    """A backlog of several pages comes out once, in order."""
    bench.store("a", 2 * PAGE + 10)
    seqs = []
    while (row := bench.take()) is not None:
        seqs.append(row.seq)
    assert seqs == sorted(seqs)
    assert len(set(seqs)) == 2 * PAGE + 10


def test_lanes_take_turns(bench: LaneBench) -> None:
    """A backlog of 10,000 rows holds up the single row of another lane by one row, not by 10,000."""
    bench.store("busy", 10_000)
    bench.store("quiet", 1)
    first = [bench.take(), bench.take()]
    assert {row.event.lane for row in first if row} == {"busy", "quiet"}


def test_memory_is_a_page_a_lane(bench: LaneBench) -> None:
    """Whatever the backlog, a page of each lane is read ahead."""
    bench.store("a", 5 * PAGE)
    bench.store("b", 5 * PAGE)
    bench.take()
    bench.take()
    assert repr(bench.lanes).count(f"ready={PAGE - 1}") == 2


def test_memory_is_bounded_in_bytes_too(bench: LaneBench) -> None:
    """Of large rows a lane reads few ahead, and all of them come, in order."""
    bench.store("a", 30, parameters={"value": "x" * 700_000})
    first = bench.take()
    assert first is not None
    assert "ready=4" in repr(bench.lanes)
    bench.finish(first)
    assert len(bench.drain()) == 29


def test_a_parked_lane_lets_one_row_through_now_and_then(bench: LaneBench) -> None:
    """One probe at a time, a minute apart in the end; the other lane does not notice; success opens it wholly."""
    bench.store("bad", 5)
    bench.store("good", 5)
    bench.park("bad")
    assert bench.drain() == ["good"] * 5
    waited = []
    for _ in range(12):
        waited.append(bench.wait_s() or 0.0)
        bench.clock.advance(waited[-1] + 1e-6)
        assert bench.wait_s() == 0.0
        probe = bench.take()
        assert probe is not None
        bench.clock.advance(2 * PROBE.cap_s)
        assert bench.take() is None
        assert bench.wait_s() is None
        bench.park("bad")
        bench.lanes.give_back(probe)
        assert bench.lanes.causes == {"bad": "no template"}
    assert waited[0] <= PROBE.initial_s
    assert all(PROBE.cap_s * (1 - PROBE.jitter) <= wait <= PROBE.cap_s for wait in waited[7:])
    bench.lanes.unpark("bad")
    assert bench.drain() == ["bad"] * 5
    assert bench.lanes.causes == {}


def test_a_change_lets_parked_lanes_try_at_once(bench: LaneBench) -> None:
    """Each of them a single row, and then it waits again as at first; a lane that only fails is left alone."""
    bench.store("denied", 2)
    bench.store("missing", 2)
    bench.park("denied")
    bench.park("missing")
    bench.lanes.probe_parked(bench.spool.real.age.now_s())
    probes = [bench.take(), bench.take()]
    assert {row.event.lane for row in probes if row} == {"denied", "missing"}
    assert bench.take() is None
    bench.park("denied")
    assert probes[0] is not None
    bench.lanes.give_back(next(row for row in probes if row and row.event.lane == "denied"))
    assert PROBE.initial_s * (1 - PROBE.jitter) <= (bench.wait_s() or 0.0) <= PROBE.initial_s


def test_a_probe_that_told_nothing_waits_its_time_too(bench: LaneBench) -> None:
    """A probe that came back because Argo is away is not tried again at once."""
    bench.store("bad", 2)
    bench.park("bad")
    bench.clock.advance(PROBE.cap_s)
    probe = bench.take()
    assert probe is not None
    bench.lanes.give_back(probe)
    assert bench.take() is None
    assert (bench.wait_s() or 0.0) > PROBE.initial_s


def fail(bench: LaneBench, row: WaitingEvent | None) -> None:
    """The row failed, and is tried again long after."""
    assert row is not None
    bench.postpone(row, 1000)
    bench.lanes.failed(row, bench.spool.real.age.now_s(), "500")


def test_a_failing_lane_lets_one_row_through_at_a_time(bench: LaneBench) -> None:
    """After failures without a success between them, less and less often, five seconds apart at most; others go on."""
    bench.store("bad", 30)
    for _ in range(FAILURES):
        fail(bench, bench.take())
    bench.store("good", 5)
    assert bench.drain() == ["good"] * 5
    waited = []
    for _ in range(10):
        assert bench.take() is None
        waited.append(bench.wait_s() or 0.0)
        bench.clock.advance(waited[-1] + 1e-6)  # a sum of floats may fall short of the time
        probe = bench.take()
        assert bench.take() is None
        fail(bench, probe)
    assert 0 < waited[0] <= SLOW.initial_s
    assert max(waited) <= SLOW.cap_s
    assert sum(waited) > 5 * SLOW.cap_s * (1 - SLOW.jitter)
    assert bench.lanes.causes == {"bad": "500"}


@pytest.mark.parametrize("end", ["unpark", "decided"])
def test_one_end_opens_a_failing_lane(bench: LaneBench, end: str) -> None:
    """A success opens it wholly, and so does a refusal, as the server answers; failures are counted anew."""
    bench.store("bad", 20)
    for _ in range(FAILURES):
        fail(bench, bench.take())
    bench.clock.advance(SLOW.cap_s)
    probe = bench.take()
    assert probe is not None
    getattr(bench.lanes, end)("bad")
    bench.finish(probe)
    for _ in range(FAILURES - 1):
        fail(bench, bench.take())
    assert len(bench.drain()) == 20 - 2 * FAILURES


def test_a_refusal_does_not_open_a_parked_lane(bench: LaneBench) -> None:
    """What parks a lane is mended by somebody, and only a success shows it."""
    bench.store("bad", 5)
    bench.park("bad")
    bench.lanes.decided("bad")
    assert bench.take() is None


def test_all_that_is_due_is_given_out(bench: LaneBench) -> None:
    """More rows than a page are due: all of them come, though none of the first page has ended."""
    count = PAGE + 10
    bench.store("a", count)
    for _ in range(count):
        row = bench.take()
        assert row is not None
        bench.postpone(row, 1)
    bench.clock.advance(1)
    taken = [row.seq for _ in range(count) if (row := bench.take()) is not None]
    assert len(set(taken)) == count


def test_a_row_given_back_is_first_again(bench: LaneBench) -> None:
    """A row that was not submitted through no fault of its own loses its place to nobody."""
    bench.store("a", 3)
    first = bench.take()
    second = bench.take()
    assert first is not None
    assert second is not None
    bench.lanes.give_back(second)
    bench.lanes.give_back(first)
    again = bench.take()
    assert again is not None
    assert again.seq == first.seq


def test_a_postponed_row_comes_when_it_is_due(bench: LaneBench) -> None:
    """Not before its time, and at its time without anybody's call."""
    bench.store("a", 1)
    row = bench.take()
    assert row is not None
    bench.postpone(row, 30)
    assert bench.take() is None
    assert bench.wait_s() == pytest.approx(30)
    bench.clock.advance(30)
    again = bench.take()
    assert again is not None
    assert (again.seq, again.attempts) == (row.seq, 1)


def test_rows_of_an_order_key_come_one_after_the_other(bench: LaneBench) -> None:
    """While one is in flight or postponed the next of its key waits; other keys go on."""
    bench.store("a", 3, order_key="a:1")
    bench.store("a", 1, order_key="a:2")
    first = bench.take()
    other = bench.take()
    assert first is not None
    assert other is not None
    assert other.event.order_key == "a:2"
    assert bench.take() is None
    bench.finish(first)
    second = bench.take()
    assert second is not None
    assert second.seq == first.seq + 1
    bench.postpone(second, 10)
    assert bench.take() is None


def test_a_claimed_row_is_not_given_out(bench: LaneBench) -> None:
    """A row that ended from elsewhere leaves the lane; one under way cannot be claimed."""
    bench.store("a", 2)
    first = bench.take()
    assert first is not None
    assert not bench.lanes.claim(first)
    other = bench.spool.real.waiting("a", first.seq, 1)[0]
    assert bench.lanes.claim(other)
    assert bench.take() is None


def test_a_row_claimed_before_its_page_was_read_is_not_given_out(bench: LaneBench) -> None:
    """Whatever the order of claim and reading ahead, a row is given to one alone."""
    bench.store("a", PAGE + 2)
    first = bench.take()
    assert first is not None
    claimed = bench.spool.real.waiting("a", first.seq + PAGE, 1)[0]
    assert bench.lanes.claim(claimed)
    seqs = []
    while (row := bench.take()) is not None:
        seqs.append(row.seq)
    assert claimed.seq not in seqs
    assert len(seqs) == PAGE


def test_rows_that_were_there_before_the_start_are_found(bench: LaneBench) -> None:
    """After a restart nobody says that rows were stored; they are found all the same."""
    bench.store("a", 2)
    row = bench.take()
    assert row is not None
    bench.postpone(row, 5)
    after = Lanes(bench.spool)  # type: ignore[arg-type]  # as above
    assert after.take(bench.spool.real.age.now_s()) is not None
    assert after.take(bench.spool.real.age.now_s()) is None
    bench.clock.advance(5)
    again = after.take(bench.spool.real.age.now_s())
    assert again is not None
    assert again.seq == row.seq


@pytest.mark.parametrize("method", ["due", "next_due_s", "waiting"])
def test_a_read_that_fails_hides_no_row(bench: LaneBench, method: str) -> None:
    """After the spool failed for a moment, the new and the postponed row are still found."""
    bench.store("a", 1)
    row = bench.take()
    assert row is not None
    bench.postpone(row, 1)
    bench.clock.advance(1)
    bench.store("a", 1)
    bench.spool.failing = {method}
    taken = 0
    for _ in range(3):
        with contextlib.suppress(SpoolError):
            taken += bench.take() is not None
    bench.spool.failing = set()
    while bench.take() is not None:
        taken += 1
    assert taken == 2


def test_a_read_that_fails_costs_no_probe(bench: LaneBench) -> None:
    """The pause of a parked lane begins when its row is given out, not when it could not be read."""
    bench.store("bad", 1)
    bench.park("bad")
    bench.clock.advance(PROBE.cap_s)
    bench.spool.failing = {"newest"}
    with pytest.raises(SpoolError):
        bench.take()
    bench.spool.failing = set()
    assert bench.take() is not None


def quarantine(bench: LaneBench, row: WaitingEvent | None) -> None:
    """The row failed too often while others succeeded, and is due."""
    assert row is not None
    bench.spool.real.settle([], [Postponed(row.seq, 5, bench.spool.real.age.now_s(), QUARANTINE_FAILURES)])
    bench.lanes.postponed(row)


def test_new_rows_alternate_with_retried_ones(bench: LaneBench) -> None:
    """However many are due again, every other row is a new one; and the other way round."""
    bench.store("a", 20)
    for _ in range(10):
        row = bench.take()
        assert row is not None
        bench.postpone(row, 1)
    bench.clock.advance(1)
    attempts = [row.attempts for _ in range(20) if (row := bench.take())]
    assert attempts in ([0, 1] * 10, [1, 0] * 10)


@pytest.mark.parametrize("backlog", [30, 3 * PAGE])
def test_a_failing_lane_finds_the_row_that_works(bench: LaneBench, backlog: int) -> None:
    """All rows of a backlog fail, a later one would not: it is among the first two probes after it came."""
    bench.store("a", backlog)
    for _ in range(FAILURES + 1):
        bench.clock.advance(SLOW.cap_s)
        fail(bench, bench.take())
    bench.store("a", 1)
    probes = []
    for _ in range(2):
        bench.clock.advance(SLOW.cap_s)
        probes.append(bench.take())
        fail(bench, probes[-1])
    assert event(backlog + 1).id in [row.event.id for row in probes if row]


def test_quarantined_rows_come_one_at_a_time_and_hold_up_nobody(bench: LaneBench) -> None:
    """Two hundred of them are due, one hangs: the rows of their lane, retried ones too, are given out all the same."""
    bench.store("a", 200)
    for row in [bench.take() for _ in range(200)]:
        quarantine(bench, row)
    hanging = bench.take()
    assert hanging is not None
    assert hanging.is_quarantined
    bench.store("a", 10)
    retried = bench.take()
    assert retried is not None
    bench.postpone(retried, 0)
    given = [row for _ in range(20) if (row := bench.take())]
    assert len(given) == 10
    assert not any(row.is_quarantined for row in given)
    bench.finish(hanging)
    following = bench.take()
    assert following is not None
    assert following.is_quarantined
    assert bench.take() is None


def test_quarantine_outlasts_a_restart(bench: LaneBench) -> None:
    """New lanes over the same spool still give it out beside its lane."""
    bench.store("a", 2)
    quarantine(bench, bench.take())
    bench.lanes = Lanes(bench.spool)  # type: ignore[arg-type]  # the real one, with a switch
    given = [row for _ in range(3) if (row := bench.take())]
    assert sorted(row.is_quarantined for row in given) == [False, True]
