"""Ends of rows are committed together, kept while the spool fails, and never lost nor doubled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_fakes import TOPICS, FlakySpool, event

from bridge.core.errors import PermanentError, SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import ReplyAddress
from bridge.interface.replies import TRIGGERED, Refusal
from bridge.pipeline.dispatch.lanes import Lanes
from bridge.pipeline.dispatch.settlement import FULL, LINGER_S, MAX_UNMARKED, MAX_UNMARKED_BYTES, Settlement
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import Finished, NewRows, Outcome, Postponed, WaitingEvent
from tests.support.clock import FakeClock


class SettleBench:
    """A settlement on the real spool."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.metrics = Metrics()
        self.sent = 0
        refusals = Refusals(TOPICS, self.metrics, self.clock)
        self.settlement = Settlement(self.spool, refusals, self.metrics, self.clock, self._on_outbox, lambda _: None)  # type: ignore[arg-type]  # the real one, with a switch
        self.lanes = Lanes(self.spool)  # type: ignore[arg-type]  # as above

    def _on_outbox(self) -> None:
        self.sent += 1

    def taken(self, count: int, *, asked: bool = False) -> list[WaitingEvent]:
        """Rows in flight; requests with an address if `asked`."""
        lane = "trigger:factory" if asked else "m"
        reply = ReplyAddress("plant", "replies/1") if asked else None
        events = tuple(event(number, lane, reply=reply) for number in range(1, count + 1))
        self.spool.real.commit(NewRows(events=events))
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
    bench.settlement.dead(dead, Refusal("name-taken", "taken"))
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
        bench.spool.real.commit(NewRows(events=[event(number, "m", parameters={"v": "x" * 2**20})]))
    bench.lanes.stored(["m"])
    for _ in range(count):
        assert bench.settlement.has_room
        bench.settlement.done(bench.take())
    assert not bench.settlement.has_room
    bench.settlement.flush(bench.lanes)
    assert bench.settlement.has_room


@dataclass(frozen=True)
class Fate:
    """What happens to one row.

    end: done, dead or postponed.
    late: repetitions of its request that arrive before each of the first commits.
    is_storable: False: the spool never takes the texts of its end.
    """

    end: str
    late: tuple[int, ...]
    is_storable: bool

    def body(self, number: int) -> dict[str, object]:
        """What everyone who asked for it must be told."""
        if self.end == "done":
            return {"status": TRIGGERED, "workflowId": f"w-{number}"}
        return {"error": f"bad {number}", "details": [{"pointer": f"/{number}"}]}


FATES = st.lists(
    st.builds(
        Fate,
        st.sampled_from(["done", "dead", "postponed"]),
        st.lists(st.integers(0, 2), max_size=3).map(tuple),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=6,
)


class FateBench(SettleBench):
    """Rows whose fates are given."""

    def __init__(self, fates: list[Fate]) -> None:
        super().__init__()
        self.fates = dict(enumerate(fates, 1))
        self.addresses = {number: [f"replies/{number}/0"] for number in self.fates}
        self._settle = self.spool.real.settle
        self.spool.settle = self.settle  # type: ignore[attr-defined]  # stands before the one that passes on
        self.rows = self.take_all()

    def take_all(self) -> dict[int, WaitingEvent]:
        """Every row in flight, by its number."""
        events = tuple(
            event(number, "trigger:factory", reply=ReplyAddress("plant", self.addresses[number][0]))
            for number in self.fates
        )
        self.spool.real.commit(NewRows(events=events))
        self.lanes.stored(["trigger:factory"])
        taken = [self.take() for _ in self.fates]
        return {int(row.event.order.name[2:]): row for row in taken}

    def settle(self, finished: Sequence[Finished], postponed: Sequence[Postponed] = ()) -> tuple[WaitingEvent, ...]:
        """The real one, but for texts that it never takes."""
        if "settle" in self.spool.failing:
            raise SpoolError("cannot settle: disk full", code="disk-full")
        bad = {self.rows[number].seq for number, fate in self.fates.items() if not fate.is_storable}
        if any(one.seq in bad and (one.outbox or one.error) for one in finished):
            raise PermanentError("cannot settle events: not storable", code="not-storable")
        return self._settle(finished, postponed)

    def decide(self) -> None:
        """Let each row meet its fate."""
        for number, fate in self.fates.items():
            row = self.rows[number]
            if fate.end == "done":
                self.settlement.done(row)
            elif fate.end == "dead":
                self.settlement.dead(row, Refusal("name-taken", f"bad {number}", ({"pointer": f"/{number}"},)))
            else:
                due_s = self.spool.real.age.now_s() + 60
                self.settlement.postpone(row, Postponed(row.seq, 5, due_s, own_failures=2))

    def ask_again(self, commits: int) -> None:
        """Let the repetitions come that are due before commit number `commits`, while their row waits."""
        for number, fate in self.fates.items():
            for _ in range(fate.late[commits] if commits < len(fate.late) else 0):
                topic = f"replies/{number}/{len(self.addresses[number])}"
                late = event(number, "trigger:factory", reply=ReplyAddress("plant", topic))
                committed = self.spool.real.commit(NewRows(events=[late]))
                if committed.known[0].outcome is None:
                    self.addresses[number].append(topic)

    def told(self) -> dict[str, list[dict[str, object]]]:
        """The bodies of the replies, by topic."""
        found: dict[str, list[dict[str, object]]] = {}
        for _, row in self.spool.real.outbox("plant", 0, 1000):
            if row.message.topic != TOPICS.dead_letter:
                found.setdefault(row.message.topic, []).append(json.loads(row.message.payload))
        return found


@settings(max_examples=150, deadline=None)
@given(FATES, st.integers(0, 2))
def test_everyone_is_told_once_what_became_of_the_row(fates: list[Fate], failures: int) -> None:
    """Whatever ends with whatever, who asked is told so once, be they early or late; what is postponed is tried again.

    An end whose texts cannot be stored loses them alone; what the spool refuses for a moment is stored later.
    """
    bench = FateBench(fates)
    bench.decide()
    bench.spool.failing = {"settle"}
    for _ in range(failures):
        with pytest.raises(SpoolError):
            bench.settlement.flush(bench.lanes)
    assert (bench.settlement.problem is None) == (failures == 0)
    bench.spool.failing = set()
    commits = 0
    while bench.settlement.seqs:
        bench.ask_again(commits)
        bench.settlement.flush(bench.lanes)
        commits += 1
        assert commits < 10
    expected = {
        topic: [fate.body(number)]
        for number, fate in bench.fates.items()
        if fate.end != "postponed" and fate.is_storable
        for topic in bench.addresses[number]
    }
    assert bench.told() == expected
    letters = {one.letter.message: one.letter.details for one in bench.spool.real.dead_letters()}
    dead = [number for number, fate in bench.fates.items() if fate.end == "dead" and fate.is_storable]
    assert sum(one.count for one in bench.spool.real.dead_letters()) == len(dead)
    assert all(details == ({"pointer": f"/{message[4:]}"},) for message, details in letters.items())
    assert bench.spool.real.check() == ()
    later = {number for number, fate in bench.fates.items() if fate.end == "postponed"}
    assert bench.spool.real.figures().waiting == len(later)
    assert bench.lanes.take(bench.spool.real.age.now_s()) is None
    bench.clock.advance(60)
    again = [bench.take() for _ in later]
    assert {int(row.event.order.name[2:]) for row in again} == later
    assert all((row.attempts, row.own_failures) == (5, 2) for row in again)
    for number, fate in bench.fates.items():
        outcome = bench.spool.real.commit(NewRows(events=[event(number, "trigger:factory")])).known[0]
        ended = {"done": Outcome.DONE, "dead": Outcome.DEAD, "postponed": None}[fate.end]
        assert (outcome.outcome, outcome.code) == (ended, "name-taken" if fate.end == "dead" else "")


def test_replies_and_letters_are_counted(bench: SettleBench) -> None:
    """By code and by reason."""
    done, dead = bench.taken(2, asked=True)
    bench.settlement.done(done)
    bench.settlement.dead(dead, Refusal("name-taken", "taken", ({"pointer": "/x"},)))
    bench.settlement.flush(bench.lanes)
    assert bench.metrics.value("replies_total", code="200") == 1
    assert bench.metrics.value("replies_total", code="409") == 1
    assert bench.metrics.value("dead_letters_total", reason="name-taken") == 1
    assert bench.spool.real.dead_letters()[0].letter.details == ({"pointer": "/x"},)
