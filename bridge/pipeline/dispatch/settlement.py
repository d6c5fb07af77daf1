"""Collects the ends of rows, with their replies and dead letters, into few commits.

A commit costs an fsync, so marks wait a moment for company: until nothing is in flight, a sender waits for its
reply, or `LINGER_S` is over. What waits is lost in a crash, and then done again harmlessly (docs/design/promises.md).

Thread: the dispatcher's alone.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.clock import Clock
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.log import fields, logger
from bridge.core.metrics import Metrics
from bridge.interface import replies
from bridge.interface.replies import Refusal
from bridge.pipeline.dispatch.lanes import Lanes
from bridge.pipeline.dispatch.operations import operation_of
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import Finished, NewDeadLetter, OutboxMessage, Outcome, Postponed, WaitingEvent
from bridge.spool.store import Spool

_log = logger(__name__)

LINGER_S = 0.2
FULL = 1000
MAX_UNMARKED = 2000
"""Rows posted and not marked; more would be repeated after a crash."""
MAX_UNMARKED_BYTES = 64 * 2**20


class Settlement:
    """Ends of rows that are decided and not yet committed.

    Args:
        spool: where they are committed.
        refusals: builds dead letters and error replies.
        metrics: counts replies.
        clock: monotonic time of the linger.
        on_outbox: called after a commit that holds messages to send.
        on_dead: called after a commit with the id of each event that will have no workflow.

    Attributes:
        problem: why the last commit failed, or None.
    """

    def __init__(
        self,
        spool: Spool,
        refusals: Refusals,
        metrics: Metrics,
        clock: Clock,
        on_outbox: Callable[[], None],
        on_dead: Callable[[bytes], None],
    ) -> None:
        self._spool = spool
        self._refusals = refusals
        self._metrics = metrics
        self._clock = clock
        self._on_outbox = on_outbox
        self._on_dead = on_dead
        self._events: dict[int, WaitingEvent] = {}
        self._bytes = 0
        self._finished: list[Finished] = []
        self._postponed: list[Postponed] = []
        self._since_s: float | None = None
        self._urgent = False
        self.problem: SpoolError | None = None

    @property
    def seqs(self) -> frozenset[int]:
        """The rows whose end is decided."""
        return frozenset(self._events)

    @property
    def has_room(self) -> bool:
        """Whether more rows may be submitted before a commit."""
        return len(self._events) < MAX_UNMARKED and self._bytes < MAX_UNMARKED_BYTES

    def done(self, event: WaitingEvent) -> None:
        """The row's workflow exists, or its operation was carried out."""
        outbox: tuple[OutboxMessage, ...] = ()
        if event.replies:
            operation, name = operation_of(event.event), event.event.order.name
            outbox = tuple(OutboxMessage(a.connection, replies.done(a, operation, name)) for a in event.replies)
            self._metrics.replies.labels("200").inc(len(outbox))
        self._finish(event, Finished(event.seq, Outcome.DONE, outbox=outbox, answered=len(event.replies)))

    def dead(self, event: WaitingEvent, refusal: Refusal) -> None:
        """The row will never become a workflow."""
        origin = event.event
        letter = NewDeadLetter(
            reason=refusal.reason,
            message=refusal.message,
            topic=origin.topic,
            connection=origin.connection,
            mapping=origin.mapping,
            payload_digest=origin.payload_digest,
            event_id=origin.id,
            attempts=event.attempts,
            details=tuple(refusal.details),
        )
        rows = self._refusals.of_letter(letter, event.replies)
        (letter,) = rows.dead_letters
        finished = Finished(
            event.seq,
            Outcome.DEAD,
            error=letter.message,
            code=letter.reason,
            outbox=tuple(rows.outbox),
            dead_letter=letter,
            answered=len(event.replies),
        )
        self._finish(event, finished)

    def postpone(self, event: WaitingEvent, postponed: Postponed) -> None:
        """The row failed for now; `event` is as it was taken."""
        self._hold(event)
        self._postponed.append(postponed)

    def patience_s(self) -> float:
        """Return the seconds until a commit is due; infinity if there is nothing to commit."""
        if self._since_s is None:
            return float("inf")
        return max(0.0, self._since_s + LINGER_S - self._clock.monotonic_s())

    def settle_if_due(self, lanes: Lanes, *, idle: bool) -> None:
        """Commit if it is time.

        Raises:
            SpoolError: nothing was committed; the same is tried again later.
        """
        if self._since_s is not None and (
            idle or self._urgent or len(self._events) >= FULL or self.patience_s() == 0.0
        ):
            self.flush(lanes)

    def flush(self, lanes: Lanes) -> None:
        """Commit everything.

        Raises:
            SpoolError: as `settle_if_due`.
        """
        if not self._events:
            return
        try:
            again = self._settle()
        except SpoolError as error:
            self.problem = error
            raise
        self.problem = None
        sent = any(finished.outbox for finished in self._finished)
        postponed = {one.seq for one in self._postponed}
        outcomes = {finished.seq: finished for finished in self._finished}
        events, self._events, self._bytes = self._events, {}, 0
        self._finished, self._postponed, self._since_s, self._urgent = [], [], None, False
        repeated = {event.seq for event in again}
        for seq, event in events.items():
            if seq not in repeated:
                if seq in outcomes and outcomes[seq].outcome is Outcome.DEAD:
                    self._on_dead(event.event.id)
                (lanes.postponed if seq in postponed else lanes.finished)(event)
        for event in again:
            self._repeat(event, outcomes[event.seq])
        if sent:
            self._on_outbox()

    def _repeat(self, event: WaitingEvent, before: Finished) -> None:
        # Another reply address was attached while the row was being finished.
        if before.outcome is Outcome.DONE:
            self.done(event)
        else:
            details = before.dead_letter.details if before.dead_letter else ()
            self.dead(event, Refusal(before.code, before.error, details))

    def _settle(self) -> tuple[WaitingEvent, ...]:
        try:
            return self._spool.settle(self._finished, self._postponed)
        except PermanentError:
            return self._settle_each()

    def _settle_each(self) -> tuple[WaitingEvent, ...]:
        again: list[WaitingEvent] = []
        for finished in self._finished:
            try:
                again += self._spool.settle([finished])
            except PermanentError as error:
                _log.warning("stored an outcome without its texts: %s", error, extra=fields(action="settle"))
                again += self._spool.settle([Finished(finished.seq, finished.outcome, code=finished.code)])
        self._spool.settle([], self._postponed)
        return tuple(again)

    def _finish(self, event: WaitingEvent, finished: Finished) -> None:
        self._hold(event)
        self._finished.append(finished)
        self._urgent = self._urgent or bool(finished.outbox)

    def _hold(self, event: WaitingEvent) -> None:
        self._events[event.seq] = event
        self._bytes += event.size_bytes
        if self._since_s is None:
            self._since_s = self._clock.monotonic_s()
