"""A large backlog: reading the first rows costs the same as with a small one, in work and in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.core.clock import FakeClock
from bridge.spool import store
from bridge.spool.records import Batch, Postponed
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event

WAITING = 200_000
# A page of 256 rows takes some 15,000 of SQLite's steps; a walk over the backlog would take millions.
STEPS = 60_000


class StepCounter:
    """Counts SQLite's steps in hundreds, on every connection that readers open."""

    def __init__(self) -> None:
        self.steps = 0

    def tick(self) -> int:
        self.steps += 100
        return 0

    def of(self, action: Callable[[], object]) -> int:
        before = self.steps
        action()
        return self.steps - before


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[StepCounter]:
    counter = StepCounter()
    plain = store.open_reader

    def open_counted(path: Path) -> object:
        connection = plain(path)
        connection.set_progress_handler(counter.tick, 100)
        return connection

    monkeypatch.setattr(store, "open_reader", open_counted)
    yield counter


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_backlog_costs_neither_work_nor_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 200,000 rows waiting in parked, ordered and postponed lanes, each question of dispatch reads a page."""
    path = tmp_path / "spool.db"
    clock = FakeClock()
    with Spool.open(path, clock=clock) as spool:
        for start in range(0, WAITING, 5000):
            rows = range(start, start + 5000)
            keyed = (start // 5000) % 4 == 0
            lane = f"lane-{(start // 5000) % 4}"
            key = "one key for all" if keyed else ""
            spool.commit(Batch(tuple(event(n, lane, order_key=key, max_age_s=1e6 + n % 7) for n in rows)))
        parked = spool.waiting("lane-1", 0, 40_000)
        due_at = spool.age.now_s() + 60
        spool.settle([], [Postponed(row.seq, 1, due_at) for row in parked])
        del parked
    with counted(monkeypatch) as counter, Spool.open(path, clock=clock) as spool:
        assert spool.waiting_lanes() == ("lane-0", "lane-1", "lane-2", "lane-3")
        assert spool.figures().waiting == WAITING
        assert counter.steps == 0
        assert counter.of(lambda: spool.waiting("lane-2", 0, 256)) < STEPS
        assert counter.of(lambda: spool.waiting("lane-0", 0, 256)) < STEPS
        assert counter.of(lambda: spool.waiting("lane-1", 0, 256)) < STEPS
        assert counter.of(lambda: spool.due("lane-1", spool.age.now_s(), 256)) < STEPS
        assert counter.of(lambda: spool.expired(spool.age.now_s(), 256)) < STEPS
        assert len(spool.waiting("lane-0", 0, 256)) == 1
        clock.advance(60)
        first = spool.due("lane-1", spool.age.now_s(), 256)
        skip = {row.seq for row in first}
        assert counter.of(lambda: spool.due("lane-1", spool.age.now_s(), 256, skip)) < STEPS
        assert counter.of(lambda: spool.next_due_s("lane-1")) < STEPS
        assert counter.of(lambda: walk(spool, "lane-3")) > STEPS
        tracemalloc.start()
        walk(spool, "lane-2")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3 * 2**20


def walk(spool: Spool, lane: str) -> None:
    """End a whole lane, page by page, as dispatch does."""
    last, count = 0, 0
    while rows := spool.waiting(lane, last, 256):
        last = rows[-1].seq
        count += len(rows)
        spool.settle([done(row.seq) for row in rows])
    assert count == WAITING // 4
