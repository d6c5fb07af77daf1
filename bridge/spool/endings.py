"""Ends of rows: the writes of one commit of dispatch, including postponements, and later deletion.

Opens no transaction itself.

Thread: dispatch; of `drop_ended` housekeeping, and ingest when the spool is full; under the writer's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

from bridge.spool.database import Transaction
from bridge.spool.dead_letters import DyingRow, dying_rows, store_deaths
from bridge.spool.encoding import json_list, reply_of_body
from bridge.spool.manifest_table import ManifestTable
from bridge.spool.new_rows import store_outbox
from bridge.spool.records import Finished, Outcome, Postponed

# A postponed row's not_before_s is above 0, which means "ready" (migrations/0001_first.sql).
EARLIEST_S = 1e-6


def finish(
    commit: Transaction, manifests: ManifestTable, finished: Sequence[Finished], dead_max_bytes: int
) -> list[int]:
    """End rows, with everything that belongs to their end; a row that no longer waits is ignored, with its messages.

    Args:
        commit: the current commit.
        manifests: the manifests of the rows.
        finished: the outcomes.
        dead_max_bytes: dead-letters.max-bytes.

    Returns:
        rows left waiting, because a reply address came that their outbox does not answer.
    """
    ends = {end.seq: end for end in finished}
    if not ends:
        return []
    unanswered = _unanswered(commit, ends)
    going = [seq for seq in ends if seq not in unanswered] if unanswered else ends
    dying = dying_rows(commit, [seq for seq in going if _is_replayable(ends[seq])])
    gone = commit.run("delete_waiting", json_list(going)).fetchall()
    for _, lane, _, _, size in gone:
        commit.ledger.count_waiting(lane, -1, -size)
    manifests.release(commit, [manifest for _, _, manifest, _, _ in gone])
    commit.many("insert_ended", [(seq, commit.now_s) for seq, *_ in gone])
    ended = [seq for seq, *_ in gone]
    did_end = set(ended)
    _store_ends(commit, [end for seq, end in ends.items() if seq in did_end])
    _store_deaths(commit, manifests, [(ends[seq], dying.get(seq)) for seq in ended], dead_max_bytes)
    _release_keys(commit, {key for _, _, _, key, _ in gone if key is not None})
    return sorted(unanswered)


def _unanswered(commit: Transaction, ends: dict[int, Finished]) -> set[int]:
    attached = Counter(seq for seq, _ in commit.run("select_replies", json_list(ends)))
    if not attached:
        return set()
    unanswered = {seq for seq, extra in attached.items() if _is_unanswered(commit, ends[seq], extra)}
    commit.run("delete_replies", json_list(seq for seq in attached if seq not in unanswered))
    return unanswered


def _is_unanswered(commit: Transaction, end: Finished, extra: int) -> bool:
    body = commit.run("waiting_body", (end.seq,)).fetchone()
    if end.answered is None or body is None:
        return False
    return extra + (reply_of_body(body[0]) is not None) > end.answered


def _store_ends(commit: Transaction, ends: Sequence[Finished]) -> None:
    dead = [(end.code, end.error, end.seq) for end in ends if end.outcome is Outcome.DEAD]
    if dead:
        commit.many("mark_dead", dead)
    store_outbox(commit, [message for end in ends for message in end.outbox])


def _is_replayable(end: Finished) -> bool:
    return end.dead_letter is not None and bool(end.dead_letter.event_id)


def _store_deaths(
    commit: Transaction, manifests: ManifestTable, ends: Sequence[tuple[Finished, DyingRow | None]], max_bytes: int
) -> None:
    deaths = [(end.dead_letter, row) for end, row in ends if end.dead_letter is not None]
    if deaths:
        # The rows ended in this order, and nothing else numbers them.
        last = int(commit.run("last_ended").fetchone()[0])
        numbers = {end.seq: last - len(ends) + place for place, (end, _) in enumerate(ends, 1)}
        store_deaths(commit, manifests, deaths, numbers, max_bytes)


def _release_keys(commit: Transaction, keys: Iterable[str]) -> None:
    """Release the next row of each key: it is due from now on.

    It is not "ready": the reader of ready rows may be past its number.
    """
    for key in keys:
        first = commit.run("first_of_key", (key,)).fetchone()
        if first is not None and first[1] is None:
            commit.run("release_row", (commit.now_s, first[0]))


def postpone(commit: Transaction, postponed: Sequence[Postponed]) -> None:
    """Store a failed attempt and when the next one is due; a row that no longer waits is ignored."""
    if postponed:
        rows = [(one.attempts, one.own_failures, max(one.not_before_s, EARLIEST_S), one.seq) for one in postponed]
        commit.many("postpone", rows)


def drop_ended(commit: Transaction, limit: int, ended_before_s: float) -> int:
    """Delete up to `limit` event rows that ended before `ended_before_s`, oldest first; return how many."""
    oldest = commit.run("oldest_ended", (limit,)).fetchall()
    going = list(takewhile(lambda row: row[2] < ended_before_s, oldest))
    if not going:
        return 0
    commit.run("delete_events", json_list(seq for _, seq, _ in going))
    commit.run("delete_ended", (going[-1][0],))
    commit.ledger.rows -= len(going)
    return len(going)
