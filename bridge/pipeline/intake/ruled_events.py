"""Makes events of mappings with rules over time: by readings, through ingest, and by time alone.

The states are in the spool. Memory has some of them, as they were committed; within one batch of ingest also those that
the batch changed. Whoever reads or changes states holds `lock` until its commit, so that no two decide about a key at
once.

Thread: ``rules`` for what is due by time; ingest calls the rest, and holds the lock meanwhile.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from math import inf
from typing import NamedTuple

import orjson

from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.log import SeldomLog, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, Message, WorkflowOrder
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.interface.operations import OPERATION_MAX_AGE_S, SPECS, Operation
from bridge.interface.replies import Refusal
from bridge.mapping.compiled import Quiet
from bridge.mapping.routes import Match
from bridge.mapping.ruled import Advanced, RuledMapping
from bridge.pipeline.intake import identity
from bridge.pipeline.intake.known_time import KnownTime
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.pipeline.refusals import Refusals
from bridge.rules.active import CLOCK_IS_SET_S, Active
from bridge.rules.chain import USED, Rules, State
from bridge.rules.concurrency import Started
from bridge.rules.model import Now
from bridge.spool.records import Asked, NewEvent, NewRows, RuleState
from bridge.spool.store import Spool

_log = logger(__name__)

IDLE_S = 60.0
PAGE = 256
LOAD_PAGE = 10_000
RETRY_S = 1.0
FAULT_PAUSE_S = 60.0
STALL_S = 5.0
MAX_IN_MEMORY = 200_000
MAX_ENDED = 10_000
UNKNOWN_KEY = "rules-unknown"
"""Where the spool keeps how long each link was down."""


class _Due(NamedTuple):
    age_s: float = inf
    known_s: float = inf


class RuledEvents(Worker):
    """See the module's docstring.

    Args:
        mappings: those with rules, by name.
        connections: names of all connections.
        mapped: makes events of what they let pass.
        spool: has the states.
        refusals: builds dead letters.
        metrics: counters.
        reports: report files of unexpected exceptions.
        clock: wall time.
        on_stored: called with the lanes of events that were committed by time alone.
        on_outbox: called when something was committed that must be sent.
        is_blocked: whether ingest takes nothing at the moment: then silence means nothing.

    Attributes:
        lock: see above.
    """

    def __init__(
        self,
        *,
        mappings: Mapping[str, RuledMapping],
        connections: Iterable[str],
        mapped: MappedEvents,
        spool: Spool,
        refusals: Refusals,
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
        on_stored: Callable[[frozenset[str]], None],
        on_outbox: Callable[[], None],
        is_blocked: Callable[[], bool],
    ) -> None:
        super().__init__("rules")
        self._mappings = mappings
        self._mapped = mapped
        self._spool = spool
        self._refusals = refusals
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        self._on_stored = on_stored
        self._on_outbox = on_outbox
        self._is_blocked = is_blocked
        self._seldom = SeldomLog(_log, clock.monotonic_s)
        self.lock: AbstractContextManager[object] = threading.RLock() if mappings else nullcontext()
        self._wake = threading.Event()
        self._states: dict[tuple[str, str], bytes] = {}
        self._stale: set[tuple[str, str]] = set()
        self._is_complete = self._load()
        self._due = {name: _Due(*spool.next_rule_due(name)) for name in mappings}
        self._saved_time = ""
        self._limits = frozenset(name for name, one in mappings.items() if one.rules.concurrency is not None)
        self._has_hours = any(isinstance(rule, Active) for one in mappings.values() for rule in one.rules.rest)
        self._news: deque[tuple[str, bool]] = deque()
        self._running: dict[str, tuple[str, str]] = {}
        self._seen: set[str] = set()
        self._ended: dict[str, None] = {}
        for name in self._limits:
            self._load_running(name)
        self._unsure = set(self._running)
        self._is_listed = False
        unknown_s = orjson.loads(spool.meta(UNKNOWN_KEY) or "{}") if mappings else {}
        self._time = KnownTime(connections, unknown_s, spool.left_at_s)

    def _load(self) -> bool:
        """Take the states into memory; returns whether all have room, so that a key without one need not be read."""
        for name in self._mappings:
            key = ""
            while page := self._spool.rule_states(name, key, LOAD_PAGE):
                self._states |= {(name, key): state for key, state in page}
                key = page[-1][0]
                if len(self._states) > MAX_IN_MEMORY:
                    self._states.clear()
                    return False
        return True

    def get(self, name: str) -> RuledMapping | None:
        """Return the mapping of that name if it has rules."""
        return self._mappings.get(name)

    @property
    def problems(self) -> list[HealthProblem]:
        """Return why rules cannot decide as their mappings say. Thread: any."""
        if not self._has_hours or self._clock.wall_s() >= CLOCK_IS_SET_S:
            return []
        text = "the machine's clock is before 2020; until it is set, all hours count as `active`"
        return [HealthProblem("clock-not-set", text, "rules")]

    def _interrupt(self) -> None:
        self._wake.set()

    # What the service tells. Thread: any.

    def link_up(self, connection: str) -> None:
        """A connection receives."""
        with self.lock:
            if self._mappings and self._time.up(connection, self._spool.age.now_s()):
                self._wake.set()

    def link_down(self, connection: str) -> None:
        """A connection receives nothing any more."""
        with self.lock:
            self._time.down(connection, self._spool.age.now_s())

    # What status and dispatch tell. Thread: any.

    def workflow_seen(self, event_id: bytes) -> None:
        """Argo has, or had, a workflow of an event."""
        self._tell(event_id.hex(), is_end=False)

    def workflow_ended(self, event_id: bytes) -> None:
        """The workflow of an event has ended, or there will be none."""
        self._tell(event_id.hex(), is_end=True)

    def listed(self) -> None:
        """Status has told of every workflow that Argo has."""
        self._is_listed = True
        self._wake.set()

    def _tell(self, event_id: str, *, is_end: bool) -> None:
        if self._limits:
            self._news.append((event_id, is_end))
            self._wake.set()

    # What ingest calls, with the lock.

    def take(self, ruled: RuledMapping, match: Match, message: Message, rows: NewRows) -> None:
        """Add what a message leads to by one mapping to `rows`."""
        name = match.mapping.name
        read = ruled.read(message, match.captures, self._clock.wall_s())
        if isinstance(read, Refusal):
            rows.add(self._refusals.of_message(message, read, mapping=name))
        elif isinstance(read, Quiet):
            self._mapped.quiet(match.mapping, message, read)
        else:
            before = self._state(name, read.key)
            advanced = ruled.take(_loads(before), read, self._now(ruled))
            self._add(ruled, read.key, before, advanced, rows)
            if advanced.quiet is not None:
                self._mapped.quiet(match.mapping, message, advanced.quiet)

    def forget(self, states: Iterable[RuleState]) -> None:
        """Take back what `take` changed in memory: it is not committed."""
        for state in states:
            self._states.pop((state.mapping, state.key), None)
            self._stale.add((state.mapping, state.key))

    def committed(self, states: Iterable[RuleState]) -> None:
        """Look after what is due, and after memory."""
        for state in states:
            self._remember_running(state.mapping, state.key, state.state)
            due = self._due[state.mapping]
            if state.due_age_s < due.age_s or state.due_known_s < due.known_s:
                self._due[state.mapping] = _Due(min(state.due_age_s, due.age_s), min(state.due_known_s, due.known_s))
                self._wake.set()
        if len(self._states) > MAX_IN_MEMORY:
            self._is_complete = False
            for key in list(islice(self._states, MAX_IN_MEMORY // 2)):
                del self._states[key]

    def _state(self, mapping: str, key: str) -> bytes:
        place = (mapping, key)
        state = self._states.get(place)
        if state is not None:
            return state
        if self._is_complete and place not in self._stale:
            return b""
        state = self._spool.rule_state(mapping, key)
        self._stale.discard(place)
        self._put(place, state)
        return state

    def _put(self, place: tuple[str, str], state: bytes) -> None:
        if state or not self._is_complete:
            self._states[place] = state
        else:
            self._states.pop(place, None)

    def _add(self, ruled: RuledMapping, key: str, before: bytes, advanced: Advanced, rows: NewRows) -> None:
        name = ruled.mapping.name
        started: list[Started | None] = []
        for message, result in advanced.made:
            made: NewEvent | Refusal
            if isinstance(result, Refusal):
                made = result
            else:
                made = self._mapped.event(ruled.mapping, message, result, partial(secrets.token_bytes, 16))
            if isinstance(made, Refusal):
                rows.add(self._refusals.of_message(message, made, mapping=name))
                started.append(None)
            else:
                rows.events.append(made)
                started.append([made.id.hex(), made.order.namespace, made.order.name])
        state = ruled.rules.named(advanced.state, started)
        rows.events += self._replaced(ruled, state)
        # orjson's result holds on to its 4 KiB buffer; a copy is as long as it says.
        after = bytes(memoryview(orjson.dumps(state))) if state else b""
        if after != before:
            self._put((name, key), after)
            rows.states.append(RuleState(name, key, after, *ruled.rules.due(state), state.get(USED, 0)))

    def _replaced(self, ruled: RuledMapping, state: State) -> list[NewEvent]:
        """Return the requests that end what must give way to a newer one, if it exists already."""
        rule, name = ruled.rules.concurrency, ruled.mapping.name
        if rule is None or not rule.to_replace(state.get(rule.name)):
            return []
        told = state[rule.name]
        _, topic, connection, *_ = told[1][0][-1]  # the message that waits
        return [
            NewEvent(
                id=identity.digest("replaced", event_id),
                lane=f"operation:{namespace}",
                order=WorkflowOrder(namespace, "", b"{}", workflow),
                mapping=name,
                topic=topic,
                connection=connection,
                payload_digest=identity.digest(event_id),
                order_key=f"operation:{SPECS[Operation.STOP].name_key}:{namespace}/{workflow}",
                max_age_s=OPERATION_MAX_AGE_S,
                asked=Asked(Operation.STOP.value, workflow),
                is_urgent=True,
            )
            for event_id, namespace, workflow in rule.to_replace(told)
            if event_id in self._seen
        ]

    def _now(self, ruled: RuledMapping) -> Now:
        age_s = self._spool.age.now_s()
        return Now(age_s, self._time.now_s(ruled.mapping.connection, age_s), self._clock.wall_s())

    # What is due by time alone.

    def run(self) -> None:
        """Run on the thread."""
        wait_s = 0.0
        looked_s = swept_s = self._clock.monotonic_s()
        while not self._stop.is_set():
            self._wake.wait(wait_s)
            self._wake.clear()
            now_s = self._clock.monotonic_s()
            late_s = now_s - looked_s - wait_s
            try:
                with self.lock:
                    self._lose(now_s - looked_s if self._is_blocked() else late_s if late_s > STALL_S else 0.0)
                    self._save_time()
                    wait_s = self._round()
                if now_s - swept_s >= IDLE_S:
                    swept_s = now_s
                    self._sweep()
            except SpoolError as error:
                wait_s = RETRY_S
                text = "rules wait for the spool: %s"
                self._seldom.warning("spool", text, error, action="rules", code=error.code)
            except Exception as error:  # noqa: BLE001 - one defect must not stop all timers
                wait_s = RETRY_S
                self._reports.unexpected("rules", error)
            looked_s = now_s

    def _round(self) -> float:
        """Do what is due; returns in how many seconds something will be. With the lock."""
        if self._limits:
            self._follow_workflows()
        wait_s = IDLE_S
        for name, ruled in self._mappings.items():
            while (left_s := self._left_s(ruled)) <= 0:
                self._advance(ruled)
                self._due[name] = _Due(*self._spool.next_rule_due(name))
            wait_s = min(wait_s, left_s)
        return wait_s

    def _follow_workflows(self) -> None:
        while self._news:
            event_id, is_end = self._news[0]
            self._unsure.discard(event_id)
            self._follow(event_id, is_end=is_end)
            self._news.popleft()
        if self._is_listed:
            # What ran before this start, and Argo does not have, is gone, unless it is still to be created.
            while self._unsure:
                event_id = next(iter(self._unsure))
                if self._spool.find_waiting(bytes.fromhex(event_id)) is None:
                    self._follow(event_id, is_end=True)
                self._unsure.discard(event_id)

    def _follow(self, event_id: str, *, is_end: bool) -> None:
        try:
            if is_end:
                self._end(event_id)
            elif event_id in self._running:
                self._seen.add(event_id)
                self._change(event_id, lambda _, state: state)
        except SpoolError:
            raise
        except Exception as error:  # noqa: BLE001 - the other workflows must not wait for one that cannot be handled
            self._reports.unexpected("rules", error, event_id=event_id)

    def _load_running(self, name: str) -> None:
        key = ""
        while page := self._spool.rule_states(name, key, PAGE):
            for key, state in page:
                self._remember_running(name, key, state)

    def _remember_running(self, mapping: str, key: str, state: bytes) -> None:
        if mapping not in self._limits or not state:
            return
        running, _ = orjson.loads(state).get("concurrency") or ([], [])
        for event_id, _, _ in running:
            if event_id not in self._running:
                self._running[event_id] = (mapping, key)
                if event_id in self._ended:
                    self._tell(event_id, is_end=True)

    def _end(self, event_id: str) -> None:
        if event_id not in self._running:
            self._ended[event_id] = None  # perhaps it ended before its state was known to be committed
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]
            return
        self._change(event_id, lambda rules, state: rules.ended(state, event_id))
        del self._running[event_id]
        self._seen.discard(event_id)

    def _change(self, event_id: str, change: Callable[[Rules, State], State]) -> None:
        """Commit what a change of the state in which an event runs leads to."""
        mapping, key = self._running[event_id]
        ruled, rows = self._mappings[mapping], NewRows()
        before = self._state(mapping, key)
        state = change(ruled.rules, _loads(before))
        self._add(ruled, key, before, ruled.tick(key, state, self._now(ruled)), rows)
        self._commit(mapping, rows)

    def _left_s(self, ruled: RuledMapping) -> float:
        due, now = self._due[ruled.mapping.name], self._now(ruled)
        runs = self._time.is_running(ruled.mapping.connection)
        return min(due.age_s - now.age_s, due.known_s - now.known_s if runs else inf)

    def _advance(self, ruled: RuledMapping) -> None:
        """Commit what one page of keys that are due leads to."""
        now = self._now(ruled)
        states = self._spool.due_rule_states(ruled.mapping.name, now.age_s, now.known_s, PAGE)
        try:
            self._advance_keys(ruled, states, now)
        except SpoolError:
            raise
        except Exception:  # noqa: BLE001 - the other keys must not wait for one that cannot be handled
            for key, state in states:
                self._advance_alone(ruled, key, state, now)

    def _advance_keys(self, ruled: RuledMapping, states: Sequence[tuple[str, bytes]], now: Now) -> None:
        rows = NewRows()
        try:
            for key, state in states:
                self._add(ruled, key, state, ruled.tick(key, orjson.loads(state), now), rows)
        except Exception:
            self.forget(rows.states)
            raise
        self._commit(ruled.mapping.name, rows)

    def _advance_alone(self, ruled: RuledMapping, key: str, state: bytes, now: Now) -> None:
        try:
            self._advance_keys(ruled, [(key, state)], now)
        except SpoolError:
            raise
        except Exception as error:  # noqa: BLE001 - likewise: once more later
            name = ruled.mapping.name
            self._reports.unexpected("rules", error, mapping=name, key=key)
            used = orjson.loads(state).get(USED, 0)
            self._commit(name, NewRows(states=[RuleState(name, key, state, now.age_s + FAULT_PAUSE_S, used=used)]))

    def _commit(self, mapping: str, rows: NewRows) -> None:
        if rows.is_empty:
            return
        try:
            committed = self._spool.commit(rows)
        except Exception:
            self.forget(rows.states)
            raise
        self.committed(rows.states)
        for outcome in committed.known:
            if outcome.outcome is not None:
                self.workflow_ended(outcome.id)
        if rows.events:
            self._on_stored(frozenset(event.lane for event in rows.events))
            self._metrics.events_stored.labels(mapping).inc(committed.stored)
        if rows.outbox:
            self._on_outbox()

    def _lose(self, seconds: float) -> None:
        if seconds > 0:
            self._time.lose(seconds)

    def _save_time(self) -> None:
        saved = orjson.dumps(dict(self._time.unknown_s)).decode()
        if saved != self._saved_time:
            self._spool.set_meta(UNKNOWN_KEY, saved)
            self._saved_time = saved

    def _sweep(self) -> None:
        """Write the bridge's own clock, so that a crash costs no rule more than a minute, and drop what is too much."""
        if any(due != _Due() for due in self._due.values()):
            self._saved_time = ""
        dropped = self._spool.drop_rule_states()
        if not dropped:
            return
        with self.lock:
            self._states.clear()
            self._is_complete = self._load()
        for mapping, count in dropped.items():
            self._metrics.rule_states_dropped.labels(mapping).inc(count)
            text = "dropped %d states of keys that were not used for longest; see spool.max-keys and spool.max-state"
            self._seldom.warning(f"dropped {mapping}", text, count, action="rules", mapping=mapping)


def _loads(state: bytes) -> State:
    return orjson.loads(state) if state else {}
