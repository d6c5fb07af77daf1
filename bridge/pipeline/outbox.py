"""Sends what the outbox holds: replies and dead-letter notices, each until its broker confirmed it.

A row is deleted after PUBACK or confirm; a crash in between repeats a message and never loses one. While a broker is
away its rows wait in the spool, not in memory. What ends the connection each time it is sent becomes a dead letter, of
the outbox as of every other part that publishes.

Thread: ``outbox``, the only owner of the cursors. `wake`, `connected` and the confirmations come from any thread.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bridge.core.errors import SpoolError, cut
from bridge.core.log import fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.interface import replies
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import NewDeadLetter, NewRows, OutboxMessage
from bridge.spool.store import Spool
from bridge.transports.base import PublishResult, Transport

_log = logger(__name__)

PAGE = 100
IDLE_S = 1.0
DRAIN_STEP_S = 0.05
DRAIN_SHARE = 0.8


SET_ASIDE = "set-aside"
"""Reason of the dead letter of a message of the bridge's own that its broker does not take."""
_ENDED_IT = "the broker closed the connection each time; check its limits and access rules"


@dataclass
class _Cursor:
    after_seq: int = 0
    in_flight: set[int] = field(default_factory=set)


class OutboxSender(Worker):
    """The thread that empties the outbox.

    Args:
        spool: whose outbox.
        transports: by connection name.
        refusals: makes dead letters.
        metrics: counters.
        reports: for unexpected exceptions.
    """

    def __init__(
        self,
        spool: Spool,
        transports: Mapping[str, Transport],
        refusals: Refusals,
        metrics: Metrics,
        reports: ErrorReports,
    ) -> None:
        super().__init__("outbox")
        self._spool = spool
        self._transports = transports
        self._refusals = refusals
        self._metrics = metrics
        self._reports = reports
        self._cursors = {name: _Cursor() for name in transports}
        self._confirmed: deque[tuple[str, int, OutgoingMessage, PublishResult]] = deque()
        self._aside: deque[tuple[str, OutgoingMessage]] = deque()
        self._restart: deque[str] = deque()
        self._ended_seqs: list[int] = []
        self._ended_rows = NewRows()
        self._wake = threading.Event()
        self._drain_s = 0.0
        self._problem: SpoolError | None = None

    def stop(self, deadline_s: float) -> list[str]:
        """Send what can be sent now, wait for its confirmations, end; returns the thread's name if it is late."""
        self._drain_s = deadline_s * DRAIN_SHARE
        return super().stop(deadline_s)

    def _interrupt(self) -> None:
        self._wake.set()

    def wake(self) -> None:
        """Say that there are new rows. Thread: any."""
        self._wake.set()

    def set_aside(self, connection: str, message: OutgoingMessage) -> None:
        """Say that another part's message ended the connection each time it was sent alone. Thread: any."""
        self._aside.append((connection, message))
        self._wake.set()

    def connected(self, connection: str) -> None:
        """Say that a connection is usable again: what was not confirmed is sent once more. Thread: any."""
        self._restart.append(connection)
        self._wake.set()

    def run(self) -> None:
        """Run on the thread."""
        while not self._stop.is_set():
            self._wake.wait(IDLE_S)
            self._wake.clear()
            self.step()
        self.step()
        # What is sent and not confirmed by the end is sent again after the next start.
        until_s = self._spool.age.now_s() + self._drain_s
        while self._is_unconfirmed and self._spool.age.now_s() < until_s:
            self._wake.wait(DRAIN_STEP_S)
            self._wake.clear()
            self._with_spool(self._forget_confirmed)

    @property
    def _is_unconfirmed(self) -> bool:
        return bool(self._confirmed) or any(cursor.in_flight for cursor in self._cursors.values())

    def step(self) -> None:
        """Forget what was confirmed, and send what can be sent now.

        Thread: ``outbox`` alone. Public for tests, which drive it without the thread.
        """
        self._with_spool(self._send_all)

    def _send_all(self) -> None:
        while self._restart:
            self._cursors[self._restart.popleft()].after_seq = 0
        self._forget_confirmed()
        for name, transport in self._transports.items():
            if transport.is_ready:
                self._send(name, transport, self._cursors[name])
        self._forget_confirmed()

    def _with_spool(self, work: Callable[[], None]) -> None:
        try:
            work()
        except SpoolError as error:
            # Rows stay where they are and are tried at the next wake; told once, not every second.
            if self._problem is None:
                keys = fields(action="outbox", code=error.code)
                _log.warning("cannot work on the outbox: %s", error, extra=keys)
            self._problem = error
        else:
            self._problem = None

    def _forget_confirmed(self) -> None:
        while self._confirmed:
            name, seq, message, result = self._confirmed.popleft()
            self._cursors[name].in_flight.discard(seq)
            # What was lost is sent again after the reconnect; what was refused never (MQTT 5.0 section 4.4).
            if result is not PublishResult.LOST:
                self._ended_seqs.append(seq)
            if result is PublishResult.SET_ASIDE:
                self._bury(name, message, _ENDED_IT)
        while self._aside:
            self._bury(*self._aside.popleft(), _ENDED_IT)
        if self._ended_seqs or self._ended_rows.dead_letters:
            self._spool.outbox_sent(self._ended_seqs, self._ended_rows)
            if self._ended_rows.outbox:
                self._wake.set()
            self._ended_seqs, self._ended_rows = [], NewRows()

    def _bury(self, connection: str, message: OutgoingMessage, cause: str) -> None:
        size, place = len(message.payload), message.queue or message.topic
        text = f'the bridge\'s own message of {size} bytes to "{cut(place)}" is not sent: {cause}'
        digest = hashlib.sha256(message.payload).digest()
        letter = NewDeadLetter(SET_ASIDE, text, place, connection, payload_bytes=size, payload_digest=digest)
        rows = self._refusals.of_letter(letter, ())
        # If it is such a notice itself that no broker takes, a notice of it would be the next.
        rows.outbox = [notice for notice in rows.outbox if notice.message.topic != message.topic]
        self._ended_rows.add(rows)

    def _send(self, name: str, transport: Transport, cursor: _Cursor) -> None:
        while rows := self._spool.outbox(name, cursor.after_seq, PAGE):
            for seq, row in rows:
                if seq not in cursor.in_flight and not self._publish(name, transport, seq, row):
                    return
                cursor.after_seq = seq

    def _publish(self, name: str, transport: Transport, seq: int, row: OutboxMessage) -> bool:
        """Hand one message over; False if it was not taken and is still to be sent."""
        cursor = self._cursors[name]
        cursor.in_flight.add(seq)
        taken = True
        try:
            payload = replies.shrink(row.message.payload, transport.max_publish_bytes)
            if len(payload) > transport.max_publish_bytes:
                # The broker would close the connection, and get it again after each reconnect.
                self._give_up(name, seq, row.message)
            else:
                message = replace(row.message, payload=payload)
                taken = transport.publish(message, lambda result: self._done(name, seq, message, result))
        except Exception as error:  # noqa: BLE001 - one message's surprise must not end the thread; once more after a reconnect
            cursor.in_flight.discard(seq)
            self._reports.unexpected("outbox", error, connection=name, topic=row.message.topic)
        if not taken:
            cursor.in_flight.discard(seq)
        return taken

    def _give_up(self, name: str, seq: int, message: OutgoingMessage) -> None:
        self._metrics.replies_unsendable.labels("too-large").inc()
        self._bury(name, message, "it is larger than the broker's limit")
        self._ended(name, seq, message, PublishResult.REFUSED)

    def _done(self, name: str, seq: int, message: OutgoingMessage, result: PublishResult) -> None:
        # The transport has told of it, with its topic.
        if result in (PublishResult.REFUSED, PublishResult.SET_ASIDE):
            self._metrics.replies_unsendable.labels(result.value).inc()
        self._ended(name, seq, message, result)

    def _ended(self, name: str, seq: int, message: OutgoingMessage, result: PublishResult) -> None:
        self._confirmed.append((name, seq, message, result))
        self._wake.set()
