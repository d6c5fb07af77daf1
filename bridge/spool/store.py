"""The spool: events, outbox, dead letters and all other persistent state, in one SQLite file.

Every method that writes returns after its commit is durable (``fsync`` of the write-ahead log), and stores everything
or nothing. It knows nothing about brokers or Argo, starts no thread, and waits only for the disk.

Thread: any. One writer connection under one lock: ``commit`` (ingest), ``settle`` (dispatch) and the others (outbox,
status, housekeeping) take turns. Readers are never blocked: each read has its own connection and snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path

from bridge.core.clock import AgeClock, Clock
from bridge.core.errors import SpoolError
from bridge.spool.database import Database, Snapshot
from bridge.spool.dead_letters import (
    NO_FILTER,
    bound_letters,
    delete_letters,
    give_back,
    kept_events,
    letter_of,
    purge_letters,
    store_letters,
    values_of,
)
from bridge.spool.encoding import decode_message, json_list
from bridge.spool.endings import drop_ended, finish, postpone
from bridge.spool.files import (
    bytes_on_disk,
    connect,
    load_migrations,
    load_statements,
    mark_suspect,
    migrate,
    open_reader,
    open_writer,
    problems,
)
from bridge.spool.ledger import NoRoomError, Room
from bridge.spool.manifest_table import ManifestTable
from bridge.spool.new_rows import (
    EncodedEvent,
    encode_all,
    find_delivery,
    is_new,
    remembered,
    store_deliveries,
    store_events,
    store_outbox,
)
from bridge.spool.options import SpoolOptions
from bridge.spool.records import (
    Committed,
    DeadLetter,
    Finished,
    LetterFilter,
    NewEvent,
    NewRows,
    OutboxMessage,
    Postponed,
    Replayed,
    SpoolFigures,
    WaitingEvent,
)
from bridge.spool.rule_states import RuleTables, store_rule_states
from bridge.spool.status_tables import StatusTables, store_external
from bridge.spool.waiting_rows import WaitingTable, numbered

DEFAULT_LIMITS = SpoolOptions()
# Ended rows that one commit of a full spool deletes early.
EARLY_STEP = 2000
# Maximum setback of the age clock by a power loss while nothing is committed.
AGE_STEP_S = 3600.0


class Spool(WaitingTable, StatusTables, RuleTables):
    """See the module's docstring; made by `open` or `in_memory`.

    Every method raises `SpoolError` if the file is unusable (``disk-full``, ``read-only``, ``corrupt``,
    ``spool-unusable``): nothing was stored, and a retry may succeed later.

    Attributes:
        age: the bridge's own clock, started from the last commit.
        left_at_s: its seconds at the last commit before the spool was opened.
        set_aside: where a damaged file was moved when the spool was opened, or None.
    """

    def __init__(self, database: Database, limits: SpoolOptions, path: Path | None, set_aside: Path | None) -> None:
        self._database = database
        self._limits = limits
        self._path = path
        self._manifests = ManifestTable()
        self.age: AgeClock = database.age
        self.left_at_s = database.left_at_s
        self.set_aside = set_aside

    @classmethod
    def open(cls, path: Path, *, clock: Clock, limits: SpoolOptions = DEFAULT_LIMITS) -> Spool:
        """Open the spool in file `path`, created if missing; a damaged one is set aside.

        Raises:
            SpoolError: ``read-only``, ``disk-full``, ``spool-unusable``; ``spool-newer``: a newer bridge wrote it.
        """
        writer, aside = open_writer(path, load_migrations(), clock.wall_s())
        readers = partial(open_reader, path)
        database = Database(writer, load_statements(), clock, readers, partial(mark_suspect, path))
        return cls(database, limits, path, aside)

    @classmethod
    def in_memory(cls, *, clock: Clock, limits: SpoolOptions = DEFAULT_LIMITS) -> Spool:
        """Return a spool that lives as long as the process, for tests and trials."""
        writer = connect(":memory:")
        migrate(writer, load_migrations())
        database = Database(writer, load_statements(), clock, None, lambda: None)
        return cls(database, limits, None, None)

    def __repr__(self) -> str:
        """Return the file, the number of waiting rows, and whether it is closed."""
        ledger = self._database.ledger
        closed = ", closed" if self._database.is_closed else ""
        return f"Spool({self._path or ':memory:'}, waiting={ledger.total_waiting()}, rows={ledger.rows}{closed})"

    def __enter__(self) -> Spool:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def damage(self) -> SpoolError | None:
        """Why the file must be set aside, which only a new start does, or None. Thread: any."""
        return self._database.damage

    # What ingest calls.

    def commit(self, *batch: NewRows) -> Committed:
        """Store the results of some messages, all in one commit.

        For a known event nothing is stored; if it still waits, its new reply address is attached (the same address only
        once). A message with more events than the spool's limit is accepted while there is room.

        Raises:
            NoRoomError: ``spool-full``: nothing was stored; it names the events without room.
            SpoolError: ``spool-full``: nor has anything else room.
            PermanentError: ``not-storable``: nothing was stored and never will be, e.g. text that is not Unicode.
        """
        encoded = [encode_all(rows.events) for rows in batch]
        with self._database.exclusively("store events") as snapshot:
            self._make_room(snapshot, encoded)
            with self._database.transaction("store events") as commit:
                stored, known = store_events(commit, self._manifests, list(chain.from_iterable(encoded)))
                store_deliveries(commit, [row for rows in batch for row in rows.inflight])
                store_outbox(commit, [row for rows in batch for row in rows.outbox])
                store_letters(commit, [row for rows in batch for row in rows.dead_letters])
                store_external(commit, [row for rows in batch for row in rows.external])
                store_rule_states(commit, [row for rows in batch for row in rows.states])
        return Committed(stored, known)

    def _make_room(self, snapshot: Snapshot, messages: Sequence[Sequence[EncodedEvent]]) -> None:
        encoded = list(chain.from_iterable(messages))
        room = self._room(snapshot)
        if room.is_brimful and not (self._end_early(0) and not self._room(snapshot).is_brimful):
            raise SpoolError(
                f"cannot store anything: the spool is three eighths over spool.max-bytes {self._limits.max_bytes}",
                code="spool-full",
                hint="find out what waits in it: events, or messages that a broker does not accept",
            )
        if not encoded or room.has_plenty(encoded):
            return
        was_full = room.is_full and any(is_new(snapshot, event) for event, _ in encoded)
        without = self._without_room(snapshot, room, messages)
        if (was_full or without) and self._end_early(len(encoded)):
            without = self._without_room(snapshot, self._room(snapshot), messages)
        if without:
            raise NoRoomError(self._limits, self._database.ledger.total_waiting(), frozenset(without))

    def _without_room(self, snapshot: Snapshot, room: Room, messages: Sequence[Sequence[EncodedEvent]]) -> set[bytes]:
        without: set[bytes] = set()
        for encoded in messages:
            new = [(event, body) for event, body in encoded if is_new(snapshot, event)]
            if not all(room.admits(event) for event, _ in new):
                without.update(event.id for event, _ in encoded)
                continue
            for event, body in new:
                room.take(event, body)
        return without

    def _room(self, snapshot: Snapshot) -> Room:
        used = (snapshot.pragma("page_count") - snapshot.pragma("freelist_count")) * snapshot.pragma("page_size")
        return Room(self._database.ledger, used, self._limits)

    def _end_early(self, rows: int) -> bool:
        """Delete ended rows early; return whether there were any."""
        with self._database.transaction("make room") as commit:
            gone = drop_ended(commit, EARLY_STEP + rows, inf)
            commit.ledger.ended_early += gone
            commit.is_wanted = gone > 0
        return gone > 0

    def delivery_id(self, connection: str, packet_id: int, digest: bytes) -> bytes | None:
        """Return the delivery id for a packet id and digest (`Inflight`), or None."""
        with self._database.reading("find a delivery") as snapshot:
            row = snapshot.run("find_delivery", (connection, packet_id)).fetchone()
        return None if row is None else find_delivery(row[0], digest)

    def deliveries(self, connection: str) -> tuple[tuple[int, bytes], ...]:
        """Return the packet id and the digest (its first 16 bytes) of each remembered delivery."""
        with self._database.reading("read deliveries") as snapshot:
            return remembered(snapshot, connection)

    def forget_deliveries(self, connection: str, packet_ids: Sequence[int]) -> None:
        """Forget some deliveries that will never come again. Writes nothing if none of them is remembered."""
        ids = json_list(packet_ids) | {"connection": connection}
        with self._database.reading("find deliveries") as snapshot:
            is_known = snapshot.run("any_delivery", ids).fetchone()[0]
        if is_known:
            with self._database.transaction("forget deliveries") as commit:
                commit.run("forget_some_deliveries", ids)

    def forget_inflight(self, connection: str) -> None:
        """Forget all deliveries of `connection`: its session at the broker is new."""
        with self._database.transaction("forget deliveries") as commit:
            commit.run("forget_deliveries", (connection,))

    # What dispatch calls, beside `WaitingTable`.

    def settle(self, finished: Sequence[Finished], postponed: Sequence[Postponed] = ()) -> tuple[WaitingEvent, ...]:
        """End and postpone rows in one commit. A row that no longer waits is ignored, with its messages.

        Returns:
            rows still waiting because a reply address was attached that `Finished.answered` does not cover: answer
            all of their `replies` and settle them again.

        Raises:
            PermanentError: ``not-storable``.
        """
        if not finished and not postponed:
            return ()
        with self._database.exclusively("settle events") as snapshot:
            with self._database.transaction("settle events") as commit:
                again = finish(commit, self._manifests, finished, self._limits.dead_max_bytes)
                postpone(commit, postponed)
            return numbered(snapshot, self._manifests, again)

    def note(self, seq: int, text: str) -> None:
        """Store `text` with a waiting row, before a request whose repeat must be recognised after a crash."""
        with self._database.transaction("note a row") as commit:
            commit.run("note_row", (text, seq))

    # What the outbox calls.

    def outbox(self, connection: str, after_seq: int, limit: int) -> tuple[tuple[int, OutboxMessage], ...]:
        """Return up to `limit` messages of `connection` with a number above `after_seq`, in order."""
        with self._database.reading("read the outbox") as snapshot:
            rows = snapshot.run("outbox_rows", (connection, after_seq, limit))
            return tuple((seq, decode_message(connection, head, payload)) for seq, head, payload in rows)

    def outbox_sent(self, seqs: Iterable[int], rows: NewRows | None = None) -> None:
        """Delete messages confirmed by their broker, in one commit; call it with many at once.

        Args:
            seqs: their numbers, and those of messages that the broker rejects.
            rows: dead letters of the latter, with their notices.
        """
        with self._database.transaction("delete sent messages") as commit:
            commit.ledger.outbox -= commit.run("delete_outbox", json_list(seqs)).rowcount
            if rows is not None:
                store_outbox(commit, rows.outbox)
                store_letters(commit, rows.dead_letters)

    # What status keeps is in `StatusTables`; this is for the others.

    def meta(self, key: str) -> str | None:
        """Return the text stored under `key`, or None."""
        with self._database.reading("read a setting") as snapshot:
            row = snapshot.run("get_meta", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store `value` under `key`."""
        with self._database.transaction("keep a setting") as commit:
            commit.run("set_meta", (key, value))

    # Dead letters, as the commands for them show and change them.

    def dead_letters(
        self, before_seq: int | None = None, limit: int = 100, where: LetterFilter = NO_FILTER
    ) -> tuple[DeadLetter, ...]:
        """Return up to `limit` dead letters below number `before_seq` (None: from the newest on), newest first."""
        with self._database.reading("read dead letters") as snapshot:
            values = {"before": before_seq or 2**63 - 1, "limit": limit}
            rows = snapshot.run("dead_letter_rows", values | values_of(where, self.age.now_s()))
            return tuple(letter_of(row) for row in rows)

    def dead_letter(self, seq: int) -> DeadLetter | None:
        """Return one dead letter, or None if there is none with that number."""
        found = self.dead_letters(seq + 1, 1)
        return found[0] if found and found[0].seq == seq else None

    def remove_dead_letters(self, seqs: Iterable[int]) -> int:
        """Delete dead letters; return how many there were."""
        with self._database.transaction("delete dead letters") as commit:
            return delete_letters(commit, self._manifests, list(seqs))

    def dead_events(self, seq: int, limit: int = 100) -> tuple[NewEvent, ...]:
        """Return up to `limit` of the events that a replay of dead letter `seq` would submit, in order of arrival."""
        with self._database.reading("read dead events") as snapshot:
            return kept_events(snapshot, self._manifests, seq, limit)

    def replay(self, seq: int, events: Sequence[NewEvent] = ()) -> Replayed | None:
        """Remove dead letter `seq` and let its events wait again, in one commit; None if it does not exist.

        An event that failed in dispatch keeps its id and its workflow's name; its attempts and its max-age start over.

        Args:
            seq: which.
            events: the events of the letter's message, if it never was an event.

        Raises:
            PermanentError: ``not-storable`` or ``event-id-reused``; likewise.
        """
        encoded = encode_all(events)
        with self._database.exclusively("replay a dead letter") as snapshot:
            found = self.dead_letter(seq)
            if found is None:
                return None
            count = len(encoded) + (found.kept or 0)
            if self._room(snapshot).is_full and not (self._end_early(count) and not self._room(snapshot).is_full):
                raise NoRoomError(self._limits, self._database.ledger.total_waiting())
            with self._database.transaction("replay a dead letter") as commit:
                replayed = give_back(commit, self._manifests, seq, encoded)
                commit.is_wanted = replayed is not None
        return replayed and replace(replayed, not_kept=found.count - (found.kept if found.kept is not None else 1))

    def purge_dead_letters(self, where: LetterFilter, upto_seq: int, limit: int = 1000) -> int:
        """Delete up to `limit` of the dead letters that match `where`, oldest first; return how many.

        Args:
            where: which.
            upto_seq: none with a higher number, so that calling it until it returns 0 comes to an end.
            limit: maximum number.
        """
        with self._database.transaction("delete dead letters") as commit:
            gone = purge_letters(commit, self._manifests, where, upto_seq, limit)
            commit.is_wanted = gone > 0
        return gone

    # Housekeeping and figures.

    def purge(self, limit: int = 1000) -> int:
        """Do one step of removing old data.

        This means: ended rows after keep-done, manifests without references, dead letters beyond a limit, unused pages
        of the file. Writes nothing if there is nothing to do, except once an hour, to limit the setback of the age
        clock by a power loss.

        Args:
            limit: maximum number of rows of each kind; 1,000 hold the lock for some 10 ms.

        Returns:
            rows deleted; call it again while it is above 0.
        """
        with self._database.transaction("purge") as commit:
            gone = drop_ended(commit, limit, commit.now_s - self._limits.keep_done_s)
            gone += self._manifests.purge(commit, limit)
            gone += bound_letters(commit, self._manifests, self._limits, limit)
            commit.is_wanted = gone > 0 or self._database.unwritten_s >= AGE_STEP_S
        self._database.free_pages()
        return gone

    def figures(self) -> SpoolFigures:
        """Return the figures of the spool as of the last commit. Reads no row and takes no lock (except in memory)."""
        ledger = self._database.ledger
        return SpoolFigures(
            waiting=ledger.total_waiting(),
            rows=ledger.rows,
            bytes=self._bytes(),
            outbox=ledger.outbox,
            dead_letters=ledger.dead_letters,
            by_lane=ledger.by_lane(),
            ended_early=ledger.ended_early,
            dead_letters_dropped=ledger.dead_dropped,
        )

    def _bytes(self) -> int:
        if self._path is None:
            with self._database.reading("measure the spool") as snapshot:
                return snapshot.pragma("page_count") * snapshot.pragma("page_size")
        return bytes_on_disk(self._path)

    def check(self) -> tuple[str, ...]:
        """Return the problems of the spool, one sentence each; () if it is intact. Reads the whole file."""
        with self._database.reading("check the spool") as snapshot:
            return snapshot.apply(problems)

    def close(self) -> None:
        """Close the file; a second call is harmless. Other calls afterwards raise `SpoolError`."""
        self._database.close()
