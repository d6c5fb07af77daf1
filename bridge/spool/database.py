"""One SQLite file with one writer connection under one lock, and readers that are never blocked.

WAL with ``synchronous=FULL``: a commit returns after ``fsync`` of the log. Each read takes its own connection from a
pool and returns it, so that no connection is used by two threads at once and none outlives `close`. A database in
memory has no second connection: its reads take the writer's lock.

Thread: any.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bridge.core.clock import AgeClock, Clock
from bridge.core.errors import SpoolError
from bridge.spool.ledger import Ledger
from bridge.spool.sqlite_errors import fault_of, is_damage

# The file shrinks once a quarter of it, and 16 MiB, are free: it does not stay large after a burst, and does not shrink
# and grow with each event.
FREE_PAGES = 4096
FREE_SHARE = 4
STEP_PAGES = 1024

Values = Sequence[Any] | Mapping[str, Any]


class Snapshot:
    """Runs named statements within one snapshot."""

    def __init__(self, connection: sqlite3.Connection, statements: Mapping[str, str]) -> None:
        self._connection = connection
        self._statements = statements

    def run(self, name: str, values: Values = ()) -> sqlite3.Cursor:
        """Execute statement `name`."""
        return self._connection.execute(self._statements[name], values)

    def pragma(self, name: str) -> int:
        """Return a pragma with one number."""
        return int(self._connection.execute(f"pragma {name}").fetchone()[0])

    def apply(self, check: Callable[[sqlite3.Connection], tuple[str, ...]]) -> tuple[str, ...]:
        """Run `check` within the snapshot."""
        return check(self._connection)


class Transaction(Snapshot):
    """One commit in progress.

    Attributes:
        ledger: the counts after the commit.
        now_s: age-clock seconds of the commit.
        wall_s: wall clock of the commit, for display.
        after_commit: called in order once it is durable.
        is_wanted: False = nothing changed, so nothing is written.
    """

    def __init__(
        self, connection: sqlite3.Connection, statements: Mapping[str, str], ledger: Ledger, age: AgeClock
    ) -> None:
        super().__init__(connection, statements)
        self.ledger = ledger
        self.now_s = age.now_s()
        self.wall_s = age.wall_s()
        self.after_commit: list[Callable[[], None]] = []
        self.is_wanted = True

    def many(self, name: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute statement `name` for each of `rows`; return how many rows changed."""
        return self._connection.executemany(self._statements[name], rows).rowcount

    def save(self) -> None:
        """Write the ledger and the age clock."""
        book = self.ledger
        counts = (book.rows, book.outbox, book.dead_letters, book.dead_bytes, book.ended_early, book.dead_dropped)
        self.run("save_state", (self.now_s, self.wall_s, book.next_seq, *counts))
        if changes := book.named_changes():
            self.many("save_lane", changes)


class Database:
    """See the module's docstring. What SQLite raises comes out as `SpoolError`; after one, nothing was changed.

    Args:
        writer: an open connection in autocommit mode, its schema current.
        statements: by name.
        clock: source of time.
        open_reader: opens another connection; None = the database is in memory.
        on_damage: called if SQLite finds the file damaged.

    Attributes:
        ledger: the counts as of the last commit; replaced by each, never changed.
        age: the bridge's own clock.
        left_at_s: its seconds at the last commit before the file was opened.
        damage: the first sign of damage, or None; it stays, because it cannot be repaired here.
        is_closed: whether `close` was called.
    """

    def __init__(
        self,
        writer: sqlite3.Connection,
        statements: Mapping[str, str],
        clock: Clock,
        open_reader: Callable[[], sqlite3.Connection] | None,
        on_damage: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._statements = statements
        self._open_reader = open_reader
        self._on_damage = on_damage
        self._lock = threading.RLock()
        self._idle: list[sqlite3.Connection] = []
        self.is_closed = False
        self.damage: SpoolError | None = None
        try:
            self.ledger, self.age, self.left_at_s = self._load(clock)
        except Exception as error:
            writer.close()
            self._raise_mapped("open the spool", error)
            raise
        self._written_s = self.age.now_s()

    def _load(self, clock: Clock) -> tuple[Ledger, AgeClock, float]:
        snapshot = Snapshot(self._writer, self._statements)
        age_s, wall_s, next_seq, *counts = snapshot.run("load_state").fetchone()
        ledger = Ledger(next_seq, *counts)
        for lane, name, waiting, size_bytes in snapshot.run("load_lanes"):
            ledger.lane_ids[name] = lane
            ledger.waiting[lane] = waiting
            ledger.bytes[lane] = size_bytes
        return ledger, AgeClock(clock, age_s, wall_s), age_s

    @contextmanager
    def exclusively(self, verb: str) -> Iterator[Snapshot]:
        """Hold the writer's lock, if necessary over several commits; the block may also read."""
        with self._lock:
            self._refuse_if_closed()
            try:
                yield Snapshot(self._writer, self._statements)
            except Exception as error:
                self._raise_mapped(verb, error)
                raise

    @contextmanager
    def transaction(self, verb: str) -> Iterator[Transaction]:
        """Commit what the block does, durably and completely, or nothing.

        Raises:
            PermanentError: ``not-storable``: nothing was stored; these values can never be.
        """
        with self._lock:
            self._refuse_if_closed()
            commit = Transaction(self._writer, self._statements, self.ledger.copy(), self.age)
            try:
                self._writer.execute("begin immediate")
                yield commit
                if not commit.is_wanted:
                    self._writer.execute("rollback")
                    return
                commit.save()
                self._writer.execute("commit")
            except BaseException as error:
                self._roll_back()
                self._raise_mapped(verb, error)
                raise
            self.ledger = commit.ledger
            self._written_s = commit.now_s
            for action in commit.after_commit:
                action()

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("rollback")
        except sqlite3.Error:
            # SQLite has already rolled back (disk full); report the original error.
            return

    def _raise_mapped(self, verb: str, error: BaseException) -> None:
        fault: BaseException = error
        if isinstance(error, sqlite3.Error | UnicodeError | OverflowError):
            fault = fault_of(verb, error)
        if is_damage(error):
            self._on_damage()
            if self.damage is None and isinstance(fault, SpoolError):
                self.damage = fault
        if fault is not error:
            raise fault from error

    @contextmanager
    def reading(self, verb: str) -> Iterator[Snapshot]:
        """Read from one snapshot, concurrently with any commit."""
        if self._open_reader is None:
            with self.exclusively(verb) as snapshot:
                yield snapshot
            return
        connection = None
        try:
            connection = self._take_reader(self._open_reader)
            connection.execute("begin")
            yield Snapshot(connection, self._statements)
        except Exception as error:
            self._raise_mapped(verb, error)
            raise
        finally:
            if connection is not None:
                self._give_back(connection)

    def _take_reader(self, open_reader: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        self._refuse_if_closed()
        try:
            return self._idle.pop()
        except IndexError:
            return open_reader()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        connection.rollback()
        self._idle.append(connection)
        if self.is_closed:
            self._close_idle()

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _refuse_if_closed(self) -> None:
        if self.is_closed:
            raise SpoolError("cannot use the spool: it is closed", code="spool-unusable")

    def free_pages(self) -> None:
        """Return some unused pages to the file system if there are many, in a separate commit."""
        with self.exclusively("shrink the spool") as snapshot:
            free, pages = snapshot.pragma("freelist_count"), snapshot.pragma("page_count")
            if free > FREE_PAGES and free * FREE_SHARE > pages:
                # Not execute(): it stops after the first page. executescript() would end a transaction; there is none.
                self._writer.executescript(f"pragma incremental_vacuum({STEP_PAGES});")

    @property
    def unwritten_s(self) -> float:
        """Seconds since the last commit: a power loss would set the age clock back by this."""
        return self.age.now_s() - self._written_s

    def close(self) -> None:
        """Close every connection; one in use by a reader is closed when it is returned."""
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
            self._close_idle()
            self._writer.close()
