"""The whole way of a message in one object: a broker, a bridge, a simulated Argo Server, and a client that asks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from paho.mqtt.client import MQTTMessage

from bridge.core.clock import Clock
from bridge.simulator import FaultKind, InjectedFault, Simulator, SimulatorOptions
from tests.support.bridge_files import INSPECT, NAMESPACE, TEMPLATE, BridgeFiles
from tests.support.bridge_inside import InsideBridge, LeftBehind
from tests.support.interface_check import misfits
from tests.support.mosquitto import Mosquitto
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

TRIGGER = "argo/workflows/trigger"
RESPONSE = "argo/workflows/response/trigger"
DEAD_LETTER = "argo/workflows/dead-letter"
OTHER_NAMESPACE = "lab"


def mapping(name: str, topic: str, *lines: str, template: str = TEMPLATE, namespace: str = NAMESPACE) -> str:
    """One item of a mapping file that hands ``payload.n`` on; `lines` are further keys."""
    keys = "".join(f"    {line}\n" for line in lines)
    return (
        f"  - name: {name}\n    topic: {topic}\n{keys}    workflow:\n      namespace: {namespace}\n"
        f"      template: {template}\n      parameters:\n        n: ${{payload.n}}\n"
    )


def submit(**keys: Any) -> dict[str, Any]:
    """The body of a trigger message that runs the template; `keys` are further top-level keys."""
    return {"namespace": NAMESPACE, "submit": {"template": TEMPLATE}} | keys


class Spine:
    """Everything runs while the context is entered.

    simulator: in a thread of this process, with the template in both namespaces.
    client: a client in MQTT 5.0 that hears every topic but ``$SYS``.
    bridge: in this process too, so that a test can reach into it.
    """

    def __init__(self, folder: Path, broker: Mosquitto, mappings: str = "", version: str = "5", **files: Any) -> None:
        namespaces = (NAMESPACE, OTHER_NAMESPACE, "example-namespace")
        self.broker = broker
        # A list's lag is a real server's; here it only slows tests.
        self.simulator = Simulator(
            SimulatorOptions(namespaces=frozenset(namespaces), container_s=0.05, list_lag_s=0.0, seed=1)
        )
        self.client = PlainClient(broker.port, v5=True)
        self._clock: Clock | None = files.pop("clock", None)
        self._make_files = lambda: BridgeFiles(
            folder,
            files.pop("broker_url", broker.url),
            self.simulator.url,
            version,
            mappings,
            files.pop("namespaces", namespaces),
            **files,
        )
        self._fences = itertools.count(1)
        self.files: BridgeFiles
        self.bridge: InsideBridge

    def __enter__(self) -> Spine:
        self.simulator.start()
        try:
            for namespace in (NAMESPACE, OTHER_NAMESPACE):
                self.simulator.put_template(namespace, INSPECT)
            self.client.__enter__()
            self.client.subscribe("#")
            self.files = self._make_files()
            self.bridge = InsideBridge(self.files, self._clock).__enter__()
        except BaseException:
            self.simulator.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.bridge.stop()
        finally:
            self.client.__exit__(kind, error, trace)
            unexpected = self.simulator.unexpected
            self.simulator.stop()
        assert unexpected == [], unexpected
        if error is None:
            # Only a bridge names a content type; what tests publish may be anything.
            told = [one for one in self.client.messages if getattr(one.properties, "ContentType", "")]
            wrong = list(misfits((one.topic, bytes(one.payload)) for one in told))
            assert not wrong, wrong

    # -- the sender's side -----------------------------------------------------------------------------------------

    def publish(self, topic: str, body: Any, *, retain: bool = False, **properties: Any) -> None:
        """Publish at QoS 1 and return once confirmed; bytes go as they are, anything else as JSON."""
        payload = body if isinstance(body, bytes) else orjson.dumps(body)
        self.client.publish(topic, payload, retain=retain, **properties)

    def on(self, topic: str) -> list[MQTTMessage]:
        """All that came on one topic, cleared retained messages left out."""
        return [message for message in list(self.client.messages) if message.topic == topic and message.payload]

    def messages(self, topic: str, count: int = 1) -> list[MQTTMessage]:
        """Return what came on `topic`, once there are `count`."""
        wait_until(lambda: len(self.on(topic)) >= count, f"{count} messages on {topic}; {self.on(topic)}")
        found = self.on(topic)
        assert len(found) == count, [message.payload for message in found]
        return found

    def bodies(self, topic: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the JSON of what came on `topic`, once there are `count`."""
        return [orjson.loads(message.payload) for message in self.messages(topic, count)]

    def ask(self, body: Any, topic: str = TRIGGER, **properties: Any) -> dict[str, Any]:
        """Send a request that is answered at ``PREFIX/response/trigger``, and return the answer."""
        before = len(self.on(RESPONSE))
        self.publish(topic, body, **properties)
        return self.bodies(RESPONSE, before + 1)[-1]

    # -- Argo's side -----------------------------------------------------------------------------------------------

    @property
    def numbers(self) -> list[int]:
        """The parameter ``n`` of every accepted workflow that has one, in order of creation."""
        return [int(one.parameters["n"]) for one in self.simulator.created if "n" in one.parameters]

    def await_numbers(self, *numbers: int, within_s: float = 15.0) -> None:
        """Return once exactly these events became workflows, in whatever order."""
        wait_until(lambda: len(self.numbers) >= len(numbers), f"workflows of {numbers}, not {self.numbers}", within_s)
        assert sorted(self.numbers) == sorted(numbers)

    def fail(self, kind: FaultKind, **keys: Any) -> InjectedFault:
        """Put a fault in force for creates."""
        return self.simulator.faults.add(InjectedFault(kind, method="POST", **keys))

    def take_argo_away(self) -> None:
        """Stop serving, and return once the bridge has noticed, at the expense of one request."""
        self.simulator.stop_serving()
        self.publish(TRIGGER, submit(), ResponseTopic="argo/workflows/response/mine/never-mind")
        wait_until(lambda: self.bridge.service._gate.is_away, "a gate that is closed")

    def fence(self) -> None:
        """Return once everything published so far was handled to its end; Argo must be well."""
        number = f"fence {next(self._fences)}"
        self.publish(TRIGGER, submit(requestId=number))

        def answers() -> list[dict[str, Any]]:
            bodies = (orjson.loads(message.payload) for message in self.on(RESPONSE))
            return [body for body in bodies if body.get("requestId") == number]

        wait_until(answers, f"the answer to {number}")
        assert "workflowId" in answers()[0], answers()
        spool = self.bridge.service._spool
        wait_until(lambda: (spool.figures().waiting, spool.figures().outbox) == (0, 0), f"an empty spool: {spool!r}")

    # -- the operator's side ---------------------------------------------------------------------------------------

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """Stop the bridge, do something, start it again."""
        self.bridge.stop()
        meanwhile()
        self.bridge.start()
        self.bridge.await_ready()

    def left_behind(self) -> LeftBehind:
        """Stop the bridge and return what is in its spool."""
        self.bridge.stop()
        return LeftBehind(self.files)
