"""The writes of one commit of ingest: events, deliveries, outbox rows and dead letters. Opens no transaction itself.

Thread: ingest threads, under the writer's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.spool.database import Snapshot, Transaction
from bridge.spool.encoding import (
    decode_reply,
    encode_event,
    encode_message,
    encode_reply,
    json_list,
    reply_of_body,
)
from bridge.spool.manifest_table import ManifestTable
from bridge.spool.records import REMEMBERED_DIGEST_BYTES as DIGEST_BYTES
from bridge.spool.records import (
    Inflight,
    NewEvent,
    OutboxMessage,
    Outcome,
    StoredOutcome,
)

DELIVERY_BYTES = 16
PAYLOAD_DIGEST_BYTES = 32
# Size of a waiting row besides its body, including its event and the indexes.
ROW_BYTES = 250


EncodedEvent = tuple[NewEvent, bytes]
"""An event with its body, encoded before the lock is taken."""


def encode_all(events: Iterable[NewEvent]) -> list[EncodedEvent]:
    """Encode the bodies of `events`.

    Raises:
        PermanentError: ``not-storable``.
    """
    return [(event, encode_event(event)) for event in events]


def is_new(snapshot: Snapshot, event: NewEvent) -> bool:
    """Whether an event is new."""
    return snapshot.run("find_event", (event.id,)).fetchone() is None


def store_events(
    commit: Transaction, manifests: ManifestTable, encoded: Sequence[EncodedEvent]
) -> tuple[int, tuple[StoredOutcome, ...]]:
    """Insert new events; return how many there were, and the outcomes of the others, in their order."""
    if not encoded:
        return 0, ()
    first = commit.ledger.take_seqs(len(encoded))
    numbered = list(enumerate(encoded, first))
    inserted = commit.many(
        "insert_event",
        [(seq, event.id, digest_of(event), event.order.namespace, event.order.name) for seq, (event, _) in numbered],
    )
    known: list[tuple[NewEvent, tuple[Any, ...]]] = []
    if inserted != len(encoded):
        numbered, known = _split(commit, numbered)
    commit.ledger.rows += len(numbered)
    _insert_waiting(commit, manifests, numbered)
    # After the inserts: the first of two equal ones may be in this very commit.
    return len(numbered), tuple(_known_outcome(commit, event, found) for event, found in known)


def _split(
    commit: Transaction, numbered: Sequence[tuple[int, EncodedEvent]]
) -> tuple[list[tuple[int, EncodedEvent]], list[tuple[NewEvent, tuple[Any, ...]]]]:
    """Separate new events from known ones: the row of a known one has a different number."""
    new: list[tuple[int, EncodedEvent]] = []
    known: list[tuple[NewEvent, tuple[Any, ...]]] = []
    for seq, encoded in numbered:
        found = commit.run("find_event", (encoded[0].id,)).fetchone()
        if found[0] == seq:
            new.append((seq, encoded))
        else:
            known.append((encoded[0], found))
    return new, known


def _insert_waiting(
    commit: Transaction, manifests: ManifestTable, numbered: Sequence[tuple[int, EncodedEvent]]
) -> None:
    ledger, now_s = commit.ledger, commit.now_s
    first_new = ledger.next_seq
    numbers = manifests.ids(commit, [event.order.manifest for _, (event, _) in numbered])
    charged = {number for number in numbers if number >= first_new}
    keys: set[str] = set()
    lanes: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    rows = []
    for (seq, (event, body)), manifest in zip(numbered, numbers, strict=True):
        size = len(body) + ROW_BYTES
        if manifest in charged:
            charged.discard(manifest)
            size += len(event.order.manifest)
        lane = ledger.lane_id(event.lane)
        lanes[lane] += 1
        sizes[lane] += size
        not_before_s = None if event.order_key and is_held(commit, event.order_key, keys) else 0.0
        expires_at_s = None if event.max_age_s is None else now_s + event.max_age_s
        rows.append((seq, lane, manifest, event.order_key or None, not_before_s, expires_at_s, now_s, body, size))
    commit.many("insert_waiting", rows)
    for lane, count in lanes.items():
        ledger.count_waiting(lane, count, sizes[lane])


def is_held(commit: Transaction, key: str, keys: set[str]) -> bool:
    """Whether an earlier row of `key` waits, possibly in this commit (`keys`, to which `key` is added)."""
    if key in keys or commit.run("key_is_waiting", (key,)).fetchone():
        return True
    keys.add(key)
    return False


def digest_of(event: NewEvent) -> bytes:
    """Return a row's ``digest``: of the payload, followed by that of a request's content."""
    return event.payload_digest + event.content_digest


def _is_alike(digest: bytes, event: NewEvent) -> bool:
    content = digest[PAYLOAD_DIGEST_BYTES:]
    if content and event.content_digest:
        return content == event.content_digest
    return digest[:PAYLOAD_DIGEST_BYTES] == event.payload_digest


def _known_outcome(commit: Transaction, event: NewEvent, found: tuple[Any, ...]) -> StoredOutcome:
    seq, digest, namespace, name, code, error = found
    reused = not _is_alike(digest, event)
    body = commit.run("waiting_body", (seq,)).fetchone()
    if body is not None:
        if not (reused and event.content_digest):
            _attach_reply(commit, event, seq, body[0])
        return StoredOutcome(event.id, reused, None, namespace, name)
    outcome = Outcome.DONE if code is None else Outcome.DEAD
    return StoredOutcome(event.id, reused, outcome, namespace, name, error or "", code or "")


def _attach_reply(commit: Transaction, event: NewEvent, seq: int, body: bytes) -> None:
    if event.reply is None:
        return
    rows = commit.run("select_replies", json_list([seq])).fetchall()
    # The same request delivered again: one reply is enough.
    if event.reply == reply_of_body(body) or any(decode_reply(address) == event.reply for _, address in rows):
        return
    commit.run("add_reply", (seq, len(rows), encode_reply(event.reply)))


def store_deliveries(commit: Transaction, rows: Sequence[Inflight]) -> None:
    """Store the delivery id of each packet id and digest; the newest four of a packet id are kept."""
    if rows:
        commit.many("remember_delivery", [(row.connection, row.packet_id, _entry_of(row)) for row in rows])


def _entry_of(row: Inflight) -> bytes:
    if len(row.delivery_id) != DELIVERY_BYTES:
        raise ValueError(f"a delivery id has {DELIVERY_BYTES} bytes, not {len(row.delivery_id)}")
    return row.digest[:DIGEST_BYTES].ljust(DIGEST_BYTES, b"\0") + row.delivery_id


def find_delivery(entries: bytes, digest: bytes) -> bytes | None:
    """Return the newest delivery id for `digest` in the ``entries`` of a packet id."""
    wanted = digest[:DIGEST_BYTES].ljust(DIGEST_BYTES, b"\0")
    size = DIGEST_BYTES + DELIVERY_BYTES
    for start in range(0, len(entries), size):
        if entries[start : start + DIGEST_BYTES] == wanted:
            return bytes(entries[start + DIGEST_BYTES : start + size])
    return None


def remembered(snapshot: Snapshot, connection: str) -> tuple[tuple[int, bytes], ...]:
    """Return the packet id and the shortened digest of every entry, newest of a packet id first."""
    size = DIGEST_BYTES + DELIVERY_BYTES
    return tuple(
        (packet_id, bytes(entries[start : start + DIGEST_BYTES]))
        for packet_id, entries in snapshot.run("all_deliveries", (connection,)).fetchall()
        for start in range(0, len(entries), size)
    )


def store_outbox(commit: Transaction, rows: Sequence[OutboxMessage]) -> None:
    """Append messages to the outbox."""
    if not rows:
        return
    first = commit.ledger.take_seqs(len(rows))
    commit.many("insert_outbox", [(seq, row.connection, *encode_message(row)) for seq, row in enumerate(rows, first)])
    commit.ledger.outbox += len(rows)
