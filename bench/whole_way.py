"""The whole way: queued messages in a real Mosquitto -> the bridge's process -> an Argo Server that answers at once.

Three figures: events/s where every message triggers (received, mapped, validated, stored, acknowledged, created), the
same on a disk whose fsync takes 10 ms, and messages/s of the filter path: 10,000 topics, 100 mappings, of which half
have a CEL condition, and one message in a hundred triggers. The baseline is plain paho-mqtt, which drains the same
queue in the same run and only acknowledges. Status does not come back here: the stub's watch is silent.

Needs the program mosquitto.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.argo_stub import ROOT, ArgoStub
from bench.figures import Figure
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
interface: {{manifests: false, operations: [trigger]}}
connections: {{plant: {{{connection}}}}}
argo: {{url: "{argo}", namespaces: [factory]}}
mappings: [{files}]
web: {{listen: "127.0.0.1:{web}"}}
log: {{level: warning}}
"""
MAPPINGS = """
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
_FILTERING = """
  - name: boiler-{number}
    topic: sensors/site{number}/boiler/{{device}}/temperature
    when: {condition}
    event-id: payload.seq
    workflow: {{template: inspect-boiler, parameters: {{device: "${{topic.device}}", value: "${{payload.value}}"}}}}
"""
_RULED = """
mappings:
  - name: boiler
    topic: sensors/site0/boiler/{{device}}/temperature
    when: payload.value > 90.0
    {rules}
    workflow: {{template: inspect-boiler, parameters: {{device: "${{topic.device}}", value: "${{payload.value}}"}}}}
"""
_RULES = "key: topic.device\n    trigger: rising\n    cooldown: 10m"
_NATIVE, _CEL = "payload.value > 90.0", "payload.value > 90.0 && payload.unit.startsWith('C')"
_SLOW_FSYNC = """
#include <unistd.h>
int fsync(int fd) { (void)fd; usleep(10000); return 0; }
int fdatasync(int fd) { (void)fd; usleep(10000); return 0; }
"""
Messages = list[tuple[str, bytes]]
"""Topics and payloads."""


@dataclass(frozen=True, slots=True)
class Drained:
    """How fast a queue was drained, and the CPU that its reader took."""

    per_s: float
    cpu_us: float


def reading(seq: int, value: float) -> bytes:
    """Return a sensor's message of about 200 bytes."""
    text = b'{"value": %.1f, "seq": %d, "unit": "C", "device": {"id": "boiler-7", "firmware": "1.2.3"}, ' % (value, seq)
    return text + b'"note": "a reading such as most of the sensors of a plant send them, with a text"}'


def readings(count: int) -> Messages:
    """Return `count` messages that all trigger."""
    return [(TOPIC, reading(seq, HOT)) for seq in range(count)]


def filtered(count: int, mappings: int = 100) -> Messages:
    """Return `count` messages on 100 topics a mapping; each hundredth triggers, and so do the first and the last."""
    topics = [f"sensors/site{site}/boiler/{device}/temperature" for device in range(100) for site in range(mappings)]
    values = [HOT if seq % 100 == 0 or seq == count - 1 else COLD for seq in range(count)]
    return [(topics[seq * 37 % len(topics)], reading(seq, value)) for seq, value in enumerate(values)]


def filtering_mappings(count: int = 100) -> list[str]:
    """Return the mapping files for `filtered`, with up to 1,000 mappings each."""
    items = [_FILTERING.format(number=number, condition=_CEL if number % 2 else _NATIVE) for number in range(count)]
    return ["mappings:" + "".join(items[start : start + 1000]) for start in range(0, count, 1000)]


def triggering(messages: Messages) -> int:
    """Return how many of the messages lead to a workflow."""
    return sum(b'"value": %.1f,' % HOT in payload for _, payload in messages)


def publish(broker: Mosquitto, messages: Messages) -> None:
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
        for topic, payload in part:
            client.publish(topic, payload, 1)
        if not done.wait(WITHIN_S):
            raise SystemExit("the broker does not confirm what is published")
    client.disconnect()
    client.loop_stop()


class Bridge:
    """A bridge process in a folder of its own.

    Args:
        folder: gets its files.
        connection: its only one, as YAML.
        argo: where it creates workflows.
        mappings: the mapping files.
        environment: further variables of the process.
    """

    def __init__(
        self,
        folder: Path,
        connection: str,
        argo: ArgoStub,
        mappings: Sequence[str] = (MAPPINGS,),
        environment: dict[str, str] | None = None,
    ) -> None:
        self._argo = argo
        # Without it each start would compile all modules again.
        self._environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})}
        self._web = f"http://127.0.0.1:{(port := free_port())}"
        self._config = folder / "bridge.yaml"
        files = [f"mappings-{number}.yaml" for number in range(len(mappings))]
        for name, text in zip(files, mappings, strict=True):
            (folder / name).write_text(text)
        values = {"folder": folder, "connection": connection, "argo": argo.url, "web": port, "files": ", ".join(files)}
        self._config.write_text(_CONFIG.format(**values))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for as long as the block."""
        command = [sys.executable, "-m", "bridge", "run", "--config", str(self._config)]
        process = subprocess.Popen(command, cwd=ROOT, env=self._environment)
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

    def drain(self, messages: Messages, publish: Callable[[Messages], None], creates: int) -> Drained:
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


def memory_mib(process: subprocess.Popen[bytes]) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def drain_with_bridge(
    messages: Messages, creates: int, mappings: Sequence[str] = (MAPPINGS,), preload: str = ""
) -> Drained:
    """Drain `messages`, which lead to `creates` workflows, with the bridge; `preload` is a library for its process."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        ArgoStub() as argo,
        Mosquitto(MosquittoOptions(config=_BROKER)) as broker,
    ):
        environment = {"LD_PRELOAD": preload} if preload else {}
        bridge = Bridge(Path(name), f'mqtt: {{url: "{broker.url}"}}', argo, mappings, environment)
        return bridge.drain(messages, partial(publish, broker), creates)


def drain_with_paho(messages: Messages) -> Drained:
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
            client.on_connect = lambda made, *_: made.subscribe("sensors/#", 1)
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


def beside(name: str, unit: str, bridge: Drained, plain: Drained, goal: float, client: str = "plain paho") -> Figure:
    """Return the figure of the bridge beside that of a plain client."""
    note = f"{bridge.cpu_us:.0f} us CPU each, start-up included; {client} {plain.cpu_us:.0f} us"
    return Figure(name, bridge.per_s, unit, plain.per_s, client, goal, note=note)


def run_triggering(count: int) -> list[Figure]:
    """Return events/s of `count` messages that all trigger, on this disk and on one with a slow fsync."""
    messages = readings(count)
    bridge = drain_with_bridge(messages, count)
    figures = [beside("whole path", "events/s", bridge, drain_with_paho(messages), 0.8)]
    with slow_fsync() as library:
        if library:
            slow = drain_with_bridge(messages, count, preload=library)
            figures.append(Figure("whole path, fsync 10 ms", slow.per_s, "events/s", bridge.per_s, "fast disk", 0.85))
    return figures


def run_filter_path(count: int) -> list[Figure]:
    """Return messages/s of `count` messages of which one in a hundred triggers."""
    messages = filtered(count)
    bridge = drain_with_bridge(messages, triggering(messages), filtering_mappings())
    return [beside("filter path", "messages/s", bridge, drain_with_paho(messages), 4.0)]


def run_rules(count: int, devices: int) -> list[Figure]:
    """Return messages/s of `devices` devices with two rules over time; one message in a hundred triggers."""
    topics = [f"sensors/site0/boiler/{device}/temperature" for device in range(devices)]
    # The last one triggers, and no device triggers twice: 101 divides no power of ten.
    values = [COLD if seq % 101 else HOT for seq in range(count // 101 * 101 + 1)]
    messages = [(topics[seq % devices], reading(seq, value)) for seq, value in enumerate(values)]
    rates = [
        drain_with_bridge(messages, triggering(messages), [_RULED.format(rules=rules)])
        for rules in (_RULES, "trigger: every")
    ]
    note = f"{rates[0].cpu_us:.0f} us CPU each; without rules {rates[1].cpu_us:.0f} us"
    return [Figure("rules over time", rates[0].per_s, "messages/s", rates[1].per_s, "without rules", 0.7, note=note)]


@contextmanager
def slow_fsync() -> Iterator[str]:
    """Give a library for LD_PRELOAD that makes each fsync take 10 ms and do nothing; "" without a C compiler."""
    if shutil.which("cc") is None:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source, library = Path(folder) / "slow.c", Path(folder) / "slow.so"
        source.write_text(_SLOW_FSYNC)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        yield str(library)
