"""Sends what the outbox holds: replies and dead-letter notices, each until its broker confirmed it (DESIGN 3).

A row is deleted after PUBACK or confirm; a crash in between repeats a message and never loses one. While a broker is
away its rows wait in the spool, not in memory.

Thread: ``outbox``, the only owner of the cursors. `wake`, `connected` and the confirmations come from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bridge.core.errors import SpoolError
from bridge.core.log import fields, logger
from bridge.core.metrics import Metrics
from bridge.interface import replies
from bridge.spool.records import OutboxMessage
from bridge.spool.store import Spool
from bridge.transports.base import Transport

_log = logger(__name__)

PAGE = 100
IDLE_S = 1.0


@dataclass
class _Cursor:
    after_seq: int = 0
    in_flight: set[int] = field(default_factory=set)


class OutboxSender:
    """The thread that empties the outbox.

    Args:
        spool: whose outbox.
        transports: by connection name.
        metrics: counters.
    """

    def __init__(self, spool: Spool, transports: Mapping[str, Transport], metrics: Metrics) -> None:
        self._spool = spool
        self._transports = transports
        self._metrics = metrics
        self._cursors = {name: _Cursor() for name in transports}
        self._confirmed: deque[tuple[str, int, bool]] = deque()
        self._restart: deque[str] = deque()
        self._sent: list[int] = []
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="outbox")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        """Send what can be sent now, then end; True if the thread ended in time."""
        self._stopping = True
        self._wake.set()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Say that there are new rows. Thread: any."""
        self._wake.set()

    def connected(self, connection: str) -> None:
        """Say that a connection is usable again: what was not confirmed is sent once more. Thread: any."""
        self._restart.append(connection)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(IDLE_S)
            self._wake.clear()
            self._step()
        self._step()

    def _step(self) -> None:
        try:
            while self._restart:
                self._cursors[self._restart.popleft()].after_seq = 0
            self._forget_confirmed()
            for name, transport in self._transports.items():
                if transport.is_ready:
                    self._send(name, transport, self._cursors[name])
        except SpoolError as error:
            # The spool's owner reports it; rows stay where they are and are tried at the next wake.
            _log.warning("cannot work on the outbox: %s", error, extra=fields(action="outbox", code=error.code))

    def _forget_confirmed(self) -> None:
        while self._confirmed:
            name, seq, confirmed = self._confirmed.popleft()
            self._cursors[name].in_flight.discard(seq)
            # What was lost is sent again after the reconnect; at once would be a loop if the broker refuses it.
            if confirmed:
                self._sent.append(seq)
        if self._sent:
            self._spool.outbox_sent(self._sent)
            self._sent = []

    def _send(self, name: str, transport: Transport, cursor: _Cursor) -> None:
        while rows := self._spool.outbox(name, cursor.after_seq, PAGE):
            for seq, row in rows:
                if seq not in cursor.in_flight and not self._publish(name, transport, seq, row):
                    return
                cursor.after_seq = seq

    def _publish(self, name: str, transport: Transport, seq: int, row: OutboxMessage) -> bool:
        payload = replies.shrink(row.message.payload, transport.max_publish_bytes)
        cursor = self._cursors[name]
        cursor.in_flight.add(seq)
        taken = transport.publish(replace(row.message, payload=payload), lambda ok: self._done(name, seq, ok))
        if not taken:
            cursor.in_flight.discard(seq)
        return taken

    def _done(self, name: str, seq: int, confirmed: bool) -> None:
        self._confirmed.append((name, seq, confirmed))
        self._wake.set()
