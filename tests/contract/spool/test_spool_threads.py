"""Ingest, dispatch and readers at once: nothing lost, nothing twice, nobody blocked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event, message
from tests.support.clock import FakeClock
from tests.support.machine import scaled


def test_threads_share_one_spool(spool: Spool) -> None:
    """Two committing threads with overlapping ids, one settling and one reading end with each event exactly once."""
    ended: list[int] = []
    stored: list[int] = []
    writing = threading.Event()

    def ingest(first: int) -> None:
        for at in range(first, first + 600, 20):
            stored.append(spool.commit(NewRows(events=[event(n) for n in range(at, at + 20)])).stored)

    def dispatch() -> None:
        last = 0
        while True:
            over = writing.is_set()
            rows = spool.waiting("boiler", last, 64)
            if not rows and over:
                return
            last = rows[-1].seq if rows else last
            spool.settle([done(row.seq, str(row.seq)) for row in rows])
            ended.extend(row.seq for row in rows)

    def watch() -> None:
        while not writing.is_set():
            figures = spool.figures()
            assert figures.waiting <= figures.rows
            spool.outbox("plant", 0, 50)

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(dispatch), pool.submit(watch)]
        for writer in [pool.submit(ingest, 0), pool.submit(ingest, 300)]:
            writer.result()
        writing.set()
        for other in others:
            other.result()
    assert sum(stored) == 900
    assert len(ended) == len(set(ended)) == 900
    assert spool.figures().waiting == 0
    assert spool.figures().outbox == 900


def test_a_reader_is_not_blocked_by_a_commit(tmp_path: Path) -> None:
    """While another thread is inside a commit, a reader gets what was committed before."""
    spool = Spool.open(tmp_path / "spool.db", clock=FakeClock())
    spool.commit(NewRows(events=[event(1)]))
    with spool._database.transaction("hold") as commit, ThreadPoolExecutor() as pool:
        commit.run("delete_outbox", {"seqs": "[]"})
        found = pool.submit(spool.waiting, "boiler", 0, 9).result(timeout=10)
        assert pool.submit(spool.figures).result(timeout=10).waiting == 1
    assert len(found) == 1
    spool.close()


def test_close_waits_for_no_reader_and_leaves_no_file_open(tmp_path: Path) -> None:
    """Closing while another thread reads ends cleanly; that read ends as it would have."""
    spool = Spool.open(tmp_path / "spool.db", clock=FakeClock())
    spool.commit(NewRows(outbox=[message("a")]))
    reading, closed = threading.Event(), threading.Event()

    def read() -> int:
        with spool._database.reading("read") as reads:
            reading.set()
            closed.wait(scaled(10))
            return len(reads.run("outbox_rows", ("plant", 0, 9)).fetchall())

    with ThreadPoolExecutor() as pool:
        result = pool.submit(read)
        assert reading.wait(scaled(10))
        spool.close()
        closed.set()
        assert result.result(timeout=10) == 1
    assert spool._database._idle == []
