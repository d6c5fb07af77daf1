"""Promise 4 at size: 2,000 workflows at once, and after each outage the broker holds exactly what Argo has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.interface.status import percentage
from bridge.simulator import FaultKind, InjectedFault, Simulator, SimulatorOptions
from tests.support.bridge_files import NAMESPACE, BridgeFiles
from tests.support.bridge_process import BridgeProcess
from tests.support.machine import scaled
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

COUNT = 2000
WAITING = 100
"""So many of them stand at a Suspend node: their nodes are read one by one."""
CHANGED = 50
"""Workflows that are deleted in each outage, and as many that are created where that can be."""
WITHIN_S = 60.0
PREFIX = "argo/workflows/status/"

MAPPING = """\
  - name: load
    topic: load/{kind}/{n}
    workflow:
      namespace: factory
      name: w-${topic.n}
      spec:
        entrypoint: main
        templates:
          - name: main
            container: {image: "load:1"}
      annotations:
        simulator.argo-bridge/duration: ${payload.run}
        simulator.argo-bridge/exit-code: "${payload.exit}"
  - name: gate
    topic: gate/{n}
    workflow:
      namespace: factory
      name: g-${topic.n}
      spec:
        entrypoint: main
        templates:
          - name: main
            suspend: {}
"""


class World:
    """A broker that keeps what it has, a simulator in this process, a bridge in another, and who creates workflows."""

    def __init__(self, folder: Path, broker: Mosquitto, simulator: Simulator) -> None:
        self.broker = broker
        self.simulator = simulator
        files = BridgeFiles(folder, broker.url, simulator.url, mappings=MAPPING, web_port=free_port())
        files.write()
        self.bridge = BridgeProcess(files)
        self.made = 0
        self.report: list[str] = []

    def create(self, count: int, *, run: str = "1h", exit_code: int = 0, topic: str = "load/a") -> None:
        """Publish so many events, each of which becomes a workflow that runs for `run`."""
        body = orjson.dumps({"run": run, "exit": str(exit_code)})
        with PlainClient(self.broker.port, f"maker-{self.made}") as client:
            for _ in range(count):
                client._client.publish(f"{topic}/{self.made}", body, 1)
                self.made += 1
            client.publish("load/end", b"")  # confirmed after all others

    def fill(self) -> None:
        """Return once Argo has `COUNT` workflows again."""
        missing = COUNT - len(self.simulator.workflows(NAMESPACE))
        self.create(max(0, missing))
        wait_until(lambda: len(self.simulator.workflows(NAMESPACE)) >= COUNT, f"{COUNT} workflows", WITHIN_S)

    def delete(self, count: int) -> None:
        """Delete workflows in Argo, those first that have ended."""
        found = self.simulator.workflows(NAMESPACE)
        found.sort(key=lambda one: one["status"].get("phase") == "Running")
        for workflow in found[:count]:
            self.simulator.delete(NAMESPACE, workflow["metadata"]["name"])

    def wanted(self) -> dict[str, tuple[object, ...]]:
        """What each retained topic must tell: phase, progress, uid, end, and whether it is suspended."""
        return {
            f"{PREFIX}{NAMESPACE}/{one['metadata']['name']}": (
                one["status"].get("phase") or "Pending",
                percentage(one["status"].get("progress", "")),
                one["metadata"]["uid"],
                one["status"].get("finishedAt") or "",
                one["metadata"]["name"].startswith("g-") or None,
            )
            for one in self.simulator.workflows(NAMESPACE)
        }

    def retained(self) -> dict[str, tuple[object, ...]]:
        """What a fresh subscriber is given."""
        with PlainClient(self.broker.port, "reader") as client:
            client.subscribe(PREFIX + "+/+")
            client.subscribe("fence")
            client.publish("fence", b"-")  # comes after what the first subscription delivers
            wait_until(lambda: any(one.topic == "fence" for one in list(client.messages)), "the fence", WITHIN_S)
            found = {message.topic: message.payload for message in client.messages if message.topic != "fence"}
        return {topic: _told(orjson.loads(payload)) for topic, payload in found.items() if payload}

    def converges(self, what: str) -> None:
        """Return once the retained set equals Argo's; fail with what differs."""
        begin_s, pause = time.monotonic(), threading.Event()
        while True:
            wanted, found = self.wanted(), self.retained()
            if wanted == found and wanted == self.wanted():
                self.report.append(f"{what}: {len(found)} statuses, {time.monotonic() - begin_s:.1f} s")
                return
            differ = [topic for topic in wanted | found if wanted.get(topic) != found.get(topic)]
            shown = [(topic, wanted.get(topic), found.get(topic)) for topic in differ[:3]]
            assert time.monotonic() - begin_s < scaled(WITHIN_S), (what, len(differ), shown, self.bridge.log[-2000:])
            pause.wait(0.5)


def _told(body: dict[str, Any]) -> tuple[object, ...]:
    details = body["details"]
    return (body["status"], body["progress"], details["uid"], details.get("finishedAt", ""), details.get("suspended"))


def watch_is_cut(world: World) -> None:
    """The watch ends without a word, then for good as too old, while workflows come, end and go."""
    world.simulator.end_watches("cut")
    world.create(CHANGED, run="1s", exit_code=3)
    world.delete(CHANGED)
    world.simulator.end_watches("too-old")
    world.delete(CHANGED)


def argo_is_away(world: World) -> None:
    """The server is gone while workflows are deleted, and has forgotten its history when it is back."""
    noticed = "cannot follow namespace"
    before = world.bridge.log.count(noticed)
    world.simulator.stop_serving()
    world.create(CHANGED, run="2s")
    world.delete(2 * CHANGED)
    wait_until(lambda: world.bridge.log.count(noticed) > before, "an outage that is noticed", WITHIN_S, every_s=0.1)
    world.simulator.compact()
    world.simulator.start_serving()


def argo_answers_wrongly(world: World) -> None:
    """Lists without a resource version and failing GETs: nothing is believed that they do not say."""
    faults = world.simulator.faults
    lists = faults.add(InjectedFault(FaultKind.NO_RESOURCE_VERSION, method="GET", path=f"/workflows/{NAMESPACE}$"))
    faults.add(InjectedFault(FaultKind.STATUS, method="GET", path=f"/workflows/{NAMESPACE}/.", status=503))
    world.simulator.end_watches("too-old")
    world.delete(CHANGED)
    wait_until(lambda: lists.hits >= 2, "lists that are no answer", WITHIN_S)
    faults.clear()


def broker_is_killed(world: World) -> None:
    """SIGKILL takes what the broker had not saved: statuses of the last seconds, and clears."""
    world.delete(CHANGED)
    world.broker.kill()
    world.delete(CHANGED)
    world.broker.start()


def broker_loses_all(world: World) -> None:
    """It comes back without sessions and without anything retained."""
    world.broker.kill()
    (world.broker.folder / "mosquitto.db").unlink(missing_ok=True)
    world.delete(CHANGED)
    world.broker.start()


def bridge_is_killed(world: World) -> None:
    """SIGKILL of the bridge; it starts again while Argo is away, and workflows were deleted meanwhile."""
    world.bridge.kill()
    world.delete(CHANGED)
    world.simulator.stop_serving()
    world.bridge.start_ready()
    world.delete(CHANGED)
    world.simulator.start_serving()


OUTAGES: tuple[Callable[[World], None], ...] = (
    watch_is_cut,
    argo_is_away,
    argo_answers_wrongly,
    broker_is_killed,
    broker_loses_all,
    bridge_is_killed,
)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_thousand_statuses_converge_after_each_outage(tmp_path, start_mosquitto, capsys):
    """Watch cut, Argo away or wrong, broker killed or emptied, bridge killed: each time the two sets are equal."""
    broker = start_mosquitto(
        MosquittoOptions(persistence=True, config=("max_queued_messages 0", "max_inflight_messages 1000"))
    )
    options = SimulatorOptions(namespaces=frozenset({NAMESPACE}), seed=1)
    with Simulator(options) as simulator:
        world = World(tmp_path, broker, simulator)
        begin_s = time.monotonic()
        with world.bridge.start_ready():
            world.create(WAITING, topic="gate")
            wait_until(lambda: len(simulator.workflows(NAMESPACE)) == WAITING, "those that wait", WITHIN_S)
            world.fill()
            world.report.append(f"created: {time.monotonic() - begin_s:.1f} s")
            world.converges("at first")
            for outage in OUTAGES:
                world.fill()
                outage(world)
                world.converges(outage.__name__)
            assert world.bridge.figure("internal_errors_total") == 0
            assert world.bridge.terminate() == 0
        assert simulator.unexpected == []
    with capsys.disabled():
        print(f"\n{chr(10).join(world.report)}\nin all: {time.monotonic() - begin_s:.1f} s")
