"""Says on each connection whether the bridge is there: ``online`` and ``offline``, retained, QoS 1.

``offline`` after a crash is the broker's work (the last will, set by the transport). It waits for nothing but the
acknowledgement of a last word.

Thread: any; the transports call `ready`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishDone, PublishResult, Transport

ONLINE = b"online"
OFFLINE = b"offline"


class Availability:
    """The ``availability`` topic of one bridge.

    Args:
        topic: ``argo/bridge/ID/availability``.
        transports: every connection.
    """

    def __init__(self, topic: str, transports: Sequence[Transport]) -> None:
        self._topic = topic
        self._transports = {transport.name: transport for transport in transports}
        self._lock = threading.Lock()
        self._missing: set[str] = set()
        self._is_over = False

    def ready(self, connection: str) -> None:
        """Publish ``online``: call it after every SUBACK, Argo reachable or not, each time it is ready again."""
        with self._lock:
            if self._is_over:
                return
            self._missing.add(connection)
        self._try(connection)

    def disconnected(self, connection: str) -> None:
        """Nothing to say until it is ready again."""
        with self._lock:
            self._missing.discard(connection)

    def retry(self) -> None:
        """Publish ``online`` where it could not be handed over, or was lost; the state publisher calls it."""
        with self._lock:
            missing = list(self._missing)
        for connection in missing:
            self._try(connection)

    def _try(self, connection: str) -> None:
        with self._lock:
            if self._is_over or connection not in self._missing:
                return
            self._missing.discard(connection)
        if not self._publish(connection, ONLINE, lambda result: self._published(connection, bool(result))):
            self._published(connection, False)

    def _published(self, connection: str, done: bool) -> None:
        if not done:
            with self._lock:
                self._missing.add(connection)

    def _publish(self, connection: str, payload: bytes, done: PublishDone) -> bool:
        message = OutgoingMessage(self._topic, payload, qos=1, retain=True, content_type="text/plain")
        return self._transports[connection].publish(message, done)

    def stop(self, deadline_s: float) -> bool:
        """Publish ``offline`` on every connection that is up; nothing says ``online`` any more.

        Args:
            deadline_s: how long to wait for the brokers' acknowledgements, seconds.

        Returns:
            Whether all came.
        """
        with self._lock:
            self._is_over = True
            self._missing.clear()
        last = _Countdown()
        for connection, transport in self._transports.items():
            if transport.is_ready:
                last.add()
                if not self._publish(connection, OFFLINE, last.done):
                    last.done(PublishResult.LOST)
        return last.wait(deadline_s)


class _Countdown:
    """Waits until every publish has ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = 0
        self._lost = 0

    def add(self) -> None:
        with self._changed:
            self._open += 1

    def done(self, result: PublishResult) -> None:
        with self._changed:
            self._open -= 1
            self._lost += not result
            self._changed.notify_all()

    def wait(self, deadline_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, deadline_s) and self._lost == 0
