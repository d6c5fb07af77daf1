"""Answers requests that read: get, list, lint, logs, list-templates, get-template.

They are not spooled. A request is answered or failed within 8 s, whatever Argo does, and its delivery is acknowledged
once its reply is in the outbox: a crash before that lets the broker send the request again, a crash after it sends the
reply. Through the outbox rather than straight to the transport, because a reply would be lost with the connection that
it was written to, and would wait for a window while the acknowledgement, and all behind it, waits too.

One thread drives all of them through a multiplexer of its own, so that neither ingest nor dispatch ever waits for a
read. So many at once; more are refused as ``busy``.

What it never does: change anything in Argo, keep anything over a restart.

Thread: ``reads``. `reserve`, `release` and `submit` come from any.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from bridge.argo.errors import Answer
from bridge.argo.exchanges import Exchanges
from bridge.core.clock import Clock
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.interface import replies
from bridge.interface.operations import Operation
from bridge.interface.replies import Refusal
from bridge.pipeline.intake.operations import ReadRequest
from bridge.pipeline.reads.logs import log_plan
from bridge.pipeline.reads.plans import PLANS, Answered, Keys, ReadPlan, Result
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import NewRows, OutboxMessage
from bridge.spool.store import Spool

_log = logger(__name__)

MAX_AT_ONCE = 16
MAX_FOLLOWED = 4
"""Of those at once, how many may follow logs."""
SILENCE_S = 40.0
"""A stream without a byte for so long is dead: Argo sends a comment each 15 s (docs/design/argo-server.md, Watch)."""
IDLE_S = 1.0
ACTIVE_S = 0.1
SPOOL_RETRY_S = 0.2

BUSY = Refusal("busy", f"{MAX_AT_ONCE} reads or {MAX_FOLLOWED} followed logs are in progress; try again in a moment")
_LATE = Refusal("timeout", "Argo did not answer in time")
_STOPPED = Refusal("stopped", "the bridge is stopping; try again")
_TOO_MUCH = Refusal("too-much", "the log is longer than the limit for one request")
_SILENT = Refusal("connection-lost", "Argo sent nothing for a while")
_TOO_LARGE = Refusal("reply-too-large", "the reply does not fit into the largest packet that the broker accepts")
_INTERNAL = Refusal("internal-error", "unexpected error in the bridge with this request; a report was written")


@dataclass(slots=True)
class _ReadInFlight:
    read: ReadRequest
    ack: Callable[[], None]
    plan: ReadPlan
    began_s: float
    heard_s: float


@dataclass(slots=True)
class _PendingReply:
    """What is to be committed, and then acknowledged and, where it is the last of its request, released."""

    flight: _ReadInFlight
    rows: NewRows
    is_last: bool


class Reads(Worker):
    """The thread that reads.

    Args:
        spool: its outbox, and its dead letters.
        exchanges: HTTP towards the Argo Server; closed when the thread ends.
        refusals: builds dead letters and error replies.
        metrics: counters.
        reports: report files of unexpected exceptions.
        clock: monotonic time of the limits.
        max_publish_bytes: largest payload that a connection takes now, by its name.
        on_outbox: called after a commit that holds messages to send.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        exchanges: Exchanges,
        refusals: Refusals,
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
        max_publish_bytes: Callable[[str], int],
        on_outbox: Callable[[], None],
    ) -> None:
        super().__init__("reads")
        self._spool = spool
        self._exchanges = exchanges
        self._refusals = refusals
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        self._max_publish_bytes = max_publish_bytes
        self._on_outbox = on_outbox
        self._lock = threading.Lock()
        self._reserved = 0
        self._reserved_followed = 0
        self._inbox: deque[tuple[ReadRequest, Callable[[], None]]] = deque()
        self._flights: dict[int, _ReadInFlight] = {}
        self._told: list[_PendingReply] = []
        self._number = 0
        self._spool_retry_s = 0.0
        self._seldom = SeldomLog(_log, clock.monotonic_s)

    def _interrupt(self) -> None:
        self._exchanges.wake()

    def reserve(self, read: ReadRequest) -> bool:
        """Take a place for `read`; False: there is none, refuse it as `BUSY`. Thread: any."""
        with self._lock:
            if self._stop.is_set() or self._reserved >= MAX_AT_ONCE:
                return False
            if _follows(read) and self._reserved_followed >= MAX_FOLLOWED:
                return False
            self._reserved += 1
            self._reserved_followed += _follows(read)
            return True

    def release(self, read: ReadRequest) -> None:
        """Give the place of `read` back. Thread: any."""
        with self._lock:
            self._reserved -= 1
            self._reserved_followed -= _follows(read)

    def submit(self, read: ReadRequest, ack: Callable[[], None]) -> None:
        """Answer `read`, which has a place, and acknowledge its delivery with `ack`. Thread: any."""
        self._inbox.append((read, ack))
        self._exchanges.wake()

    def run(self) -> None:
        """Run on the thread."""
        try:
            while not self._stop.is_set():
                self.step()
            self._drain_inbox()
            for number in list(self._flights):
                self._guarded(number, partial(self._cut_short, number, _STOPPED))
            self._commit()
        except SpoolError as error:
            keys = fields(action="reads", code=error.code)
            _log.warning("reads stop without their replies and will be redelivered: %s", error, extra=keys)
        finally:
            self._exchanges.close()

    def step(self) -> None:
        """Take what was asked, wait for an answer or a limit, hand over what is to be told.

        Thread: ``reads`` alone. Public for tests, which drive it without the thread.
        """
        self._drain_inbox()
        for number, answer in self._exchanges.poll(self._patience_s()):
            if number in self._flights:
                self._guarded(number, partial(self._answered, number, answer))
        now_s = self._clock.monotonic_s()
        for number in list(self._flights):
            self._guarded(number, partial(self._look_at, number, now_s))
        self._hand_over(now_s)

    def _patience_s(self) -> float:
        if self._inbox or (self._told and self._clock.monotonic_s() >= self._spool_retry_s):
            return 0.0
        return ACTIVE_S if self._flights or self._told else IDLE_S

    def _drain_inbox(self) -> None:
        while self._inbox:
            read, ack = self._inbox.popleft()
            now_s = self._clock.monotonic_s()
            self._number += 1
            # A plan that asks nothing, until it is known that there can be one.
            self._flights[self._number] = _ReadInFlight(read, ack, ReadPlan(read), now_s, now_s)
            self._guarded(self._number, partial(self._begin, self._number))

    def _begin(self, number: int) -> None:
        flight = self._flights[number]
        read = flight.read
        if read.operation is Operation.LOGS:
            flight.plan = log_plan(read, flight.began_s, self._max_publish_bytes(read.address.connection))
        else:
            flight.plan = PLANS[read.operation](read)
        self._ask(number)

    def _ask(self, number: int) -> None:
        flight = self._flights[number]
        request = flight.plan.request()
        sink = partial(self._heard, flight) if flight.plan.is_stream else None
        self._exchanges.start(number, request, sink)

    def _heard(self, flight: _ReadInFlight, piece: bytes) -> None:
        flight.heard_s = self._clock.monotonic_s()
        flight.plan.heard(piece)
        self._exchanges.interrupt()

    def _answered(self, number: int, answer: Answer) -> None:
        flight = self._flights[number]
        flight.heard_s = self._clock.monotonic_s()
        result = flight.plan.answered(answer)
        if result is None:
            self._ask(number)
        else:
            self._end(number, result)

    def _look_at(self, number: int, now_s: float) -> None:
        flight = self._flights[number]
        for keys in flight.plan.packets(now_s, self._room(flight)):
            self._told.append(_PendingReply(flight, self._reply(flight, keys), is_last=False))
        if now_s - flight.began_s >= flight.plan.limit_s:
            self._cut_short(number, _LATE)
        elif flight.plan.is_over_bound:
            self._cut_short(number, _TOO_MUCH)
        elif now_s - flight.heard_s >= SILENCE_S:
            self._end(number, _SILENT)

    def _cut_short(self, number: int, refusal: Refusal) -> None:
        self._end(number, self._flights[number].plan.cut_short(refusal))

    def _end(self, number: int, result: Result) -> None:
        """Note the last reply of a request, and what comes before it."""
        flight = self._flights[number]
        self._exchanges.give_up(number)
        for keys in flight.plan.rest(self._room(flight)):
            self._told.append(_PendingReply(flight, self._reply(flight, keys), is_last=False))
        if isinstance(result, Answered):
            rows = self._reply(flight, result.keys(self._room(flight)))
            largest = self._max_publish_bytes(flight.read.address.connection)
            result = _TOO_LARGE if len(rows.outbox[0].message.payload) > largest else result
        if isinstance(result, Answered):
            self._told.append(_PendingReply(flight, rows, is_last=True))
            self._metrics.replies.labels("200").inc()
        else:
            self._refuse(flight, result)
        del self._flights[number]

    def _refuse(self, flight: _ReadInFlight, refusal: Refusal) -> None:
        rows = self._refusals.of_read(flight.read.message, refusal, flight.read.address)
        self._told.append(_PendingReply(flight, rows, is_last=True))

    def _room(self, flight: _ReadInFlight) -> int:
        bare = replies.succeeded(flight.read.address, flight.read.operation, {})
        return self._max_publish_bytes(flight.read.address.connection) - len(bare.payload)

    def _reply(self, flight: _ReadInFlight, keys: Keys) -> NewRows:
        address = flight.read.address
        message = replies.succeeded(address, flight.read.operation, keys)
        return NewRows(outbox=[OutboxMessage(address.connection, message)])

    def _guarded(self, number: int, work: Callable[[], None]) -> None:
        """Do `work` for one request; whatever it raises is the end of that request alone."""
        try:
            work()
        except PermanentError as error:
            self._end(number, Refusal(error.code, error.message, error.details))
        except Exception as error:  # noqa: BLE001 - one request's surprise must not end the thread
            self._internal_error(number, error)

    def _internal_error(self, number: int, error: Exception) -> None:
        flight = self._flights.pop(number)
        self._exchanges.give_up(number)
        message = flight.read.message
        self._reports.unexpected("reads", error, topic=message.topic, connection=message.connection)
        rows = self._refusals.of_message(message, _INTERNAL, reply=flight.read.address)
        self._told.append(_PendingReply(flight, rows, is_last=True))

    def _hand_over(self, now_s: float) -> None:
        if not self._told or now_s < self._spool_retry_s:
            return
        try:
            self._commit()
        except SpoolError as error:
            self._spool_retry_s = now_s + SPOOL_RETRY_S
            self._seldom.warning("spool", "replies wait for the spool: %s", error, action="reads", code=error.code)

    def _commit(self) -> None:
        """Store all that is to be told; then its requests may be acknowledged.

        Raises:
            SpoolError: nothing was stored; the same may succeed later.
        """
        if not self._told:
            return
        try:
            self._store(self._told)
        except PermanentError:
            self._store_each()
        told, self._told = self._told, []
        self._on_outbox()
        for one in told:
            one.flight.ack()
            if one.is_last:
                self.release(one.flight.read)

    def _store_each(self) -> None:
        for one in self._told:
            try:
                self._store([one])
            except PermanentError as error:
                message = one.flight.read.message
                keys = fields(action="reads", code=error.code, topic=message.topic, connection=message.connection)
                _log.error("a reply cannot be stored and is dropped: %s", error, extra=keys)
            one.rows = NewRows()

    def _store(self, told: Iterable[_PendingReply]) -> None:
        for one in told:
            one.rows.outbox = [message for message in one.rows.outbox if message.message.topic]
        self._spool.commit(*(one.rows for one in told))


def _follows(read: ReadRequest) -> bool:
    return read.operation is Operation.LOGS and bool(read.options.get("follow"))
