"""Publishes on each connection whether the bridge is online: ``online`` and ``offline``, retained, QoS 1.

After a crash, ``offline`` is published by the broker (the last will, set by the transport). It waits only for the
acknowledgement of the final message.

Thread: any; the transports call `ready`.
"""

from __future__ import annotations

import queue
import threading
import time

from bridge.interface.topics import OFFLINE, ONLINE
from bridge.status.shown.own_topic import OwnTopic
from bridge.transports.base import PublishResult


class Availability:
    """The topic ``argo/bridge/ID/availability``."""

    def __init__(self, own: OwnTopic) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._ready: set[str] = set()
        self._is_over = False

    def ready(self, connection: str) -> None:
        """Publish ``online``: called after every SUBACK, Argo reachable or not, each time it is ready again."""
        with self._lock:
            if self._is_over:
                return
            self._ready.add(connection)
        self._own.bring(connection, ONLINE)

    def disconnected(self, connection: str) -> None:
        """Publish nothing until it is ready again."""
        with self._lock:
            self._ready.discard(connection)
        self._own.disconnected(connection)

    def retry(self) -> None:
        """Publish ``online`` if it was not confirmed or was overwritten; the state publisher calls this."""
        with self._lock:
            ready = list(self._ready)
        for connection in ready:
            self._own.bring(connection, ONLINE)

    def stop(self, deadline_s: float) -> bool:
        """Publish ``offline`` wherever it can be, and ``online`` never again; returns whether all was confirmed."""
        with self._lock:
            self._is_over = True
            self._ready.clear()
        results: queue.SimpleQueue[PublishResult] = queue.SimpleQueue()
        transports = self._own.ready()
        for transport in transports:
            if not transport.publish(self._own.message(OFFLINE), results.put):
                results.put(PublishResult.LOST)
        until_s = time.monotonic() + deadline_s
        try:
            ended = [results.get(timeout=max(0.0, until_s - time.monotonic())) for _ in transports]
        except queue.Empty:
            return False
        return all(ended)
