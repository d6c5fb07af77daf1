"""Receiving from Mosquitto: the bridge's transport with a receiver that only acknowledges, beside plain paho.

Both drain the same number of queued QoS 1 messages of 200 bytes, acknowledged by hand, in the same run; the ratio is
what to read, since the machine is shared. Needs the mosquitto program.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.transports.base import Delivery, Session
from bridge.transports.mqtt.options import MqttOptions, MqttVersion
from bridge.transports.mqtt.transport import MqttTransport
from tests.support.mosquitto import Mosquitto, MosquittoOptions
from tests.support.transport_ends import reports_of

TOPIC = "bench/receive"
PAYLOAD = b'{"value": 95.5, "unit": "C", "seq": 1234567}'.ljust(200)
WITHIN_S = 120.0
_CONFIG = ("max_queued_messages 0", "max_inflight_messages 1000")


class _AckingReceiver:
    def __init__(self, count: int) -> None:
        self._left = count
        self.started_s = 0.0
        self.done = threading.Event()

    def receive(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            delivery.ack()
        self._left -= len(batch)
        if self._left <= 0:
            self.done.set()


class _Listener:
    def connected(self, connection: str, session: Session) -> None:
        pass

    def ready(self, connection: str) -> None:
        pass

    def disconnected(self, connection: str, problem: HealthProblem) -> None:
        pass


def _paho(client_id: str, version: MqttVersion) -> tuple[Client, dict[str, object]]:
    if version is MqttVersion.V311:
        protocol, clean = MQTTv311, False
        return Client(CallbackAPIVersion.VERSION2, client_id, clean, protocol=protocol, manual_ack=True), {}
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    properties.ReceiveMaximum = 1000
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, manual_ack=True)
    return client, {"clean_start": False, "properties": properties}


def _queue(broker: Mosquitto, client_id: str, version: MqttVersion, count: int) -> None:
    """Leave `count` messages in the session of `client_id`."""
    client, arguments = _paho(client_id, version)
    ready = threading.Event()
    client.on_connect = lambda *_: client.subscribe(TOPIC, 1)
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", broker.port, **arguments)
    client.loop_start()
    _await(ready)
    client.disconnect()
    client.loop_stop()
    publisher = Client(CallbackAPIVersion.VERSION2, "publisher")
    publisher.max_inflight_messages = 1000
    left, done = [count], threading.Event()

    def published(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    publisher.on_publish = published
    publisher.connect("127.0.0.1", broker.port)
    publisher.loop_start()
    for _ in range(count):
        publisher.publish(TOPIC, PAYLOAD, 1)
    _await(done)
    publisher.disconnect()
    publisher.loop_stop()


def _await(event: threading.Event) -> None:
    if not event.wait(WITHIN_S):
        raise TimeoutError(f"not within {WITHIN_S} s")


def _drain_with_paho(broker: Mosquitto, client_id: str, version: MqttVersion, count: int) -> None:
    client, arguments = _paho(client_id, version)
    left, done = [count], threading.Event()

    def received(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        client.ack(message.mid, message.qos)
        left[0] -= 1
        if not left[0]:
            done.set()

    client.on_message = received
    client.connect("127.0.0.1", broker.port, **arguments)
    client.loop_start()
    _await(done)
    client.disconnect()
    client.loop_stop()


def _drain_with_bridge(broker: Mosquitto, client_id: str, version: MqttVersion, count: int) -> None:
    receiver = _AckingReceiver(count)
    options = MqttOptions(name="bench", url=broker.url, client_id=client_id, version=version)
    metrics = Metrics()
    transport = MqttTransport(options, receiver, _Listener(), metrics, reports_of(metrics))
    transport.subscribe(frozenset({TOPIC}), frozenset())
    transport.start()
    try:
        _await(receiver.done)
    finally:
        transport.stop(5)


def _measure(
    drain: Callable[[Mosquitto, str, MqttVersion, int], None], version: MqttVersion, count: int
) -> dict[str, float]:
    with Mosquitto(MosquittoOptions(config=_CONFIG)) as broker:
        _queue(broker, "drain", version, count)
        cpu_s = sum(os.times()[:2])
        started_s = time.perf_counter()
        drain(broker, "drain", version, count)
        took_s = time.perf_counter() - started_s
        cpu_s = sum(os.times()[:2]) - cpu_s
    return {"messages_per_s": round(count / took_s), "cpu_us_per_message": round(cpu_s / count * 1e6, 1)}


def run(count: int = 50_000) -> dict[str, object]:
    """Measure both, print one line a protocol version, and return the figures.

    Args:
        count: messages to drain, each time.

    Returns:
        By version: ``paho`` and ``bridge`` with messages_per_s and cpu_us_per_message, and their ``ratio``.
    """
    results: dict[str, object] = {}
    for version in (MqttVersion.V311, MqttVersion.V5):
        paho = _measure(_drain_with_paho, version, count)
        bridge = _measure(_drain_with_bridge, version, count)
        ratio = round(bridge["messages_per_s"] / paho["messages_per_s"], 2)
        results[version.value] = {"paho": paho, "bridge": bridge, "ratio": ratio}
        print(
            f"receive {version.value}: bridge {bridge['messages_per_s']:.0f}/s ({bridge['cpu_us_per_message']} us), "
            f"plain paho {paho['messages_per_s']:.0f}/s ({paho['cpu_us_per_message']} us), ratio {ratio}"
        )
    return results


if __name__ == "__main__":
    run()
