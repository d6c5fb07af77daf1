"""Status against the simulated Argo Server: list, watch, re-list, cuts, expiry, and deletes while nobody looked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.handles import HttpRequest
from bridge.core.clock import SystemClock
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.interface.topics import Topics
from bridge.simulator import FaultKind, InjectedFault, Simulator, SimulatorOptions
from bridge.spool.store import Spool
from bridge.status.options import ScopeKind, StatusScope
from bridge.status.seen.argo_reader import ArgoReader
from bridge.status.seen.sources import FollowedWorkflows, scope_selector
from bridge.status.service import StatusService
from bridge.transports.base import PublishResult, Session
from tests.support.argo_options import argo_at
from tests.support.machine import scaled

NS = "factory"
TOPICS = Topics("argo/workflows", "plant-1")
DEADLINE_S = 20.0


class Connection:
    """A broker and its transport in one: takes everything, acknowledges at once on another thread."""

    name = "plant"
    is_ready = True
    problems: tuple[HealthProblem, ...] = ()
    max_publish_bytes = 256 * 1024

    def __init__(self) -> None:
        self.retained: dict[str, dict[str, object]] = {}
        self.stream: list[dict[str, object]] = []
        self.changed = threading.Condition()

    def start(self) -> None:
        """Nothing to start."""

    def subscribe(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Nothing to subscribe to."""

    def stop(self, deadline_s: float) -> bool:
        """Nothing to stop."""
        return True

    def publish(self, message: OutgoingMessage, done: Callable[[bool], None]) -> bool:
        """Take it."""
        with self.changed:
            if not message.retain:
                self.stream.append(orjson.loads(message.payload))
            elif message.payload:
                self.retained[message.topic] = orjson.loads(message.payload)
            else:
                self.retained.pop(message.topic, None)
            self.changed.notify_all()
        done(PublishResult.CONFIRMED)
        return True

    def wait_for(self, name: str, status: str | None, timeout_s: float = DEADLINE_S) -> dict[str, object]:
        """Wait until a workflow's retained status is `status`, None: until it is cleared."""
        topic = TOPICS.status_of(NS, name)

        def shown() -> object:
            return self.retained.get(topic, {}).get("status")

        with self.changed:
            assert self.changed.wait_for(lambda: shown() == status, scaled(timeout_s)), (name, shown())
            return self.retained.get(topic, {})


class Bridge:
    """The status part of a bridge, with a real reader and spool."""

    def __init__(self, simulator: Simulator, connection: Connection, spool: Spool, folder: Path, **scope: str) -> None:
        options = argo_at(simulator.url)
        followed = StatusScope(ScopeKind(scope.get("scope", "bridge")), scope.get("selector", ""))
        selector = scope_selector("plant-1", followed)
        self.events: list[tuple[bytes, str, str]] = []
        self.status = StatusService(
            follow=FollowedWorkflows("plant-1", (NS,), selector),
            topics=TOPICS,
            on_event_seen=lambda *event: self.events.append(event),
            on_event_ended=lambda _: None,
            on_listed=lambda: None,
            argo=ArgoReader(options, Credentials(None)),
            creates_wait=lambda: False,
            store=spool,
            transports=[connection],
            clock=SystemClock(),
            metrics=Metrics(),
            reports=ErrorReports(folder, Metrics(), SystemClock()),
            set_aside=lambda *_: None,
        )
        self.status.start()
        self.status.connected(connection.name, Session.NEW)
        self.status.ready(connection.name)

    def stop(self) -> None:
        assert self.status.stop(5.0) == []


class World:
    """A simulator, a broker, a spool, and bridges that come and go."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.simulator = Simulator(SimulatorOptions(namespaces=(NS, "other"), **options))
        self.simulator.start()
        self.broker = Connection()
        self.spool = Spool.in_memory(clock=SystemClock())
        self.bridge: Bridge | None = None

    def start(self, **scope: str) -> Bridge:
        self.bridge = Bridge(self.simulator, self.broker, self.spool, self.folder, **scope)
        return self.bridge

    def stop(self) -> None:
        assert self.bridge is not None
        self.bridge.stop()
        self.bridge = None

    def create(self, name: str, template: dict[str, object] | None = None, **labels: str) -> None:
        create(self.simulator, name, template or {"suspend": {}}, labels or {"argo-bridge/bridge": "plant-1"})

    def close(self) -> None:
        if self.bridge is not None:
            self.stop()
        self.simulator.stop()
        self.spool.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, keepalive_s=0.5, bookmark_s=1.0)
    yield made
    made.close()


def create(simulator: Simulator, name: str, template: dict[str, object], labels: dict[str, str]) -> None:
    """Create a workflow as the bridge does."""
    metadata = {"name": name, "labels": labels, "annotations": {"argo-bridge/event": name.encode().ljust(32).hex()}}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "steps": [[{"name": "s", "template": "t"}]]}]}
    spec["templates"].append({"name": "t", **template})
    body = orjson.dumps({"workflow": {"metadata": metadata, "spec": spec}})
    with ArgoClient(argo_at(simulator.url)) as client:
        client.call(HttpRequest("POST", f"/api/v1/workflows/{NS}", body), "create")


def resume(simulator: Simulator, name: str) -> None:
    """Let a suspended workflow go on."""
    with ArgoClient(argo_at(simulator.url)) as client:
        client.call(HttpRequest("PUT", f"/api/v1/workflows/{NS}/{name}/resume", b"{}"), "resume")


def eventually(check: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Wait until something holds; polls a fact that nothing announces."""
    until = time.monotonic() + scaled(timeout_s)
    pause = threading.Event()
    while not check():
        assert time.monotonic() < until, "it did not come to be"
        pause.wait(0.02)


def test_a_workflow_is_shown_from_its_creation_to_its_deletion(world: World) -> None:
    """Running and its end are retained and streamed, the event is reported, and a DELETE clears the topic."""
    bridge = world.start()
    world.create("boil-1", {"suspend": {}})
    world.broker.wait_for("boil-1", "Running")
    resume(world.simulator, "boil-1")
    done = world.broker.wait_for("boil-1", "Succeeded")
    assert done["progress"] == "100%"
    assert (b"boil-1".ljust(32), NS, "boil-1") in bridge.events
    world.simulator.delete(NS, "boil-1")
    world.broker.wait_for("boil-1", None)
    eventually(lambda: not [row for row in world.spool.retained() if row.name])  # a report has none
    assert [update["status"] for update in world.broker.stream][-1] == "Succeeded"
    assert bridge.status.problems() == []


def test_a_failure_is_explained(world: World) -> None:
    """The retained status of a failed workflow names the step, its template and exit code."""
    world.start()
    world.create("bad-1", {"container": {"image": "x", "command": ["sh", "-c"], "args": ["exit 3"]}})
    failed = world.broker.wait_for("bad-1", "Failed")
    assert failed["message"] == 'step "s" (template t) failed with exit code 3'
    assert failed["details"]["failedNode"]["exitCode"] == 3


def test_a_failure_that_is_tolerated_explains_none(world: World) -> None:
    """Of two last tasks that failed, the one is told that may not: templates are read with the nodes."""
    world.start()
    slow = {"annotations": {"simulator.argo-bridge/duration": "0.3s"}}
    may = {
        "name": "may-fail",
        "inline": {"container": {"image": "x", "args": ["exit 1"]}},
        "continueOn": {"failed": True},
    }
    must_not = {"name": "must-not", "inline": {"metadata": slow, "container": {"image": "x", "args": ["exit 4"]}}}
    world.create("bad-2", {"dag": {"tasks": [may, must_not]}})
    failed = world.broker.wait_for("bad-2", "Failed")
    assert failed["message"] == 'step "must-not" failed with exit code 4'


def test_a_delete_while_the_bridge_was_down_is_noticed(world: World) -> None:
    """What was deleted between two runs of the bridge is cleared after the start."""
    world.start()
    world.create("gone-1")
    world.create("kept-1")
    world.broker.wait_for("gone-1", "Running")
    world.broker.wait_for("kept-1", "Running")
    world.stop()
    world.simulator.delete(NS, "gone-1")
    world.start()
    world.broker.wait_for("gone-1", None)
    world.broker.wait_for("kept-1", "Running")


@pytest.mark.parametrize("how", ["eof", "cut", "too-old"])
def test_a_watch_that_ends_is_gone_on_with(world: World, how: str) -> None:
    """After an orderly end, a cut, and an expired resource version nothing is missed, deletions included."""
    world.start()
    world.create("gone-1")
    world.broker.wait_for("gone-1", "Running")
    world.simulator.end_watches(how)
    world.simulator.delete(NS, "gone-1")
    world.create("new-1")
    world.broker.wait_for("gone-1", None)
    world.broker.wait_for("new-1", "Running")


def test_a_delete_while_argo_forgot_its_history_is_noticed(world: World) -> None:
    """With the server away, a deletion, and a resource version that is too old afterwards, the topic is cleared."""
    bridge = world.start()
    world.create("gone-1")
    world.broker.wait_for("gone-1", "Running")
    world.simulator.stop_serving()
    eventually(bridge.status.problems)
    world.simulator.delete(NS, "gone-1")
    world.simulator.compact()
    world.simulator.start_serving()
    world.broker.wait_for("gone-1", None)
    eventually(lambda: not bridge.status.problems())


def test_a_list_without_resource_version_clears_nothing(world: World) -> None:
    """A server whose mirror is empty does not make the bridge clear what lives."""
    world.start()
    world.create("kept-1")
    world.broker.wait_for("kept-1", "Running")
    world.stop()
    fault = world.simulator.faults.add(InjectedFault(FaultKind.NO_RESOURCE_VERSION, path=f"/workflows/{NS}$"))
    bridge = world.start()
    eventually(lambda: fault.hits >= 2)
    assert bridge.status.problems()[0].code == "incomplete-list"
    assert world.broker.retained[TOPICS.status_of(NS, "kept-1")]["status"] == "Running"
    world.simulator.faults.clear()
    eventually(lambda: not bridge.status.problems())
    assert world.broker.retained[TOPICS.status_of(NS, "kept-1")]["status"] == "Running"


def test_only_followed_workflows_are_shown(world: World) -> None:
    """Scope bridge shows the bridge's own; scope namespace all of the namespace; a selector what it selects."""
    world.create("own-1")
    world.create("other-1", app="x")
    world.start()
    world.broker.wait_for("own-1", "Running")
    assert TOPICS.status_of(NS, "other-1") not in world.broker.retained
    world.stop()
    world.start(scope="namespace")
    world.broker.wait_for("other-1", "Running")
    world.stop()
    world.start(scope="selector", selector="app=x")
    world.broker.wait_for("other-1", "Running")


def test_a_missing_right_is_a_problem_and_stop_is_prompt(tmp_path: Path) -> None:
    """403 on list is told as a problem of that namespace, and does not hold up the stop."""
    world = World(tmp_path, forbidden_namespaces=frozenset({NS}))
    try:
        bridge = world.start()
        eventually(lambda: bridge.status.problems()[0].code == "not-permitted")
        assert bridge.status.problems()[0].subject == NS
        begin = time.monotonic()
        world.stop()
        assert time.monotonic() - begin < scaled(3.0)
    finally:
        world.close()


def test_a_stop_does_not_wait_for_an_argo_that_hangs(world: World) -> None:
    """With every answer hanging the threads come within the deadline."""
    fault = world.simulator.faults.add(InjectedFault(FaultKind.HANG))
    world.start()
    eventually(lambda: fault.hits)
    begin = time.monotonic()
    world.stop()
    assert time.monotonic() - begin < scaled(4.0)
