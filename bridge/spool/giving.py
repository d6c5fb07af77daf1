"""Reads waiting rows for dispatch. Changes nothing.

Thread: any, within a read of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from bridge.core.model import ReplyAddress
from bridge.spool.database import Reads, Values
from bridge.spool.encoding import decode_event, decode_reply, json_list
from bridge.spool.manifests import Manifests
from bridge.spool.records import WaitingEvent

PAGE_BYTES = 4 * 2**20
_BODY = 12
"""Its place in the columns of a row."""
_Row = TypeVar("_Row")


def within(rows: Iterable[_Row], max_bytes: int, size: Callable[[_Row], int]) -> Iterator[_Row]:
    """Give rows up to `max_bytes` in all, the first one whatever its size."""
    total = 0
    for row in rows:
        total += size(row)
        if total > max_bytes and total > size(row):
            return
        yield row


def ready(reads: Reads, manifests: Manifests, values: Values) -> tuple[WaitingEvent, ...]:
    """Return the ready rows for ``(lane, after_seq, limit)``, up to `PAGE_BYTES`."""
    return _page(reads, manifests, reads.run("ready_rows", values))


def picked(
    reads: Reads, manifests: Manifests, statement: tuple[str, Values], limit: int, skip: Collection[int]
) -> tuple[WaitingEvent, ...]:
    """Return the first `limit` rows, up to `PAGE_BYTES`, whose numbers `statement` gives, those of `skip` left out."""
    seqs: list[int] = []
    for (seq,) in reads.run(*statement):
        if len(seqs) >= limit:
            break
        if seq not in skip:
            seqs.append(seq)
    return _page(reads, manifests, reads.run("rows_by_seq", json_list(seqs))) if seqs else ()


def numbered(reads: Reads, manifests: Manifests, seqs: Sequence[int]) -> tuple[WaitingEvent, ...]:
    """Return the rows of `seqs` that still wait, all of them, in that order."""
    if not seqs:
        return ()
    return tuple(_events(reads, manifests, reads.run("rows_by_seq", json_list(seqs)).fetchall()))


def _page(reads: Reads, manifests: Manifests, rows: Iterable[tuple[Any, ...]]) -> tuple[WaitingEvent, ...]:
    fitting = list(within(rows, PAGE_BYTES, lambda row: len(row[_BODY])))
    counted: set[bytes] = set()

    def own_bytes(row: WaitingEvent) -> int:
        manifest = row.event.order.manifest
        size = 0 if manifest in counted else len(manifest)
        counted.add(manifest)
        return size

    return tuple(within(_events(reads, manifests, fitting), PAGE_BYTES, own_bytes))


def _events(reads: Reads, manifests: Manifests, rows: Sequence[tuple[Any, ...]]) -> Iterator[WaitingEvent]:
    extra: dict[int, tuple[ReplyAddress, ...]] = {}
    for seq, address in reads.run("select_replies", json_list(row[0] for row in rows)):
        extra[seq] = (*extra.get(seq, ()), decode_reply(address))
    return (decode_event(row, manifests.body(reads, row[6]), extra.get(row[0], ())) for row in rows)
