"""The unacknowledged deliveries of the channels of one AMQP connection. Pure: no I/O, no clock.

A delivery tag means something on its channel only, so each consuming is a `Tags` of its own with a token that is never
used again. Acknowledgements leave in order of arrival and as few as can be: one for the longest acknowledged run from
the front (AMQP 0-9-1, basic.ack with multiple).

Thread: the transport's; `AmqpDelivery.ack` any.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bridge.core.model import Message


class AmqpDelivery:
    """One message and the right to acknowledge it (see `base.Delivery`).

    Attributes:
        message: what arrived.
        is_acked: whether `ack` was called.
    """

    __slots__ = ("_session", "is_acked", "message", "tag", "tags")

    def __init__(self, session: AmqpSession, message: Message, tags: Tags, tag: int) -> None:
        self._session = session
        self.message = message
        self.tags = tags
        self.tag = tag
        self.is_acked = False

    def ack(self) -> None:
        """Acknowledge; once its channel is gone this does nothing but count, and nothing when called again.

        Thread: any.
        """
        if not self.is_acked:
            self._session.ack(self)


class Tags:
    """What one consuming delivered: waiting for the receiver, or acknowledged and perhaps not yet taken by the broker.

    Attributes:
        is_over: its channel is gone: nothing of it can be acknowledged any more.
        is_returned: its messages went back to the broker on purpose; what is acknowledged late is no surprise.
    """

    def __init__(self) -> None:
        self._waiting: deque[AmqpDelivery] = deque()
        self._sent: deque[tuple[int, int]] = deque()
        self.is_over = False
        self.is_returned = False

    @property
    def count(self) -> int:
        """Deliveries that the broker still waits for."""
        return len(self._waiting)

    def add(self, delivery: AmqpDelivery) -> None:
        """Note one delivery."""
        self._waiting.append(delivery)

    def take_acknowledgement(self) -> int:
        """Return the tag up to which everything is acknowledged since the last time, 0 if nothing is."""
        tag = 0
        while self._waiting and self._waiting[0].is_acked:
            delivery = self._waiting.popleft()
            tag = delivery.tag
            self._sent.append((tag, delivery.message.packet_id))
        return tag

    def settled(self, tag: int) -> list[int]:
        """Return the numbers of the deliveries up to `tag`, whose acknowledgements the broker has taken."""
        numbers = []
        while self._sent and self._sent[0][0] <= tag:
            numbers.append(self._sent.popleft()[1])
        return numbers


class AmqpSession:
    """All consumings of one connection.

    Args:
        wake: called after an acknowledgement from another thread than the transport's.
        count_late: called for each acknowledgement after the end of its channel, on the thread that acknowledges.
    """

    def __init__(self, wake: Callable[[], None], count_late: Callable[[], None]) -> None:
        self._wake = wake
        self._count_late = count_late
        self._by_token: dict[int, Tags] = {}
        self._owner = threading.get_ident()

    def __repr__(self) -> str:
        return f"<AmqpSession unacknowledged={self.count}>"

    @property
    def count(self) -> int:
        """Deliveries that the broker still waits for."""
        return sum(tags.count for tags in self._by_token.values())

    def own(self) -> None:
        """Make the calling thread the owner."""
        self._owner = threading.get_ident()

    def began(self, token: int) -> None:
        """A consuming begins."""
        self._by_token[token] = Tags()

    def ended(self, token: int) -> None:
        """The channel of a consuming is gone."""
        tags = self._by_token.pop(token, None)
        if tags is not None:
            tags.is_over = True

    def ended_all(self, *, is_returned: bool = False) -> None:
        """Every channel is gone, or is about to be closed so that the broker takes back what is unacknowledged."""
        for token in list(self._by_token):
            self._by_token[token].is_returned = is_returned
            self.ended(token)

    def is_current(self, token: int) -> bool:
        """Whether a consuming continues."""
        return token in self._by_token

    def arrived(self, message: Message, token: int, tag: int) -> AmqpDelivery:
        """Note one delivery of a consuming that goes on."""
        tags = self._by_token[token]
        delivery = AmqpDelivery(self, message, tags, tag)
        tags.add(delivery)
        return delivery

    def ack(self, delivery: AmqpDelivery) -> None:
        """Mark `delivery` acknowledged, if its channel is still there. Thread: any."""
        if delivery.tags.is_over:
            delivery.is_acked = True
            if not delivery.tags.is_returned:
                self._count_late()
            return
        delivery.is_acked = True
        if threading.get_ident() != self._owner:
            self._wake()

    def take_acknowledgements(self) -> list[tuple[int, int]]:
        """Return (token, tag) of each acknowledgement that may leave now."""
        found = ((token, tags.take_acknowledgement()) for token, tags in self._by_token.items())
        return [(token, tag) for token, tag in found if tag]

    def settled(self, token: int, tag: int) -> list[int]:
        """Return the numbers of what the broker has taken the acknowledgements of, up to `tag`."""
        tags = self._by_token.get(token)
        return tags.settled(tag) if tags is not None else []
