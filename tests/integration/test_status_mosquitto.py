"""Status from the simulated Argo Server to a real Mosquitto: what is retained there, over losses on both sides."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.handles import HttpRequest
from bridge.argo.marks import BRIDGE_LABEL
from bridge.core.clock import SystemClock
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.interface.topics import Topics
from bridge.simulator import Simulator, SimulatorOptions
from bridge.spool.store import Spool
from bridge.status.seen.argo_reader import ArgoReader
from bridge.status.seen.sources import FollowedWorkflows
from bridge.status.service import StatusService
from bridge.status.shown.availability import Availability
from bridge.status.shown.own_topic import OwnTopic
from bridge.transports.base import NOTHING_LEFT, Delivery, Left, Session
from bridge.transports.mqtt.options import MqttOptions
from bridge.transports.mqtt.transport import MqttTransport
from tests.support.argo_options import argo_at
from tests.support.machine import scaled
from tests.support.mosquitto import Mosquitto
from tests.support.transport_ends import reports_of

NS = "factory"
TOPICS = Topics("argo/workflows", "plant-1")
OWN = TOPICS.status_of(NS, "boil-1")
DEVICE = "sensors/a/boiler/7/workflow"
DEADLINE_S = 20.0


class Bridge:
    """Status and availability of a bridge on one MQTT connection."""

    def __init__(self, mosquitto: Mosquitto, simulator: Simulator, folder: Path, spool: Spool) -> None:
        options = MqttOptions(name="plant", url=mosquitto.url, client_id="argo-bridge-plant-1-plant", topics=TOPICS)
        self.transport = MqttTransport(options, self, self, Metrics(), reports_of())
        self.transport.subscribe(frozenset(), frozenset({TOPICS.retained_filter}))
        argo = ArgoReader(argo_at(simulator.url), Credentials(None))
        self.status = StatusService(
            follow=FollowedWorkflows("plant-1", (NS,), f"{BRIDGE_LABEL}=plant-1"),
            topics=TOPICS,
            on_event_seen=lambda *_: None,
            on_event_ended=lambda _: None,
            on_listed=lambda: None,
            argo=argo,
            creates_wait=lambda: False,
            store=spool,
            transports=[self.transport],
            clock=SystemClock(),
            metrics=Metrics(),
            reports=ErrorReports(folder, Metrics(), SystemClock()),
            set_aside=lambda *_: None,
        )
        own = OwnTopic(TOPICS.availability, "text/plain", [self.transport], SystemClock(), lambda *_: None)
        self.availability = Availability(own)
        self.status.start()
        self.transport.start()

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        for delivery in batch:
            message = delivery.message
            if message.retain:
                self.status.retained_seen(message.connection, message.topic, message.payload)
            delivery.ack()
        return NOTHING_LEFT

    def connected(self, connection: str, session: Session) -> None:
        self.status.connected(connection, session)

    def ready(self, connection: str) -> None:
        self.status.ready(connection)
        self.availability.ready(connection)

    def disconnected(self, connection: str, problem: HealthProblem) -> None:
        self.status.disconnected(connection)
        self.availability.disconnected(connection)

    def close(self) -> None:
        """Stop whatever still runs."""
        self.status.stop(5.0)
        self.transport.stop(5.0)

    def stop(self) -> None:
        assert self.status.stop(5.0) == []
        assert self.availability.stop(5.0)
        assert self.transport.stop(5.0) == []


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(SimulatorOptions(namespaces=(NS,), keepalive_s=0.5)) as made:
        yield made


Start = Callable[[Spool], Bridge]


@pytest.fixture
def start(mosquitto: Mosquitto, simulator: Simulator, tmp_path: Path) -> Iterator[Start]:
    """Starts bridges; none outlives its test."""
    started: list[Bridge] = []

    def make(spool: Spool) -> Bridge:
        started.append(Bridge(mosquitto, simulator, tmp_path, spool))
        return started[-1]

    yield make
    for bridge in started:
        bridge.close()


@pytest.fixture
def spool() -> Iterator[Spool]:
    with Spool.in_memory(clock=SystemClock()) as made:
        yield made


def create(simulator: Simulator) -> None:
    """Create a workflow that waits, as the bridge does for a mapping with a status topic."""
    labels, annotations = {"argo-bridge/bridge": "plant-1"}, {"argo-bridge/status-topic": DEVICE}
    metadata = {"name": "boil-1", "labels": labels, "annotations": annotations}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]}
    body = orjson.dumps({"workflow": {"metadata": metadata, "spec": spec}})
    with ArgoClient(argo_at(simulator.url)) as client:
        client.call(HttpRequest("POST", f"/api/v1/workflows/{NS}", body), "create")


def retained(mosquitto: Mosquitto) -> dict[str, bytes]:
    """Everything that a fresh subscriber is given at once."""
    program = shutil.which("mosquitto_sub")
    assert program is not None, "mosquitto-clients is not installed"
    command = [program, "-h", "127.0.0.1", "-p", str(mosquitto.port), "-t", "#", "-v", "--retained-only", "-W", "1"]
    output = subprocess.run(command, capture_output=True, check=False).stdout
    lines = [line.split(b" ", 1) for line in output.splitlines()]
    return {topic.decode(): payload for topic, payload in lines}


def wait_for(mosquitto: Mosquitto, expected: dict[str, str], *, ignored: str = "") -> None:
    """Wait until exactly these topics and the report are retained; `ignored` may be there or not."""
    until = time.monotonic() + scaled(DEADLINE_S)
    while True:
        found = {
            topic: orjson.loads(payload)["status"] if payload.startswith(b"{") else payload.decode()
            for topic, payload in retained(mosquitto).items()
            if topic != TOPICS.report_of(NS)
        }
        found.pop(ignored, None)
        if found == expected:
            return
        assert time.monotonic() < until, found


ONLINE, OFFLINE = {TOPICS.availability: "online"}, {TOPICS.availability: "offline"}
RUNNING = {OWN: "Running", DEVICE: "Running"}


def test_a_broker_that_lost_everything_is_told_again(
    mosquitto: Mosquitto, simulator: Simulator, spool: Spool, start: Start
) -> None:
    """After a broker restart without persistence status and availability are retained again; a DELETE clears both."""
    bridge = start(spool)
    create(simulator)
    wait_for(mosquitto, ONLINE | RUNNING)
    mosquitto.restart()
    wait_for(mosquitto, ONLINE | RUNNING)
    simulator.delete(NS, "boil-1")
    wait_for(mosquitto, ONLINE)
    bridge.stop()
    wait_for(mosquitto, OFFLINE)


def test_a_delete_while_the_bridge_was_down_is_cleared(
    mosquitto: Mosquitto, simulator: Simulator, spool: Spool, start: Start
) -> None:
    """With its spool the next process clears every topic of a workflow that is gone."""
    bridge = start(spool)
    create(simulator)
    wait_for(mosquitto, ONLINE | RUNNING)
    bridge.stop()
    simulator.delete(NS, "boil-1")
    bridge = start(spool)
    wait_for(mosquitto, ONLINE)
    bridge.stop()


def test_a_lost_spool_leaves_no_status_behind(mosquitto: Mosquitto, simulator: Simulator, start: Start) -> None:
    """Without its spool the next process still finds what it retained below PREFIX/status, and clears it."""
    with Spool.in_memory(clock=SystemClock()) as lost:
        bridge = start(lost)
        create(simulator)
        wait_for(mosquitto, ONLINE | RUNNING)
        bridge.stop()
    simulator.delete(NS, "boil-1")
    with Spool.in_memory(clock=SystemClock()) as fresh:
        bridge = start(fresh)
        # A mapping's own topic is known to the spool alone, unless the first list still shows the deleted workflow.
        wait_for(mosquitto, ONLINE, ignored=DEVICE)
        bridge.stop()
