"""How workflows unfold into nodes and how they end, on the simulator and on a real server, as a real 4.1.2 did it.

With ARGO_SERVER the cases also run there; they need pods that run `sh -c "exit N"` of busybox.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from argo_recordings import RECORDINGS
from argo_servers import LABEL, Server, until

RECORDED: dict[str, Any] = json.loads((RECORDINGS / "v4.1.2" / "node-trees.json").read_text())["cases"]
"""The final workflow of each case."""

_TOLD = ("type", "templateName", "phase", "progress", "nodeFlag", "displayName")


def tree(workflow: dict[str, Any], *, fields: bool) -> dict[str, Any]:
    """What is told of a workflow's end and of each of its nodes, by names that do not change from run to run.

    Args:
        workflow: As the server shows it.
        fields: Also which fields a node has, in their order.
    """
    name, nodes = workflow["metadata"]["name"], workflow["status"]["nodes"]
    names = {key: node["name"].replace(name, "W", 1) for key, node in nodes.items()}

    def text(value: str) -> str:
        told = re.sub(r"child '([^']+)'", lambda found: f"child '{names[found[1]]}'", value)
        return told.removeprefix("main: ").replace(name, "W")  # before 3.7 the container was not told

    def shown(node: dict[str, Any]) -> dict[str, Any]:
        values = {key: node[key] for key in _TOLD if key in node}
        values["displayName"] = text(node["displayName"])
        values["message"] = text(node.get("message", ""))
        values["fields"] = list(node) if fields else []
        values["boundary"] = names.get(node.get("boundaryID", ""))
        for links in ("children", "outboundNodes"):
            values[links] = sorted(names[key] for key in node.get(links, []))
        for side in ("inputs", "outputs"):
            values[side] = {p["name"]: p.get("value") for p in node.get(side, {}).get("parameters", [])}
        return values

    status = workflow["status"]
    ended = {"phase": status["phase"], "progress": status["progress"], "message": text(status.get("message", ""))}
    return {"workflow": ended, **{names[key]: shown(node) for key, node in nodes.items()}}


def run(server: Server, spec: dict[str, Any]) -> dict[str, Any]:
    """Create a workflow and wait for its end; returns it."""
    metadata = {"generateName": f"contract-{server.run}-", "labels": {LABEL: server.run}}
    name = server.create({"metadata": metadata, "spec": spec}).value["metadata"]["name"]
    ended: dict[str, Any] = until(lambda: (w := server.get(name).value)["status"].get("finishedAt") and w)
    return ended


def assert_alike(server: Server, spec: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Run a workflow, and fail unless it unfolds and ends as the recorded one."""
    fields = server.minor == (4, 1)  # other releases have other fields
    assert tree(run(server, spec), fields=fields) == tree(recorded, fields=fields)


@pytest.mark.parametrize("case", [case for case in RECORDED if "suspend" not in case])
def test_a_workflow_unfolds_and_ends_as_recorded(server: Server, case: str) -> None:
    """Attempts, items and sequences by name, task groups, hooks, targets, tolerated failures and their texts."""
    recorded = RECORDED[case]["workflow"]
    assert_alike(server, recorded["spec"], recorded)


@pytest.mark.parametrize("case", ["suspend-annotated", "suspend-annotated-by-template"])
def test_a_suspend_with_an_answer_unfolds_and_ends_as_recorded(server: Server, case: str) -> None:
    """Nobody answers: the default is the answer, and the step after it gets it; as well by a stored template."""
    recorded = RECORDED[case]["workflow"]
    spec = json.loads(json.dumps(recorded["spec"]).replace('"8s"', '"1s"'))
    if "workflowTemplateRef" not in spec:
        assert_alike(server, spec, recorded)
        return
    stored = json.loads(json.dumps(recorded["status"]["storedWorkflowTemplateSpec"]).replace('"8s"', '"1s"'))
    name, path = f"contract-{server.run}", f"workflow-templates/{server.namespace}"
    body = {"template": {"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": stored["templates"]}}}
    assert server.call("POST", path, body=body).status == 200
    try:
        until(lambda: server.call("GET", f"{path}/{name}").status == 200)
        assert_alike(server, {"workflowTemplateRef": {"name": name}}, recorded)
    finally:
        assert server.call("DELETE", f"{path}/{name}").status == 200


POD = {"image": "busybox", "command": ["sh", "-c"], "args": ["exit 0"]}
BAD = {"image": "busybox", "command": ["sh", "-c"], "args": ["exit 4"]}


def phases(workflow: dict[str, Any]) -> dict[str, str]:
    """Type and phase of each node by its display name; `W` is the workflow's name."""
    name, nodes = workflow["metadata"]["name"], workflow["status"]["nodes"].values()
    return {node["displayName"].replace(name, "W"): f"{node['type']} {node['phase']}" for node in nodes}


def dag(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A spec of a DAG whose tasks call `ok` unless they say otherwise."""
    main = {"name": "main", "dag": {"tasks": [{"template": "ok", **task} for task in tasks]}}
    return {"entrypoint": "main", "templates": [main, {"name": "ok", "container": POD}, *_BAD], **more}


_BAD = [{"name": "bad", "container": BAD}]


def test_tasks_depend_on_how_others_ended(server: Server) -> None:
    """`AnySucceeded` and `AllFailed` look at the items of a task, a bare name at `continueOn`; the rest is omitted."""
    mixed = {"name": "mixed", "template": "either", "withItems": ["ok", "bad"]}
    mixed["arguments"] = {"parameters": [{"name": "end", "value": "{{item}}"}]}
    spec = dag(
        mixed,
        {"name": "all", "template": "bad", "withItems": [1, 2]},
        {"name": "one", "template": "bad", "continueOn": {"failed": True}},
        {"name": "any-good", "depends": "mixed.AnySucceeded"},
        {"name": "all-bad", "depends": "all.AllFailed && !mixed.AllFailed"},
        {"name": "not", "depends": "mixed.AllFailed || all.AnySucceeded || one.AllFailed"},
        {"name": "after-one", "depends": "one"},
        {"name": "none", "withParam": "[]", "depends": "one.Failed"},
        {"name": "after-none", "depends": "none && !none.Succeeded"},
    )
    either = [
        [{"name": end, "template": end, "when": f"{{{{inputs.parameters.end}}}} == {end}"} for end in ("ok", "bad")]
    ]
    spec["templates"].append({"name": "either", "inputs": {"parameters": [{"name": "end"}]}, "steps": either})
    found = phases(run(server, spec))
    wanted = dict.fromkeys(("any-good", "all-bad", "after-one", "after-none"), "Pod Succeeded")
    wanted |= {"not": "Skipped Omitted", "none": "Skipped Skipped", "mixed": "TaskGroup Failed", "W": "DAG Failed"}
    assert {name: found[name] for name in wanted} == wanted


def test_attempts_by_default(server: Server) -> None:
    """`templateDefaults` gives each template attempts, groups too; `retryPolicy: OnError` tries no failure again."""
    step = {"name": "s", "template": "bad"}
    main = {"name": "main", "steps": [[step]], "retryStrategy": {"limit": "1", "retryPolicy": "OnError"}}
    spec = {"entrypoint": "main", "templates": [main, *_BAD], "templateDefaults": {"retryStrategy": {"limit": 1}}}
    ended = run(server, spec)
    failed = ("W", "Retry"), ("W(0)", "Steps"), ("[0]", "StepGroup"), ("s", "Retry"), ("s(0)", "Pod"), ("s(1)", "Pod")
    assert phases(ended) == {name: f"{kind} Failed" for name, kind in failed}
    assert re.fullmatch(r"child '.+' failed", ended["status"]["message"])


def test_templates_of_a_stored_template_call_each_other(server: Server) -> None:
    """A name in a template that `templateRef` refers to is looked up there, not in the workflow."""
    name, path = f"contract-{server.run}", f"workflow-templates/{server.namespace}"
    inner = {"name": "inner", "steps": [[{"name": "mine", "template": "own"}]]}
    stored = {"templates": [inner, {"name": "own", "container": POD}]}
    body = {"template": {"metadata": {"name": name}, "spec": stored}}
    assert server.call("POST", path, body=body).status == 200
    try:
        until(lambda: server.call("GET", f"{path}/{name}").status == 200)
        task = {"name": "t", "templateRef": {"name": name, "template": "inner"}}
        main = {"name": "main", "dag": {"tasks": [task]}}
        ended = run(server, {"entrypoint": "main", "templates": [main, {"name": "own", "container": BAD}]})
        assert phases(ended) == {
            "W": "DAG Succeeded", "t": "Steps Succeeded", "[0]": "StepGroup Succeeded", "mine": "Pod Succeeded",
        }  # fmt: skip
        nodes = {node["displayName"]: node for node in ended["status"]["nodes"].values()}
        assert nodes["t"]["templateRef"] == task["templateRef"]
        assert nodes["mine"]["templateScope"] == f"namespaced/{name}"
    finally:
        assert server.call("DELETE", f"{path}/{name}").status == 200


@pytest.mark.parametrize("kind", ["steps", "dag"])
def test_a_hook_waits_for_its_step_and_others_for_the_hook(server: Server, kind: str) -> None:
    """The exit hook of a failed step runs; what comes after waits for it, and its own failure changes nothing."""
    first = {"name": "a", "template": "bad", "hooks": {"exit": {"template": "bad"}}, "continueOn": {"failed": True}}
    second: dict[str, Any] = {"name": "b", "template": "ok"}
    main: dict[str, Any] = {"name": "main", "steps": [[first], [second]]}
    if kind == "dag":
        main = {"name": "main", "dag": {"tasks": [first, {**second, "depends": "a"}]}}
    spec = {"entrypoint": "main", "templates": [main, {"name": "ok", "container": POD}, *_BAD]}
    ended = run(server, spec)
    nodes = {node["displayName"]: node for node in ended["status"]["nodes"].values()}
    assert ended["status"]["phase"] == "Succeeded"
    assert [nodes[name]["phase"] for name in ("a", "a.onExit", "b")] == ["Failed", "Failed", "Succeeded"]
    assert nodes["a.onExit"]["finishedAt"] <= nodes["b"]["startedAt"]


def test_items_are_called_by_what_they_are(server: Server) -> None:
    """Text, number, truth value, list and object, without parentheses; a sequence counts down and has a format."""
    items = ["a (b)", 3, True, [1, "x"], {"b": [1], "a": {"k": "v"}}]
    one = {"name": "i", "template": "ok", "withItems": items}
    two = {"name": "s", "template": "ok", "withSequence": {"start": "11", "end": "9", "format": "0x%02x"}}
    three = {"name": "c", "template": "ok", "withSequence": {"start": "2", "count": "2"}}
    main = {"name": "main", "steps": [[one, two, three]]}
    found = phases(run(server, {"entrypoint": "main", "templates": [main, {"name": "ok", "container": POD}]}))
    wanted = {"i(0:a b)", "i(1:3)", "i(2:true)", "i(3:[1 x])", 'i(4:a:{"k":"v"},b:[1])'}
    wanted |= {"s(0:0x0b)", "s(1:0x0a)", "s(2:0x09)", "c(0:2)", "c(1:3)"}
    assert found.keys() - {"W", "[0]"} == wanted
