"""A bridge that is killed at each named point of its work, one after the other, while events flow.

The test files take one version of MQTT each, so that they can run side by side.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from tests.faults.conftest import Tell
from tests.support.accounting import account
from tests.support.bridge_child import POINTS
from tests.support.bridge_files import INSPECT, BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.faults_report import random_source
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.publisher import MAPPINGS, PARKED, Publisher
from tests.support.simulator_process import SimulatorProcess
from tests.support.transport_ends import wait_until

BRIDGE = ("-m", "bridge")
DOOMED = ("-m", "tests.support.bridge_child")
AT_THE_FIRST_START = ("spool-made", "setting-written")
"""Points that only a bridge without a data directory comes to."""
SLOW_CREATE = {"kind": "delay", "method": "POST", "delay_s": 0.4}
"""Long enough that a create is sent and not answered when its time is over (`bridge_child`)."""
BROKER = MosquittoOptions(persistence=True, config=("max_queued_messages 0", "max_inflight_messages 1000"))
GONE_S = 60.0
SIGKILLED = -9


def die(bridge: BridgeProcess, point: str, nth: int) -> None:
    """Let the bridge run until it kills itself at `point`."""
    bridge.program = (*DOOMED, "--dies-at", point, "--nth", str(nth))
    bridge.start()
    assert bridge.wait(GONE_S) == SIGKILLED, bridge.log[-4000:]
    bridge.program = BRIDGE


def die_with_a_create_under_way(bridge: BridgeProcess, argo: SimulatorProcess, *, accept: bool) -> None:
    """Likewise with a create that the Argo Server carries out before it is due to answer, or never does."""
    argo.add_faults(SLOW_CREATE | {"accept": accept})
    die(bridge, "create-sent", 1)
    argo.clear_faults()


def kill_at_each_point(version: str, folder: Path, broker: Mosquitto, tell: Tell) -> None:
    """Run the whole story, and count."""
    # Old workflows go soon: clearing a retained topic is one of the points.
    with SimulatorProcess("--container-duration", "0.02", "--retention", "300") as argo:
        argo.put_template(INSPECT)
        _kill_at_each_point(BridgeFiles(folder, broker.url, argo.url, version, MAPPINGS + PARKED), broker, argo, tell)


def _kill_at_each_point(files: BridgeFiles, broker: Mosquitto, argo: SimulatorProcess, tell: Tell) -> None:
    files = replace(files, web_port=free_port())
    files.write()
    chance = random_source("points", files.version)
    points = [point for point in POINTS if point not in (*AT_THE_FIRST_START, "create-sent")]
    chance.shuffle(points)
    with BridgeProcess(files) as bridge:
        for point in AT_THE_FIRST_START:
            die(bridge, point, 1)
        bridge.start_ready()  # a broker keeps nothing for a session that it does not know yet
        with Publisher(broker.port, 60.0, is_varied=True) as publisher:
            bridge.kill()
            for point in points:
                die(bridge, point, chance.randint(1, 4))
            for accept in (True, False):
                die_with_a_create_under_way(bridge, argo, accept=accept)
            bridge.start_ready()
            publisher.finish()
            # Told below in figures, if it does not come to this.
            running = {n for n in publisher.confirmed if not (publisher.waits(n) or publisher.dies(n))}
            with contextlib.suppress(AssertionError):
                wait_until(lambda: publisher.requests <= set(publisher.replies), "every answer", 60)
                argo.await_all(running, 60)
            assert bridge.terminate() == 0
    left = LeftBehind(files)
    result = account(publisher.confirmed, argo.created, kept=left.kept)
    kills = len(AT_THE_FIRST_START) + 1 + len(points) + 2
    tell(result, kills=kills, restarts=kills)
    assert result.is_exact, result
    assert set(left.kept.waiting) == set(filter(publisher.waits, publisher.confirmed))
    assert set(left.kept.dead) == set(filter(publisher.dies, publisher.confirmed))
    assert (left.reports, left.problems) == ([], ())
    assert publisher.requests <= set(publisher.replies)
    bodies = publisher.bodies.items()
    assert [body for number, body in bodies if ("workflowId" in body) is publisher.dies(number)] == []
    assert argo.stats["unexpected"] == []
