"""Dead letters: stored, merged within a minute, bounded. Opens no transaction itself.

Thread: whoever commits, under the writer's lock.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.spool.database import Transaction
from bridge.spool.encoding import decode_letter, encode_letter, json_list
from bridge.spool.records import DeadLetter, NewDeadLetter, SpoolLimits

MERGE_S = 60.0
# Columns beside head and payload.
ROW_BYTES = 100


def store_letters(commit: Transaction, letters: Sequence[NewDeadLetter]) -> None:
    """Keep the first of each mapping and reason whole; count those within a minute after it on it."""
    kinds: dict[tuple[str, str], list[NewDeadLetter]] = {}
    for letter in letters:
        kinds.setdefault((letter.mapping, letter.reason), []).append(letter)
    for kind, same in kinds.items():
        newest = commit.run("newest_dead_letter", kind).fetchone()
        if newest is not None and commit.now_s - newest[1] < MERGE_S:
            commit.run("count_on_dead_letter", (len(same), commit.wall_s, newest[0]))
        else:
            _insert(commit, same[0], len(same))


def _insert(commit: Transaction, letter: NewDeadLetter, count: int) -> None:
    head, payload = encode_letter(letter)
    size = len(head) + len(payload) + ROW_BYTES
    times = (commit.now_s, commit.wall_s, commit.wall_s)
    seq = commit.ledger.take_seqs(1)
    commit.run("insert_dead_letter", (seq, letter.mapping, letter.reason, count, *times, size, head, payload))
    commit.ledger.dead_letters += 1
    commit.ledger.dead_bytes += size


def letter_of(row: tuple[int, str, str, int, float, float, bytes, bytes]) -> DeadLetter:
    """Return the dead letter of a row of ``dead_letter_rows``."""
    seq, mapping, reason, count, first_wall_s, last_wall_s, head, payload = row
    return DeadLetter(seq, decode_letter(mapping, reason, head, payload), count, first_wall_s, last_wall_s)


def delete_letters(commit: Transaction, seqs: Sequence[int]) -> int:
    """Delete those of `seqs` that there are; return how many."""
    sizes = [row[0] for row in commit.run("delete_dead_letters", json_list(seqs)).fetchall()]
    commit.ledger.dead_letters -= len(sizes)
    commit.ledger.dead_bytes -= sum(sizes)
    return len(sizes)


def bound_letters(commit: Transaction, limits: SpoolLimits, limit: int) -> int:
    """Delete up to `limit` of the oldest while a bound is passed; return how many."""
    ledger = commit.ledger
    rows, total = ledger.dead_letters, ledger.dead_bytes
    gone: list[int] = []
    for seq, count, size, first_age_s in commit.run("oldest_dead_letters", (limit,)):
        over = rows > limits.dead_max_rows or total > limits.dead_max_bytes
        old = commit.now_s - first_age_s > limits.dead_keep_s
        if not over and not old:
            break
        if over:
            ledger.dead_dropped += count
        gone.append(seq)
        rows, total = rows - 1, total - size
    return delete_letters(commit, gone) if gone else 0
