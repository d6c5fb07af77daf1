"""The unacknowledged deliveries of one channel: of an MQTT network connection, or of an AMQP consumer.

A packet id or delivery tag is valid on its channel only: on another one it may be another message, which a late
acknowledgement would lose (docs/design/brokers.md). So each channel has its own `Deliveries`, and an acknowledgement
after its end is only counted.

Pure: no I/O, no clock, no deduplication. Thread: the transport's, which makes it; `BrokerDelivery.ack` any.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.core.model import Message

_A = TypeVar("_A", bound=bytes | int)


class BrokerDelivery(Generic[_A]):
    """One message and the right to acknowledge it (see `base.Delivery`).

    Attributes:
        acknowledgement: what acknowledges it: MQTT: a packet; AMQP: its tag; false at QoS 0.
        size_bytes: of topic, payload and correlation data.
    """

    __slots__ = ("acknowledgement", "deliveries", "is_acked", "message", "size_bytes")

    def __init__(self, deliveries: Deliveries[_A], message: Message, acknowledgement: _A) -> None:
        self.deliveries = deliveries
        self.message = message
        self.acknowledgement = acknowledgement
        self.is_acked = False
        self.size_bytes = len(message.payload) + len(message.topic) + len(message.properties.correlation_data)

    def ack(self) -> None:
        """Acknowledge. After the end of its channel this only counts; a second call has no effect. Thread: any."""
        if self.is_acked:
            return
        self.is_acked = True
        if self.acknowledgement:
            self.deliveries.acked()


class Deliveries(Generic[_A]):
    """Unacknowledged deliveries, in order of arrival.

    Args:
        wake: called after an acknowledgement from another thread than the transport's.
        count_late: called for each acknowledgement after the end of the channel, on the thread that acknowledges.

    Attributes:
        is_over: the channel is gone: nothing can be acknowledged any more.
        size_bytes: of all of them.
    """

    def __init__(self, wake: Callable[[], None], count_late: Callable[[], None]) -> None:
        self._wake = wake
        self._count_late: Callable[[], None] | None = count_late
        self._waiting: deque[BrokerDelivery[_A]] = deque()
        self._owner = threading.get_ident()
        self.is_over = False
        self.size_bytes = 0

    @property
    def count(self) -> int:
        """Deliveries without a sent acknowledgement, including acknowledgements held back for order."""
        return len(self._waiting)

    def arrived(self, message: Message, acknowledgement: _A) -> BrokerDelivery[_A]:
        """Note one delivery."""
        delivery = BrokerDelivery(self, message, acknowledgement)
        if acknowledgement:
            self._waiting.append(delivery)
            self.size_bytes += delivery.size_bytes
        return delivery

    def acked(self) -> None:
        """Note that a delivery was marked as acknowledged.

        Thread: any. The end of the channel at this very moment is harmless: the mark is read by nobody, and the broker
        redelivers the message.
        """
        if not self.is_over:
            if threading.get_ident() != self._owner:
                self._wake()
        elif self._count_late is not None:
            self._count_late()

    def take_acknowledged(self) -> list[BrokerDelivery[_A]]:
        """Return and forget the longest acknowledged run from the front: acknowledgements are sent in order of arrival.

        Source: MQTT 5.0 section 4.6; AMQP 0-9-1, basic.ack with multiple.
        """
        waiting = self._waiting
        taken = []
        while waiting and waiting[0].is_acked:
            delivery = waiting.popleft()
            taken.append(delivery)
            self.size_bytes -= delivery.size_bytes
        return taken

    def end(self, *, is_returned: bool = False) -> None:
        """Note that the channel is gone; `is_returned`: to return its messages, so that none is late."""
        if is_returned:
            self._count_late = None
        self.is_over = True
        self._waiting.clear()
        self.size_bytes = 0
