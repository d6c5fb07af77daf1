"""Fakes for status: a broker with retained messages, a transport, a table of retained topics, an Argo, and a bench."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import orjson

from bridge.argo.watch import WatchFrame
from bridge.core.clock import AgeClock
from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, OutgoingMessage, WorkflowRef
from bridge.interface.topics import Topics
from bridge.spool.records import ExternalStatus, RetainedTopic
from bridge.status.decided.reports import Reports
from bridge.status.decided.tracker import Tracker
from bridge.status.seen.events import Event, Listed, LookedUp
from bridge.status.seen.retained import read_retained
from bridge.status.seen.sources import FollowedWorkflows
from bridge.status.shown.publisher import Publisher
from bridge.transports.base import PublishResult, Session
from tests.support.clock import FakeClock

NS = "factory"
TOPICS = Topics("argo/workflows", "plant-1")
STREAM = TOPICS.status_stream
OWN_ONLY = FollowedWorkflows("plant-1", (NS,), "argo-bridge/bridge=plant-1")


def workflow(name: str = "boil-1", uid: str = "u1", version: int = 1, **more: object) -> dict[str, object]:
    """A workflow of this bridge; `more` goes into status, but for spec, labels, annotations, created, namespace."""
    labels = {"argo-bridge/bridge": "plant-1", **more.pop("labels", {})}
    return {
        "metadata": {
            "namespace": more.pop("namespace", NS),
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": more.pop("created", "2026-11-24T14:00:00Z"),
            "labels": labels,
            "annotations": {"argo-bridge/mapping": "boiler", **more.pop("annotations", {})},
        },
        "spec": more.pop("spec", {"arguments": {}}),
        "status": {"startedAt": None, "finishedAt": None, **more},
    }


def failed_nodes(name: str = "boil-1") -> dict[str, object]:
    """Nodes of a failed workflow as a real server recorded them."""
    return {
        name: {
            "id": name,
            "name": name,
            "displayName": name,
            "type": "Steps",
            "templateName": "main",
            "phase": "Failed",
            "message": f"child '{name}-2' failed",
            "children": [f"{name}-1"],
        },
        f"{name}-1": {
            "id": f"{name}-1",
            "name": f"{name}[0]",
            "displayName": "[0]",
            "type": "StepGroup",
            "phase": "Failed",
            "message": f"child '{name}-2' failed",
            "children": [f"{name}-2"],
            "boundaryID": name,
        },
        f"{name}-2": {
            "id": f"{name}-2",
            "name": f"{name}[0].measure",
            "displayName": "measure",
            "type": "Pod",
            "templateName": "probe",
            "phase": "Failed",
            "message": "main: Error (exit code 3)",
            "boundaryID": name,
            "outputs": {"exitCode": "3"},
        },
    }


@dataclass
class FakeBroker:
    """Retained messages, and everything else that was published."""

    retained: dict[str, bytes] = field(default_factory=dict)
    messages: list[OutgoingMessage] = field(default_factory=list)

    def take(self, message: OutgoingMessage) -> None:
        """Do what a broker does with a PUBLISH."""
        self.messages.append(message)
        if message.retain and message.payload:
            self.retained[message.topic] = message.payload
        elif message.retain:
            self.retained.pop(message.topic, None)

    def bodies(self, topic: str) -> list[dict[str, object]]:
        """Everything published to a topic; {} for a clearing message."""
        return [orjson.loads(m.payload) if m.payload else {} for m in self.messages if m.topic == topic]


class FakeTransport:
    """A connection whose acknowledgements come when the test says so.

    Attributes:
        auto: acknowledge at once.
        full: `publish` says False.
        refuse: take the message, then say that it ended so; None = it is confirmed.
    """

    def __init__(self, broker: FakeBroker, name: str = "plant") -> None:
        self.broker = broker
        self.name = name
        self.is_ready = False
        self.problems: tuple[HealthProblem, ...] = ()
        self.max_publish_bytes = 256 * 1024
        self.auto = True
        self.full = False
        self.refuse: PublishResult | None = None
        self.waiting: list[tuple[OutgoingMessage, Callable[[bool], None]]] = []

    def start(self) -> None:
        """Nothing to start."""

    def subscribe(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Nothing to subscribe to."""

    def stop(self, deadline_s: float) -> bool:
        """Nothing to stop."""
        return True

    def publish(self, message: OutgoingMessage, done: Callable[[bool], None]) -> bool:
        """Take a message, or not."""
        if not self.is_ready or self.full:
            return False
        self.waiting.append((message, done))
        if self.auto:
            self.settle()
        return True

    def settle(self, count: int | None = None) -> None:
        """Let the broker take and acknowledge the first `count` messages (None: all)."""
        taken, self.waiting = self.waiting[:count], ([] if count is None else self.waiting[count:])
        for message, done in taken:
            if self.refuse is None:
                self.broker.take(message)
            done(PublishResult.CONFIRMED if self.refuse is None else self.refuse)

    def lose(self, reached: int = 0) -> None:
        """Cut the connection; the first `reached` messages arrived, but no acknowledgement came back."""
        self.is_ready = False
        waiting, self.waiting = self.waiting, []
        for position, (message, done) in enumerate(waiting):
            if position < reached:
                self.broker.take(message)
            done(PublishResult.LOST)


class FakeStore:
    """The spool's tables for status, in memory."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.rows: dict[tuple[str, str], RetainedTopic] = {}
        self.updates: dict[tuple[str, str], ExternalStatus] = {}
        self.age = AgeClock(clock or FakeClock())
        self.seq = 0
        self.broken = False
        self.commits = 0

    def send(self, name: str, keep_s: float = 3600.0, namespace: str = NS, **body: object) -> None:
        """Store another system's status of a workflow, as ingest does."""
        self.seq += 1
        document = {"status": "Running", "progress": "", "message": "", "details": {}} | body
        payload, until_s = orjson.dumps(document), self.age.now_s() + keep_s
        self.updates[namespace, name] = ExternalStatus(namespace, name, payload, until_s, self.seq)

    def external(self, after_seq: int = 0) -> Sequence[ExternalStatus]:
        """Every update with a higher number."""
        if self.broken:
            raise SpoolError("read the spool: disk full")
        return [row for row in self.updates.values() if row.seq > after_seq]

    def forget_external(self, rows: Sequence[ExternalStatus]) -> None:
        """Delete rows of this number."""
        self._commit()
        for row in rows:
            if self.updates.get((row.namespace, row.name)) == row:
                del self.updates[row.namespace, row.name]

    def retained(self) -> Sequence[RetainedTopic]:
        """Every row."""
        return list(self.rows.values())

    def retain(self, rows: Sequence[RetainedTopic]) -> None:
        """Upsert."""
        self._commit()
        self.rows.update({(row.connection, row.topic): row for row in rows})

    def release(self, rows: Sequence[RetainedTopic]) -> None:
        """Delete rows of this connection, topic and uid."""
        self._commit()
        for row in rows:
            if self.rows.get((row.connection, row.topic)) == row:
                del self.rows[row.connection, row.topic]

    def _commit(self) -> None:
        if self.broken:
            raise SpoolError("write the spool: disk full")
        self.commits += 1


class Bench:
    """Tracker and publisher with fakes around them, run by hand on one thread."""

    def __init__(
        self,
        *transports: FakeTransport,
        store: FakeStore | None = None,
        clock: FakeClock | None = None,
        follow: FollowedWorkflows = OWN_ONLY,
        reports: bool = False,
    ) -> None:
        self.transports = {transport.name: transport for transport in transports}
        self.clock = clock or FakeClock()
        self.store = store or FakeStore(self.clock)
        self.follow = follow
        self.signals: list[Event] = []
        self.open: dict[WorkflowRef, bool] = {}
        self.events_seen: list[tuple[bytes, str, str]] = []
        self.set_aside: list[tuple[str, OutgoingMessage]] = []
        self.metrics = Metrics()
        self.publisher = Publisher(
            store=self.store,
            transports=transports,
            clock=self.clock,
            stream=STREAM,
            signal=self.signals.append,
            set_aside=lambda *message: self.set_aside.append(message),
        )
        self.tracker = Tracker(
            follow=self.follow,
            topics=TOPICS,
            publisher=self.publisher,
            propose=lambda ref, nodes: self.open.update({ref: nodes or self.open.get(ref, False)}),
            on_event_seen=lambda *event: self.events_seen.append(event),
            on_event_ended=lambda _: None,
            on_listed=lambda: None,
            store=self.store,
            clock=self.clock,
            metrics=self.metrics,
        )
        if not reports:  # one more retained topic, which most tests have nothing to do with
            self.tracker._reports = Reports(self.clock, TOPICS, self.publisher, self.follow.bridge_id, ())
        self.tracker.adopt(self.store.retained())

    @property
    def unpublished(self) -> int:
        """How many values the connections still have to be told, over all of them."""
        links = self.publisher._links.values()
        return sum(len(link.dirty) + len(link.held) + len(link.refused) for link in links)

    def handle(self, *events: Event) -> None:
        """Let events arrive, then do what the status thread does after them."""
        for event in events:
            self.tracker.handle(event)
        self.run()

    def run(self) -> None:
        """Tick and pump until no signal is left."""
        self.tracker.tick()
        self.publisher.pump()
        while self.signals:
            signals, self.signals[:] = list(self.signals), []
            for event in signals:
                self.tracker.handle(event)
            self.tracker.tick()
            self.publisher.pump()

    def wait(self, seconds: float, step_s: float = 0.1) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            self.run()

    def connect(self, name: str = "plant", session: Session = Session.NEW) -> None:
        """Connect; retained messages of ours are delivered as a subscription delivers them."""
        transport = self.transports[name]
        transport.is_ready = True
        self.handle(partial(self.publisher.connected, name, session), partial(self.publisher.ready, name))
        for topic, payload in list(transport.broker.retained.items()):
            event = read_retained(TOPICS, self.follow.bridge_id, name, topic, payload)
            if event is not None:
                self.handle(event)

    def disconnect(self, name: str = "plant", reached: int = 0) -> None:
        """Cut the connection."""
        self.transports[name].lose(reached)
        self.handle(partial(self.publisher.disconnected, name))

    def list(self, *workflows: dict[str, object], starts_watch: bool = True) -> None:
        """Let a list arrive."""
        self.handle(Listed(NS, tuple(copy.deepcopy(workflows)), starts_watch))

    def frame(self, workflow: dict[str, object], kind: str = "MODIFIED") -> None:
        """Let a frame arrive."""
        self.handle(WatchFrame(kind, copy.deepcopy(workflow), "", namespace=NS))

    def answer(self, ref: WorkflowRef, workflow: dict[str, object] | None) -> None:
        """Answer an open GET."""
        nodes = self.open.pop(ref)
        self.handle(LookedUp(ref, copy.deepcopy(workflow), nodes))
