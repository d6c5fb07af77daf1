"""The stage of the hostile suite: a real broker, the bridge as a process, a simulated Argo Server, and who asks.

Each attack is followed by a normal event; at the end of a group the bridge, and then the broker, are restarted, and a
normal event must work again each time.
"""

from __future__ import annotations

import itertools
import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from bridge.simulator import Simulator, SimulatorOptions
from bridge.simulator.objects.admission import Created
from tests.hostile.argo_front import ArgoFront
from tests.support.amqp_client import AmqpClient
from tests.support.bridge_files import CONNECTION, INSPECT, NAMESPACE, TEMPLATE, BridgeFiles
from tests.support.bridge_process import ROOT, BridgeProcess
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.rabbitmq import RabbitMq
from tests.support.spine import mapping
from tests.support.transport_ends import wait_until

PREFIX = "argo/workflows"
BRIDGE_ID = "plant-1"
PASSWORD = "of-the-tests"
TOKEN = "secret-token-of-the-tests"
WITHIN_S = 15.0
NORMAL_EVENT = "normal-"
NORMAL_STATUS = "status: {topic: 'sensors/{site}/boiler/{device}/workflow'}"
NORMAL = mapping("normal", "sensors/{site}/boiler/{device}/temperature", "event-id: payload.n", NORMAL_STATUS)
UNLIMITED = ("max_queued_messages 1000000",)
"""As docs/operations.md says. The auditor needs it too: it subscribes to thousands of retained messages."""
DEVICE, ATTACKER, LINE_CONTROL, OPERATOR, AUDITOR = "device", "attacker", "line-control", "operator", "auditor"
MORE_RIGHTS = f"""
user {DEVICE}
topic write sensors/#

user {ATTACKER}
topic write sensors/#

user {OPERATOR}
topic readwrite {PREFIX}/#
topic read argo/bridge/#

user {AUDITOR}
topic read #
"""


class Venue(Enum):
    """Which broker, and which protocol the bridge speaks with it."""

    ACL = "mosquitto with the ACL of docs/operations.md, MQTT 5.0"
    ANONYMOUS = "mosquitto that lets everybody do everything, MQTT 3.1.1"
    RABBITMQ = "RabbitMQ, AMQP"


MQTT = frozenset({Venue.ACL, Venue.ANONYMOUS})
EVERYWHERE = frozenset(Venue)


def documented_acl() -> str:
    """The ACL file of the operations guide, as an operator copies it."""
    text = (ROOT / "docs" / "operations.md").read_text()
    _, _, section = text.partition("### Rights at the broker")
    found = re.search(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@dataclass(frozen=True)
class Heard:
    """One message that the auditor heard; `properties` as paho or pika has them."""

    topic: str
    payload: bytes
    properties: Any

    @property
    def body(self) -> Any:
        """Its JSON, None where it is none."""
        try:
            return json.loads(self.payload)
        except (ValueError, RecursionError):
            return None


def parse_metrics(text: str) -> dict[str, float]:
    """The figures of /metrics, by what stands before their value."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("argo_bridge_"): float(value) for name, _, value in lines}


class Stage:
    """Everything runs while the context is entered.

    simulator: the Argo Server, in a thread of this process: put its `faults` in force, and clear them.
    argo: what the bridge takes for it: set traps on requests.
    bridge: the process; its configuration is changed by `configure`.
    heard: all that the auditor heard, in all lives of the broker.
    """

    def __init__(self, venue: Venue, folder: Path, mappings: str) -> None:
        self.venue = venue
        self.simulator = Simulator(
            SimulatorOptions(namespaces=frozenset({NAMESPACE}), container_s=0.05, list_lag_s=0.0, seed=1)
        )
        self._folder = folder
        self._mappings = NORMAL + mappings
        self._numbers = itertools.count(1)
        self._stack = ExitStack()
        self._clients: dict[str, PlainClient | AmqpClient] = {}
        self._earlier: list[Heard] = []
        self.broker: Mosquitto | RabbitMq
        self.bridge: BridgeProcess
        self.argo: ArgoFront

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Stage:
        with self._stack as stack:
            self.broker = stack.enter_context(self._make_broker())
            stack.enter_context(self.simulator)
            self.simulator.put_template(NAMESPACE, INSPECT)
            self.argo = stack.enter_context(ArgoFront(self.simulator.port))
            self.bridge = stack.enter_context(BridgeProcess(self._files()))
            (self._folder / "token").write_text(TOKEN)
            self.bridge.files.write()
            stack.callback(self._close_clients)
            self.bridge.start_ready()
            self._client(AUDITOR)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _make_broker(self) -> Mosquitto | RabbitMq:
        if self.venue is Venue.RABBITMQ:
            return RabbitMq()
        if self.venue is Venue.ANONYMOUS:
            return Mosquitto(MosquittoOptions(persistence=True, config=UNLIMITED))
        acl = self._folder / "acl"
        acl.write_text(documented_acl() + MORE_RIGHTS)
        (self._folder / "password").write_text(PASSWORD)
        passwords = dict.fromkeys(("bridge", DEVICE, ATTACKER, LINE_CONTROL, OPERATOR, AUDITOR), PASSWORD)
        return Mosquitto(
            MosquittoOptions(persistence=True, passwords=passwords, config=(*UNLIMITED, f"acl_file {acl}"))
        )

    def _files(self) -> BridgeFiles:
        kind = "amqp" if self.venue is Venue.RABBITMQ else "mqtt"
        keys = {
            Venue.ACL: f"version: 5, username: bridge, password-file: {self._folder / 'password'}",
            Venue.ANONYMOUS: "version: 3.1.1",
            Venue.RABBITMQ: "exchange: argo.workflows",
        }[self.venue]
        return BridgeFiles(
            self._folder,
            self.broker.url,
            self.argo.url,
            mappings=self._mappings,
            web_port=free_port(),
            connections=f'{{{CONNECTION}: {{{kind}: {{url: "{self.broker.url}", {keys}}}}}}}',
            bridge_id=BRIDGE_ID,
            argo="token-file: token",
        )

    def configure(self, more: str) -> None:
        """Let bridge.yaml have these further top-level lines, and restart the bridge if that is a change."""
        if more != self.bridge.files.more:
            self.bridge.files = replace(self.bridge.files, more=more)
            self.bridge.files.write()
            self.restart_bridge()

    def restart_bridge(self) -> None:
        """End the bridge, in order where it still runs, and start it again."""
        if self.bridge.is_running:
            assert self.bridge.terminate() == 0, self.bridge.log[-4000:]
        self.bridge.start_ready()

    def restart_broker(self) -> None:
        """Restart the broker with what it has saved, and return once the bridge is back."""
        self._close_clients()
        connects = self.metrics().get(f'connects_total{{connection="{CONNECTION}"}}', 0.0)
        self.broker.restart()
        again = f'connects_total{{connection="{CONNECTION}"}}'
        wait_until(lambda: self.metrics().get(again, 0.0) > connects, "the bridge at the broker again", WITHIN_S)
        self.bridge.await_ready(WITHIN_S)
        self._client(AUDITOR)

    # -- who asks --------------------------------------------------------------------------------------------------

    def _client(self, user: str) -> Any:
        if user not in self._clients:
            self._clients[user] = client = self._make_client(user)
            client.__enter__()
            if user == AUDITOR:
                client.subscribe("#")
        return self._clients[user]

    def _make_client(self, user: str) -> PlainClient | AmqpClient:
        if self.venue is Venue.RABBITMQ:
            return AmqpClient(self.broker.port)
        password = PASSWORD if self.venue is Venue.ACL else ""
        return PlainClient(self.broker.port, user, v5=True, password=password)

    def _close_clients(self) -> None:
        self._earlier = self.heard
        while self._clients:
            _, client = self._clients.popitem()
            client.__exit__(None, None, None)

    def publish(
        self, user: str, topic: str, body: Any, *, qos: int = 1, retain: bool = False, **properties: Any
    ) -> None:
        """Publish, and return once the broker confirmed it.

        Args:
            user: Who publishes: DEVICE, ATTACKER, LINE_CONTROL or OPERATOR.
            topic: Where; over AMQP it becomes a routing key.
            body: Bytes go as they are, anything else as JSON.
            qos: 0, 1 or 2.
            retain: MQTT only.
            properties: `reply_to` (text), `correlation` (bytes), `expiry_s`, `content_type` and `user_properties`
                (list of pairs) in every protocol, and others by paho's or pika's names.
        """
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        packed = _for_amqp(properties) if self.venue is Venue.RABBITMQ else _for_mqtt(properties)
        self._client(user).publish(topic, payload, qos, retain=retain, **packed)

    # -- what is seen ----------------------------------------------------------------------------------------------

    @property
    def heard(self) -> list[Heard]:
        """All that the auditor heard so far."""
        client = self._clients.get(AUDITOR)
        found = [] if client is None else list(client.messages)
        return [*self._earlier, *(Heard(one.topic, _payload(one), one.properties) for one in found)]

    def metrics(self) -> dict[str, float]:
        """The bridge's figures, e.g. ``dead_letters_total{reason="invalid-json"}``."""
        return parse_metrics(str(self.bridge.get("/metrics")[1]))

    # -- the normal event ------------------------------------------------------------------------------------------

    def normal_event(self) -> None:
        """A device's event and a trigger message go all the way: two workflows, a reply, a status for the device."""
        name = f"{NORMAL_EVENT}{next(self._numbers)}"
        mark = len(self.heard)
        self.publish(DEVICE, f"sensors/normal/boiler/{name}/temperature", {"n": name})
        body = {"submit": {"template": TEMPLATE, "parameters": {"n": name}}, "requestId": name}
        self.publish(LINE_CONTROL, f"{PREFIX}/trigger/{NAMESPACE}", body)

        def missing() -> list[str]:
            new = self.heard[mark:]
            bodies = [one.body for one in new if isinstance(one.body, dict)]
            has_reply = any(body.get("requestId") == name and "workflowId" in body for body in bodies)
            has_status = any(one.topic == f"sensors/normal/boiler/{name}/workflow" for one in new)
            return [*([] if has_reply else ["its reply"]), *([] if has_status else ["the device's status"])]

        try:
            wait_until(lambda: not missing(), "", WITHIN_S)
        except AssertionError:
            seen = f"{missing()}; {self.bridge.get('/readyz')}\n{self.bridge.log[-3000:]}"
            raise AssertionError(f"a normal event lacks {seen}") from None
        started = [row for row in self.simulator.created if row.parameters.get("n") == name]
        assert len(started) == 2, f"{name}: {started}"

    def started(self) -> list[Created]:
        """Every workflow that was created so far, but those of normal events."""
        rows = self.simulator.created
        return [row for row in rows if not str(row.parameters.get("n")).startswith(NORMAL_EVENT)]


def _payload(message: Any) -> bytes:
    return bytes(message.payload)


_MQTT_NAMES = {
    "reply_to": "ResponseTopic",
    "correlation": "CorrelationData",
    "expiry_s": "MessageExpiryInterval",
    "content_type": "ContentType",
    "user_properties": "UserProperty",
}


def _for_mqtt(properties: dict[str, Any]) -> dict[str, Any]:
    return {_MQTT_NAMES.get(name, name): value for name, value in properties.items()}


def _for_amqp(properties: dict[str, Any]) -> dict[str, Any]:
    packed = dict(properties)
    if "correlation" in packed:
        packed["correlation_id"] = packed.pop("correlation").decode("latin-1")
    if "expiry_s" in packed:
        packed["expiration"] = str(packed.pop("expiry_s") * 1000)
    if "user_properties" in packed:
        packed["headers"] = dict(packed.pop("user_properties"))
    return packed
