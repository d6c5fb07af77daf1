"""The delivery promise: acknowledged is stored, and one event is one workflow, however often the bridge is killed."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.support.accounting import account
from tests.support.bridge_files import BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.faults_report import random_source
from tests.support.mosquitto import MosquittoOptions, free_port
from tests.support.publisher import MAPPINGS, Publisher

KILLS = 12
"""A version of MQTT; each point in particular is for `at_each_point`."""

# As config/mosquitto.conf has it.
BROKER = MosquittoOptions(
    persistence=True, config=("max_queued_messages 0", "max_inflight_messages 1000", "max_packet_size 33554432")
)

FAULTS = [
    {"kind": "status", "status": 500, "probability": 0.03},
    {"kind": "status", "status": 504, "accept": True, "method": "POST", "probability": 0.04, "delay_s": 0.1},
    {"kind": "rate-limit-text", "probability": 0.02, "retry_after": "0"},
    {"kind": "rate-limit-json", "probability": 0.02},
    {"kind": "cut", "method": "POST", "probability": 0.03},
    {"kind": "cut", "accept": True, "method": "POST", "probability": 0.04},
    {"kind": "hang", "accept": True, "method": "POST", "probability": 0.01, "delay_s": 1.0},
    {"kind": "garbage", "accept": True, "method": "POST", "probability": 0.01},
    {"kind": "delay", "probability": 0.05, "delay_s": 0.2},
]


def kill_under_load(bridge, chance):
    """Kill the bridge `KILLS` times at random points, now and then before it is ready; returns how many were early."""
    pause = threading.Event()
    early = 0
    for _ in range(KILLS):
        pause.wait(chance.uniform(0.0, 0.7))  # the random point in its work; nothing is waited for
        bridge.kill()
        while chance.random() < 0.2:
            bridge.start()
            pause.wait(chance.uniform(0.1, 0.9))  # the random point in its start-up
            bridge.kill()
            early += 1
        bridge.start_ready()
    return early


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_bridge_killed_under_load_runs_every_event_once(version, tmp_path, start_mosquitto, argo, tell):
    """SIGKILL at any point, an Argo Server that fails at any point: one workflow an event, an answer a request."""
    broker = start_mosquitto(BROKER)
    files = BridgeFiles(tmp_path, broker.url, argo.url, version, MAPPINGS, web_port=free_port())
    files.write()
    argo.add_faults(*FAULTS)
    # Ready before the first event: a broker keeps nothing for a session that it does not know yet.
    with BridgeProcess(files).start_ready() as bridge, Publisher(broker.port, 80.0) as publisher:
        early = kill_under_load(bridge, random_source("kills", version))
        publisher.finish()
        faults = argo.clear_faults()
        events = publisher.confirmed
        with contextlib.suppress(AssertionError):  # what is missing is told below, in figures
            argo.await_all(events, 90)
            publisher.await_replies(60)
        assert bridge.terminate() == 0
    result = account(events, argo.created)
    left = LeftBehind(files)
    kills = KILLS + early
    tell(result, **{"kills": kills, "restarts": kills, "faults of Argo": faults})
    assert result.is_exact, result
    assert (left.figures.waiting, left.dead_letters, left.reports, left.problems) == (0, (), [], ())
    assert publisher.requests <= set(publisher.replies)
    assert not [body for body in publisher.bodies.values() if "workflowId" not in body]
    assert argo.stats["unexpected"] == []
    assert len(events) > 10 * KILLS
    assert faults > KILLS
