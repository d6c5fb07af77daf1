"""Recognises what an AMQP broker delivers again: by the spool, where what was stored is known by topic and payload.

AMQP says of a redelivery that it is one, and not which: tags belong to a channel. So a redelivered message counts as
the repetition of a stored one that is alike and may still come again, each stored one once. Two messages that are
alike to the last byte are told apart by their number only: of two, one stored and one not, the first to come again
counts as the stored one, which gives the same two events.

Thread: the transport's of the connection. It decides nothing about events: it gives numbers (`Message.packet_id`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from bridge.core.model import Message
from bridge.pipeline.intake.identity import digest
from bridge.spool.records import REMEMBERED_DIGEST_BYTES
from bridge.spool.store import Spool


class Redeliveries:
    """The `DeliveryMemory` of one connection (see `bridge.transports.amqp.options`).

    Args:
        spool: where deliveries are stored.
        connection: its name.
    """

    def __init__(self, spool: Spool, connection: str) -> None:
        self._spool = spool
        self._connection = connection
        self._unseen: defaultdict[bytes, deque[int]] = defaultdict(deque)

    def begin(self) -> int:
        """Read what is remembered: all of it may come again. Return the highest number in use, 0 if there is none.

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
        """Return the number of a stored delivery that is alike and was not given out yet, the oldest first; else 0."""
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
        """Forget what was remembered at `begin` and did not come again.

        Raises:
            SpoolError: likewise.
        """
        numbers = [number for known in self._unseen.values() for number in known]
        self._unseen.clear()
        self._spool.forget_deliveries(self._connection, numbers)
