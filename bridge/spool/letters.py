"""Dead letters: stored, merged within a minute, bounded. Opens no transaction itself.

Thread: whoever commits, under the writer's lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.spool.database import Transaction
from bridge.spool.encoding import decode_letter, encode_letter, json_list
from bridge.spool.manifests import Manifests
from bridge.spool.records import DeadLetter, LetterFilter, NewDeadLetter, SpoolLimits

MERGE_S = 60.0
# Letters of one mapping and reason within that time that have a topic each.
MAX_TOPICS = 100
ORIGIN_BYTES = 16
# Columns beside head and payload.
ROW_BYTES = 150
NO_FILTER = LetterFilter()


Kind = tuple[bytes, str, str, bool]
"""What letters that are counted on one have in common: connection and topic, mapping, reason, and: it was an event."""


def store_letters(commit: Transaction, letters: Iterable[NewDeadLetter]) -> None:
    """Keep the first of each kind whole; count those within a minute after it on it."""
    kinds: dict[Kind, list[NewDeadLetter]] = {}
    for letter in letters:
        kinds.setdefault(kind_of(letter), []).append(letter)
    for kind, same in kinds.items():
        store_kind(commit, kind, same)


def kind_of(letter: NewDeadLetter) -> Kind:
    """Return which letters `letter` is counted with."""
    place = f"{letter.connection}\0{letter.topic}".encode("utf-8", "surrogatepass")
    origin = hashlib.blake2b(place, digest_size=ORIGIN_BYTES).digest()
    return origin, letter.mapping, letter.reason, bool(letter.event_id)


def store_kind(commit: Transaction, kind: Kind, same: Sequence[NewDeadLetter]) -> int:
    """Store letters of one kind; return the number of the row that they are counted on."""
    found = commit.run("newest_dead_letter", kind).fetchone()
    if not _is_recent(commit, found):
        # Endless topics would drive all other letters out: beyond so many within a minute the newest stands for them.
        crowd = commit.run("crowded_dead_letters", (*kind[1:], MAX_TOPICS - 1)).fetchone()
        if not _is_recent(commit, crowd):
            return _insert(commit, kind[0], same[0], len(same))
        found = commit.run("crowded_dead_letters", (*kind[1:], 0)).fetchone()
    commit.run("count_on_dead_letter", (len(same), commit.wall_s, found[0]))
    return int(found[0])


def _is_recent(commit: Transaction, found: tuple[Any, ...] | None) -> bool:
    return found is not None and commit.now_s - found[1] < MERGE_S


def recent_bytes(commit: Transaction, kind: Kind) -> int:
    """Return the size of the last minute's letters of a mapping and reason, whatever their topic."""
    values = (*kind[1:], MAX_TOPICS, commit.now_s - MERGE_S)
    return int(commit.run("dead_letters_since", values).fetchone()[0])


def _insert(commit: Transaction, origin: bytes, letter: NewDeadLetter, count: int) -> int:
    head, payload = encode_letter(letter)
    size = len(head) + len(payload) + ROW_BYTES
    kept = 0 if letter.event_id else None
    times = (commit.now_s, commit.wall_s, commit.wall_s)
    seq = commit.ledger.take_seqs(1)
    row = (seq, letter.mapping, letter.reason, count, kept, *times, size, origin, head, payload)
    commit.run("insert_dead_letter", row)
    commit.ledger.dead_letters += 1
    commit.ledger.dead_bytes += size
    return seq


def letter_of(row: tuple[Any, ...]) -> DeadLetter:
    """Return the dead letter of a row of ``dead_letter_rows``."""
    seq, mapping, reason, count, kept, first_wall_s, last_wall_s, head, payload = row
    return DeadLetter(seq, decode_letter(mapping, reason, head, payload), count, first_wall_s, last_wall_s, kept)


def values_of(where: LetterFilter, now_s: float) -> dict[str, object]:
    """Return the parameters of a statement that filters dead letters."""
    first_before_s = None if where.older_than_s is None else now_s - where.older_than_s
    return {"mapping": where.mapping, "reason": where.reason, "first_before_s": first_before_s}


def delete_letters(commit: Transaction, manifests: Manifests, seqs: Sequence[int]) -> int:
    """Delete those of `seqs` that there are, with the events kept for them; return how many."""
    sizes = [row[0] for row in commit.run("delete_dead_letters", json_list(seqs)).fetchall()]
    manifests.release(commit, [row[0] for row in commit.run("delete_dead_events", json_list(seqs)).fetchall()])
    commit.ledger.dead_letters -= len(sizes)
    commit.ledger.dead_bytes -= sum(sizes)
    return len(sizes)


def purge_letters(commit: Transaction, manifests: Manifests, where: LetterFilter, upto_seq: int, limit: int) -> int:
    """Delete some of the oldest that `where` means, up to the number `upto_seq`; return how many.

    Args:
        commit: under way.
        manifests: of the events kept.
        where: which.
        upto_seq: none with a higher number.
        limit: at most so many letters, and not many more events.
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


def bound_letters(commit: Transaction, manifests: Manifests, limits: SpoolLimits, limit: int) -> int:
    """Delete some of the oldest while a bound is passed, as many as `purge_letters`; return how many."""
    ledger = commit.ledger
    rows, total = ledger.dead_letters, ledger.dead_bytes
    gone: list[int] = []
    events = 0
    for seq, count, size, first_age_s, kept in commit.run("oldest_dead_letters", (limit,)):
        over = rows > limits.dead_max_rows or total > limits.dead_max_bytes
        old = commit.now_s - first_age_s > limits.dead_keep_s
        if not (over or old) or events >= limit:
            break
        if over:
            ledger.dead_dropped += count
        gone.append(seq)
        events += kept
        rows, total = rows - 1, total - size
    return delete_letters(commit, manifests, gone) if gone else 0
