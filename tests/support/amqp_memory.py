"""A memory of AMQP deliveries for tests of the transport alone: a test says what was stored."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.model import Message
from bridge.transports.amqp.options import DeliveryMemory


class DeliveryNotes(DeliveryMemory):
    """Remembers nothing of itself; a test says what was stored.

    stored: number to topic and payload.
    forgotten: every number that need not be remembered.
    begun: how often consuming began.
    """

    def __init__(self) -> None:
        self.stored: dict[int, tuple[str, bytes]] = {}
        self.forgotten: list[int] = []
        self.begun = 0
        self.unseen = 0
        self._pending: dict[int, tuple[str, bytes]] = {}

    def begin(self) -> int:
        """See `DeliveryMemory`."""
        self.begun += 1
        self._pending = dict(self.stored)
        return max(self.stored, default=0)

    def number(self, message: Message) -> int:
        """See `DeliveryMemory`."""
        for number, content in self._pending.items():
            if content == (message.topic, message.payload):
                del self._pending[number]
                return number
        return 0

    def forget(self, numbers: Sequence[int]) -> None:
        """See `DeliveryMemory`."""
        self.forgotten += numbers
        for number in numbers:
            self.stored.pop(number, None)

    def forget_unseen(self) -> None:
        """See `DeliveryMemory`."""
        self.unseen += 1
