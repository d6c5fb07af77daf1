"""The unacknowledged deliveries of the consumers of one AMQP connection, by a token that is never reused. Pure.

Thread: the transport's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bridge.core.model import Message
from bridge.transports.deliveries import BrokerDelivery, Deliveries


class _Consumer(Deliveries[int]):
    """The deliveries of one consumer; those that were acknowledged may not be received yet, as (tag, number)."""

    def __init__(self, wake: Callable[[], None], count_late: Callable[[], None]) -> None:
        super().__init__(wake, count_late)
        self.sent: deque[tuple[int, int]] = deque()


class AmqpSession:
    """All consumers of one connection; see `Deliveries` for the arguments."""

    def __init__(self, wake: Callable[[], None], count_late: Callable[[], None]) -> None:
        self._wake = wake
        self._count_late = count_late
        self._by_token: dict[int, _Consumer] = {}

    def began(self, token: int) -> None:
        """Note that a consumer has started."""
        self._by_token[token] = _Consumer(self._wake, self._count_late)

    def ended(self, token: int, *, is_returned: bool = False) -> None:
        """Note that a consumer's channel is gone."""
        consumer = self._by_token.pop(token, None)
        if consumer is not None:
            consumer.end(is_returned=is_returned)

    def ended_all(self, *, is_returned: bool = False) -> None:
        """Note that every channel is gone, or is about to be closed to return unacknowledged messages."""
        for token in list(self._by_token):
            self.ended(token, is_returned=is_returned)

    def is_current(self, token: int) -> bool:
        """Whether a consumer is still running."""
        return token in self._by_token

    def arrived(self, message: Message, token: int, tag: int) -> BrokerDelivery[int]:
        """Note one delivery of a running consumer."""
        return self._by_token[token].arrived(message, tag)

    def take_acknowledgements(self) -> list[tuple[int, int]]:
        """Return (token, tag) of each acknowledgement to send: one tag stands for all before it."""
        found = []
        for token, consumer in self._by_token.items():
            acked = consumer.take_acknowledged()
            consumer.sent.extend((delivery.acknowledgement, delivery.message.packet_id) for delivery in acked)
            if acked:
                found.append((token, acked[-1].acknowledgement))
        return found

    def settled(self, token: int, tag: int) -> list[int]:
        """Return the numbers of deliveries up to `tag` whose acknowledgements the broker has received."""
        sent = self._by_token[token].sent if token in self._by_token else deque()
        numbers = []
        while sent and sent[0][0] <= tag:
            numbers.append(sent.popleft()[1])
        return numbers
