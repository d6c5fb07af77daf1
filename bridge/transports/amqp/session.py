"""The unacknowledged deliveries of the channels of one AMQP connection. Pure: no I/O, no clock.

A delivery tag is valid on its channel only, so each consumer has its own `Tags` with a token that is never reused.
Acknowledgements are sent in order of arrival and as few as possible: one for the longest acknowledged run from the
front (AMQP 0-9-1, basic.ack with multiple).

Thread: the transport's; `AmqpDelivery.ack` any.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bridge.core.model import Message


class AmqpDelivery:
    """One message and the right to acknowledge it (see `base.Delivery`)."""

    __slots__ = ("_session", "is_acked", "message", "tag", "tags")

    def __init__(self, session: AmqpSession, message: Message, tags: Tags, tag: int) -> None:
        self._session = session
        self.message = message
        self.tags = tags
        self.tag = tag
        self.is_acked = False

    def ack(self) -> None:
        """Acknowledge. After the end of its channel this only counts; a second call has no effect. Thread: any."""
        if not self.is_acked:
            self._session.ack(self)


class Tags:
    """The deliveries of one consumer: waiting for the receiver, or acknowledged but perhaps not received yet.

    Attributes:
        is_over: its channel is gone: nothing can be acknowledged any more.
        is_returned: its messages were returned to the broker deliberately; late acknowledgements are expected.
    """

    def __init__(self) -> None:
        self._waiting: deque[AmqpDelivery] = deque()
        self._sent: deque[tuple[int, int]] = deque()
        self.is_over = False
        self.is_returned = False

    def add(self, delivery: AmqpDelivery) -> None:
        """Note one delivery."""
        self._waiting.append(delivery)

    def take_acknowledgement(self) -> int:
        """Return the tag up to which everything was acknowledged since the last call, or 0."""
        tag = 0
        while self._waiting and self._waiting[0].is_acked:
            delivery = self._waiting.popleft()
            tag = delivery.tag
            self._sent.append((tag, delivery.message.packet_id))
        return tag

    def settled(self, tag: int) -> list[int]:
        """Return the numbers of the deliveries up to `tag`, whose acknowledgements the broker has received."""
        numbers = []
        while self._sent and self._sent[0][0] <= tag:
            numbers.append(self._sent.popleft()[1])
        return numbers


class AmqpSession:
    """All consumers of one connection.

    Args:
        wake: called after an acknowledgement from another thread than the transport's.
        count_late: called for each acknowledgement after the end of its channel, on the thread that acknowledges.
    """

    def __init__(self, wake: Callable[[], None], count_late: Callable[[], None]) -> None:
        self._wake = wake
        self._count_late = count_late
        self._by_token: dict[int, Tags] = {}
        self._owner = threading.get_ident()

    def own(self) -> None:
        """Make the calling thread the owner."""
        self._owner = threading.get_ident()

    def began(self, token: int) -> None:
        """Note that a consumer has started."""
        self._by_token[token] = Tags()

    def ended(self, token: int) -> None:
        """Note that a consumer's channel is gone."""
        tags = self._by_token.pop(token, None)
        if tags is not None:
            tags.is_over = True

    def ended_all(self, *, is_returned: bool = False) -> None:
        """Note that every channel is gone, or is about to be closed to return unacknowledged messages."""
        for token in list(self._by_token):
            self._by_token[token].is_returned = is_returned
            self.ended(token)

    def is_current(self, token: int) -> bool:
        """Whether a consumer is still running."""
        return token in self._by_token

    def arrived(self, message: Message, token: int, tag: int) -> AmqpDelivery:
        """Note one delivery of a running consumer."""
        tags = self._by_token[token]
        delivery = AmqpDelivery(self, message, tags, tag)
        tags.add(delivery)
        return delivery

    def ack(self, delivery: AmqpDelivery) -> None:
        """Mark `delivery` acknowledged, if its channel still exists. Thread: any."""
        if delivery.tags.is_over:
            delivery.is_acked = True
            if not delivery.tags.is_returned:
                self._count_late()
            return
        delivery.is_acked = True
        if threading.get_ident() != self._owner:
            self._wake()

    def take_acknowledgements(self) -> list[tuple[int, int]]:
        """Return (token, tag) of each acknowledgement that can be sent now."""
        found = ((token, tags.take_acknowledgement()) for token, tags in self._by_token.items())
        return [(token, tag) for token, tag in found if tag]

    def settled(self, token: int, tag: int) -> list[int]:
        """Return the numbers of deliveries up to `tag` whose acknowledgements the broker has received."""
        tags = self._by_token.get(token)
        return tags.settled(tag) if tags is not None else []
