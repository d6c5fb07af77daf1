"""What was handed to `publish` and is not confirmed yet. Sends nothing itself; owned by the thread that does the I/O.

Only `offer` is called by other threads. While the connection is away it takes nothing: the owners of the values
publish them again once connected, so nothing is kept here to be sent twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bridge.core.log import logger
from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishDone, PublishResult

WINDOW = 100

_log = logger(__name__)


class Outgoing:
    """A window of messages: waiting to be sent, for the socket (QoS 0), or for PUBACK or confirm."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Make it closed; `wake` is called, on the publisher's thread, when there is something to send."""
        self._wake = wake
        self._lock = threading.Lock()
        self._window = 0
        self._receive_maximum = 0
        self._queue: deque[tuple[OutgoingMessage, PublishDone]] = deque()
        self._unwritten: deque[tuple[int, PublishDone]] = deque()
        self._unconfirmed: dict[int, PublishDone] = {}

    @property
    def count(self) -> int:
        """Messages taken and not done."""
        return len(self._queue) + len(self._unwritten) + len(self._unconfirmed)

    def open(self, receive_maximum: int) -> None:
        """Take up to `WINDOW` messages at a time, of which at most `receive_maximum` may be unconfirmed."""
        self._receive_maximum = receive_maximum
        with self._lock:
            self._window = WINDOW

    def close(self) -> None:
        """Take no more; what was taken goes on."""
        with self._lock:
            self._window = 0

    def offer(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Take one message, if connected and the window has room.

        Thread: any.
        """
        with self._lock:
            if self.count >= self._window:
                return False
            self._queue.append((message, done))
        self._wake()
        return True

    def take(self) -> tuple[OutgoingMessage, PublishDone] | None:
        """Return the next message to send, or None; the caller then names what it waits for.

        None also while the broker's Receive Maximum is used up (MQTT 5.0 section 4.9).
        """
        if len(self._unconfirmed) >= self._receive_maximum:
            return None
        return self._queue.popleft() if self._queue else None

    def await_written(self, end_bytes: int, done: PublishDone) -> None:
        """The message is done once `end_bytes` have been sent on this connection (QoS 0)."""
        self._unwritten.append((end_bytes, done))

    def await_confirmed(self, packet_id: int, done: PublishDone) -> None:
        """The message is done once the broker answers `packet_id` (MQTT: QoS 1; AMQP: the delivery tag)."""
        self._unconfirmed[packet_id] = done

    def written(self, sent_bytes: int) -> None:
        """`sent_bytes` were sent on this connection so far."""
        while self._unwritten and self._unwritten[0][0] <= sent_bytes:
            finish(self._unwritten.popleft()[1], PublishResult.CONFIRMED)

    def answered(self, packet_id: int, result: PublishResult) -> None:
        """The broker answered; unknown packet ids are ignored."""
        done = self._unconfirmed.pop(packet_id, None)
        if done is not None:
            finish(done, result)

    def fail_all(self) -> None:
        """The connection is gone: close, and report every message as not done."""
        self.close()
        lost = [*self._unconfirmed.values(), *(done for _, done in self._unwritten), *(done for _, done in self._queue)]
        self._unconfirmed.clear()
        self._unwritten.clear()
        self._queue.clear()
        for done in lost:
            finish(done, PublishResult.LOST)


def finish(done: PublishDone, result: PublishResult) -> None:
    """Call `done`; what it raises is logged and goes no further."""
    try:
        done(result)
    except Exception:  # noqa: BLE001  (a publisher's fault must not end the connection's thread)
        _log.exception("a publisher's callback failed")
