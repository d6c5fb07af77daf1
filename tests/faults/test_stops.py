"""SIGTERM under load: what is under way is finished and marked, `offline` is said, nothing is lost or done twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.support.accounting import NUMBER, account
from tests.support.bridge_files import BRIDGE_ID, BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.faults_report import random_source
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.publisher import MAPPINGS, Publisher
from tests.support.simulator_process import SimulatorProcess
from tests.support.transport_ends import wait_until

BROKER = MosquittoOptions(config=("max_queued_messages 0", "max_inflight_messages 1000"))
AVAILABILITY = f"argo/bridge/{BRIDGE_ID}/availability"
SLOW = {"kind": "delay", "method": "POST", "delay_s": 0.3}
HANGS = {"kind": "hang", "method": "POST", "accept": True}
STOPS = 4
WITHIN_S = 40.0
"""A stop takes 15 s at most (`cli.run`), on a machine that is not busy."""


def under_load(bridge: BridgeProcess, argo: SimulatorProcess) -> None:
    """Return once creates are under way."""
    before = argo.stats["created"]
    wait_until(lambda: argo.stats["created"] > before + 5, "a few workflows more", 30)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_sigterm_under_load_marks_what_it_has_done(
    version: str,
    tmp_path: Path,
    start_mosquitto: Callable[[MosquittoOptions], Mosquitto],
    argo: SimulatorProcess,
    tell: Tell,
) -> None:
    """Each time code 0, `offline`, and no workflow whose event waits; a second SIGTERM ends it at once, safely."""
    broker = start_mosquitto(BROKER)
    files = BridgeFiles(tmp_path, broker.url, argo.url, version, MAPPINGS, web_port=free_port())
    files.write()
    argo.add_faults(SLOW)
    chance, pause = random_source("stops", version), threading.Event()
    with BridgeProcess(files) as bridge, PlainClient(broker.port) as client:
        bridge.start_ready()
        client.subscribe(AVAILABILITY)
        with Publisher(broker.port, 60.0) as publisher:
            for _ in range(STOPS):
                under_load(bridge, argo)
                pause.wait(chance.uniform(0.0, 0.3))  # the random point in its work; nothing is waited for
                bridge.signal(signal.SIGTERM)
                assert bridge.wait(WITHIN_S) == 0
                wait_until(lambda: client.payloads[-1] == b"offline", "offline")
                created = {int(one["parameters"][NUMBER]) for one in argo.created}
                assert created.isdisjoint(LeftBehind(files).kept.waiting)
                bridge.start_ready()
            under_load(bridge, argo)
            bridge.signal(signal.SIGTERM)
            wait_until(lambda: bridge.log.count("finishing the work in progress") == STOPS + 1, "the first signal", 30)
            bridge.signal(signal.SIGTERM)
            assert bridge.wait(WITHIN_S) in (0, 130)
            argo.clear_faults()
            bridge.start_ready()
            publisher.finish()
            argo.await_all(publisher.confirmed, 60)
            publisher.await_replies(60)
        assert bridge.terminate() == 0
    result = account(publisher.confirmed, argo.created, kept=LeftBehind(files).kept)
    tell(result, stops=STOPS + 1)
    assert result.is_exact, result


@pytest.mark.slow
def test_sigterm_does_not_wait_for_a_server_that_hangs(
    tmp_path: Path, mosquitto: Mosquitto, argo: SimulatorProcess
) -> None:
    """A create that is never answered: it ends with 0 and `offline` all the same, and finds it done the next time."""
    files = BridgeFiles(tmp_path, mosquitto.url, argo.url, mappings=MAPPINGS, web_port=free_port())
    files.write()
    with BridgeProcess(files) as bridge, PlainClient(mosquitto.port) as client:
        bridge.start_ready()
        client.subscribe(AVAILABILITY)
        argo.add_faults(HANGS)
        client.publish("sensors/1/plain", b'{"n": 1}')
        wait_until(lambda: argo.stats["created"] == 1, "the create", 30)
        bridge.signal(signal.SIGTERM)
        assert bridge.wait(WITHIN_S) == 0, bridge.log[-2000:]
        wait_until(lambda: client.payloads[-1] == b"offline", "offline")
        argo.clear_faults()
        bridge.start_ready()
        wait_until(lambda: bridge.figure("spool_waiting") == 0, "an empty spool", 30)
        assert bridge.terminate() == 0
    assert argo.stats["created"] == 1
