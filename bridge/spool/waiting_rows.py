"""Reads waiting rows for dispatch. Changes nothing.

Thread: any, within a read of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from bridge.core.model import ReplyAddress
from bridge.spool.database import Database, Snapshot, Values
from bridge.spool.encoding import decode_event, decode_reply, json_list
from bridge.spool.manifest_table import ManifestTable
from bridge.spool.records import WaitingEvent

PAGE_BYTES = 4 * 2**20
_MANIFEST, _BODY = 6, 12
"""Indexes in the columns of a row."""
_Row = TypeVar("_Row")


def within(rows: Iterable[_Row], max_bytes: int, size: Callable[[_Row], int]) -> Iterator[_Row]:
    """Yield rows up to `max_bytes` in total; the first one whatever its size."""
    total = 0
    for row in rows:
        total += size(row)
        if total > max_bytes and total > size(row):
            return
        yield row


class WaitingTable:
    """The table ``waiting`` for dispatch; created by `Spool`.

    A waiting row is ready (never tried, and its key's turn), postponed (due at a time), or held (an earlier row of its
    order key waits). Held rows are never returned; at their turn they become due. A postponed row that kept failing
    while others succeeded is quarantined: no lane returns it.
    """

    _database: Database
    _manifests: ManifestTable

    def waiting_lanes(self) -> tuple[str, ...]:
        """Return the lanes that have waiting rows, sorted. Reads no row."""
        return tuple(self._database.ledger.by_lane())

    def waiting(self, lane: str, after_seq: int, limit: int) -> tuple[WaitingEvent, ...]:
        """Return up to `limit` ready rows of `lane` with a number above `after_seq`, in order of arrival.

        Fewer if they are large: some MiB at a time; () if there is none. A row that was ever postponed is only returned
        by `due` or `quarantined`. Reads no other row, however many wait.
        """
        with self._database.reading("read events") as snapshot:
            return _page(snapshot, self._manifests, snapshot.run("ready_rows", (lane, after_seq, limit)))

    def newest(self, lane: str, skip: Collection[int]) -> WaitingEvent | None:
        """Return the newest ready row of `lane`, except those in `skip`, or None."""
        return next(iter(self._picked(("newest_seqs", (lane,)), 1, skip)), None)

    def due(self, lane: str, now_s: float, limit: int, skip: Collection[int] = frozenset()) -> tuple[WaitingEvent, ...]:
        """Return up to `limit` postponed rows of `lane` that are due at age `now_s`, longest due first.

        Fewer if they are large, as for `waiting`.

        Args:
            lane: the lane.
            now_s: `age.now_s()`.
            limit: maximum number.
            skip: numbers in flight, which are left out. A set: the rows due before these are skipped one by one.
        """
        return self._picked(("due_seqs", (lane, now_s)), limit, skip)

    def next_due_s(self, lane: str) -> float | None:
        """Return the age at which the next postponed row of `lane` is due (in flight or not), or None."""
        return self._earliest("next_due", (lane,))

    def quarantined(self, now_s: float, limit: int, skip: Collection[int] = frozenset()) -> tuple[WaitingEvent, ...]:
        """Return up to `limit` quarantined rows of any lane that are due at `now_s`; otherwise like `due`."""
        return self._picked(("quarantined_seqs", (now_s,)), limit, skip)

    def next_quarantined_s(self) -> float | None:
        """Return the age at which the next quarantined row is due (in flight or not), or None."""
        return self._earliest("next_quarantined", ())

    def expired(self, now_s: float, limit: int, skip: Collection[int] = frozenset()) -> tuple[WaitingEvent, ...]:
        """Return up to `limit` rows of any lane, including held ones, that have expired at `now_s`; else like `due`."""
        return self._picked(("expired_seqs", (now_s,)), limit, skip)

    def find_waiting(self, event_id: bytes) -> WaitingEvent | None:
        """Return the row of an event id if it still waits."""
        with self._database.reading("find an event") as snapshot:
            found = snapshot.run("find_seq", (event_id,)).fetchone()
            return next(iter(numbered(snapshot, self._manifests, found or ())), None)

    def _picked(self, statement: tuple[str, Values], limit: int, skip: Collection[int]) -> tuple[WaitingEvent, ...]:
        with self._database.reading("read events") as snapshot:
            return _first(snapshot, self._manifests, statement, limit, skip)

    def _earliest(self, statement: str, values: Values) -> float | None:
        with self._database.reading("read events") as snapshot:
            earliest: float | None = snapshot.run(statement, values).fetchone()[0]
        return earliest


def _first(
    snapshot: Snapshot, manifests: ManifestTable, statement: tuple[str, Values], limit: int, skip: Collection[int]
) -> tuple[WaitingEvent, ...]:
    """Return the first `limit` rows, up to `PAGE_BYTES`, with the numbers from `statement`, except those in `skip`."""
    seqs: list[int] = []
    for (seq,) in snapshot.run(*statement):
        if len(seqs) >= limit:
            break
        if seq not in skip:
            seqs.append(seq)
    return _page(snapshot, manifests, snapshot.run("rows_by_seq", json_list(seqs))) if seqs else ()


def numbered(snapshot: Snapshot, manifests: ManifestTable, seqs: Sequence[int]) -> tuple[WaitingEvent, ...]:
    """Return the rows of `seqs` that still wait, all of them, in that order."""
    if not seqs:
        return ()
    return tuple(_events(snapshot, manifests, snapshot.run("rows_by_seq", json_list(seqs)).fetchall()))


def _page(snapshot: Snapshot, manifests: ManifestTable, rows: Iterable[tuple[Any, ...]]) -> tuple[WaitingEvent, ...]:
    """Return the rows up to `PAGE_BYTES` of bodies, and of manifests, each of which counts once."""
    counted: set[int] = set()

    def manifest_bytes(row: tuple[Any, ...]) -> int:
        number = row[_MANIFEST]
        size = 0 if number in counted else len(manifests.body(snapshot, number))
        counted.add(number)
        return size

    fitting = within(rows, PAGE_BYTES, lambda row: len(row[_BODY]))
    return tuple(_events(snapshot, manifests, list(within(fitting, PAGE_BYTES, manifest_bytes))))


def _events(snapshot: Snapshot, manifests: ManifestTable, rows: Sequence[tuple[Any, ...]]) -> Iterator[WaitingEvent]:
    extra: dict[int, tuple[ReplyAddress, ...]] = {}
    for seq, address in snapshot.run("select_replies", json_list(row[0] for row in rows)):
        extra[seq] = (*extra.get(seq, ()), decode_reply(address))
    return (decode_event(row, manifests.body(snapshot, row[_MANIFEST]), extra.get(row[0], ())) for row in rows)
