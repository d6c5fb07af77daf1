"""100,000 messages at once, through a whole bridge whose Argo Server is away: stored, in flat memory, on one link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bridge_files import BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.spine import mapping
from tests.support.transport_ends import wait_until

NOWHERE = "http://127.0.0.1:9"
BROKER = MosquittoOptions(config=("max_queued_messages 0",))
COUNT = 100_000
WARM = 20_000
"""After so many all caches are filled; no more are held unacknowledged at a time."""
CHUNK = 10_000
"""Published at a time: paho has 65,535 packet ids."""
MORE_KIB = 24 * 1024


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_burst_is_stored_in_flat_memory_on_one_link(
    version: str,
    tmp_path: Path,
    start_mosquitto: Callable[[MosquittoOptions], Mosquitto],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each message once, no disconnect, and no more memory after 100,000 than after the first 20,000."""
    broker = start_mosquitto(BROKER)
    files = BridgeFiles(tmp_path, broker.url, NOWHERE, version, mapping("all", "burst/{device}"), web_port=free_port())
    files.write()

    def publish(client: PlainClient, first: int, end: int) -> None:
        for start in range(first, end, CHUNK):
            client.publish_many("burst/1", [b'{"n": %d}' % number for number in range(start, start + CHUNK)])

    def stored() -> int:
        return int(bridge.figure("events_stored_total"))

    with BridgeProcess(files) as bridge, PlainClient(broker.port) as client:
        bridge.start_ready()
        publish(client, 0, WARM)
        wait_until(lambda: stored() >= WARM, "the first part", 120, every_s=0.2)
        warm_kib = bridge.peak_kib
        publish(client, WARM, COUNT)
        wait_until(lambda: stored() >= COUNT, "the burst", 240, every_s=0.2)
        peak_kib = bridge.peak_kib
        assert bridge.figure("connects_total") == 1
        assert bridge.terminate() == 0
    with capsys.disabled():
        print(f"\nMQTT {version}: {COUNT} messages, {warm_kib} KiB after {WARM}, {peak_kib} KiB at most")
    assert peak_kib < warm_kib + MORE_KIB
    assert sorted(LeftBehind(files).kept.waiting) == list(range(COUNT))
