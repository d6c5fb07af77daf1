"""The real pipeline on the real spool in memory; brokers, Argo and mappings are scripts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import Message, MessageProperties, OutgoingMessage, WorkflowOrder
from bridge.core.report import ErrorReports
from bridge.interface.operations import Operation
from bridge.interface.options import InterfaceOptions
from bridge.interface.reply_addresses import ReplyAddresses
from bridge.interface.topics import Topics
from bridge.mapping.compiled import Fired, Quiet
from bridge.mapping.compiled import Outcome as MappingOutcome
from bridge.mapping.mapping_set import MappingSet
from bridge.mapping.routes import Match
from bridge.pipeline.intake.ingest import Ingest, IngestCallbacks
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.pipeline.intake.operations import OperationIntake, ReadRequest
from bridge.pipeline.intake.requests import RequestRules, Requests
from bridge.pipeline.intake.ruled_events import RuledEvents
from bridge.pipeline.intake.status_updates import StatusUpdates
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import Finished, NewEvent, NewRows, OutboxMessage, Outcome, WaitingEvent
from bridge.spool.store import Spool
from bridge.validation.policy import Policy
from tests.support.clock import FakeClock

TOPICS = Topics("argo/workflows", "plant-1")
TRIGGER = "argo/workflows/trigger"
MANIFEST = b'{"metadata":{},"spec":{"workflowTemplateRef":{"name":"t"}}}'
ORDER = WorkflowOrder("factory", "t", MANIFEST)


class FlakySpool:
    """The real spool, whose calls fail on demand.

    failing: names of the methods that raise SpoolError.
    errors: other exceptions by method, raised where the predicate says so for the method's first argument.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.real = Spool.in_memory(clock=clock)
        self.failing: set[str] = set()
        self.refuses: Callable[[Any], Exception | None] = lambda _batch: None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.real, name)
        if not callable(attribute):
            return attribute

        def call(*values: Any, **named: Any) -> Any:
            self.calls.append(name)
            if name in self.failing:
                raise SpoolError(f"cannot {name}: disk full", code="disk-full")
            if name == "commit" and (error := self.refuses(_joined(values))):
                raise error
            return attribute(*values, **named)

        return call


def _joined(batch: Sequence[NewRows]) -> NewRows:
    parts = [field.name for field in dataclasses.fields(NewRows)]
    return NewRows(**{part: [row for rows in batch for row in getattr(rows, part)] for part in parts})


class FakeDelivery:
    """One message, and how often it was acknowledged."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.acks = 0

    def ack(self) -> None:
        self.acks += 1


@dataclass
class FakeMapping:
    """A mapping whose outcome is a script; a callable outcome gets the message."""

    name: str
    outcome: MappingOutcome | Callable[[Message], MappingOutcome] = field(default_factory=lambda: Fired(ORDER))
    topic: str = "sensors/a"
    takes_retained: bool = False

    @property
    def lane(self) -> str:
        return self.name

    def evaluate(self, message: Message, _captures: dict[str, str], _wall_s: float) -> MappingOutcome:
        return self.outcome(message) if callable(self.outcome) else self.outcome


class FakeMappings:
    """Routes by the whole topic."""

    def __init__(self, *mappings: FakeMapping) -> None:
        self.all = list(mappings)

    def route(self, _connection: str, topic: str) -> tuple[Match, ...]:
        return tuple(Match(mapping, {}) for mapping in self.all if mapping.topic == topic)  # type: ignore[arg-type]  # a fake


class FakeReads:
    """Notes what is to be read.

    room: places that are free.
    asked: what was submitted, each with how to acknowledge it.
    """

    def __init__(self) -> None:
        self.room = 16
        self.asked: list[tuple[ReadRequest, Callable[[], None]]] = []

    def reserve(self, _read: ReadRequest) -> bool:
        """Take a place."""
        self.room -= 1
        if self.room < 0:
            self.room = 0
            return False
        return True

    def release(self, _read: ReadRequest) -> None:
        """Give a place back."""
        self.room += 1

    def submit(self, read: ReadRequest, ack: Callable[[], None]) -> None:
        """Note it."""
        self.asked.append((read, ack))


class IngestBench:
    """Everything that ingest uses, and what it told."""

    def __init__(
        self, folder: Path, *mappings: FakeMapping, compiled: MappingSet | None = None, spool: FlakySpool | None = None
    ) -> None:
        self.clock = FakeClock()
        self.spool = spool or FlakySpool(self.clock)
        self.metrics = Metrics()
        self.folder = folder
        self.mappings = compiled or FakeMappings(*mappings)
        self.is_blocked = False
        self.check: Callable[[Any], None] = lambda _workflow: None
        self.stored: list[frozenset[str]] = []
        self.retained: list[tuple[str, str, bytes]] = []
        self.live: list[tuple[str, str, bytes]] = []
        self.outbox_calls = 0
        self.update_calls = 0
        self.reads = FakeReads()
        rules = RequestRules(
            "plant-1",
            Policy(("factory", "lab")),
            frozenset({Operation.TRIGGER, Operation.STOP, Operation.RETRY, Operation.GET}),
            self._check,
        )
        allowed = ("argo/workflows/response/#", "replies/+", "office/+", "argo/workflows/#")
        mapped = MappedEvents("plant-1", self.mappings, self.metrics, self.clock)  # type: ignore[arg-type]  # a fake
        refusals, reports = Refusals(TOPICS, self.metrics, self.clock), ErrorReports(folder, self.metrics, self.clock)
        self.ruled = RuledEvents(
            mappings=compiled.ruled if compiled else {},
            connections=["plant"],
            mapped=mapped,
            spool=self.spool,  # type: ignore[arg-type]  # the real one, with a switch
            refusals=refusals,
            metrics=self.metrics,
            reports=reports,
            clock=self.clock,
            on_stored=self.stored.append,
            on_outbox=self._outbox,
            is_blocked=lambda: self.is_blocked,
        )
        self.ingest = Ingest(
            topics=TOPICS,
            max_payload_bytes=256 * 1024,
            addresses=ReplyAddresses(TOPICS, InterfaceOptions(response_topics=allowed), frozenset({"office/+"})),
            spool=self.spool,  # type: ignore[arg-type]  # the real one, with a switch
            requests=Requests(rules),
            operations=OperationIntake(rules),
            reads=self.reads,  # type: ignore[arg-type]  # a fake
            mapped=mapped,
            ruled=self.ruled,
            updates=StatusUpdates(Policy(("factory", "lab")), 3600.0),
            refusals=refusals,
            metrics=self.metrics,
            reports=reports,
            clock=self.clock,
            callbacks=IngestCallbacks(self.stored.append, self._outbox, self._seen, self._live_seen, self._updates),
        )

    def _check(self, workflow: Any) -> None:
        self.check(workflow)

    def _outbox(self) -> None:
        self.outbox_calls += 1

    def _seen(self, connection: str, topic: str, payload: bytes) -> None:
        self.retained.append((connection, topic, payload))

    def _live_seen(self, connection: str, topic: str, payload: bytes) -> None:
        self.live.append((connection, topic, payload))

    def _updates(self) -> None:
        self.update_calls += 1

    def receive(self, *messages: Message) -> list[FakeDelivery]:
        """Hand a batch in; the deliveries tell what was acknowledged."""
        deliveries = [FakeDelivery(message) for message in messages]
        self.ingest.receive(deliveries)
        return deliveries

    def waiting(self) -> list[WaitingEvent]:
        """Every waiting row, in order of arrival."""
        lanes = self.spool.real.waiting_lanes()
        rows = [row for lane in lanes for row in self.spool.real.waiting(lane, 0, 10_000)]
        return sorted(rows, key=lambda row: row.seq)

    def sent(self, connection: str = "plant") -> list[OutgoingMessage]:
        """All that the outbox holds."""
        return [row.message for _, row in self.spool.real.outbox(connection, 0, 10_000)]

    def replies(self, connection: str = "plant") -> list[dict[str, Any]]:
        """The bodies of all that the outbox holds but dead-letter notices."""
        return [json.loads(one.payload) for one in self.sent(connection) if one.topic != TOPICS.dead_letter]

    def reasons(self) -> list[str]:
        """Reasons of the dead letters, newest first, each as often as it counts."""
        return [one.letter.reason for one in self.spool.real.dead_letters() for _ in range(one.count)]

    def count(self, name: str, **labels: str) -> float:
        """One figure."""
        return self.metrics.value(name, **labels)


def end(bench: IngestBench, outcome: Outcome, **texts: str) -> None:
    """End the only waiting row."""
    (row,) = bench.waiting()
    bench.spool.real.settle([Finished(row.seq, outcome, **texts)])


def sensor(payload: bytes = b"95", **changes: Any) -> Message:
    """A QoS 1 sensor message."""
    return Message(
        **({"connection": "plant", "topic": "sensors/a", "payload": payload, "qos": 1, "packet_id": 7} | changes)
    )


def request(body: object = None, topic: str = TRIGGER, **changes: Any) -> Message:
    """A QoS 1 trigger message; `properties` as keyword arguments of MessageProperties."""
    properties = MessageProperties(**changes.pop("properties", {}))
    body = {"submit": {"template": "t"}} if body is None else body
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sensor(payload, topic=topic, properties=properties, **changes)


def event(number: int, lane: str = "m", **changes: Any) -> NewEvent:
    """A stored event; lane "trigger:..." makes it a request."""
    mapping = "" if lane.startswith("trigger:") else lane
    given: dict[str, Any] = {
        "id": number.to_bytes(32, "big"),
        "lane": lane,
        "order": WorkflowOrder("factory", "t", MANIFEST, f"w-{number}", changes.pop("parameters", {})),
        "mapping": mapping,
        "topic": "sensors/a",
        "connection": "plant",
        "payload_digest": b"d" * 32,
    }
    return NewEvent(**(given | changes))


QUIET = Quiet("when-false")


def outbox_row(text: str, connection: str = "plant", topic: str = "replies/me") -> OutboxMessage:
    """An error reply to send."""
    return OutboxMessage(connection, OutgoingMessage(topic, json.dumps({"error": text}).encode()))


def all_of(rows: Iterable[tuple[int, OutboxMessage]]) -> list[str]:
    """The texts of outbox rows."""
    return [json.loads(row.message.payload)["error"] for _, row in rows]
