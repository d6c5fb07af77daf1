"""A spool that goes bad under a running bridge: it says so and ends, and the next start sets the file aside."""

from __future__ import annotations

import json
import random
from pathlib import Path

import orjson
import pytest

from bridge.core.clock import SystemClock
from tests.contract.spool.spool_records import event
from tests.support.backlog import make_backlog
from tests.support.bridge_files import BRIDGE_ID, TEMPLATE, BridgeFiles
from tests.support.bridge_inside import SPOOL_FILE
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.plain_client import PlainClient
from tests.support.simulator_process import SimulatorProcess
from tests.support.spine import mapping
from tests.support.transport_ends import wait_until

ROWS = 150_000
"""So that the file is larger than what is checked at each start."""
UNEXPECTED = 3
STATE = f"argo/bridge/{BRIDGE_ID}/state"


def scramble(path: Path) -> None:
    """Overwrite most of the file, but for its first pages, which hold the schema."""
    with path.open("r+b") as file:
        start, size = 4096 * 64, path.stat().st_size
        file.seek(start)
        file.write(random.Random(1).randbytes(size - start - 4096 * 8))


def set_aside(client: PlainClient) -> str:
    """Where the newest message on ``state`` says that the damaged file is; "" = it says nothing."""
    newest = client.payloads[-1:]
    return "".join(json.loads(payload)["spool"]["setAside"] or "" for payload in newest)


@pytest.mark.slow
def test_damage_met_while_running_ends_the_bridge_and_is_set_aside(
    tmp_path: Path, mosquitto: Mosquitto, argo: SimulatorProcess
) -> None:
    """Code 3 and `corrupt` in the log; then the damaged file is kept whole under a name that `state` tells."""
    files = BridgeFiles(
        tmp_path, mosquitto.url, argo.url, mappings=mapping("all", "sensors/{device}"), web_port=free_port()
    )
    files.write()
    files.data_dir.mkdir()
    spool = files.data_dir / SPOOL_FILE
    manifest = orjson.dumps({"metadata": {}, "spec": {"workflowTemplateRef": {"name": TEMPLATE}}})
    make_backlog(spool, SystemClock(), [(event(1, manifest=manifest), ROWS)])
    scramble(spool)
    size = spool.stat().st_size
    with BridgeProcess(files) as bridge, PlainClient(mosquitto.port) as client:
        bridge.start()
        assert bridge.wait(60) == UNEXPECTED, bridge.log[-4000:]
        assert "code=corrupt" in bridge.log
        bridge.start_ready()
        client.subscribe(STATE)
        wait_until(lambda: set_aside(client), "a state that tells it", 30)
        aside = Path(set_aside(client))
        assert aside.name.startswith(f"{SPOOL_FILE}.corrupt-")
        assert aside.stat().st_size >= size
        assert f"it was set aside as {aside}" in bridge.log
        before = argo.stats["created"]
        client.publish("sensors/1", b'{"n": 7}')
        wait_until(lambda: argo.stats["created"] == before + 1, "the workflow of a new event", 30)
        assert bridge.terminate() == 0
