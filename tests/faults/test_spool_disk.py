"""A disk that is full, fails or may not be written: nothing is half stored, and it goes on when the disk does."""

from __future__ import annotations

import os
import resource
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.core.errors import ConfigError, SpoolError
from bridge.spool.lock import DataDirLock
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event, message, numbers_waiting, seqs_waiting
from tests.support.clock import FakeClock

NOBODY = 65534


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may write anywhere; be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let writes beyond `size` bytes of any file fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def batches(count: int) -> list[NewRows]:
    return [NewRows(events=[event(n, value="x" * 3000)], outbox=[message(str(n))]) for n in range(count)]


def test_a_full_database_stores_whole_batches_or_none(tmp_path: Path) -> None:
    """At SQLite's own limit the commit fails as disk-full; reads, ends and later commits go on."""
    with Spool.open(tmp_path / "spool.db", clock=FakeClock()) as spool:
        spool._database._writer.execute("pragma max_page_count = 120")
        with pytest.raises(SpoolError, match="cannot store events") as caught:
            deque(map(spool.commit, batches(500)), maxlen=0)
        assert caught.value.code == "disk-full"
        assert "space" in caught.value.hint
        assert spool.damage is None
        figures = spool.figures()
        assert figures.rows == figures.outbox == len(numbers_waiting(spool)) > 20
        assert spool.check() == ()
        spool._database._writer.execute("pragma max_page_count = 10000")
        assert spool.commit(batches(figures.rows + 1)[-1]).stored == 1
        assert len(numbers_waiting(spool)) == figures.rows + 1


def test_a_full_database_can_be_drained(tmp_path: Path) -> None:
    """Ending rows works in the pages that are left, and makes room for new ones."""
    with Spool.open(tmp_path / "spool.db", clock=FakeClock()) as spool:
        spool._database._writer.execute("pragma max_page_count = 120")
        with pytest.raises(SpoolError):
            deque(map(spool.commit, batches(500)), maxlen=0)
        spool.settle([done(seq) for seq in seqs_waiting(spool)])
        spool.outbox_sent([seq for seq, _ in spool.outbox("plant", 0, 999)])
        assert spool.commit(NewRows(events=[event(1000), event(1001)])).stored == 2


def test_a_log_that_cannot_grow_loses_nothing(tmp_path: Path) -> None:
    """When writing the log fails, the batch is refused whole, and stored once the disk takes it."""
    with Spool.open(tmp_path / "spool.db", clock=FakeClock()) as spool:
        spool.commit(NewRows(events=[event(1)]))
        large = NewRows(events=[event(n, value="x" * 3000) for n in range(2, 200)])
        with largest_file(200_000):
            with pytest.raises(SpoolError) as caught:
                spool.commit(large)
            assert caught.value.code in ("disk-full", "spool-unusable")
            assert numbers_waiting(spool) == ["1"]
        assert spool.commit(large).stored == 198
    with Spool.open(tmp_path / "spool.db", clock=FakeClock()) as spool:
        assert spool.figures().waiting == 199
        assert spool.check() == ()


def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """Opening a new spool there fails as read-only with a hint, and leaves nothing behind."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(0o555)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.owner() == "root" and str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o755)
    try:
        with without_rights(), pytest.raises(SpoolError) as caught:
            Spool.open(data_dir / "spool.db", clock=FakeClock())
        assert caught.value.code == "read-only"
        assert "data-dir" in caught.value.hint
        with without_rights(), pytest.raises(ConfigError) as refused:
            DataDirLock(data_dir).acquire()
        assert refused.value.code == "data-dir-unusable"
    finally:
        data_dir.chmod(0o755)
    assert list(data_dir.iterdir()) == []


def test_a_spool_that_may_not_be_written_is_not_set_aside(tmp_path: Path) -> None:
    """A file without write permission is reported as read-only and stays where it is."""
    path = tmp_path / "spool.db"
    with Spool.open(path, clock=FakeClock()) as spool:
        spool.commit(NewRows(events=[event(1)]))
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o755)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with without_rights(), pytest.raises(SpoolError) as caught:
            Spool.open(path, clock=FakeClock())
        assert caught.value.code == "read-only"
    finally:
        tmp_path.chmod(0o755)
        path.chmod(0o600)
    with Spool.open(path, clock=FakeClock()) as spool:
        assert spool.set_aside is None
        assert numbers_waiting(spool) == ["1"]
