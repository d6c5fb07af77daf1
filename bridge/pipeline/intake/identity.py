"""Decides which messages are the same event (docs/design/promises.md).

An identity is 32 bytes of SHA-256, and the spool's UNIQUE column is the only deduplication. Correlation Data and
``requestId`` are never part of it, because clients count from 1.

Thread: the transport's, through ingest. Keeps no state beyond the current batch.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping

from bridge.core import strict_json
from bridge.core.model import Message
from bridge.spool.records import Inflight

REFUSED = bytes(16)
"""Delivery id of a message that led only to dead letters: a redelivery of it leads to nothing more."""

DeliveryLookup = Callable[[str, int, bytes], bytes | None]


def digest(*parts: str | bytes) -> bytes:
    """Return the SHA-256 of `parts`, each preceded by its length, so that different lists of parts differ."""
    framed: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        framed += (len(data).to_bytes(8, "big"), data)
    return hashlib.sha256(b"".join(framed)).digest()


def mapped_event(bridge_id: str, mapping: str, topic: str, event_id: str) -> bytes:
    """Return the identity of a mapped event whose mapping has ``event-id``."""
    return digest("mapped", bridge_id, mapping, topic, event_id)


def requested_event(bridge_id: str, topic: str, event_identity: tuple[str, ...]) -> bytes:
    """Return the identity of a request's event with an id from its sender (`TriggerMessage.event_identity`)."""
    return digest("requested", bridge_id, topic, *event_identity)


def content(keys: Mapping[str, object]) -> bytes:
    """Return the identity of a request's content: a retry has the same, whatever its ``requestId``.

    Args:
        keys: of its body. ``eventId`` is not content: it is the id under which the content is compared.
    """
    asked = {key: value for key, value in keys.items() if key not in ("requestId", "eventId")}
    return digest("content", strict_json.dumps(asked, sort_keys=True))


def event_of_request(bridge_id: str, topic: str, event_identity: tuple[str, ...], delivery: DeliveryIdentity) -> bytes:
    """Return the identity of a request's event: by the id from its sender, or by its delivery."""
    if event_identity:
        return requested_event(bridge_id, topic, event_identity)
    return delivered_event(delivery.id(), "")


def delivered_event(delivery_id: bytes, mapping: str) -> bytes:
    """Return the identity of an event that has only its delivery (`mapping` "" for a request)."""
    return digest("delivered", delivery_id, mapping)


class DeliveryIdentity:
    """The delivery id of one message, generated or looked up only if an event needs it."""

    def __init__(self, message: Message, deliveries: Deliveries) -> None:
        self._message = message
        self._deliveries = deliveries
        self._id = b""
        self.row: Inflight | None = None

    def known(self) -> bytes | None:
        """Return the delivery id that a redelivered message had before, or None if it was not stored or has none."""
        return self._deliveries.stored(self._message) if self._message.dup else None

    def id(self) -> bytes:
        """Return the delivery id; `row` is then the row to commit with the event (None if there is none)."""
        if not self._id:
            self._id, self.row = self._deliveries.identify(self._message)
        return self._id


class Deliveries:
    """Gives each delivery of one batch its delivery id: a new random one, or for a redelivery the earlier one.

    Args:
        lookup: ``Spool.delivery_id``: (connection, packet id, digest) to a stored delivery id.
    """

    def __init__(self, lookup: DeliveryLookup) -> None:
        self._lookup = lookup
        self._fresh: dict[tuple[str, int, bytes], bytes] = {}
        self._stored: dict[tuple[str, int, bytes], bytes | None] = {}

    def of(self, message: Message) -> DeliveryIdentity:
        """Return the identity of one delivery of the batch."""
        return DeliveryIdentity(message, self)

    def stored(self, message: Message) -> bytes | None:
        """Return the delivery id stored in the spool for `message`, or None."""
        if message.qos == 0:
            return None
        key = (message.connection, message.packet_id, _content(message))
        if key not in self._stored:
            self._stored[key] = self._lookup(*key)
        return self._stored[key]

    def identify(self, message: Message) -> tuple[bytes, Inflight | None]:
        """Return the delivery id of `message`, and the row that stores it.

        None at QoS 0, which is never redelivered, and if the sender gave the message an id, which identifies it. DUP=1
        looks in the spool and the current batch; DUP=0 is always a new delivery, whatever packet id it has.
        """
        if message.qos == 0:
            return secrets.token_bytes(16), None
        if message.properties.message_id:
            # With an id from its sender (AMQP): messages with the same id on the same topic are the same.
            return digest("message-id", message.topic, message.properties.message_id)[:16], None
        content = _content(message)
        key = (message.connection, message.packet_id, content)
        known = (self._fresh.get(key) or self.stored(message)) if message.dup else None
        delivery_id = known or secrets.token_bytes(16)
        self._fresh[key] = delivery_id
        return delivery_id, Inflight(message.connection, message.packet_id, content, delivery_id)


def refused_delivery(message: Message) -> list[Inflight]:
    """Return the row by which a redelivery of `message` is known to be dead-lettered; [] at QoS 0."""
    return stored_delivery(message, REFUSED)


def stored_delivery(message: Message, delivery_id: bytes) -> list[Inflight]:
    """Return the row by which a redelivery of `message` is known, also if its sender gave it an id; [] at QoS 0."""
    if message.qos == 0:
        return []
    return [Inflight(message.connection, message.packet_id, _content(message), delivery_id)]


def _content(message: Message) -> bytes:
    return digest(message.topic, message.payload)
