"""Argo's own example workflows, run on the simulator and compared with what a real server made of them.

The manifests are read where they are, never copied (they are not ours); a clone that stands alone has none.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from argo_recordings import RECORDINGS, call

from bridge.configfile.kubernetes_yaml import read_manifests
from bridge.configfile.nodes import plain
from bridge.configfile.problems import Problems
from bridge.simulator import Simulator, SimulatorOptions

EXAMPLES = Path(__file__).resolve().parents[3].parent / "shared" / "argo" / "examples"
RECORDED: dict[str, Any] = json.loads((RECORDINGS / "v4.1.2" / "examples.json").read_text())["cases"]
"""What of a workflow's end was not as the simulator's once was; `why` where it cannot be alike."""
_STORED = {"WorkflowTemplate": "workflow-templates/argo", "ClusterWorkflowTemplate": "cluster-workflow-templates"}


def manifests() -> list[tuple[str, dict[str, Any]]]:
    """The manifests that are beside this clone, by file."""
    files = sorted(EXAMPLES.glob("*.yaml"))
    return [(f.name, plain(tree)) for f in files for tree in read_manifests(f.read_bytes(), f.name, Problems())]


def ended(simulator: Simulator, name: str) -> dict[str, Any]:
    """Wait for a workflow's end; returns what of it was recorded of others."""
    workflow = simulator.wait_for(lambda sim: (w := sim.workflow("argo", name))["status"].get("finishedAt") and w)
    status = workflow["status"]
    nodes = [[n["displayName"].replace(name, "W"), n["type"], n["phase"]] for n in status["nodes"].values()]
    message = re.sub(r"child '[^']+'", "child 'ID'", status.get("message", "")).replace(name, "W")
    return {"phase": status["phase"], "message": message, "progress": status["progress"], "nodes": nodes}


def differs(recorded: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether a workflow ended in another way than was recorded."""
    if any(found[key] != recorded[key] for key in ("phase", "message", "progress") if key in recorded):
        return True
    missing = [node for node in recorded.get("nodes", []) if node not in found["nodes"]]
    return bool(missing) or any(node in found["nodes"] for node in recorded.get("without", []))


def test_examples_end_as_on_a_real_server() -> None:
    """Each example that was recorded and is here ends with the same phase, message, progress and nodes."""
    if not EXAMPLES.is_dir():
        pytest.skip(f"Argo's example manifests are not beside this clone ({EXAMPLES})")
    with Simulator(SimulatorOptions(argo_version="4.1.2", container_s=0.01, reaction_s=0.0)) as simulator:
        for _, manifest in manifests():
            if manifest["kind"] in _STORED:
                stored = {**manifest, "metadata": {"name": manifest["metadata"]["name"]}}
                body = json.dumps({"template": stored}).encode()
                call(simulator.url, "POST", f"/api/v1/{_STORED[manifest['kind']]}", body=body)
        names: dict[str, str] = {}
        for file, manifest in manifests():
            example = file.rpartition("__")[2]
            if manifest["kind"] == "Workflow" and example in RECORDED and example not in names:
                body = json.dumps({"workflow": manifest}).encode()
                answer = call(simulator.url, "POST", "/api/v1/workflows/argo", body=body)
                names[example] = answer.value["metadata"]["name"]
        unlike = {file for file, name in names.items() if differs(RECORDED[file], ended(simulator, name))}
        assert simulator.unexpected == []
    assert len(names) > 15
    assert unlike == {file for file in names if "why" in RECORDED[file]}
