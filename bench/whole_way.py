"""The whole way: queued messages in a real Mosquitto -> the bridge's process -> an Argo Server that answers at once.

Two figures: events/s where every message triggers (received, mapped, validated, stored, acknowledged, created), and
messages/s of the filter path (received, mapped, not triggering, acknowledged). The baseline is plain paho-mqtt, which
drains the same queue in the same run and only acknowledges. Status does not come back here: the stub's watch is silent.

Needs the program mosquitto.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.argo_stub import ROOT, ArgoStub
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.transport_ends import wait_until

TOPIC = "sensors/a/boiler/7/temperature"
WITHIN_S = 120.0
LOOK_S = 0.05
HOT, COLD = 95.5, 20.5
_BROKER = ("max_queued_messages 0", "max_inflight_messages 1000", "set_tcp_nodelay true")
# Over 65,535 packet ids repeat, and a client loses the older message of the two.
_UNCONFIRMED = 20_000
_CLIENT_ID = "argo-bridge-bench-plant"
_CONFIG = """
bridge: {{id: bench, data-dir: {folder}/data}}
connections: {{plant: {{{connection}}}}}
argo: {{url: "{argo}", namespaces: [factory]}}
mappings: [mappings.yaml]
web: {{listen: "127.0.0.1:{web}"}}
log: {{level: warning}}
"""
_MAPPINGS = """
mappings:
  - name: boiler-overheat
    topic: sensors/{site}/boiler/{device}/temperature
    payload: {schema: {type: object, required: [value, seq]}}
    when: payload.value > 90.0
    event-id: payload.seq
    workflow:
      template: inspect-boiler
      parameters: {device: "${topic.device}", value: "${payload.value}", note: "${payload.note}"}
    status: {topic: "sensors/{site}/boiler/{device}/workflow"}
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """How fast a queue was drained, and the CPU that its reader took."""

    per_s: float
    cpu_us: float


def reading(seq: int, value: float) -> bytes:
    """Return a sensor's message of about 200 bytes."""
    text = b'{"value": %.1f, "seq": %d, "unit": "C", "device": {"id": "boiler-7", "firmware": "1.2.3"}, ' % (value, seq)
    return text + b'"note": "a reading such as most of the sensors of a plant send them, with a text"}'


def readings(count: int, *, triggering: bool) -> list[bytes]:
    """Return `count` messages; the first and the last always trigger, so that the stub sees begin and end."""
    values = [HOT if triggering or seq in (0, count - 1) else COLD for seq in range(count)]
    return [reading(seq, value) for seq, value in enumerate(values)]


def publish(broker: Mosquitto, messages: list[bytes]) -> None:
    """Publish `messages` at QoS 1; returns once the broker has acknowledged each."""
    left, done = 0, threading.Event()

    def published(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages = 1000
    client.on_publish = published
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for start in range(0, len(messages), _UNCONFIRMED):
        part = messages[start : start + _UNCONFIRMED]
        left = len(part)
        done.clear()
        for message in part:
            client.publish(TOPIC, message, 1)
        if not done.wait(WITHIN_S):
            raise SystemExit("the broker does not confirm what is published")
    client.disconnect()
    client.loop_stop()


class Bridge:
    """A bridge process in a folder of its own."""

    def __init__(self, folder: Path, connection: str, argo: ArgoStub) -> None:
        self._argo = argo
        self._web = f"http://127.0.0.1:{(port := free_port())}"
        self._config = folder / "bridge.yaml"
        self._config.write_text(_CONFIG.format(folder=folder, connection=connection, argo=argo.url, web=port))
        (folder / "mappings.yaml").write_text(_MAPPINGS)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for as long as the block."""
        command = [sys.executable, "-m", "bridge", "run", "--config", str(self._config)]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            if process.wait(30) != 0:
                raise SystemExit(f"the bridge ended with {process.returncode}")

    def await_ready(self) -> None:
        """Return once it is subscribed."""
        wait_until(self._is_ready, "a bridge that is ready", 20.0, every_s=LOOK_S)

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self._web}/readyz", timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def drain(self, messages: list[bytes], publish: Callable[[list[bytes]], None], creates: int) -> Drained:
        """Queue `messages` for a bridge that is away, start it, and measure from the first to the last create.

        Args:
            messages: what is queued.
            publish: does it.
            creates: how many workflows they lead to.
        """
        with self.running():
            self.await_ready()  # what makes the queue
        publish(messages)
        with self.running() as process:

            def is_over() -> bool:
                return self._argo.figures().creates >= creates or process.poll() is not None

            wait_until(is_over, f"{creates} creates", WITHIN_S, every_s=LOOK_S)
            cpu_s = used_cpu_s(process)
        figures = self._argo.figures()
        if figures.creates != creates:
            raise SystemExit(f"{figures.creates} creates instead of {creates}")
        per_s = (len(messages) - 1) / (figures.last_s - figures.first_s)
        return Drained(per_s, cpu_s / len(messages) * 1e6)


def used_cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain_with_bridge(messages: list[bytes], creates: int) -> Drained:
    """Drain `messages`, which lead to `creates` workflows, with the bridge."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        ArgoStub() as argo,
        Mosquitto(MosquittoOptions(config=_BROKER)) as broker,
    ):
        bridge = Bridge(Path(name), f'mqtt: {{url: "{broker.url}"}}', argo)
        return bridge.drain(messages, partial(publish, broker), creates)


def drain_with_paho(messages: list[bytes]) -> Drained:
    """Queue `messages` for a plain paho client, and measure from its first to its last message."""
    first_s, last_s, left, done = 0.0, 0.0, len(messages), threading.Event()

    def received(client: Client, _userdata: object, message: MQTTMessage) -> None:
        nonlocal first_s, last_s, left
        client.ack(message.mid, message.qos)
        last_s = time.monotonic()
        first_s, left = first_s or last_s, left - 1
        if not left:
            done.set()

    with Mosquitto(MosquittoOptions(config=_BROKER)) as broker:
        subscribed = threading.Event()
        for wait in (subscribed, done):
            client = Client(CallbackAPIVersion.VERSION2, _CLIENT_ID, protocol=MQTTv5, manual_ack=True)
            client.on_connect = lambda made, *_: made.subscribe(TOPIC, 1)
            client.on_subscribe = lambda *_: subscribed.set()
            client.on_message = received
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval, properties.ReceiveMaximum = 3600, 1000
            cpu_s = time.process_time()
            client.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)
            client.loop_start()
            if not wait.wait(WITHIN_S):
                raise SystemExit("paho did not drain the queue")
            cpu_s = time.process_time() - cpu_s
            client.disconnect()
            client.loop_stop()
            if wait is subscribed:
                publish(broker, messages)
    return Drained((len(messages) - 1) / (last_s - first_s), cpu_s / len(messages) * 1e6)


def report(label: str, unit: str, bridge: Drained, plain: Drained, client: str = "paho") -> None:
    """Print the figures of the bridge beside those of a plain client."""
    print(
        f"{label}: bridge {bridge.per_s:,.0f} {unit}/s ({bridge.cpu_us:.0f} us CPU each, start-up included), "
        f"plain {client} {plain.per_s:,.0f} messages/s ({plain.cpu_us:.0f} us), ratio {bridge.per_s / plain.per_s:.2f}"
    )


def run_triggering(count: int = 30_000) -> None:
    """Print events/s of `count` messages that all trigger."""
    messages = readings(count, triggering=True)
    report("whole way", "events", drain_with_bridge(messages, count), drain_with_paho(messages))


def run_filter_path(count: int = 100_000) -> None:
    """Print messages/s of `count` messages of which all but two do not trigger."""
    messages = readings(count, triggering=False)
    report("filter path", "messages", drain_with_bridge(messages, 2), drain_with_paho(messages))


if __name__ == "__main__":
    run_triggering()
    run_filter_path()
