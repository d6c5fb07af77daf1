"""The programs of docs/clients.md do what the page says, against a real broker and a running bridge."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.documents import blocks
from tests.support.mosquitto import Mosquitto
from tests.support.spine import Spine

pytestmark = pytest.mark.mosquitto
(PYTHON,) = [block.text for block in blocks("python") if block.document == "docs/clients.md"]
(FLOW,) = [block.text for block in blocks("json") if block.document == "docs/clients.md"]


def here(text: str) -> str:
    """An example with the namespace and template of the tests."""
    return text.replace("factory", NAMESPACE).replace("inspect-boiler", TEMPLATE)


@pytest.fixture
def spine(mosquitto: Mosquitto, tmp_path: Path):
    with Spine(tmp_path, mosquitto) as running:
        yield running


def test_the_python_program_starts_one_workflow_however_often_it_runs(spine: Spine):
    """Its reply names the workflow, and a repetition with the same event id gets the same reply."""
    environ = os.environ | {"MQTT_HOST": "127.0.0.1", "MQTT_PORT": str(spine.broker.port)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", here(PYTHON)], env=environ, capture_output=True, text=True, timeout=100, check=False
        )
        for _ in range(2)
    ]
    assert [(run.returncode, run.stderr) for run in runs] == [(0, ""), (0, "")]
    (created,) = spine.simulator.created
    assert [run.stdout.strip() for run in runs] == [created.name, created.name]
    assert created.parameters == {"device": "7"}


def test_mosquitto_rr_gets_the_reply(spine: Spine):
    """The line of the page, on this port."""
    program = shutil.which("mosquitto_rr")
    assert program is not None
    topic = f"argo/workflows/trigger/{NAMESPACE}"
    body = json.dumps({"submit": {"template": TEMPLATE, "parameters": {"device": "7"}}})
    run = subprocess.run(
        [
            program,
            *f"-p {spine.broker.port} -V 5 -W 60 -t {topic} -e argo/workflows/response/clients/shell -m".split(),
            body,
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert json.loads(run.stdout)["workflowId"] == spine.simulator.created[0].name


def test_the_node_red_flow_asks_as_the_interface_has_it(spine: Spine):
    """Every wire leads to a node, and the message that its function makes is answered at its Response Topic."""
    nodes = {node["id"]: node for node in json.loads(here(FLOW))}
    assert {target for node in nodes.values() for wire in node.get("wires", []) for target in wire} <= nodes.keys()
    node = shutil.which("node")
    if node is None:
        pytest.skip("node, which runs the function of the flow, is not installed")
    script = (
        f"const msg = {{_msgid: 'id'}}; (function(){{{nodes['ab-build']['func']}}})(); console.log(JSON.stringify(msg))"
    )
    run = subprocess.run([node, "-e", script], capture_output=True, text=True, timeout=100, check=True)
    message = json.loads(run.stdout)
    assert message["responseTopic"] == nodes["ab-in"]["topic"]
    spine.publish(message["topic"], message["payload"], ResponseTopic=message["responseTopic"])
    (reply,) = spine.bodies(nodes["ab-in"]["topic"])
    assert reply["workflowId"] == spine.simulator.created[0].name
