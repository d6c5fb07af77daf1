"""The spool against a model of a few dicts: any order of calls, reopened at any time, agrees with it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.core.model import ReplyAddress
from bridge.spool.options import SpoolOptions
from bridge.spool.records import NewRows, Outcome, Postponed
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import dead, done, event, identity, reply
from tests.support.clock import FakeClock

KEEP_DONE_S = 100.0
LANES = ("boiler", "press")


@dataclass
class Row:
    """What the model knows of one event."""

    seq: int
    lane: str
    key: str
    replies: list[ReplyAddress]
    attempts: int = 0
    not_before_s: float | None = 0.0
    outcome: Outcome | None = None
    ended_s: float = 0.0


class SpoolMachine(RuleBasedStateMachine):
    """Runs every call on both."""

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.clock = FakeClock()
        self.rows: dict[int, Row] = {}
        self.outbox: list[str] = []
        self.jumped_s = 0.0
        self.latest_s = 0.0
        self.spool = self.opened()

    def opened(self) -> Spool:
        return Spool.open(self.directory / "spool.db", clock=self.clock, limits=SpoolOptions(keep_done_s=KEEP_DONE_S))

    @rule(
        numbers=st.lists(st.integers(0, 12), max_size=6),
        lane=st.sampled_from(LANES),
        key=st.sampled_from(["", "", "a", "b"]),
        sender=st.none() | st.integers(0, 3),
    )
    def commit(self, numbers: list[int], lane: str, key: str, sender: int | None) -> None:
        address = None if sender is None else reply(sender)
        found = self.spool.commit(
            NewRows(events=[event(n, lane, order_key=key and lane + key, reply=address) for n in numbers])
        )
        new = [number for number in dict.fromkeys(numbers) if number not in self.rows]
        assert found.stored == len(new)
        assert len(found.known) == len(numbers) - len(new)
        for number in new:
            row = self.spool.find_waiting(identity(number))
            assert row is not None
            is_held = bool(key) and any(r.outcome is None and r.key == lane + key for r in self.rows.values())
            replies = [] if address is None else [address]
            self.rows[number] = Row(row.seq, lane, key and lane + key, replies, 0, None if is_held else 0.0)
        for outcome in found.known:
            number = next(n for n in numbers if identity(n) == outcome.id)
            assert outcome.outcome is self.rows[number].outcome
            if outcome.outcome is None and address is not None and address not in self.rows[number].replies:
                self.rows[number].replies.append(address)

    @rule(picks=st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=5))
    def settle(self, picks: list[tuple[int, bool]]) -> None:
        ends = {number: is_dead for number, is_dead in picks if number in self.rows}
        self.spool.settle(
            [dead(self.rows[n].seq) if is_dead else done(self.rows[n].seq, str(n)) for n, is_dead in ends.items()]
        )
        for number, is_dead in ends.items():
            row = self.rows[number]
            if row.outcome is None:
                row.outcome = Outcome.DEAD if is_dead else Outcome.DONE
                row.ended_s = self.spool.age.now_s()
                self.outbox += [] if is_dead else [str(number)]
        for key in {self.rows[number].key for number in ends} - {""}:
            queue = sorted((r for r in self.rows.values() if r.key == key and r.outcome is None), key=lambda r: r.seq)
            if queue and queue[0].not_before_s is None:
                queue[0].not_before_s = self.spool.age.now_s()

    @rule(number=st.integers(0, 12), attempts=st.integers(1, 9), delay_s=st.floats(-1, 30))
    def postpone(self, number: int, attempts: int, delay_s: float) -> None:
        row = self.rows.get(number)
        if row is None:
            return
        when = self.spool.age.now_s() + delay_s
        self.spool.settle([], [Postponed(row.seq, attempts, when)])
        if row.outcome is None and row.not_before_s is not None:
            row.attempts, row.not_before_s = attempts, max(when, 1e-6)

    @rule(seconds=st.floats(0, 60))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(limit=st.integers(1, 20))
    def purge(self, limit: int) -> None:
        now = self.spool.age.now_s()
        self.spool.purge(limit)
        ended = sorted((r.ended_s, n) for n, r in self.rows.items() if r.outcome)
        old = {n for ended_s, n in ended if ended_s < now - KEEP_DONE_S}
        for number in [n for n in old if self.spool.commit(NewRows(events=[event(n)])).stored]:
            # It was purged, so this is a new event; it ends at once, so that the model stays small.
            row = self.spool.find_waiting(identity(number))
            assert row is not None
            self.spool.settle([done(row.seq)])
            self.rows[number] = Row(row.seq, "boiler", "", [], outcome=Outcome.DONE, ended_s=now)

    @rule(jump_s=st.sampled_from([0.0, 5.0, -1e9, 1e9]))
    def reopen(self, jump_s: float) -> None:
        before = self.spool.age.now_s()
        self.spool.close()
        self.clock.jump_wall(jump_s)
        self.spool = self.opened()
        assert self.spool.set_aside is None
        self.jumped_s += 5.0 if jump_s == 5.0 else 0.0
        # What a jump took since the last commit, a jump back may give again: later than ever it never is.
        self.latest_s = max(self.latest_s, before)
        assert before - 3600 <= self.spool.age.now_s() <= self.latest_s + self.jumped_s + 1e-3

    @invariant()
    def agree(self) -> None:
        waiting = {n: r for n, r in self.rows.items() if r.outcome is None}
        assert self.spool.figures().waiting == len(waiting)
        assert self.spool.waiting_lanes() == tuple(sorted({r.lane for r in waiting.values()}))
        now = self.spool.age.now_s()
        for lane in LANES:
            given = self.spool.waiting(lane, 0, 99)
            ready = sorted(r.seq for r in waiting.values() if r.lane == lane and r.not_before_s == 0.0)
            assert [row.seq for row in given] == ready
            due = sorted((r.not_before_s, r.seq) for r in waiting.values() if r.lane == lane and r.not_before_s)
            expected = [seq for not_before_s, seq in due if not_before_s <= now]
            assert [row.seq for row in self.spool.due(lane, now, 99)] == expected
            assert self.spool.next_due_s(lane) == (due[0][0] if due else None)
        for number, row in waiting.items():
            found = self.spool.find_waiting(identity(number))
            assert found is not None
            assert (found.seq, found.attempts, list(found.replies)) == (row.seq, row.attempts, row.replies)
        assert [row.message.topic for _, row in self.spool.outbox("plant", 0, 999)] == [f"to/{n}" for n in self.outbox]
        assert self.spool.check() == ()

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.directory)


TestSpoolAgreesWithItsModel = SpoolMachine.TestCase
TestSpoolAgreesWithItsModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
