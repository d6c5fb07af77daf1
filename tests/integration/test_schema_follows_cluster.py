"""Workflows are checked by the schema of the Argo that will run them, also when it was upgraded meanwhile."""

from pathlib import Path

import orjson

from bridge.simulator import Simulator, SimulatorOptions
from tests.support.bridge_files import NAMESPACE, BridgeFiles
from tests.support.bridge_inside import InsideBridge, LeftBehind
from tests.support.mosquitto import Mosquitto
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

# 4.0 dropped the singular field, and the Argo Server drops unknown fields without a word: it would run unlocked.
LOCKED = {
    "metadata": {"name": "locked"},
    "spec": {
        "entrypoint": "main",
        "synchronization": {"mutex": {"name": "press"}},
        "templates": [{"name": "main", "suspend": {"duration": "1s"}}],
    },
}


def _simulator(version: str, port: int = 0) -> Simulator:
    return Simulator(SimulatorOptions(argo_version=version, namespaces=(NAMESPACE,), port=port))


def test_a_waiting_row_is_checked_again_after_an_upgrade(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Valid when it was stored, invalid for what the cluster runs now: a dead letter with the field, no workflow."""
    old = _simulator("3.7.18")
    with old:
        files = BridgeFiles(tmp_path, mosquitto.url, old.url)
        with InsideBridge(files) as bridge:
            wait_until(lambda: bridge.service.state()["argo"]["schema"] == "3.7.18", "the schema of 3.7")
            old.stop_serving()
            with PlainClient(mosquitto.port) as client:
                client.subscribe("argo/workflows/response/trigger")
                client.publish("argo/workflows/trigger", orjson.dumps({"workflow": LOCKED}))
                bridge.await_count("events_stored_total", 1, mapping="")
                with _simulator("4.1.2", old.port) as new:
                    wait_until(lambda: bool(client.payloads), "the reply")
                    reply = orjson.loads(client.payloads[0])
                    assert new.created == []
            assert 'unknown field "mutex"' in reply["error"]
            assert any("3.7" in str(detail) for detail in reply["details"])
        assert old.created == []
    (letter,) = LeftBehind(files).dead_letters
    assert letter.letter.reason == "invalid-workflow"


def test_the_last_known_version_decides_while_argo_is_away(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A restart during an outage keeps checking as the cluster ran, and stops no ingest; `state` says which."""
    with _simulator("3.7.18") as simulator:
        files = BridgeFiles(tmp_path, mosquitto.url, simulator.url)
        with InsideBridge(files) as bridge:
            wait_until(lambda: bridge.service.state()["argo"]["schema"] == "3.7.18", "the schema of 3.7")
        simulator.stop_serving()
        with InsideBridge(files) as bridge, PlainClient(mosquitto.port) as client:
            state = bridge.service.state()["argo"]
            assert (state["schema"], state["schemaFrom"], state["reachable"]) == ("3.7.18", "last known", False)
            client.publish("argo/workflows/trigger", orjson.dumps({"workflow": LOCKED}))
            bridge.await_count("events_stored_total", 1, mapping="")
            simulator.start_serving()
            wait_until(lambda: len(simulator.created) == 1, "the workflow")
