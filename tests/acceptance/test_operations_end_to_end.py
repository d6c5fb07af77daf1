"""The commands of operations through a real broker and a real bridge to a simulated Argo Server, and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.bridge_process import clean_environment
from tests.support.mosquitto import Mosquitto
from tests.support.spine import Spine
from tests.support.transport_ends import wait_until

WAITING = {
    "metadata": {"name": "waiting"},
    "spec": {
        "entrypoint": "main",
        "templates": [
            {"name": "main", "steps": [[{"name": "ask", "template": "ask"}], [{"name": "act", "template": "act"}]]},
            {"name": "ask", "suspend": {}},
            {"name": "act", "container": {"image": "act:1", "command": ["echo"], "args": ["done with it"]}},
        ],
    },
}
FAILING = {
    "metadata": {"name": "failing"},
    "spec": {
        "entrypoint": "main",
        "templates": [
            {
                "name": "main",
                # Long enough for another finishedAt: of a new end that reads as the old one did, nothing is told.
                "metadata": {"annotations": {"simulator.argo-bridge/duration": "1.2"}},
                "container": {"image": "act:1", "command": ["sh", "-c"], "args": ["exit 3"]},
            }
        ],
    },
}


class Operator:
    """Somebody at a terminal, beside a bridge that runs."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine

    def run(self, verb: str, *arguments: str, code: int = 0) -> str:
        """Run a command, and return its standard output; fail unless it ends with `code`."""
        command = [sys.executable, "-m", "bridge", verb, "--config", str(self.spine.files.config), *arguments]
        done = subprocess.run(
            command, capture_output=True, timeout=100, check=False, env=clean_environment(), text=True
        )
        assert done.returncode == code, (verb, arguments, done)
        return done.stdout

    def phase(self, name: str) -> str:
        """What Argo says of a workflow, "" where there is none."""
        workflow = self.spine.simulator.workflow(NAMESPACE, name)
        return "" if workflow is None else workflow.get("status", {}).get("phase", "Pending")


@pytest.fixture
def operator(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Operator]:
    """A bridge that runs; MQTT 3.1.1 is tried by the tests with a scripted bridge."""
    with Spine(tmp_path, mosquitto) as spine:
        yield Operator(spine)


@pytest.mark.timeout(240)
def test_a_workflow_is_managed_from_the_command_line(operator: Operator) -> None:
    """Held, looked at, let go on, ended, run again, copied, deleted: each seen at the Argo Server."""
    operator.spine.ask({"namespace": NAMESPACE, "workflow": WAITING})
    wait_until(lambda: operator.phase("waiting") == "Running", "it runs", 60)
    assert f"{NAMESPACE}/waiting  Running" in operator.run("list", "--phase", "Running")
    assert "ask" in operator.run("get", "waiting")
    operator.run("resume", "waiting", "--node-field-selector", "displayName=ask", "--wait", "--timeout", "60s")
    assert operator.phase("waiting") == "Succeeded"
    assert operator.run("logs", f"{NAMESPACE}/waiting").strip(), "the container wrote something"

    copy = json.loads(operator.run("resubmit", "waiting", "--json"))["workflowId"]
    wait_until(lambda: operator.phase(copy) == "Running", "the copy runs", 60)
    operator.run("stop", copy, "--wait", "--timeout", "60s")
    assert operator.phase(copy) == "Failed"

    operator.spine.ask({"namespace": NAMESPACE, "workflow": FAILING})
    wait_until(lambda: operator.phase("failing") == "Failed", "it fails", 60)
    operator.run("retry", "failing", "--wait", "--timeout", "60s", code=1)
    assert operator.phase("failing") == "Failed"

    watched = operator.run("watch", NAMESPACE, "--for", "2s").splitlines()
    assert {line.split()[1] for line in watched} == {f"{NAMESPACE}/{name}" for name in ("waiting", "failing", copy)}
    assert "deleted successfully" in operator.run("delete", copy)
    assert operator.phase(copy) == ""
    operator.run("get", copy, code=1)


@pytest.mark.timeout(240)
def test_templates_and_manifests_are_looked_at(operator: Operator, tmp_path: Path) -> None:
    """What may be triggered, and whether a manifest would be taken."""
    assert TEMPLATE in operator.run("list-templates")
    assert "entrypoint: main" in operator.run("get-template", TEMPLATE)
    file = tmp_path / "workflow.yaml"
    file.write_text(json.dumps(WAITING))
    assert operator.run("lint", str(file)) == "Workflow is valid\n"
    file.write_text(json.dumps(WAITING).replace("entrypoint", "entrypont"))
    operator.run("lint", str(file), code=1)
