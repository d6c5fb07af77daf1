"""Makes a `Message` of what arrived on a queue. Pure but for the wall clock that expirations are compared with.

What cannot be read is no error here: the message gets a `Flaw`, and whoever receives it refuses it for that.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from bridge.core.errors import cut
from bridge.core.model import Flaw, Message
from bridge.core.topic_filter import MAX_TOPIC_BYTES, matches
from bridge.transports.amqp_addresses import addresses_for
from bridge.transports.amqp_options import AmqpOptions, QueueKind
from bridge.transports.amqp_properties import AmqpProperties, read_properties

_AS_IS = frozenset({"", "identity", "utf-8", "utf8", "binary", "8bit"})
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Arrival(NamedTuple):
    """One delivery as it came.

    Attributes:
        token: which consuming it belongs to.
        kind: of its queue.
        tag: its delivery tag on the channel.
        redelivered: the broker says that it sent it before.
        routing_key: bytes where it is no UTF-8.
        header: the properties, unread.
        body: the payload.
    """

    token: int
    kind: QueueKind
    tag: int
    redelivered: bool
    routing_key: str | bytes
    header: bytes
    body: bytes


class Read(NamedTuple):
    """A message, and whether the queue of requests has it as well, so that it is not to be handled here."""

    message: Message
    is_copy: bool


class MessageReader:
    """Reads what arrives on one connection.

    Args:
        options: the connection's.
    """

    def __init__(self, options: AmqpOptions) -> None:
        self._options = options
        self._addresses = addresses_for(options.exchange)
        self._names = {queue.kind: queue.name for queue in options.queues()}
        self._request_filters: tuple[str, ...] = ()

    def expect(self, request_filters: Iterable[str]) -> None:
        """Say what the queue of requests is bound to."""
        self._request_filters = tuple(request_filters)

    def read(self, arrival: Arrival, now_s: float) -> Read:
        """Return the message of `arrival`, its packet id still 0.

        Args:
            arrival: what came.
            now_s: wall time, seconds.
        """
        topic = self._addresses.topic_of(arrival.routing_key)
        read = read_properties(arrival.header, now_s)
        shared, payload, flaw = read.shared, arrival.body, read.flaw
        if flaw is None and read.content_encoding not in _AS_IS:
            payload, flaw = self._decoded(arrival.body, read.content_encoding)
        message = Message(
            connection=self._options.name,
            topic=topic[:MAX_TOPIC_BYTES],
            payload=payload,
            qos=1,
            dup=arrival.redelivered or read.death is not None,
            properties=shared,
            flaw=flaw,
        )
        return Read(message, self._is_copy(arrival, read, topic))

    def _is_copy(self, arrival: Arrival, read: AmqpProperties, topic: str) -> bool:
        """Whether a message for sensor mappings is one of the interface too: both queues got it from the exchange."""
        kind = arrival.kind
        if kind is QueueKind.REDELIVERED and read.death is not None:
            is_event = read.death.queue == self._names[QueueKind.EVENTS]
        else:
            is_event = kind is QueueKind.EVENTS
        return is_event and any(matches(each, topic) for each in self._request_filters)

    def _decoded(self, body: bytes, encoding: str) -> tuple[bytes, Flaw | None]:
        if encoding not in _GZIP:
            text = f'content encoding "{cut(encoding, 64)}" is not understood; send it as it is, or as gzip'
            return body, Flaw("unknown-encoding", text)
        limit = self._options.max_payload_bytes
        unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            payload = unpack.decompress(body, limit + 1)  # a small message may unpack to gigabytes
        except zlib.error as error:
            return body, Flaw("unreadable-encoding", f"the payload cannot be unpacked as gzip: {cut(str(error))}")
        if len(payload) > limit:
            text = f"the payload has more than {limit} bytes once unpacked (interface.max-payload)"
            return body, Flaw("payload-too-large", text)
        if not unpack.eof:
            return body, Flaw("unreadable-encoding", "the payload cannot be unpacked as gzip: it is cut off")
        return payload, None


def unreadable(connection: str, arrival: Arrival) -> Message:
    """Return what stands for a message whose reading failed unexpectedly: it is refused, and its payload kept."""
    flaw = Flaw("internal-error", "the bridge met an unexpected error while reading this message; see its log")
    key = arrival.routing_key if isinstance(arrival.routing_key, str) else "unreadable"
    topic = addresses_for("").topic_of(key)
    return Message(connection, topic, arrival.body, qos=1, dup=arrival.redelivered, flaw=flaw)
