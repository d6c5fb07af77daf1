"""Starts and stops the status threads; the interface of status for the rest of the bridge.

Threads: one ``status-watch-NAMESPACE`` each, ``status-lookups`` (GETs and periodic lists), and ``status``, which owns
the tracker and the publisher. The hooks may be called from any thread and return at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from bridge.core import log
from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.interface.topics import RetainedStatus, Topics
from bridge.spool.store import Spool
from bridge.status.decided.tracker import Tracker
from bridge.status.seen.argo_reader import ArgoReader
from bridge.status.seen.events import Event
from bridge.status.seen.inbox import Inbox
from bridge.status.seen.lookups import Lookups
from bridge.status.seen.retained import read_live, read_retained
from bridge.status.seen.sources import EventSeen, FollowedWorkflows
from bridge.status.seen.watcher import Watcher
from bridge.status.shown.publisher import Publisher
from bridge.transports.base import Session, SetAside, Transport

_LOG = log.logger(__name__)
_IDLE_WAIT_S = 10.0
_SPOOL_PAUSE_S = 1.0
_FAULT_PAUSE_S = 1.0
_FLUSH_WAIT_S = 0.02


class StatusService(Worker):
    """Follows workflows and keeps their retained status correct, on every connection.

    `on_event_seen` is called for each event whose workflow is seen, including deleted ones, on the status thread;
    `on_event_ended` for each whose workflow has ended or is gone, once or several times; `on_listed` once all that Argo
    has was seen.
    While `creates_wait`, single workflows are looked up slowly.
    """

    def __init__(
        self,
        *,
        follow: FollowedWorkflows,
        topics: Topics,
        on_event_seen: EventSeen,
        on_event_ended: Callable[[bytes], None],
        on_listed: Callable[[], None],
        argo: ArgoReader,
        creates_wait: Callable[[], bool],
        store: Spool,
        transports: Sequence[Transport],
        clock: Clock,
        metrics: Metrics,
        reports: ErrorReports,
        set_aside: SetAside,
    ) -> None:
        super().__init__("status")
        self._follow = follow
        self._topics = topics
        self._on_event_seen = on_event_seen
        self._argo = argo
        self._store = store
        self._clock = clock
        self._reports = reports
        self._inbox = Inbox()
        self._publisher = Publisher(
            store=store,
            transports=transports,
            clock=clock,
            stream=topics.status_stream,
            signal=self._inbox.signal,
            set_aside=set_aside,
        )
        self._watchers = [
            Watcher(
                namespace,
                follow.selector,
                argo=argo,
                clock=clock,
                reports=reports,
                inbox=self._inbox,
                stop=self._stop,
            )
            for namespace in follow.namespaces
        ]
        self._lookups = Lookups(
            follow.namespaces,
            follow.selector,
            argo=argo,
            creates_wait=creates_wait,
            clock=clock,
            reports=reports,
            inbox=self._inbox,
            stop=self._stop,
        )
        self._tracker = Tracker(
            follow=follow,
            topics=topics,
            publisher=self._publisher,
            propose=self._lookups.propose,
            on_event_seen=self._event_seen,
            on_event_ended=on_event_ended,
            on_listed=on_listed,
            store=store,
            clock=clock,
            metrics=metrics,
        )
        self._workers: tuple[Worker, ...] = (self._lookups, *self._watchers)
        self._stop_flush_s = 0.0

    def start(self) -> None:
        """Start every thread; returns at once. An Argo Server or a broker that is away is no error."""
        super().start()
        for worker in self._workers:
            worker.start()

    def stop(self, deadline_s: float) -> list[str]:
        """End every thread, while the transports still run: the last values are sent. Returns names of late ones."""
        until_s = self._clock.monotonic_s() + deadline_s
        self._stop_flush_s = min(1.0, deadline_s / 2)
        late = super().stop(deadline_s)
        for worker in self._workers:
            late += worker.stop(max(0.0, until_s - self._clock.monotonic_s()))
        return late

    def _interrupt(self) -> None:
        self._argo.interrupt()
        self._inbox.close()

    def connected(self, connection: str, session: Session) -> None:
        """A broker accepted us; a NEW session means that it may have lost every retained message."""
        self._inbox.signal(functools.partial(self._publisher.connected, connection, session))

    def ready(self, connection: str) -> None:
        """Note that every SUBACK arrived: publishing may begin."""
        self._inbox.signal(functools.partial(self._publisher.ready, connection))

    def disconnected(self, connection: str) -> None:
        """Note that the connection is gone."""
        self._inbox.signal(functools.partial(self._publisher.disconnected, connection))

    def retained_seen(self, connection: str, topic: str, payload: bytes) -> None:
        """Process a message with RETAIN=1 on PREFIX/status/+/+."""
        event = read_retained(self._topics, self._follow.bridge_id, connection, topic, payload)
        if event is not None:
            self._inbox.signal(event)

    def live_seen(self, connection: str, topic: str, payload: bytes) -> None:
        """Process a message just published to a topic of the interface, possibly by us."""
        if isinstance(self._topics.parse(topic), RetainedStatus) or self._topics.is_report(topic):
            self._inbox.signal(read_live(self._topics, self._follow.bridge_id, connection, topic, payload))

    def updates_stored(self) -> None:
        """Note that statuses from other systems wait in the spool."""
        self._inbox.signal(self._tracker.updates_stored)

    @property
    def thread_names(self) -> list[str]:
        """Names of the threads, each of which must run as long as the service does."""
        return super().thread_names + [name for worker in self._workers for name in worker.thread_names]

    def problems(self) -> list[HealthProblem]:
        """Return the reasons why status may be wrong now; [] if there are none. Thread: any."""
        found = [watcher.problem for watcher in self._watchers]
        return [problem for problem in (*found, self._publisher.problem) if problem is not None]

    def run(self) -> None:
        """Run on the thread ``status``."""
        self._load_retained()
        while not self._stop.is_set():
            wait_s = min(self._tracker.next_due_s(), self._publisher.next_due_s(), _IDLE_WAIT_S)
            self._handle(self._inbox.take(wait_s))
        self._flush()

    def _load_retained(self) -> None:
        while not self._stop.is_set():
            try:
                self._tracker.adopt(self._store.retained())
            except SpoolError as error:
                _LOG.warning("cannot read which topics are retained: %s", error, extra=log.fields(code=error.code))
                self._stop.wait(_SPOOL_PAUSE_S)
            else:
                return

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                self._tracker.handle(event)
            except Exception as error:  # noqa: BLE001 - one bad frame never ends the thread
                self._report(error)
        try:
            self._tracker.tick()
            self._publisher.pump()
        except Exception as error:  # noqa: BLE001 - as above
            self._report(error)
            self._stop.wait(_FAULT_PAUSE_S)

    def _event_seen(self, event_id: bytes, namespace: str, name: str) -> None:
        try:
            self._on_event_seen(event_id, namespace, name)
        except Exception as error:  # noqa: BLE001 - what the pipeline does with it must not cost a status
            self._report(error)

    def _report(self, error: Exception) -> None:
        self._reports.unexpected("status", error)

    def _flush(self) -> None:
        self._tracker.release_all()
        until = self._clock.monotonic_s() + self._stop_flush_s
        while True:
            self._handle(self._inbox.take(_FLUSH_WAIT_S))
            if self._publisher.is_settled or self._clock.monotonic_s() >= until:
                return
