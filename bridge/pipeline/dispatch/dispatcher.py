"""From waiting rows to workflows and operations: take, ask, mark; retry, wait, or dead-letter.

What is asked for a row, and what the answers mean, is its `Plan`'s to say. One thread drives all requests to the Argo
Server through one multiplexer and one gate. What it holds is known in memory only: after a crash a row is simply
waiting, and its plan makes the repeat harmless.

What it never does: decide an identity, publish a message (replies are outbox rows of the commit that marks the row).

Thread: ``dispatch``. `stored`, `changed`, `event_seen`, `causes` come from any thread.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from bridge.argo.errors import Answer
from bridge.argo.exchanges import Exchanges, HttpRequest
from bridge.argo.gate import Gate
from bridge.argo.options import VERSION_PATH
from bridge.core.backoff import Backoff
from bridge.core.clock import Clock
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.interface.replies import Refusal
from bridge.pipeline.cluster import ClusterSchema
from bridge.pipeline.dispatch.lanes import Lanes
from bridge.pipeline.dispatch.operations import CREATING, Plans, operation_of
from bridge.pipeline.dispatch.outcomes import Again, Done, GoOn, Note, Park, Step, Verdict
from bridge.pipeline.dispatch.plans import Plan
from bridge.pipeline.dispatch.settlement import Settlement
from bridge.spool.records import QUARANTINE_FAILURES, Postponed, WaitingEvent
from bridge.spool.store import Spool

_log = logger(__name__)

ROW_BACKOFF = Backoff(initial_s=1.0, cap_s=60.0)
QUARANTINE_BACKOFF = Backoff(initial_s=1.0, cap_s=1800.0)
"""Twenty tries take five hours, so that a server that fails most of the time for a while loses nothing."""
IDLE_S = 1.0
DRAIN_SHARE = 0.7
"""Of the time that a stop may take; the rest is for the last step and the commit."""
_VERSION = "version"
EXPIRY_EVERY_S = 1.0
EXPIRY_PAGE = 256
SPOOL_RETRY_S = 0.2
_EXPIRED = Refusal("expired", "it was not submitted before it expired")
_UNANSWERED = Refusal("expired", "Argo did not confirm it before it expired; it may have been carried out")
MAX_QUESTIONS = 4
"""Requests of one attempt (create, look up, create, look up) before it counts as a fault of the row."""


@dataclass(slots=True)
class _RowInFlight:
    event: WaitingEvent
    plan: Plan
    questions: int = 0
    is_seen: bool = False
    gives_up: Refusal | None = None


class Dispatcher(Worker):
    """The thread that submits.

    Args:
        bridge_id: label and annotations of every workflow.
        max_attempts: tries of a row that may fail while others of its namespace succeed; the last one ends it.
        spool: the rows, and their ends.
        exchanges: HTTP towards the Argo Server; closed when the thread ends.
        schema: checks each manifest by what the cluster runs now.
        gate: how many requests at a time, and how many a second.
        settlement: collects the ends of rows into commits.
        metrics: counters.
        reports: report files of unexpected exceptions.
        clock: monotonic time for the gate.
    """

    def __init__(
        self,
        *,
        bridge_id: str,
        max_attempts: int,
        spool: Spool,
        exchanges: Exchanges,
        schema: ClusterSchema,
        gate: Gate,
        settlement: Settlement,
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
    ) -> None:
        super().__init__("dispatch")
        self._max_attempts = max_attempts
        self._spool = spool
        self._exchanges = exchanges
        self._schema = schema
        self._gate = gate
        self._settlement = settlement
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        # By namespace: what ails a whole namespace is no row's fault.
        self._successes: Counter[str] = Counter()
        self._created: Counter[str] = Counter()
        self._successes_at_failure: Counter[str] = Counter()
        self._successes_at_try: dict[int, int] = {}
        self._lanes = Lanes(spool)
        self._plans = Plans(bridge_id, schema)
        self._flights: dict[int, _RowInFlight] = {}
        self._look_first: set[int] = set()
        self._untouched: set[int] = set()
        self._news: deque[frozenset[str]] = deque()
        self._changed = threading.Event()
        self._renewals = exchanges.token_renewals
        self._seen: deque[bytes] = deque()
        self._causes: dict[str, str] = {}
        self._next_expiry_s = 0.0
        self._spool_retry_s = 0.0
        self._knows_version = False
        self._asks_version = False
        self._give_up_s = inf
        self._seldom = SeldomLog(_log, clock.monotonic_s)

    def stop(self, deadline_s: float) -> list[str]:
        """Start nothing new, wait for what is under way, mark it, end; returns the thread's name if it is late.

        What the Argo Server has not answered by then is asked for after the next start: its row waits.
        """
        self._give_up_s = self._clock.monotonic_s() + deadline_s * DRAIN_SHARE
        return super().stop(deadline_s)

    def _interrupt(self) -> None:
        self._exchanges.wake()

    @property
    def causes(self) -> dict[str, str]:
        """Why lanes wait, by lane. Thread: any."""
        return self._causes

    @property
    def problem(self) -> SpoolError | None:
        """Why ends of rows could not be stored just now, or None. Thread: any."""
        return self._settlement.problem

    def stored(self, lanes: frozenset[str]) -> None:
        """Say that new rows were committed. Thread: any."""
        self._news.append(lanes)
        self._exchanges.wake()

    def changed(self) -> None:
        """Say that what was refused may be granted now: lanes that wait for it try at once. Thread: any."""
        self._changed.set()
        self._exchanges.wake()

    def event_seen(self, event_id: bytes) -> None:
        """Say that Argo has, or had, a workflow of this event: its row is done. Thread: any."""
        self._seen.append(event_id)
        self._exchanges.wake()

    def run(self) -> None:
        """Run on the thread."""
        try:
            while not self._is_drained():
                self.step()
            self._settlement.flush(self._lanes)
        except SpoolError as error:
            _log.error("dispatch stops with unmarked rows: %s", error, extra=fields(action="dispatch"))
        finally:
            self._exchanges.close()

    def _is_drained(self) -> bool:
        if not self._stop.is_set():
            return False
        return not self._flights or self._clock.monotonic_s() >= self._give_up_s

    def step(self) -> None:
        """Take what may be taken, wait for an answer or for something to do, mark what has ended.

        Thread: ``dispatch`` alone, which does nothing else. Public for tests, which drive it without the thread.
        """
        self._with_spool(self._begin)
        for key, answer in self._exchanges.poll(self._patience_s()):
            if isinstance(key, int):
                self._answered(key, answer)
            else:
                self._version_answered(answer)
        self._metrics.submissions_in_flight.set(len(self._flights))
        for namespace, count in self._created.items():
            self._metrics.workflows_created.labels(namespace).inc(count)
        self._created.clear()
        self._with_spool(lambda: self._settlement.settle_if_due(self._lanes, idle=not self._flights))
        self._causes = self._lanes.causes

    def _begin(self) -> None:
        self._drain_inbox()
        if not self._stop.is_set():
            self._expire()
            self._fill()

    def _with_spool(self, work: Callable[[], None]) -> None:
        """Do `work`, but leave the spool alone for a moment after it failed; answers are heard meanwhile."""
        now_s = self._clock.monotonic_s()
        if now_s < self._spool_retry_s:
            return
        try:
            work()
        except SpoolError as error:
            self._spool_retry_s = now_s + SPOOL_RETRY_S
            text = "dispatch waits for the spool: %s"
            self._seldom.warning("spool", text, error, action="dispatch", code=error.code)

    def _patience_s(self) -> float:
        now_s = self._clock.monotonic_s()
        if now_s < self._spool_retry_s:
            return self._spool_retry_s - now_s
        return max(0.0, min(IDLE_S, self._settlement.patience_s(), self._row_in_s(now_s)))

    def _row_in_s(self, now_s: float) -> float:
        """Seconds until a row can be sent by time alone; infinity if an answer or a call must come first."""
        if self._stop.is_set() or self._asks_version or not self._settlement.has_room:
            return inf
        row_s = self._lanes.wait_s(self._spool.age.now_s())
        permit_s = self._gate.next_permit_in_s(now_s)
        return inf if row_s is None or permit_s is None else max(row_s, permit_s)

    def _drain_inbox(self) -> None:
        renewals = self._exchanges.token_renewals
        if self._changed.is_set() or renewals != self._renewals:
            self._changed.clear()
            self._renewals = renewals
            self._lanes.probe_parked(self._spool.age.now_s())
        while self._news:
            self._lanes.stored(self._news.popleft())
        undecided: list[bytes] = []
        try:
            while self._seen:
                event = self._spool.find_waiting(self._seen[0])
                event_id = self._seen.popleft()
                if event is not None and not self._end_seen(event):
                    undecided.append(event_id)
        finally:
            self._seen.extend(undecided)

    def _end_seen(self, event: WaitingEvent) -> bool:
        flight = self._flights.get(event.seq)
        if flight is not None:
            # Its answer may be a cut, and the workflow gone before we look: it must not be created again.
            flight.is_seen = True
        elif self._lanes.claim(event):
            self._look_first.discard(event.seq)
            self._successes_at_try.pop(event.seq, None)
            self._settlement.done(event)
        else:
            return False  # postponed and not committed yet: once more after the commit
        return True

    def _expire(self) -> None:
        now_s = self._spool.age.now_s()
        if now_s < self._next_expiry_s:
            return
        self._next_expiry_s = now_s + EXPIRY_EVERY_S
        busy = frozenset(self._flights) | self._settlement.seqs | self._look_first
        for event in self._spool.expired(now_s, EXPIRY_PAGE, busy):
            if _may_exist(event):
                self._look_first.add(event.seq)
            elif self._lanes.claim(event):
                self._end_dead(event, _expired(event))

    def _is_over(self, event: WaitingEvent) -> bool:
        return event.expires_at_s is not None and event.expires_at_s <= self._spool.age.now_s()

    def _fill(self) -> None:
        permits = self._gate.permits(self._clock.monotonic_s())
        if permits > 0 and not self._knows_version:
            self._ask_version()
            return
        while permits > 0 and self._settlement.has_room:
            event = self._lanes.take(self._spool.age.now_s())
            if event is None:
                return
            is_over = self._is_over(event)
            # A try may have created it, whatever its answer was: nobody is told "expired" of a workflow that runs.
            must_look = event.seq in self._look_first or (is_over and _may_exist(event))
            self._look_first.discard(event.seq)
            if is_over and not must_look:
                self._end_dead(event, _expired(event))
                continue
            step = Step.LOOK_UP if must_look else Step.CREATE
            plan = self._plans.of(event, step, is_untouched=event.seq in self._untouched)
            self._untouched.discard(event.seq)
            self._ask(_RowInFlight(event, plan))
            # A quarantined row goes beside the gate: what becomes of it says nothing about the others.
            permits -= not event.is_quarantined

    def _ask_version(self) -> None:
        """Ask what the cluster runs before the first row after a start or an outage: it may have been upgraded."""
        if not self._asks_version:
            self._asks_version = True
            self._exchanges.start(_VERSION, HttpRequest("GET", VERSION_PATH))

    def _version_answered(self, answer: Answer) -> None:
        self._asks_version = False
        version = (answer.body or {}).get("version")
        if answer.ok and isinstance(version, str):
            self._schema.learn(version)
        elif answer.strains:
            # A failed probe like any other. A success says little: it is answered while all behind it is away.
            self._gate.started()
            self._gate.finished(answer, answer.elapsed_s, self._clock.monotonic_s(), is_create=False)
            return
        self._knows_version = True

    def _ask(self, flight: _RowInFlight) -> None:
        event = flight.event
        flight.questions += 1
        self._flights[event.seq] = flight
        try:
            request = flight.plan.request()
        except PermanentError as error:
            self._conclude(flight, Refusal(error.code, error.message, error.details))
        except Exception as error:  # noqa: BLE001 - one row's surprise must not end the thread
            self._internal_error(flight, error)
        else:
            if not event.is_quarantined:
                self._gate.started()
            self._exchanges.start(event.seq, request)

    def _answered(self, seq: int, answer: Answer) -> None:
        flight = self._flights[seq]
        is_create = flight.plan.is_create
        if not flight.event.is_quarantined:
            was_away = self._gate.is_away
            self._gate.finished(answer, answer.elapsed_s, self._clock.monotonic_s(), is_create=is_create)
            if was_away and not self._gate.is_away:
                self._changed.set()
            self._knows_version = self._knows_version and not answer.strains
        if is_create:
            self._metrics.submit_seconds.observe(answer.elapsed_s)
        if not answer.ok:
            self._metrics.submit_failures.labels(answer.code).inc()
        try:
            self._conclude(flight, flight.plan.answered(answer))
        except Exception as error:  # noqa: BLE001 - as in _ask
            self._internal_error(flight, error)

    def _conclude(self, flight: _RowInFlight, verdict: Verdict) -> None:
        event = flight.event
        if flight.is_seen:
            verdict = Done()
        elif isinstance(verdict, GoOn | Note) and flight.plan.step is Step.CREATE and self._is_over(event):
            # What creates nothing goes on to ask only after a try whose answer did not tell.
            verdict = _expired(event, is_asked=isinstance(verdict, GoOn))
        if isinstance(verdict, Note):
            verdict = self._noted(event, verdict)
        if flight.gives_up is not None and not isinstance(verdict, Done | Refusal):
            verdict = flight.gives_up if isinstance(verdict, GoOn) else _unknown(flight.gives_up)
        if isinstance(verdict, GoOn) and flight.questions < MAX_QUESTIONS:
            self._ask(flight)
            return
        del self._flights[event.seq]
        if isinstance(verdict, Done):
            self._succeeded(event)
        elif isinstance(verdict, Refusal):
            self._lanes.decided(event.event.lane)
            self._end_dead(event, verdict)
        elif isinstance(verdict, Park) and not event.is_quarantined:
            self._park(event, verdict)
        else:
            self._again(flight, _as_again(verdict))

    def _succeeded(self, event: WaitingEvent) -> None:
        self._successes[event.event.order.namespace] += 1
        self._successes_at_try.pop(event.seq, None)
        if self._lanes.is_parked(event.event.lane):
            # What held this lane back may be what holds others back.
            self._changed.set()
        self._lanes.unpark(event.event.lane)
        if operation_of(event.event) in CREATING:
            self._created[event.event.order.namespace] += 1
        self._settlement.done(event)

    def _end_dead(self, event: WaitingEvent, verdict: Refusal) -> None:
        self._untouched.discard(event.seq)
        self._successes_at_try.pop(event.seq, None)
        self._settlement.dead(event, verdict)

    def _noted(self, event: WaitingEvent, verdict: Note) -> GoOn | Again:
        try:
            self._spool.note(event.seq, verdict.text)
        except SpoolError as error:
            keys = fields(action="dispatch", code=error.code)
            _log.warning("an operation waits for the spool: %s", error, extra=keys)
            return Again(Step.CREATE, own_fault=True, cause=str(error))
        return GoOn(Step.CREATE)

    def _park(self, event: WaitingEvent, verdict: Park) -> None:
        self._remember(event, verdict.step)
        lane = event.event.lane
        if not self._lanes.is_parked(lane):
            keys = fields(action="park", mapping=event.event.mapping, topic=event.event.topic)
            _log.warning("the mapping waits and retries from time to time: %s", verdict.cause, extra=keys)
        self._lanes.park(lane, self._spool.age.now_s(), verdict.cause)
        self._lanes.give_back(event)

    def _again(self, flight: _RowInFlight, verdict: Again) -> None:
        event = flight.event
        if not (verdict.own_fault or event.is_quarantined):
            self._remember(event, verdict.step)
            self._lanes.give_back(event)
            return
        own_failures = event.own_failures + self._is_own_failure(event)
        # Its own failures stay as they were taken: they say which lane it goes back to.
        tried = replace(event, attempts=event.attempts + 1)
        if own_failures >= self._max_attempts:
            self._give_up(flight, tried, verdict)
            return
        self._remember(event, verdict.step)
        is_quarantined = own_failures >= QUARANTINE_FAILURES
        delay_s = (QUARANTINE_BACKOFF if is_quarantined else ROW_BACKOFF).delay_s(tried.attempts)
        if is_quarantined and not event.is_quarantined:
            _say_quarantined(tried, verdict.cause, delay_s)
        now_s = self._spool.age.now_s()
        self._settlement.postpone(event, Postponed(event.seq, tried.attempts, now_s + delay_s, own_failures))
        self._lanes.failed(event, now_s, verdict.cause)

    def _is_own_failure(self, event: WaitingEvent) -> bool:
        """Whether another row of its namespace succeeded since its last try; at its first, since any row failed."""
        namespace = event.event.order.namespace
        successes = self._successes[namespace]
        before = self._successes_at_try.get(event.seq, self._successes_at_failure[namespace])
        self._successes_at_try[event.seq] = successes
        if not event.is_quarantined:
            self._successes_at_failure[namespace] = successes
        return successes > before

    def _give_up(self, flight: _RowInFlight, tried: WaitingEvent, verdict: Again) -> None:
        """End a row after its last try, but look first for a workflow that this try may have made."""
        text = f"given up after {tried.attempts} attempts, while others succeeded; the last response: {verdict.cause}"
        end = Refusal("attempts-exhausted", text)
        if operation_of(tried.event) in CREATING and verdict.step is Step.LOOK_UP:
            self._ask(_RowInFlight(tried, self._plans.of(tried, Step.LOOK_UP), is_seen=flight.is_seen, gives_up=end))
        else:
            self._end_dead(tried, end)

    def _remember(self, event: WaitingEvent, step: Step) -> None:
        # Lost in a crash, and harmless then: the create is answered 409, and the look-up follows. What
        # creates nothing knows a repeat by its row's note, and that it is none by this.
        is_creating = operation_of(event.event) in CREATING
        if is_creating and step is Step.LOOK_UP:
            self._look_first.add(event.seq)
        elif not is_creating and step is Step.CREATE:
            self._untouched.add(event.seq)

    def _internal_error(self, flight: _RowInFlight, error: Exception) -> None:
        self._flights.pop(flight.event.seq, None)
        event = flight.event.event
        facts = {"topic": event.topic, "mapping": event.mapping, "event_id": event.id.hex()}
        self._reports.unexpected("dispatch", error, **facts)
        text = "unexpected error in the bridge with this event; a report was written"
        self._settlement.dead(flight.event, Refusal("internal-error", text))


def _as_again(verdict: Verdict) -> Again:
    """Return when to try again: a row that is asked about for ever backs off, and so does a quarantined one."""
    if isinstance(verdict, Again):
        return verdict
    if isinstance(verdict, Park):
        return Again(verdict.step, own_fault=True, cause=verdict.cause)
    return Again(Step.LOOK_UP, own_fault=True, cause="Argo reports both that its workflow exists and that it does not")


def _unknown(end: Refusal) -> Refusal:
    return replace(end, message=f"{end.message}; it is unknown whether its workflow exists")


def _say_quarantined(event: WaitingEvent, cause: str, delay_s: float) -> None:
    keys = fields(
        action="quarantine",
        mapping=event.event.mapping,
        topic=event.event.topic,
        event_id=event.event.id.hex(),
        attempt=event.attempts,
        delay_s=round(delay_s, 1),
    )
    _log.warning("a row keeps failing while others succeed: %s", cause, extra=keys)


def _may_exist(event: WaitingEvent) -> bool:
    """Whether a try may have made its workflow: then nobody is told that it expired before that was looked at."""
    return event.attempts > 0 and operation_of(event.event) in CREATING


def _expired(event: WaitingEvent, *, is_asked: bool = False) -> Refusal:
    may_be_done = operation_of(event.event) not in CREATING and (is_asked or event.attempts or event.note)
    return _UNANSWERED if may_be_done else _EXPIRED
