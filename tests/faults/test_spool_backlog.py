"""A backlog of a million: starting on it costs the same as on a small one, in work and in memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from bridge.core.clock import SystemClock
from bridge.spool import store
from bridge.spool.records import Postponed
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event
from tests.support.backlog import make_backlog
from tests.support.bridge_files import INSPECT, TEMPLATE, BridgeFiles
from tests.support.bridge_inside import SPOOL_FILE
from tests.support.bridge_process import BridgeProcess
from tests.support.clock import FakeClock
from tests.support.mosquitto import free_port
from tests.support.simulator_process import SimulatorProcess
from tests.support.transport_ends import wait_until

LANES = 4
A_LANE = 250_000
WAITING = LANES * A_LANE
# A page of 256 rows takes some 15,000 of SQLite's steps; a walk over the backlog would take millions.
STEPS = 60_000
SMALL = 1000
MORE_KIB = 24 * 1024
"""SQLite's caches, which a small spool does not fill; a million rows take a gigabyte as objects."""


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
    """With a million rows waiting in parked, ordered and postponed lanes, each question of dispatch reads a page."""
    path = tmp_path / "spool.db"
    clock = FakeClock()
    lanes = [event(n, f"lane-{n}", order_key="one key for all" if n == 0 else "", max_age_s=1e6) for n in range(LANES)]
    make_backlog(path, clock, [(each, A_LANE) for each in lanes])
    with Spool.open(path, clock=clock) as spool:
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
        assert counter.of(lambda: walk(spool, "lane-3", 40_000)) > STEPS
        tracemalloc.start()
        walk(spool, "lane-2", 40_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3 * 2**20


def walk(spool: Spool, lane: str, count: int) -> None:
    """End `count` rows of a lane, page by page, as dispatch does."""
    last, ended = 0, 0
    while ended < count:
        rows = spool.waiting(lane, last, 256)
        last = rows[-1].seq
        ended += len(rows)
        spool.settle([done(row.seq) for row in rows])


def dispatched(folder: Path, simulator: SimulatorProcess, waiting: int) -> tuple[float, int]:
    """Let a bridge begin with a backlog; returns the seconds to the first workflow, and the most memory, in KiB."""
    folder.mkdir()
    files = BridgeFiles(folder, f"mqtt://127.0.0.1:{free_port()}", simulator.url, web_port=free_port())
    files.write()
    files.data_dir.mkdir()
    manifest = orjson.dumps({"metadata": {}, "spec": {"workflowTemplateRef": {"name": TEMPLATE}}})
    first = event(waiting, manifest=manifest, max_age_s=1e6)
    make_backlog(files.data_dir / SPOOL_FILE, SystemClock(), [(first, waiting)])
    before = simulator.stats["created"]
    with BridgeProcess(files) as bridge:
        started_s = time.monotonic()
        bridge.start()
        wait_until(lambda: simulator.stats["created"] > before, "the first workflow", 60)
        first_s = time.monotonic() - started_s
        wait_until(lambda: simulator.stats["created"] >= before + SMALL, "as many workflows", 60)
        return first_s, bridge.peak_kib


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_bridge_starts_on_a_million_as_on_a_thousand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many workflows on, the process has taken no more memory; how soon the first one was there is printed."""
    with SimulatorProcess("--container-duration", "0.02", "--retention", "500") as simulator:
        simulator.put_template(INSPECT)
        few_s, few_kib = dispatched(tmp_path / "few", simulator, SMALL)
        many_s, many_kib = dispatched(tmp_path / "many", simulator, WAITING)
    with capsys.disabled():
        print(
            f"\nfirst workflow after {few_s:.2f} s and {few_kib} KiB with {SMALL} waiting, "
            f"{many_s:.2f} s and {many_kib} KiB with {WAITING}"
        )
    assert many_kib < few_kib + MORE_KIB
