"""The spool's file: made whole, upgraded step by step, never overwritten."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from bridge.core.errors import SpoolError
from bridge.spool.files import Migration, connect, load_migrations, migrate, open_writer
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event, numbers_waiting, seqs_waiting
from tests.support.clock import FakeClock

STEPS = (
    Migration(1, "first", "create table t (a integer); insert into t values (1);"),
    Migration(2, "second", "alter table t add column b integer; update t set b = a + 1;"),
    Migration(3, "third", "create table u (c integer); insert into u select b + 1 from t;"),
)


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def opened(path: Path) -> Spool:
    return Spool.open(path, clock=FakeClock())


def test_migrations_run_once_and_in_order() -> None:
    """Each step sees what the one before left; a second run changes nothing."""
    with closing(connect(":memory:")) as connection:
        migrate(connection, STEPS[:1])
        migrate(connection, STEPS)
        migrate(connection, STEPS)
        assert version(connection) == 3
        assert connection.execute("select * from t, u").fetchall() == [(1, 2, 3)]


def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    """The steps before it are kept; the next start takes up where it stopped."""
    bad = Migration(2, "second", "alter table t add column b integer; insert into missing values (1);")
    with closing(connect(str(tmp_path / "t.db"))) as connection:
        with pytest.raises(sqlite3.OperationalError, match="missing"):
            migrate(connection, (STEPS[0], bad, STEPS[2]))
        assert version(connection) == 1
        assert not connection.in_transaction
        migrate(connection, STEPS)
        assert connection.execute("select * from t, u").fetchall() == [(1, 2, 3)]


def test_an_older_file_is_upgraded_with_its_rows(tmp_path: Path) -> None:
    """A file of an earlier version is opened by a bridge that knows one migration more."""
    path = tmp_path / "spool.db"
    with opened(path) as spool:
        spool.commit(NewRows(events=[event(1)]))
    more = Migration(len(load_migrations()) + 1, "more", "create table more (a integer);")
    writer, aside = open_writer(path, (*load_migrations(), more), 0.0)
    with closing(writer):
        assert aside is None
        assert version(writer) == more.number
        assert writer.execute("select count(*) from waiting").fetchone() == (1,)


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A schema that a newer bridge wrote is named, not misread and not set aside."""
    path = tmp_path / "spool.db"
    opened(path).close()
    with closing(connect(str(path))) as connection:
        connection.execute("pragma user_version = 42")
    before = path.read_bytes()
    with pytest.raises(SpoolError, match="version 42") as caught:
        opened(path)
    assert caught.value.code == "spool-newer"
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_a_start_that_died_half_way_is_begun_again(tmp_path: Path) -> None:
    """What an earlier start left under the temporary name is thrown away, journal and all."""
    for leftover in ("spool.db.new", "spool.db.new-journal"):
        (tmp_path / leftover).write_bytes(b"half")
    with opened(tmp_path / "spool.db") as spool:
        assert spool.set_aside is None
        assert spool.check() == ()
    assert not list(tmp_path.glob("*.new*"))


def test_payloads_are_nobody_elses_business(tmp_path: Path) -> None:
    """The file and its log can be read by their owner alone."""
    with opened(tmp_path / "spool.db") as spool:
        spool.commit(NewRows(events=[event(1)]))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("spool.db", "spool.db-wal", "spool.db-shm"), 0o600)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    """The data directory need not exist, and its name may hold what a URI could not."""
    path = tmp_path / "a b" / "50%#ä?" / "spool.db"
    with opened(path) as spool:
        spool.commit(NewRows(events=[event(1)]))
        assert numbers_waiting(spool) == ["1"]


def test_a_log_without_its_file_is_not_replayed_into_a_new_one(tmp_path: Path) -> None:
    """The log of a spool that somebody deleted is set aside with its name."""
    (tmp_path / "spool.db-wal").write_bytes(b"old log")
    with opened(tmp_path / "spool.db") as spool:
        assert spool.set_aside == tmp_path / "spool.db.corrupt-20250615T150640Z"
        assert spool.figures().rows == 0
    assert (tmp_path / "spool.db.corrupt-20250615T150640Z-wal").read_bytes() == b"old log"


def test_files_set_aside_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """Two in one second get two names, and both keep their bytes."""
    path = tmp_path / "spool.db"
    kept = []
    for content in (b"first, not a database", b""):
        path.write_bytes(content)
        with opened(path) as spool:
            assert spool.set_aside is not None
            kept.append((spool.set_aside, content))
        path.unlink()
    assert len({aside for aside, _ in kept}) == 2
    assert all(aside.read_bytes() == content for aside, content in kept)


def test_a_suspect_file_is_checked_wholly_once(tmp_path: Path) -> None:
    """After damage was met while running the next start looks at every page, then forgets the suspicion."""
    path = tmp_path / "spool.db"
    opened(path).close()
    suspect = tmp_path / "spool.db.suspect"
    suspect.touch()
    with opened(path) as spool:
        assert spool.set_aside is None
    assert not suspect.exists()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """The writer uses the write-ahead log and syncs it with each commit; power loss cannot be tried here."""
    with opened(tmp_path / "spool.db") as spool, spool._database.exclusively("look") as writer:
        assert writer.pragma("synchronous") == 2
        assert writer._connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_the_file_shrinks_after_a_burst(tmp_path: Path) -> None:
    """Pages that a burst left unused go back to the file system, a step a purge."""
    with opened(tmp_path / "spool.db") as spool:
        for start in range(0, 400, 100):
            spool.commit(NewRows(events=[event(n, value="x" * 60_000) for n in range(start, start + 100)]))
        with spool._database.exclusively("look") as writer:
            before = writer.pragma("page_count")
            spool.settle([done(seq) for seq in seqs_waiting(spool)])
            for _ in range(20):
                spool.purge()
            assert writer.pragma("page_count") < before * 0.8
        assert spool.check() == ()
