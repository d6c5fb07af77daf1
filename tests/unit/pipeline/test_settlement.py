"""Ends of rows are committed together, kept while the spool fails, and never lost nor doubled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pipeline_fakes import TOPICS, FlakySpool, event

from bridge.core.clock import FakeClock
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import ReplyAddress
from bridge.pipeline.lanes import Lanes
from bridge.pipeline.refusals import Refusals
from bridge.pipeline.settlement import FULL, LINGER_S, MAX_UNMARKED, MAX_UNMARKED_BYTES, Settlement
from bridge.spool.records import Batch, Postponed, WaitingEvent


class SettleBench:
    """A settlement on the real spool."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.metrics = Metrics()
        self.sent = 0
        refusals = Refusals(TOPICS, self.metrics, self.clock)
        self.settlement = Settlement(self.spool, refusals, self.metrics, self.clock, self._on_outbox)  # type: ignore[arg-type]  # the real one, with a switch
        self.lanes = Lanes(self.spool)  # type: ignore[arg-type]  # as above

    def _on_outbox(self) -> None:
        self.sent += 1

    def taken(self, count: int, *, asked: bool = False) -> list[WaitingEvent]:
        """Rows in flight; requests with an address if `asked`."""
        lane = "trigger:factory" if asked else "m"
        reply = ReplyAddress("plant", "replies/1") if asked else None
        events = tuple(event(number, lane, reply=reply) for number in range(1, count + 1))
        self.spool.real.commit(Batch(events=events))
        self.lanes.stored([lane])
        return [self.take() for _ in range(count)]

    def take(self) -> WaitingEvent:
        """One row in flight."""
        row = self.lanes.take(self.spool.real.age.now_s())
        assert row is not None
        return row

    def settles(self) -> int:
        """Commits so far."""
        return self.spool.calls.count("settle")

    def replies(self) -> list[str]:
        """Topics of the outbox but for notices."""
        rows = self.spool.real.outbox("plant", 0, 1000)
        return [row.message.topic for _, row in rows if row.message.topic != TOPICS.dead_letter]


@pytest.fixture
def bench() -> SettleBench:
    """Nothing decided yet."""
    return SettleBench()


def test_marks_wait_a_moment_for_company(bench: SettleBench) -> None:
    """While requests are in flight, ends without a reply are committed together after the linger."""
    for row in bench.taken(10):
        bench.settlement.done(row)
        bench.settlement.settle_if_due(bench.lanes, idle=False)
    assert bench.settles() == 0
    assert bench.settlement.patience_s() == pytest.approx(LINGER_S)
    bench.clock.advance(LINGER_S)
    bench.settlement.settle_if_due(bench.lanes, idle=False)
    assert bench.settles() == 1
    assert bench.spool.real.figures().waiting == 0
    assert bench.settlement.patience_s() == float("inf")


@pytest.mark.parametrize("why", ["idle", "asked", "full"])
def test_marks_do_not_wait_without_reason(bench: SettleBench, why: str) -> None:
    """Nothing in flight, a sender who waits, or a full batch: committed at once."""
    for row in bench.taken(FULL if why == "full" else 1, asked=why == "asked"):
        bench.settlement.done(row)
    bench.settlement.settle_if_due(bench.lanes, idle=why == "idle")
    assert bench.settles() == 1
    assert bench.sent == (1 if why == "asked" else 0)


def test_nothing_to_mark_is_no_commit(bench: SettleBench) -> None:
    """An idle dispatcher writes nothing."""
    bench.settlement.settle_if_due(bench.lanes, idle=True)
    bench.settlement.flush(bench.lanes)
    assert bench.settles() == 0


def test_a_failing_spool_loses_and_doubles_nothing(bench: SettleBench) -> None:
    """All is kept and tried again, replies and letters too, once each; until then it is said why it waits."""
    done, dead, postponed = bench.taken(3, asked=True)
    bench.settlement.done(done)
    bench.settlement.dead(dead, "name-taken", "taken")
    bench.settlement.postpone(postponed, Postponed(postponed.seq, 1, bench.spool.real.age.now_s() + 60))
    bench.spool.failing = {"settle"}
    for _ in range(5):
        with pytest.raises(SpoolError):
            bench.settlement.flush(bench.lanes)
    assert bench.settlement.problem is not None
    assert bench.settlement.problem.code == "disk-full"
    assert bench.settlement.seqs == {done.seq, dead.seq, postponed.seq}
    bench.spool.failing = set()
    bench.settlement.flush(bench.lanes)
    assert bench.settlement.problem is None
    bench.settlement.flush(bench.lanes)
    assert bench.settlement.seqs == frozenset()
    assert bench.replies() == ["replies/1", "replies/1"]
    assert bench.spool.real.figures().waiting == 1
    assert bench.spool.real.figures().dead_letters == 1
    assert bench.sent == 1
    assert bench.lanes.take(bench.spool.real.age.now_s()) is None
    bench.clock.advance(60)
    assert bench.take().seq == postponed.seq


def test_no_more_is_submitted_than_a_crash_may_repeat(bench: SettleBench) -> None:
    """While ends cannot be committed, room runs out."""
    rows = bench.taken(MAX_UNMARKED)
    for row in rows[:-1]:
        bench.settlement.done(row)
    assert bench.settlement.has_room
    bench.settlement.done(rows[-1])
    assert not bench.settlement.has_room


def test_large_rows_that_cannot_be_marked_are_few(bench: SettleBench) -> None:
    """The bytes of what is not marked are bounded, and there is room again after the commit."""
    count = MAX_UNMARKED_BYTES // 2**20
    for number in range(count):
        bench.spool.real.commit(Batch(events=(event(number, "m", parameters={"v": "x" * 2**20}),)))
    bench.lanes.stored(["m"])
    for _ in range(count):
        assert bench.settlement.has_room
        bench.settlement.done(bench.take())
    assert not bench.settlement.has_room
    bench.settlement.flush(bench.lanes)
    assert bench.settlement.has_room


@pytest.mark.parametrize("end", ["done", "dead"])
def test_a_sender_that_came_late_is_answered_too(bench: SettleBench, end: str) -> None:
    """An address attached while the row was being finished gets its reply, and the first gets no second one."""
    (first,) = bench.taken(1, asked=True)
    bench.settlement.postpone(first, Postponed(first.seq, 1, bench.spool.real.age.now_s()))
    bench.settlement.flush(bench.lanes)
    row = bench.take()
    if end == "done":
        bench.settlement.done(row)
    else:
        bench.settlement.dead(row, "name-taken", "taken")
    late = event(1, "trigger:factory", reply=ReplyAddress("plant", "replies/2"))
    bench.spool.real.commit(Batch(events=(late,)))
    bench.settlement.flush(bench.lanes)
    assert bench.replies() == []
    assert bench.settlement.seqs == {row.seq}
    assert bench.lanes.take(bench.spool.real.age.now_s()) is None
    bench.settlement.flush(bench.lanes)
    assert bench.replies() == ["replies/1", "replies/2"]
    assert bench.spool.real.figures().waiting == 0


def refusing(bench: SettleBench, is_bad: Callable[[object], bool]) -> None:
    """Make the spool refuse what is bad for good."""
    settle = bench.spool.real.settle

    def refuse(finished: object, postponed: object = ()) -> object:
        if any(is_bad(one) for one in finished):
            raise PermanentError("cannot settle events: not storable", code="not-storable")
        return settle(finished, postponed)

    bench.spool.settle = refuse  # type: ignore[attr-defined]  # stands before the one that passes on


def test_an_end_that_cannot_be_stored_holds_up_no_other(bench: SettleBench) -> None:
    """It ends without its texts; the others, the postponed ones too, are stored whole."""
    bad, good, postponed = bench.taken(3, asked=True)
    bench.settlement.dead(bad, "name-taken", "bad")
    bench.settlement.done(good)
    bench.settlement.postpone(postponed, Postponed(postponed.seq, 1, 1e9))
    refusing(bench, lambda one: one.error == "bad")
    bench.settlement.flush(bench.lanes)
    assert bench.spool.real.figures().waiting == 1
    assert bench.replies() == ["replies/1"]
    assert bench.settlement.seqs == frozenset()


def test_replies_and_letters_are_counted(bench: SettleBench) -> None:
    """By code and by reason."""
    done, dead = bench.taken(2, asked=True)
    bench.settlement.done(done)
    bench.settlement.dead(dead, "name-taken", "taken", ({"pointer": "/x"},))
    bench.settlement.flush(bench.lanes)
    assert bench.metrics.value("replies_total", code="200") == 1
    assert bench.metrics.value("replies_total", code="409") == 1
    assert bench.metrics.value("dead_letters_total", reason="name-taken") == 1
    assert bench.spool.real.dead_letters()[0].letter.details == ({"pointer": "/x"},)
