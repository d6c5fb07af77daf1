"""The queue from the network connection's thread to the transport's thread: messages, and calls to make there. No I/O.

Everything passes in the order in which it happened: for example, a consumer's start before its first message, and its
end before the first message of the next one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bridge.transports.amqp.messages import Arrival

Call = Callable[[], object]

BATCH_BYTES = 8 * 2**20
MAX_WAITING_BYTES = 64 * 2**20
PATIENCE_S = 5.0
"""Maximum wait for room for one message: the shortest heartbeat, 5 s, so that the connection does not count as dead."""


class Inbox:
    """Limited by the broker's unacknowledged messages (prefetch) and by bytes: beyond it, reading stops."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[Call | Arrival] = deque()
        self._bytes = 0
        self._is_woken = False
        self._is_closed = False

    def put(self, item: Call | Arrival) -> None:
        """Add one item; a message waits for room, at most `PATIENCE_S`: the broker expects heartbeats. Thread: any."""
        with self._changed:
            if isinstance(item, Arrival):
                self._changed.wait_for(lambda: self._bytes < MAX_WAITING_BYTES or self._is_closed, PATIENCE_S)
                self._bytes += len(item.body)
            self._items.append(item)
            self._changed.notify_all()

    def wake(self) -> None:
        """Make `take` return. Thread: any."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Make `take` return, and `put` stop waiting. Thread: any."""
        self._is_closed = True
        self.wake()

    def take(self, limit: int, timeout_s: float) -> list[Arrival] | Call | None:
        """Return the next call, or the messages before it; None after a wake or timeout. Thread: the transport's.

        Up to `limit` messages, and no more once they reach `BATCH_BYTES`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_woken, timeout_s)
            self._is_woken = False
            if not self._items:
                return None
            first = self._items.popleft()
            if not isinstance(first, Arrival):
                return first
            batch, size_bytes = [first], len(first.body)
            while len(batch) < limit and size_bytes < BATCH_BYTES and self._items:
                if not isinstance(self._items[0], Arrival):
                    break
                arrival = self._items.popleft()
                batch.append(arrival)  # type: ignore[arg-type]  # mypy does not narrow an item of a deque
                size_bytes += len(arrival.body)  # type: ignore[union-attr]  # likewise
            self._bytes -= size_bytes
            self._changed.notify_all()
            return batch
