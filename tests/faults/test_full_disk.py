"""A running bridge whose disk takes nothing more, really or as SQLite tells it; then there is room again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.support.accounting import account
from tests.support.bridge_files import BRIDGE_ID, BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.publisher import MAPPINGS, PARKED, Publisher
from tests.support.simulator_process import SimulatorProcess
from tests.support.transport_ends import wait_until

BROKER = MosquittoOptions(config=("max_queued_messages 0", "max_inflight_messages 1000"))
STATE = f"argo/bridge/{BRIDGE_ID}/state"
DISK_BYTES = 24 * 2**20
ROOM_BYTES = 256 * 2**10
"""What is left free when the disk is filled: the log takes that with a few commits."""

Fault = Callable[[BridgeProcess], None]


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Fault, Fault]]:
    """A file system of its own for the data directory, and how it is filled and emptied."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small file system, and not everywhere")
    ballast = folder / "ballast"

    def fill(_bridge: BridgeProcess) -> None:
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        with suppress(OSError):  # the bridge has taken some of it meanwhile
            ballast.write_bytes(bytes(free - ROOM_BYTES))

    try:
        yield fill, lambda _bridge: ballast.unlink()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def told_by_sqlite(kind: str) -> Iterator[tuple[Fault, Fault]]:
    """The real disk, and SQLite saying that it is full, or read-only (`bridge_child`)."""

    def refuse(bridge: BridgeProcess) -> None:
        bridge.signal(signal.SIGUSR1)

    def allow(bridge: BridgeProcess) -> None:
        bridge.signal(signal.SIGUSR2)

    yield refuse, allow


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[tuple[Fault, Fault]]:
    with small_disk(folder) if kind == "small disk" else told_by_sqlite(kind) as faults:
        yield faults


def problems(client: PlainClient) -> set[str]:
    """The codes that the newest message on the ``state`` topic tells."""
    newest = [message for message in list(client.messages) if message.topic == STATE and message.payload][-1:]
    return {problem["code"] for message in newest for problem in json.loads(message.payload)["problems"]}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("kind", "code", "version"),
    [("small disk", "disk-full", "5"), ("full", "disk-full", "3.1.1"), ("read-only", "read-only", "5")],
)
def test_a_disk_that_takes_nothing_stops_ingest_and_nothing_else(
    kind: str,
    code: str,
    version: str,
    tmp_path: Path,
    start_mosquitto: Callable[[MosquittoOptions], Mosquitto],
    argo: SimulatorProcess,
    tell: Tell,
) -> None:
    """Readiness, `state` and log name it, and the link stands; with room again all goes on, and nothing is lost."""
    broker = start_mosquitto(BROKER)
    files = BridgeFiles(tmp_path, broker.url, argo.url, version, MAPPINGS + PARKED, web_port=free_port())
    files.write()
    with (
        disk(kind, files.data_dir) as (fill, empty),
        BridgeProcess(files) as bridge,
        PlainClient(broker.port) as client,
    ):
        bridge.program = ("-m", "tests.support.bridge_child", "--disk", "full" if kind == "small disk" else kind)
        bridge.start_ready()
        client.subscribe(STATE)
        with Publisher(broker.port, 100.0, is_varied=True) as publisher:
            wait_until(lambda: argo.stats["created"] > 50, "some workflows", 30)
            fill(bridge)
            wait_until(lambda: code in str(bridge.get("/readyz")), f"{code} in {bridge.get('/readyz')}", 60)
            assert bridge.get("/readyz")[0] == 503
            assert bridge.get("/livez")[0] == 200
            wait_until(lambda: code in problems(client), f"{code} in {problems(client)}", 30)
            empty(bridge)
            bridge.await_ready(30)
            wait_until(lambda: code not in problems(client), "no problem any more", 30)
            publisher.finish()
            publisher.await_replies(60)
            runs = {n for n in publisher.confirmed if not (publisher.waits(n) or publisher.dies(n))}
            argo.await_all(runs, 60)
        assert bridge.figure("connects_total") == 1
        assert code in bridge.log
        assert bridge.terminate() == 0
        left = LeftBehind(files)
    result = account(publisher.confirmed, argo.created, kept=left.kept)
    tell(result, **{"full disks": 1})
    assert result.is_exact, result
    assert (left.reports, left.problems) == ([], ())


def test_an_end_that_cannot_be_stored_is_told_though_nothing_arrives(
    tmp_path: Path, mosquitto: Mosquitto, argo: SimulatorProcess
) -> None:
    """Argo's answer comes while the spool is read-only: not ready until the end is stored, and run once."""
    files = BridgeFiles(tmp_path, mosquitto.url, argo.url, mappings=MAPPINGS, web_port=free_port())
    files.write()
    argo.add_faults({"kind": "delay", "accept": True, "method": "POST", "delay_s": 2.0})
    with BridgeProcess(files) as bridge, PlainClient(mosquitto.port) as client:
        bridge.program = ("-m", "tests.support.bridge_child", "--disk", "read-only")
        bridge.start_ready()
        client.publish("sensors/1/plain", b'{"n": 1}')
        wait_until(lambda: argo.stats["created"] == 1, "the create", 30)
        bridge.signal(signal.SIGUSR1)
        wait_until(lambda: "read-only" in str(bridge.get("/readyz")), "a bridge that is not ready", 60)
        bridge.signal(signal.SIGUSR2)
        bridge.await_ready(30)
        wait_until(lambda: bridge.figure("spool_waiting") == 0, "an empty spool", 30)
        assert bridge.terminate() == 0
    assert argo.stats["created"] == 1
