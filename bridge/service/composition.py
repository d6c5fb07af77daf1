"""Composition root: builds every object of a bridge, starts the threads, and stops them in order.

Limits: decides nothing about a message, a row or a workflow.

Thread: the process's main thread builds, starts and stops; `state`, `readiness` and `liveness` are called from any.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge import __version__
from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.exchanges import Exchanges
from bridge.argo.gate import Gate
from bridge.control.dead_letter_commands import DeadLetterCommands
from bridge.control.protocol import SOCKET_FILE
from bridge.control.server import ControlServer
from bridge.core.clock import Clock, SystemClock
from bridge.core.log import fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.interface.operations import Operation
from bridge.interface.reply_addresses import ReplyAddresses
from bridge.interface.topics import Topics
from bridge.mapping.mapping_set import MappingSet
from bridge.pipeline.cluster import VERSION_KEY, ClusterSchema, VersionWatch
from bridge.pipeline.dispatch.dispatcher import Dispatcher
from bridge.pipeline.dispatch.settlement import Settlement
from bridge.pipeline.housekeeping import Housekeeping
from bridge.pipeline.intake.ingest import Ingest, IngestCallbacks
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.pipeline.intake.operations import OperationIntake
from bridge.pipeline.intake.requests import Requests
from bridge.pipeline.intake.ruled_events import RuledEvents
from bridge.pipeline.intake.status_updates import StatusUpdates
from bridge.pipeline.outbox import OutboxSender
from bridge.pipeline.reads.reader import MAX_AT_ONCE as READS_AT_ONCE
from bridge.pipeline.reads.reader import Reads
from bridge.pipeline.refusals import Refusals
from bridge.service.connections import build_transport
from bridge.service.replaying import build_replay, request_rules
from bridge.settings.model import Settings
from bridge.spool.lock import DataDirLock
from bridge.spool.options import SPOOL_FILE
from bridge.spool.store import Spool
from bridge.status.seen.argo_reader import ArgoReader
from bridge.status.seen.sources import FollowedWorkflows, scope_selector
from bridge.status.service import StatusService
from bridge.status.shown.availability import Availability
from bridge.status.shown.own_topic import OwnTopic
from bridge.status.shown.state import StatePublisher
from bridge.transports.base import Delivery, Left, Session, Transport
from bridge.validation.library import SchemaLibrary
from bridge.web.health import HealthPages
from bridge.web.server import WebServer

_log = logger(__name__)

MAX_NEVER_RECEIVED = 20
LOCK_PATIENCE_S = 5.0
"""Patience with a bridge that is just ending, or a command that changes dead letters while none runs."""


class Service:
    """One bridge.

    Raises:
        ConfigError: the data directory is in use, or the configuration cannot be used.
        SpoolError: the spool cannot be opened.
    """

    def __init__(self, settings: Settings, mappings: MappingSet, clock: Clock | None = None) -> None:
        self._settings = settings
        self._mappings = mappings
        self._clock = clock or SystemClock()
        self.metrics = Metrics()
        self._topics = Topics(settings.interface.prefix, settings.bridge.id)
        self._lock = DataDirLock(settings.bridge.data_dir)
        self._lock.acquire(LOCK_PATIENCE_S)
        self._reports = ErrorReports(settings.bridge.data_dir / "reports", self.metrics, self._clock)
        self._spool = Spool.open(settings.bridge.data_dir / SPOOL_FILE, clock=self._clock, limits=settings.spool)
        self._build_argo()
        self._build_transports()
        self._build_rules()
        self._build_status()
        self._build_pipeline()
        # In the order in which they start and end: the last results of dispatch and reads must still be sent, and
        # ``offline`` behind the last status.
        self._threads: tuple[Worker | Transport, ...] = (
            self._control,
            self._dispatcher,
            self._reads,
            *((self._ruled,) if self._mappings.ruled else ()),
            self._outbox,
            self._version,
            self._status,
            self._housekeeping,
            self._state,
            *self._transports.values(),
        )
        self._web = self._build_web()
        self._is_started = False

    def _build_argo(self) -> None:
        options = self._settings.argo
        credentials = Credentials(options.token_file, options.authorization)
        self._client = ArgoClient(options, credentials)
        self._schema = ClusterSchema(SchemaLibrary(), self._settings.argo.version, self._spool.meta(VERSION_KEY))
        self._version = VersionWatch(
            self._client,
            self._settings.argo.namespaces,
            schema=self._schema,
            spool=self._spool,
            metrics=self.metrics,
            on_recovered=self._argo_recovered,
        )
        self._exchanges = Exchanges(options, credentials)
        self._gate = Gate()

    def _argo_recovered(self) -> None:
        self._dispatcher.changed()

    def _build_transports(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._transports: dict[str, Transport] = {}
        for name in self._settings.connections:
            transport = build_transport(
                name,
                self._settings,
                receiver=self,
                listener=self,
                spool=self._spool,
                metrics=self.metrics,
                reports=self._reports,
                clock=self._clock,
            )
            requests = self._topics.request_filters(frozenset(Operation)) | {self._topics.status_stream}
            retained = {self._topics.retained_filter} | self._mappings.retained_filters(name)
            transport.subscribe(requests | self._mappings.filters(name), frozenset(retained))
            self._transports[name] = transport
        self._refusals = Refusals(self._topics, self.metrics, self._clock)
        self._outbox = OutboxSender(self._spool, self._transports, self._refusals, self.metrics, self._reports)

    def _build_rules(self) -> None:
        settings, metrics = self._settings, self.metrics
        self._mapped = MappedEvents(settings.bridge.id, self._mappings, metrics, self._clock)
        self._ruled = RuledEvents(
            mappings=self._mappings.ruled,
            connections=settings.connections,
            mapped=self._mapped,
            spool=self._spool,
            refusals=self._refusals,
            metrics=metrics,
            reports=self._reports,
            clock=self._clock,
            on_stored=self._events_stored,
            on_outbox=self._outbox.wake,
            is_blocked=lambda: self._ingest.problem is not None,
        )

    def _events_stored(self, lanes: frozenset[str]) -> None:
        self._dispatcher.stored(lanes)

    def _build_pipeline(self) -> None:
        settings, clock, metrics = self._settings, self._clock, self.metrics
        refusals = self._refusals
        settlement = Settlement(
            self._spool,
            refusals,
            metrics,
            clock,
            self._outbox.wake,
            on_dead=self._ruled.workflow_ended,
        )
        self._dispatcher = Dispatcher(
            bridge_id=settings.bridge.id,
            max_attempts=settings.argo.max_attempts,
            spool=self._spool,
            exchanges=self._exchanges,
            schema=self._schema,
            gate=self._gate,
            settlement=settlement,
            metrics=metrics,
            reports=self._reports,
            clock=clock,
        )
        self._reads = self._build_reads(refusals)
        rules = request_rules(settings, self._schema)
        self._ingest = Ingest(
            topics=self._topics,
            max_payload_bytes=settings.interface.max_payload_bytes,
            addresses=self._reply_addresses(),
            spool=self._spool,
            requests=Requests(rules),
            operations=OperationIntake(rules),
            reads=self._reads,
            mapped=self._mapped,
            ruled=self._ruled,
            updates=StatusUpdates(rules.policy, settings.status.external_keep_s),
            refusals=refusals,
            metrics=metrics,
            reports=self._reports,
            clock=clock,
            callbacks=IngestCallbacks(
                stored=self._dispatcher.stored,
                outbox=self._outbox.wake,
                retained_seen=self._status.retained_seen,
                published=self._published,
                updates=self._status.updates_stored,
            ),
        )
        replay = build_replay(
            settings, self._mappings, self._spool, self._schema, metrics, on_stored=self._dispatcher.stored
        )
        commands = DeadLetterCommands(self._spool, replay.letter)
        self._control = ControlServer(settings.bridge.data_dir / SOCKET_FILE, commands.ask, self._reports, clock)

    def _reply_addresses(self) -> ReplyAddresses:
        settings, mappings = self._settings, self._mappings
        listened = [mappings.filters(name) for name in settings.connections]
        published = [mapping.published for mapping in mappings]
        brokers = [one.amqp for one in settings.connections.values() if one.amqp]
        return ReplyAddresses(
            self._topics,
            settings.interface,
            own_topics=frozenset(notice.topic for notice in settings.status.notify).union(*listened, *published),
            own_queues=frozenset(queue.name for options in brokers for queue in options.queues()),
        )

    def _build_reads(self, refusals: Refusals) -> Reads:
        exchanges = Exchanges(self._client.options, self._client.credentials, READS_AT_ONCE)
        return Reads(
            spool=self._spool,
            exchanges=exchanges,
            refusals=refusals,
            metrics=self.metrics,
            reports=self._reports,
            clock=self._clock,
            max_publish_bytes=lambda name: self._transports[name].max_publish_bytes,
            on_outbox=self._outbox.wake,
        )

    def _build_status(self) -> None:
        status, bridge_id = self._settings.status, self._settings.bridge.id
        follow = FollowedWorkflows(
            bridge_id=bridge_id,
            namespaces=self._settings.argo.namespaces,
            selector=scope_selector(bridge_id, status.scope),
            notices=status.notify,
            requests=self._mappings.status_requests,
        )
        transports, set_aside = list(self._transports.values()), self._outbox.set_aside
        self._status = StatusService(
            follow=follow,
            topics=self._topics,
            on_event_seen=self._event_seen,
            on_event_ended=self._ruled.workflow_ended,
            on_listed=self._ruled.listed,
            argo=ArgoReader(self._client.options, self._client.credentials),
            creates_wait=lambda: self._gate.is_full,
            store=self._spool,
            transports=transports,
            clock=self._clock,
            metrics=self.metrics,
            reports=self._reports,
            set_aside=set_aside,
        )
        state, availability = self._topics.state, self._topics.availability
        self._own_topics = {
            topic: OwnTopic(topic, content_type, transports, self._clock, set_aside)
            for topic, content_type in ((availability, "text/plain"), (state, "application/json"))
        }
        self._availability = Availability(self._own_topics[availability])
        self._state = StatePublisher(self._own_topics[state], self.state, self._availability, self._reports)
        self._housekeeping = Housekeeping(self._spool, self.metrics)

    def _build_web(self) -> WebServer | None:
        listen = self._settings.web.listen
        if listen is None:
            return None
        pages = HealthPages(self.liveness, self.readiness, self.metrics)
        return WebServer(listen.host, listen.port, pages.page, self._reports)

    def start(self) -> None:
        """Start every thread; returns at once. A broker or an Argo Server that is away is no error.

        Raises:
            ConfigError: ``web.listen`` cannot be used.
        """
        if self._spool.set_aside is not None:
            _log.error("the spool was damaged; it was set aside as %s, and a new one created", self._spool.set_aside)
        if self._web is not None:
            self._web.start()
        for thread in self._threads:
            thread.start()
        self._is_started = True
        keys = fields(action="start", bridge=self._settings.bridge.id, mappings=len(self._mappings))
        _log.info("argo-bridge %s started", __version__, extra=keys)

    def stop(self, deadline_s: float) -> list[str]:
        """Finish work in progress, publish ``offline``, and end every thread; returns the names of late ones.

        `deadline_s` is for all of it. Unfinished work is done after the next start.
        """
        until_s = self._clock.monotonic_s() + deadline_s

        def left_s() -> float:
            return max(0.1, until_s - self._clock.monotonic_s())

        # Half for each: one that hangs leaves time for those behind it.
        late = [name for thread in self._threads for name in thread.stop(left_s() / 2)]
        if self._web is not None:
            late += self._web.stop(left_s())
        self._client.close()
        if not late:
            self._spool.close()
            self._lock.release()
        _log.info("argo-bridge stopped", extra=fields(action="stop", late=late))
        return late

    # Called by the transports, which are built before the parts that they call and start after them.

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """Store what a batch leads to (`Receiver`). Thread: the transport's."""
        return self._ingest.receive(batch, waiting)

    def _event_seen(self, event_id: bytes, _namespace: str, _name: str) -> None:
        """Pass on that Argo has a workflow of an event. Thread: the status thread."""
        self._dispatcher.event_seen(event_id)
        self._ruled.workflow_seen(event_id)

    def _published(self, connection: str, topic: str, payload: bytes) -> None:
        """Pass on what somebody, perhaps the bridge, published to the interface. Thread: the transport's."""
        if topic in self._own_topics:
            self._own_topics[topic].seen(connection, payload)
        else:
            self._status.live_seen(connection, topic, payload)

    def connected(self, connection: str, session: Session) -> None:
        """A broker accepted us; the session decides what is remembered. Thread: the transport's."""
        self._sessions[connection] = session
        if session is Session.NEW:
            self._ingest.session_began(connection)
        self._status.connected(connection, session)
        _log.info("connected", extra=fields(action="connect", connection=connection, session=session.value))

    def ready(self, connection: str) -> None:
        """Every SUBACK arrived. Thread: the transport's."""
        self._ruled.link_up(connection)
        self._availability.ready(connection)
        self._status.ready(connection)
        self._outbox.connected(connection)

    def disconnected(self, connection: str, problem: HealthProblem) -> None:
        """The connection is gone. Thread: the transport's."""
        self._ruled.link_down(connection)
        self._availability.disconnected(connection)
        self._status.disconnected(connection)
        self._own_topics[self._topics.state].disconnected(connection)
        keys = fields(action="disconnect", connection=connection, code=problem.code)
        say = _log.info if problem.code == "stopped" else _log.warning
        say("not connected: %s", problem.message, extra=keys)

    # Called by the web server and for the state topic.

    @property
    def web_port(self) -> int | None:
        """The port of the health pages, or None."""
        return None if self._web is None else self._web.address[1]

    def state(self) -> Mapping[str, Any]:
        """Return the content of the ``state`` topic."""
        figures = self._housekeeping.figures
        return {
            "version": __version__,
            "argo": self._version.state | {"url": self._settings.argo.url},
            "spool": {
                "waiting": figures.waiting,
                "outbox": figures.outbox,
                "deadLetters": figures.dead_letters,
                "setAside": None if self._spool.set_aside is None else str(self._spool.set_aside),
            },
            "mappings": len(self._mappings),
            "connections": {name: self._connection_state(part) for name, part in self._transports.items()},
            "waiting": self._dispatcher.causes,
            "problems": [{"code": reason.code, "message": reason.message} for reason in self._problems()],
        }

    def _connection_state(self, transport: Transport) -> dict[str, Any]:
        session = self._sessions.get(transport.name)
        return {
            "session": None if session is None else session.value,
            "problems": [{"code": one.code, "message": one.message} for one in transport.problems],
            "neverReceived": self._never_received(transport.name),
        }

    def _never_received(self, connection: str) -> list[str]:
        """Return topic filters of mappings that have received nothing since the start, at most some of them."""
        silent = {
            topic_filter
            for mapping in self._mappings
            for topic_filter in mapping.topics.filters
            if mapping.connection in ("", connection) and (connection, mapping.name) not in self._ingest.received
        }
        return sorted(silent)[:MAX_NEVER_RECEIVED]

    def liveness(self) -> Sequence[HealthProblem]:
        """Return problems that only a new process can fix: a thread that ended or hangs, or a damaged spool."""
        if not self._is_started:
            return []
        alive = {thread.name for thread in threading.enumerate()}
        ended = [
            HealthProblem("thread-ended", f"thread {name} has ended", name)
            for thread in self._threads
            for name in thread.thread_names
            if name not in alive
        ]
        for name, seconds in self._ingest.standing_still():
            text = f"a batch of connection {name} has been in progress for {seconds:.0f} s"
            ended.append(HealthProblem("ingest-stands-still", text, name))
        damage = self._spool.damage
        return ended if damage is None else [*ended, HealthProblem(damage.code, str(damage), "spool")]

    def readiness(self) -> Sequence[HealthProblem]:
        """Return what prevents messages from being accepted; an Argo Server that is away does not."""
        found = [
            replace(problem, subject=transport.name)
            for transport in self._transports.values()
            for problem in transport.problems
        ]
        return [*found, *(reason for reason in self._problems() if reason.subject == "spool")]

    def _problems(self) -> list[HealthProblem]:
        spool = self._spool.damage or self._ingest.problem or self._dispatcher.problem or self._housekeeping.problem
        found = [] if spool is None else [HealthProblem(spool.code, str(spool), "spool")]
        found += [replace(one, subject=one.subject or "argo") for one in self._version.problems]
        return found + self._ruled.problems + self._status.problems()
