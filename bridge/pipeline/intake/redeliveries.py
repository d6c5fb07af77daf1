"""Recognises redeliveries from an AMQP broker, by topic and payload of stored deliveries.

AMQP says that a message is a redelivery, but not of which one: tags belong to a channel. So a redelivered message
counts as the repetition of an identical stored one that may still come again; each stored one counts once. Two
byte-identical messages differ only by their number: of two, one stored and one not, the first to come again counts as
the stored one, which leads to the same two events.

Thread: the connection's transport. It decides nothing about events: it assigns numbers (`Message.packet_id`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from bridge.core.model import Message
from bridge.pipeline.intake.identity import digest
from bridge.spool.records import REMEMBERED_DIGEST_BYTES
from bridge.spool.store import Spool
from bridge.transports.amqp.options import DeliveryMemory


class Redeliveries(DeliveryMemory):
    """The memory of one connection.

    Args:
        spool: where deliveries are stored.
        connection: its name.
    """

    def __init__(self, spool: Spool, connection: str) -> None:
        self._spool = spool
        self._connection = connection
        self._unseen: defaultdict[bytes, deque[int]] = defaultdict(deque)

    def begin(self) -> int:
        """Load the remembered deliveries: all of them may come again. Return the highest number in use, or 0.

        Raises:
            SpoolError: it cannot be read.
        """
        unseen: defaultdict[bytes, deque[int]] = defaultdict(deque)
        highest = 0
        for number, content in self._spool.deliveries(self._connection):
            unseen[content].append(number)
            highest = max(highest, number)
        self._unseen = unseen
        return highest

    def number(self, message: Message) -> int:
        """Return the number of an identical stored delivery not returned yet, oldest first; else 0."""
        content = digest(message.topic, message.payload)[:REMEMBERED_DIGEST_BYTES]
        known = self._unseen.get(content)
        return known.popleft() if known else 0

    def forget(self, numbers: Sequence[int]) -> None:
        """Forget deliveries that will not come again.

        Raises:
            SpoolError: they are remembered for longer.
        """
        self._spool.forget_deliveries(self._connection, numbers)

    def forget_unseen(self) -> None:
        """Forget deliveries that were loaded at `begin` and did not come again.

        Raises:
            SpoolError: likewise.
        """
        numbers = [number for known in self._unseen.values() for number in known]
        self._unseen.clear()
        self._spool.forget_deliveries(self._connection, numbers)
