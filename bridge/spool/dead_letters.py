"""Dead letters: stored, merged within a minute, limited; and the failed events kept with them.

For an event that failed in dispatch, everything for a new waiting row is kept, including identity and workflow name, so
that it outlives the event's own row, which is deleted after keep-done. The reply address is not kept: the sender was
told of the failure. Opens no transaction itself.

Thread: whoever commits, under the writer's lock.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import PermanentError
from bridge.spool.database import Snapshot, Transaction
from bridge.spool.encoding import decode_event, decode_letter, encode_letter, json_list, unanswered
from bridge.spool.manifest_table import ManifestTable
from bridge.spool.new_rows import ROW_BYTES, EncodedEvent, is_held, store_events
from bridge.spool.options import SpoolOptions
from bridge.spool.records import DeadLetter, LetterFilter, NewDeadLetter, NewEvent, Replayed

MERGE_S = 60.0
# Maximum number of topics with their own letter, for one mapping and reason within that time.
MAX_TOPICS = 100
ORIGIN_BYTES = 16
# Columns besides head and payload.
LETTER_BYTES = 150
REUSED_HINT = "publish it again, with a different id"
# The events of a mapping and reason take at most this share of dead-letters.max-bytes within a minute, so that a storm
# of them does not remove all other letters. Further ones are only counted.
SHARE = 8
NO_FILTER = LetterFilter()


Kind = tuple[bytes, str, str, bool]
"""Key of letters that are counted together: connection and topic, mapping, reason, and whether it was an event."""


def store_letters(commit: Transaction, letters: Iterable[NewDeadLetter]) -> None:
    """Store the first of each kind completely; count further ones within a minute on it."""
    kinds: dict[Kind, list[NewDeadLetter]] = {}
    for letter in letters:
        kinds.setdefault(kind_of(letter), []).append(letter)
    for kind, same in kinds.items():
        store_kind(commit, kind, same)


def kind_of(letter: NewDeadLetter) -> Kind:
    """Return the key under which `letter` is counted."""
    place = f"{letter.connection}\0{letter.topic}".encode("utf-8", "surrogatepass")
    origin = hashlib.blake2b(place, digest_size=ORIGIN_BYTES).digest()
    return origin, letter.mapping, letter.reason, bool(letter.event_id)


def store_kind(commit: Transaction, kind: Kind, same: Sequence[NewDeadLetter]) -> int:
    """Store letters of one kind; return the number of the row on which they are counted."""
    found = commit.run("newest_dead_letter", kind).fetchone()
    if not _is_recent(commit, found):
        # An endless number of topics would remove all other letters: beyond a number within a minute, the newest is
        # used.
        crowd = commit.run("crowded_dead_letters", (*kind[1:], MAX_TOPICS - 1)).fetchone()
        if not _is_recent(commit, crowd):
            return _insert(commit, kind[0], same[0], len(same))
        found = commit.run("crowded_dead_letters", (*kind[1:], 0)).fetchone()
    commit.run("count_on_dead_letter", (len(same), commit.wall_s, found[0]))
    return int(found[0])


def _is_recent(commit: Transaction, found: tuple[Any, ...] | None) -> bool:
    return found is not None and commit.now_s - found[1] < MERGE_S


def recent_bytes(commit: Transaction, kind: Kind) -> int:
    """Return the size of the last minute's letters of a mapping and reason, for all topics."""
    values = (*kind[1:], MAX_TOPICS, commit.now_s - MERGE_S)
    return int(commit.run("dead_letters_since", values).fetchone()[0])


def _insert(commit: Transaction, origin: bytes, letter: NewDeadLetter, count: int) -> int:
    head, payload = encode_letter(letter)
    size = len(head) + len(payload) + LETTER_BYTES
    kept = 0 if letter.event_id else None
    times = (commit.now_s, commit.wall_s, commit.wall_s)
    seq = commit.ledger.take_seqs(1)
    row = (seq, letter.mapping, letter.reason, count, kept, *times, size, origin, head, payload)
    commit.run("insert_dead_letter", row)
    commit.ledger.dead_letters += 1
    commit.ledger.dead_bytes += size
    return seq


def letter_of(row: tuple[Any, ...]) -> DeadLetter:
    """Return the dead letter in a row of ``dead_letter_rows``."""
    seq, mapping, reason, count, kept, first_wall_s, last_wall_s, head, payload = row
    return DeadLetter(seq, decode_letter(mapping, reason, head, payload), count, first_wall_s, last_wall_s, kept)


def values_of(where: LetterFilter, now_s: float) -> dict[str, object]:
    """Return the parameters of a statement that filters dead letters."""
    first_before_s = None if where.older_than_s is None else now_s - where.older_than_s
    return {"mapping": where.mapping, "reason": where.reason, "first_before_s": first_before_s}


def delete_letters(commit: Transaction, manifests: ManifestTable, seqs: Sequence[int]) -> int:
    """Delete those of `seqs` that exist, with their kept events; return how many."""
    sizes = [row[0] for row in commit.run("delete_dead_letters", json_list(seqs)).fetchall()]
    manifests.release(commit, [row[0] for row in commit.run("delete_dead_events", json_list(seqs)).fetchall()])
    commit.ledger.dead_letters -= len(sizes)
    commit.ledger.dead_bytes -= sum(sizes)
    return len(sizes)


def purge_letters(commit: Transaction, manifests: ManifestTable, where: LetterFilter, upto_seq: int, limit: int) -> int:
    """Delete some of the oldest that match `where`, up to the number `upto_seq`; return how many.

    Args:
        commit: the current commit.
        manifests: of the events kept.
        where: which.
        upto_seq: none with a higher number.
        limit: maximum number of letters, and approximately of events.
    """
    values = values_of(where, commit.now_s) | {"upto": upto_seq, "limit": limit}
    going: list[int] = []
    events = 0
    for seq, kept in commit.run("select_dead_letters", values):
        if events >= limit:
            break
        going.append(seq)
        events += kept
    return delete_letters(commit, manifests, going) if going else 0


def bound_letters(commit: Transaction, manifests: ManifestTable, limits: SpoolOptions, limit: int) -> int:
    """Delete some of the oldest while a limit is exceeded, as many as `purge_letters`; return how many."""
    ledger = commit.ledger
    rows, total = ledger.dead_letters, ledger.dead_bytes
    gone: list[int] = []
    events = 0
    for seq, count, size, first_age_s, kept in commit.run("oldest_dead_letters", (limit,)):
        over = rows > limits.dead_letters.max_rows or total > limits.dead_max_bytes
        old = commit.now_s - first_age_s > limits.dead_letters.keep_s
        if not (over or old) or events >= limit:
            break
        if over:
            ledger.dead_dropped += count
        gone.append(seq)
        events += kept
        rows, total = rows - 1, total - size
    return delete_letters(commit, manifests, gone) if gone else 0


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
    """Return the data of waiting rows, by their number."""
    if not seqs:
        return {}
    rows = commit.run("dying_rows", json_list(seqs))
    return {columns[0]: DyingRow(tuple(columns), body, size) for *columns, body, size in rows}


def store_deaths(
    commit: Transaction,
    manifests: ManifestTable,
    deaths: Sequence[tuple[NewDeadLetter, DyingRow | None]],
    ended: Mapping[int, int],
    max_bytes: int,
) -> None:
    """Store the dead letters of failed rows, and keep the rows that can be replayed.

    Args:
        commit: the current commit.
        manifests: a kept row still refers to its manifest.
        deaths: each letter, with its row; None if it cannot be replayed.
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
    commit: Transaction, manifests: ManifestTable, letter: int, rows: Iterable[tuple[DyingRow, int]], room: int
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


def kept_events(snapshot: Snapshot, manifests: ManifestTable, letter: int, limit: int) -> tuple[NewEvent, ...]:
    """Return up to `limit` of the events kept for a letter, in order of arrival."""
    rows = snapshot.run("dead_event_rows", (letter, limit)).fetchall()
    return tuple(decode_event(row, manifests.body(snapshot, row[6]), ()).event for row in rows)


def give_back(
    commit: Transaction, manifests: ManifestTable, seq: int, encoded: Sequence[EncodedEvent]
) -> Replayed | None:
    """Remove a dead letter, return its events to dispatch, and store those that its message became.

    Returns:
        what came of it, or None where there is no such letter.

    Raises:
        PermanentError: ``event-id-reused``: its message is a request with the id of a different one.
    """
    row = commit.run("delete_dead_letters", json_list([seq])).fetchone()
    if row is None:
        return None
    commit.ledger.dead_letters -= 1
    commit.ledger.dead_bytes -= row[0]
    kept = sorted(commit.run("take_dead_events", (seq,)).fetchall())
    lanes = _wait_again(commit, manifests, kept)
    stored, known = store_events(commit, manifests, encoded)
    if any(outcome.reused for outcome in known) and encoded[0][0].content_digest:
        raise PermanentError("its event id was used for a different request", code="event-id-reused", hint=REUSED_HINT)
    names = {number: name for name, number in commit.ledger.lane_ids.items()}
    waiting_lanes = {names[lane] for lane in lanes} | ({event.lane for event, _ in encoded} if stored else set())
    return Replayed(len(lanes) + stored, len(kept) - len(lanes) + len(known), frozenset(waiting_lanes))


def _wait_again(commit: Transaction, manifests: ManifestTable, kept: Sequence[tuple[Any, ...]]) -> list[int]:
    """Make kept events wait again, after all waiting rows; return the lane of each that was not known.

    They get a new number: dispatch is past the old one, and rows with their order key may be waiting by now.
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
            # The row was deleted after keep-done, and the same event has come again since.
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
