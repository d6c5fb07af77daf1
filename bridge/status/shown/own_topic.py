"""One retained topic of the bridge itself: keeps its newest value on each connection, even if it is overwritten.

It has no queue and does not wait: a value that could not be handed over is sent again at the owner's next check.

Thread: any.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from bridge.core.clock import Clock
from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishResult, SetAside, Transport

REFUSED_PAUSE_S = 60.0


class OwnTopic:
    """The last value of `topic` sent on each connection."""

    def __init__(
        self,
        topic: str,
        content_type: str,
        transports: Sequence[Transport],
        clock: Clock,
        on_set_aside: SetAside,
    ) -> None:
        self._topic = topic
        self._content_type = content_type
        self._transports = {transport.name: transport for transport in transports}
        self._clock = clock
        self._on_set_aside = on_set_aside
        self._lock = threading.Lock()
        self._told: dict[str, tuple[bytes, float]] = {}
        self._pause_until_s: dict[str, float] = {}

    def ready(self) -> list[Transport]:
        """Return the connections that take messages now."""
        return [transport for transport in self._transports.values() if transport.is_ready]

    def message(self, payload: bytes) -> OutgoingMessage:
        """Return the message that makes `payload` the topic's value."""
        return OutgoingMessage(self._topic, payload, qos=1, retain=True, content_type=self._content_type)

    def bring(self, connection: str, payload: bytes, repeat_s: float = float("inf")) -> None:
        """Publish `payload`, unless it was sent within the last `repeat_s` seconds or has just been refused."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            told = self._told.get(connection)
            if now_s < self._pause_until_s.get(connection, 0.0):
                return
            if told is not None and told[0] == payload and now_s - told[1] < repeat_s:
                return
            self._told[connection] = (payload, now_s)
        message = self.message(payload)
        if not self._transports[connection].publish(message, lambda result: self._done(connection, message, result)):
            self._forget(connection)

    def _done(self, connection: str, message: OutgoingMessage, result: PublishResult) -> None:
        if result:
            return
        self._forget(connection)
        if result is not PublishResult.LOST:
            with self._lock:
                self._pause_until_s[connection] = self._clock.monotonic_s() + REFUSED_PAUSE_S
        if result is PublishResult.SET_ASIDE:
            self._on_set_aside(connection, message)

    def seen(self, connection: str, payload: bytes) -> None:
        """Process a message published to the topic; if it is not the value, the value is sent again at the next check.

        If it is our own value that a newer one has replaced, this costs one more publish.
        """
        with self._lock:
            told = self._told.get(connection)
        if told is not None and told[0] != payload:
            self._forget(connection)

    def disconnected(self, connection: str) -> None:
        """Note that sent values may be lost, and that refused ones may be allowed on the next connection."""
        self._forget(connection)
        with self._lock:
            self._pause_until_s.pop(connection, None)

    def _forget(self, connection: str) -> None:
        with self._lock:
            self._told.pop(connection, None)
