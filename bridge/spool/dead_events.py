"""Events that died in dispatch: kept beside their dead letter, and given back to dispatch. Opens no transaction itself.

What is kept is all that a new waiting row needs, identity and workflow name included, so that it outlives the event's
own row, which goes after keep-done. A reply address is not kept: its sender was told of the failure.

Thread: whoever commits, under the writer's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import PermanentError
from bridge.spool.database import Reads, Transaction
from bridge.spool.encoding import decode_event, json_list, unanswered
from bridge.spool.intake import ROW_BYTES, EncodedEvent, is_held, store_events
from bridge.spool.letters import Kind, kind_of, recent_bytes, store_kind, store_letters
from bridge.spool.manifests import Manifests
from bridge.spool.records import NewDeadLetter, NewEvent, Replayed

REUSED_HINT = "publish it again, with an id of its own"
# The events of a mapping and reason take no more than this share of dead-letters.max-bytes within a minute, so that
# their storm does not push all other letters out. Those beyond are counted only.
SHARE = 8


@dataclass(frozen=True, slots=True)
class DyingRow:
    """A waiting row that is about to end.

    Attributes:
        columns: seq, id, digest, namespace, name, lane, manifest, order_key.
        body: of the row.
        manifest_bytes: length of its manifest.
    """

    columns: tuple[Any, ...]
    body: bytes
    manifest_bytes: int


def dying_rows(commit: Transaction, seqs: Sequence[int]) -> dict[int, DyingRow]:
    """Return what is known of waiting rows, by their number."""
    if not seqs:
        return {}
    rows = commit.run("dying_rows", json_list(seqs))
    return {columns[0]: DyingRow(tuple(columns), body, size) for *columns, body, size in rows}


def store_deaths(
    commit: Transaction,
    manifests: Manifests,
    deaths: Sequence[tuple[NewDeadLetter, DyingRow | None]],
    ended: Mapping[int, int],
    max_bytes: int,
) -> None:
    """Store the dead letters of rows that ended, and keep the rows that can be replayed.

    Args:
        commit: under way.
        manifests: a kept row still refers to its manifest.
        deaths: each letter, and its row as it was; None where it cannot be replayed.
        ended: the number in ``ended`` of each row.
        max_bytes: dead-letters.max-bytes.
    """
    store_letters(commit, [letter for letter, row in deaths if row is None])
    kinds: dict[Kind, list[tuple[NewDeadLetter, DyingRow]]] = {}
    for letter, row in deaths:
        if row is not None:
            kinds.setdefault(kind_of(letter), []).append((letter, row))
    for kind, same in kinds.items():
        letter_seq = store_kind(commit, kind, [letter for letter, _ in same])
        room = max_bytes // SHARE - recent_bytes(commit, kind)
        _keep(commit, manifests, letter_seq, [(row, ended[row.columns[0]]) for _, row in same], room)


def _keep(
    commit: Transaction, manifests: Manifests, letter: int, rows: Iterable[tuple[DyingRow, int]], room: int
) -> None:
    kept: list[int] = []
    taken = 0
    for row, ended in rows:
        body, max_age_s = unanswered(row.body)
        seq, identity, digest, namespace, name, lane, manifest, order_key = row.columns
        size = len(body) + ROW_BYTES
        if commit.run("manifest_is_kept", (letter, manifest)).fetchone() is None:
            size += row.manifest_bytes
        if taken + size > room:
            continue
        named = (identity, digest, namespace, name)
        commit.run("insert_dead_event", (seq, letter, ended, *named, lane, manifest, order_key, max_age_s, body))
        kept.append(manifest)
        taken += size
    manifests.hold(commit, kept)
    commit.run("keep_on_dead_letter", (len(kept), taken, letter))
    commit.ledger.dead_bytes += taken


def kept_events(reads: Reads, manifests: Manifests, letter: int, limit: int) -> tuple[NewEvent, ...]:
    """Return up to `limit` of the events that are kept for a letter, in order of arrival."""
    rows = reads.run("dead_event_rows", (letter, limit)).fetchall()
    return tuple(decode_event(row, manifests.body(reads, row[6]), ()).event for row in rows)


def replay(commit: Transaction, manifests: Manifests, seq: int, encoded: Sequence[EncodedEvent]) -> Replayed | None:
    """Remove a dead letter, give its events back to dispatch, and store those that its message became.

    Returns:
        what came of it, or None where there is no such letter.

    Raises:
        PermanentError: ``event-id-reused``: its message is a request under the name of another one.
    """
    row = commit.run("delete_dead_letters", json_list([seq])).fetchone()
    if row is None:
        return None
    commit.ledger.dead_letters -= 1
    commit.ledger.dead_bytes -= row[0]
    kept = sorted(commit.run("take_dead_events", (seq,)).fetchall())
    lanes = _give_back(commit, manifests, kept)
    stored, known = store_events(commit, manifests, encoded)
    if any(outcome.reused for outcome in known) and encoded[0].event.content_digest:
        raise PermanentError("its event id was used for another request", code="event-id-reused", hint=REUSED_HINT)
    names = {number: name for name, number in commit.ledger.lane_ids.items()}
    waiting_lanes = {names[lane] for lane in lanes} | ({row.event.lane for row in encoded} if stored else set())
    return Replayed(len(lanes) + stored, len(kept) - len(lanes) + len(known), frozenset(waiting_lanes))


def _give_back(commit: Transaction, manifests: Manifests, kept: Sequence[tuple[Any, ...]]) -> list[int]:
    """Let kept events wait again, behind all that wait; return the lane of each that was not known.

    They get a new number: dispatch has passed the old one, and rows of their order key may wait by now.
    """
    keys: set[str] = set()
    lanes: list[int] = []
    sizes: Counter[int] = Counter()
    known: list[int] = []
    first = commit.ledger.take_seqs(len(kept))
    for number, row in enumerate(kept, first):
        old, ended, identity, digest, namespace, name, lane, manifest, order_key, max_age_s, body = row
        if commit.run("delete_ended_row", (ended, old)).rowcount:
            commit.run("renumber_event", (number, old))
        elif commit.run("insert_event", (number, identity, digest, namespace, name)).rowcount:
            commit.ledger.rows += 1
        else:
            # The row went after keep-done, and the same event has come again since.
            known.append(manifest)
            continue
        not_before_s = None if order_key and is_held(commit, order_key, keys) else 0.0
        expires_at_s = None if max_age_s is None else commit.now_s + max_age_s
        size = len(body) + ROW_BYTES
        commit.run(
            "insert_waiting",
            (number, lane, manifest, order_key, not_before_s, expires_at_s, commit.now_s, body, size),
        )
        lanes.append(lane)
        sizes[lane] += size
    for lane, count in Counter(lanes).items():
        commit.ledger.count_waiting(lane, count, sizes[lane])
    manifests.release(commit, known)
    return lanes
