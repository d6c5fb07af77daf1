"""The only input of the status thread: a queue for data from Argo, also limited in bytes, and one for short signals.

Watchers and lookups wait when the status thread is behind. Signals (connection life, acknowledgements, retained
messages) come on transport threads, which must never wait; their number is limited by their causes (the publish window,
the broker's retained messages of this bridge).

Thread: any may put; the status thread alone takes.
"""

from __future__ import annotations

import threading
from collections import deque

from bridge.status.seen.events import Event

CLOSED_WAIT_S = 0.02
MAX_WAITING_BYTES = 32 * 2**20


class Inbox:
    """Events for the status thread; at most `max_waiting` of those that are `put`."""

    def __init__(self, max_waiting: int = 1000) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._signals: deque[Event] = deque()
        self._closed = False

    def put(self, event: Event, size_bytes: int = 0) -> bool:
        """Add data from Argo, waiting while the queue is full; False if the inbox was closed instead."""
        with self._changed:
            while self._is_full() and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._events.append((event, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()
            return True

    def _is_full(self) -> bool:
        return len(self._events) >= self._max_waiting or self._bytes >= MAX_WAITING_BYTES

    def signal(self, event: Event) -> None:
        """Add a signal; never waits."""
        with self._changed:
            self._signals.append(event)
            self._changed.notify_all()

    def take(self, timeout_s: float, max_events: int = 256) -> list[Event]:
        """Return the available events, signals first, waiting up to `timeout_s` for the first one; [] if none came.

        After `close` it waits no longer than `CLOSED_WAIT_S`.
        """
        with self._changed:
            if not self._events and not self._signals:
                self._changed.wait(min(timeout_s, CLOSED_WAIT_S) if self._closed else timeout_s)
            taken = list(self._signals)
            self._signals.clear()
            while self._events and len(taken) < max_events:
                event, size_bytes = self._events.popleft()
                taken.append(event)
                self._bytes -= size_bytes
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Wake all waiting threads; `put` returns False from now on, signals are still accepted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
