"""The unacknowledged deliveries of one connection, and the network connection of each.

Pure: no I/O, no clock, no deduplication. Owned by the transport's thread; others call only `MqttDelivery.ack`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bridge.core.model import Message


class MqttDelivery:
    """One message and the right to acknowledge it (see `base.Delivery`)."""

    __slots__ = ("_session", "acknowledgement", "generation", "is_acked", "message", "size_bytes")

    def __init__(self, session: DeliverySession, message: Message, generation: int, acknowledgement: bytes) -> None:
        self._session = session
        self.message = message
        self.generation = generation
        self.acknowledgement = acknowledgement
        self.is_acked = False
        self.size_bytes = len(message.payload) + len(message.topic) + len(message.properties.correlation_data)

    def ack(self) -> None:
        """Acknowledge; after a reconnect this only counts, a second call has no effect. Thread: any."""
        if not self.acknowledgement:
            self.is_acked = True
        elif not self.is_acked:
            self._session.ack(self)


class DeliverySession:
    """Unacknowledged deliveries, in order of arrival, by generation of the network connection.

    A packet id is valid on one network connection only: after a reconnect the broker may use it for another message,
    which a late acknowledgement would lose (docs/design/brokers.md). So each connection is a generation, a delivery
    knows its own, and an acknowledgement from an earlier generation is only counted.

    Acknowledgements are sent in order of arrival (MQTT 5.0 section 4.6): the longest acknowledged run from the front.

    Thread: the transport's; `ack` any.
    """

    def __init__(self, wake: Callable[[], None], count_late: Callable[[], None]) -> None:
        """Make a session without a connection.

        Args:
            wake: called after an acknowledgement from another thread than the transport's.
            count_late: called for each late acknowledgement, on the thread that acknowledges.
        """
        self._wake = wake
        self._count_late = count_late
        self._queue: deque[MqttDelivery] = deque()
        self._owner = threading.get_ident()
        self.generation = 0
        self.size_bytes = 0

    def __repr__(self) -> str:
        return f"<DeliverySession generation={self.generation} unacknowledged={self.count} bytes={self.size_bytes}>"

    @property
    def count(self) -> int:
        """Deliveries without a sent acknowledgement, including acknowledgements held back for order."""
        return len(self._queue)

    def begin(self) -> None:
        """Note that a network connection begins or has ended: earlier deliveries can no longer be acknowledged."""
        # The generation changes first: an `ack` that reads it in between is late and counted, not mistaken.
        self.generation += 1
        self._queue.clear()
        self.size_bytes = 0
        self._owner = threading.get_ident()

    def arrived(self, message: Message, acknowledgement: bytes) -> MqttDelivery:
        """Note one delivery; `acknowledgement` is the packet that acknowledges it, b"" at QoS 0."""
        delivery = MqttDelivery(self, message, self.generation, acknowledgement)
        if acknowledgement:
            self._queue.append(delivery)
            self.size_bytes += delivery.size_bytes
        return delivery

    def ack(self, delivery: MqttDelivery) -> None:
        """Mark `delivery` acknowledged, if its network connection is still the current one.

        Thread: any. A reconnect at this very moment is harmless: the queue that held it is gone, its mark is read by
        nobody, and the broker redelivers the message.
        """
        if delivery.generation != self.generation:
            self._count_late()
            return
        delivery.is_acked = True
        if threading.get_ident() != self._owner:
            self._wake()

    def take_acknowledgements(self) -> bytes:
        """Return the packets that may be sent now, joined, and forget their deliveries."""
        queue = self._queue
        packets = []
        while queue and queue[0].is_acked:
            delivery = queue.popleft()
            packets.append(delivery.acknowledgement)
            self.size_bytes -= delivery.size_bytes
        return b"".join(packets)
