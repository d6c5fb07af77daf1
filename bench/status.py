"""Status of many workflows: 2,000 that run and change once a second, for ten seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from paho.mqtt.client import CallbackAPIVersion, Client

from bench.argo_stub import ArgoStub
from bench.figures import Figure
from bench.whole_way import Bridge, memory_mib, used_cpu_s
from tests.support.mosquitto import Mosquitto, MosquittoOptions
from tests.support.transport_ends import wait_until

WORKFLOWS = 2000


def run(seconds: float) -> list[Figure]:
    """Return the CPU and the memory of the bridge meanwhile."""
    arrived = [0]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        ArgoStub("--workflows", str(WORKFLOWS)) as argo,
        Mosquitto(MosquittoOptions(config=("max_queued_messages 1000000",))) as broker,
    ):
        client = Client(CallbackAPIVersion.VERSION2)

        def count(*_: object) -> None:
            arrived[0] += 1

        client.on_message = count
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.subscribe("argo/workflows/status/+/+", 0)
        bridge = Bridge(Path(name), f'mqtt: {{url: "{broker.url}"}}', argo)
        with bridge.running() as process:
            bridge.await_ready()
            wait_until(lambda: arrived[0] >= WORKFLOWS, "all workflows", 60.0)
            cpu_s, before, started_s = used_cpu_s(process), arrived[0], time.monotonic()
            time.sleep(seconds)
            passed_s = time.monotonic() - started_s
            cores = (used_cpu_s(process) - cpu_s) / passed_s
            per_s = (arrived[0] - before) / passed_s
            memory = memory_mib(process)
        client.disconnect()
        client.loop_stop()
    note = f"{per_s:,.0f} changes/s seen"
    return [
        Figure("status of 2,000 workflows, 1 change/s each", cores, "cores", goal=0.5, is_limit=True, note=note),
        Figure("memory with them", memory, "MiB", goal=100.0, is_limit=True),
    ]
