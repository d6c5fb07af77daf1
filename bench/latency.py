"""How long one event takes through an idle bridge, at 20 a second: publish to create, and watch event to MQTT.

The baseline of the first is a bare POST to the same server on a kept connection: both end when the server has read the
request. The second ends when a subscriber of the status topic has the message.
"""

from __future__ import annotations

import http.client
import queue
import socket
import statistics
import tempfile
import time
from pathlib import Path

import orjson
from paho.mqtt.client import CallbackAPIVersion, Client

from bench.argo_stub import ArgoStub
from bench.figures import Figure
from bench.whole_way import HOT, TOPIC, Bridge, reading, slow_fsync
from tests.support.mosquitto import Mosquitto, MosquittoOptions
from tests.support.transport_ends import wait_until

EVERY_S = 0.03
_BODY = b'{"workflow":{"metadata":{"name":"bare"},"spec":{"x":"' + b"x" * 700 + b'"}}}'


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _bare(argo: ArgoStub, count: int) -> list[float]:
    """Return the milliseconds of `count` POSTs until the server has read them."""
    connection = http.client.HTTPConnection(argo.url.removeprefix("http://"), timeout=10)
    times = []
    for _ in range(count):
        started_s = time.monotonic()
        connection.request("POST", "/api/v1/workflows/factory", _BODY, {"Content-Type": "application/json"})
        connection.getresponse().read()
        times.append((argo.figures().last_s - started_s) * 1e3)
        time.sleep(EVERY_S)
    return times


def _client(port: int) -> Client:
    """Return a connected client that sends at once."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    tcp = client.socket()
    assert isinstance(tcp, socket.socket)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.loop_start()
    return client


def _with_bridge(argo: ArgoStub, count: int, preload: str = "") -> tuple[list[float], list[float]]:
    """Return the milliseconds from publish to create, and from a watch event to the retained message."""
    created: list[float] = []
    shown: list[float] = []
    seen: queue.Queue[tuple[float, float]] = queue.Queue()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        Mosquitto(MosquittoOptions(config=("set_tcp_nodelay true",))) as broker,
    ):
        environment = {"LD_PRELOAD": preload} if preload else {}
        bridge = Bridge(Path(name), f'mqtt: {{url: "{broker.url}"}}', argo, environment=environment)
        publisher, client = (_client(broker.port) for _ in range(2))

        def arrived(_client: object, _userdata: object, message: object) -> None:
            at_s, document = time.monotonic(), orjson.loads(getattr(message, "payload", b"") or b"{}")
            if document.get("status") == "Running":
                seen.put((at_s, float(document["message"])))

        client.on_message = arrived
        client.subscribe("argo/workflows/status/factory/+", 0)
        with bridge.running():
            bridge.await_ready()
            for seq in range(count):
                before = argo.figures().creates
                started_s = time.monotonic()
                publisher.publish(TOPIC, reading(seq, HOT), 1)
                wait_until(lambda known=before: argo.figures().creates > known, "a create", 20.0, every_s=0.02)
                created.append((argo.figures().last_s - started_s) * 1e3)
                at_s, sent_s = seen.get(timeout=20)
                shown.append((at_s - sent_s) * 1e3)
                time.sleep(EVERY_S)
        for one in (publisher, client):
            one.disconnect()
            one.loop_stop()
    return created, shown


def run(count: int) -> list[Figure]:
    """Return the figures of `count` events each."""
    with ArgoStub("--running") as argo:
        bare = _bare(argo, count)
        created, shown = _with_bridge(argo, count)
    half, most = 0.5, 0.99
    above = {share: _percentile(created, share) - _percentile(bare, share) for share in (half, most)}
    figures = [
        Figure("publish to create, above a bare POST, p50", above[half], "ms", goal=1.0, is_limit=True),
        Figure("publish to create, above a bare POST, p99", above[most], "ms", goal=4.0, is_limit=True),
        Figure("watch event to retained message, p50", statistics.median(shown), "ms", goal=3.0, is_limit=True),
    ]
    with slow_fsync() as library:
        if library:
            with ArgoStub("--running") as argo:
                slow, _ = _with_bridge(argo, count, library)
            name = "publish to create, fsync 10 ms, p99"
            figures.append(Figure(name, _percentile(slow, most), "ms", goal=25.0, is_limit=True))
    return figures
