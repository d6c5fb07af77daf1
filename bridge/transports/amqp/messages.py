"""Makes a `Message` from a delivery. Pure except for the wall clock, with which expirations are compared.

Unreadable content is not an error here: the message gets a `Flaw`, and the receiver refuses it for that.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from bridge.core.errors import cut
from bridge.core.model import Flaw, Message
from bridge.core.topic_filter import MAX_TOPIC_BYTES, matches
from bridge.interface.topics import BRIDGE_ROOT
from bridge.transports.amqp.addresses import Addresses
from bridge.transports.amqp.options import AmqpOptions, QueueKind
from bridge.transports.amqp.properties import Death, read_properties

_AS_IS = frozenset({"", "identity", "utf-8", "utf8", "binary", "8bit"})
_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Origin(NamedTuple):
    """Where a message came from.

    Attributes:
        exchange: the exchange it was published to; "" = the default exchange: it was sent directly to the queue.
        routing_key: bytes if it is not UTF-8.
    """

    kind: QueueKind
    exchange: str
    routing_key: str | bytes


class Arrival(NamedTuple):
    """One delivery as received: of which consumer (`token`), its tag on the channel, its properties not parsed."""

    token: int
    origin: Origin
    tag: int
    redelivered: bool
    header: bytes
    body: bytes


class Skip(Enum):
    """Why a message must not be handled; the value is the label of ``messages_skipped``.

    COPY: a mapping's queue has the same message as the request queue. MISROUTED: the bridge's own message is in the
    request queue, so the exchange does not use routing keys.
    """

    COPY = "copy"
    MISROUTED = "misrouted"


class Read(NamedTuple):
    """A message, and why it must not be handled, or None."""

    message: Message
    skip: Skip | None = None


class MessageReader:
    """Parses the messages of one connection."""

    def __init__(self, options: AmqpOptions) -> None:
        self._options = options
        self._addresses = Addresses(options.exchange)
        self._queues = {queue.kind: queue for queue in options.queues()}
        self._request_filters: tuple[str, ...] = ()
        self._request_heads: tuple[str, ...] = ()
        self._event_filters: tuple[str, ...] = ()

    def expect(self, request_filters: Iterable[str], event_filters: Iterable[str]) -> None:
        """Set the topics of requests, and those of mappings."""
        self._request_filters, self._event_filters = tuple(request_filters), tuple(event_filters)
        self._request_heads = tuple({re.split("[+#]", each)[0] for each in self._request_filters})

    def read(self, arrival: Arrival, now_s: float) -> Read:
        """Return the message of `arrival`, with packet id 0; `now_s` is wall time."""
        topic = self._addresses.topic_of(arrival.origin.routing_key)
        read = read_properties(arrival.header, now_s)
        shared, payload, flaw = read.shared, arrival.body, read.flaw
        if flaw is None and read.content_encoding not in _AS_IS:
            payload, flaw = self._decoded(arrival.body, read.content_encoding)
        origin = self._first_origin(arrival.origin, read.death)
        skip = self._skip(origin, topic)
        message = Message(
            connection=self._options.name,
            topic=topic[:MAX_TOPIC_BYTES],
            payload=payload,
            qos=1,
            dup=arrival.redelivered or read.death is not None,
            properties=shared,
            flaw=flaw or self._misplaced(origin, topic),
        )
        return Read(message, skip)

    def _first_origin(self, origin: Origin, death: Death | None) -> Origin:
        """Return where a message was before the broker removed it from its queue."""
        if origin.kind is QueueKind.REDELIVERED and death is not None:
            for kind, queue in self._queues.items():
                if queue.name == death.queue:
                    return Origin(kind, death.exchange, origin.routing_key)
        return origin

    def _skip(self, origin: Origin, topic: str) -> Skip | None:
        if origin.kind is QueueKind.REQUESTS and topic.startswith(f"{BRIDGE_ROOT}/"):
            return Skip.MISROUTED
        if origin.kind is not QueueKind.EVENTS or not self._is_request(topic):
            return None
        # The request queue got it from the exchange as well.
        is_copy = origin.exchange and (
            self._queues[QueueKind.EVENTS].is_own or origin.exchange == self._options.exchange
        )
        return Skip.COPY if is_copy else None

    def _misplaced(self, origin: Origin, topic: str) -> Flaw | None:
        """Return what is wrong with a message in the wrong queue."""
        queue = self._queues[origin.kind]
        text = ""
        if queue.is_own and not origin.exchange and origin.kind is not QueueKind.VISIT:
            text = "it was sent directly to the queue and so has no topic"
        elif origin.kind is QueueKind.REDELIVERED:
            text = "the broker did not remove it from a queue of the bridge"
        elif origin.kind is QueueKind.REQUESTS and not topic.startswith(f"{self._options.prefix}/"):
            text = "that queue is only for requests"
        elif not queue.is_own and self._is_request(topic):
            text = "that queue is not for requests"
        elif not queue.is_own and not any(matches(each, topic) for each in self._event_filters):
            shown = cut(topic)
            return Flaw("no-mapping", f'no mapping matches topic "{shown}" of a message in queue "{queue.name}"')
        if not text:
            return None
        hint = f'publish to exchange "{self._options.exchange}", with the routing key of its topic'
        return Flaw("wrong-queue", f'the message arrived in queue "{queue.name}", and {text}; {hint}')

    def _is_request(self, topic: str) -> bool:
        # There are dozens of filters, and almost every message is none of them.
        return topic.startswith(self._request_heads) and any(matches(each, topic) for each in self._request_filters)

    def _decoded(self, body: bytes, encoding: str) -> tuple[bytes, Flaw | None]:
        if encoding not in _GZIP:
            text = f'content encoding "{cut(encoding, 64)}" is not supported; send it uncompressed, or as gzip'
            return body, Flaw("unknown-encoding", text)
        limit = self._options.max_payload_bytes
        unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            payload = unpack.decompress(body, limit + 1)  # a small message may decompress to gigabytes
        except zlib.error as error:
            return body, Flaw("unreadable-encoding", f"the payload cannot be decompressed as gzip: {cut(str(error))}")
        if len(payload) > limit:
            text = f"the payload has more than {limit} bytes when decompressed (interface.max-payload)"
            return body, Flaw("payload-too-large", text)
        if not unpack.eof:
            return body, Flaw("unreadable-encoding", "the payload cannot be decompressed as gzip: it is cut off")
        return payload, None


def unreadable(connection: str, arrival: Arrival) -> Message:
    """Return a message that stands for one whose parsing failed unexpectedly: it is refused, and its payload kept."""
    flaw = Flaw("internal-error", "unexpected error in the bridge while reading this message; see its log")
    key = arrival.origin.routing_key
    key = key if isinstance(key, str) else "unreadable"
    topic = Addresses("").topic_of(key)
    return Message(connection, topic, arrival.body, qos=1, dup=arrival.redelivered, flaw=flaw)
