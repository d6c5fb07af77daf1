"""Reads waiting rows for dispatch. Changes nothing.

Thread: any, within a read of the database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from bridge.core.model import ReplyAddress
from bridge.spool.database import Reads, Values
from bridge.spool.encoding import decode_event, decode_reply, json_list
from bridge.spool.manifests import Manifests
from bridge.spool.records import WaitingEvent


def ready(reads: Reads, manifests: Manifests, values: Values) -> tuple[WaitingEvent, ...]:
    """Return the ready rows for ``(lane, after_seq, limit)``."""
    return _events(reads, manifests, reads.run("ready_rows", values).fetchall())


def picked(
    reads: Reads, manifests: Manifests, statement: tuple[str, Values], limit: int, skip: Collection[int]
) -> tuple[WaitingEvent, ...]:
    """Return the first `limit` rows whose numbers `statement` gives, those of `skip` left out."""
    seqs: list[int] = []
    for (seq,) in reads.run(*statement):
        if len(seqs) >= limit:
            break
        if seq not in skip:
            seqs.append(seq)
    return numbered(reads, manifests, seqs)


def numbered(reads: Reads, manifests: Manifests, seqs: Sequence[int]) -> tuple[WaitingEvent, ...]:
    """Return the rows of `seqs` that still wait, in that order."""
    if not seqs:
        return ()
    return _events(reads, manifests, reads.run("rows_by_seq", json_list(seqs)).fetchall())


def _events(reads: Reads, manifests: Manifests, rows: Sequence[tuple[Any, ...]]) -> tuple[WaitingEvent, ...]:
    extra: dict[int, tuple[ReplyAddress, ...]] = {}
    for seq, address in reads.run("select_replies", json_list(row[0] for row in rows)):
        extra[seq] = (*extra.get(seq, ()), decode_reply(address))
    return tuple(decode_event(row, manifests.body(reads, row[6]), extra.get(row[0], ())) for row in rows)
