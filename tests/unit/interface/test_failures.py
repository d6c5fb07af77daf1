"""The node that a workflow failed by, and its sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.interface.failures import FAILED_NODE_KEYS, FailedNode, find_failed_node, from_details, message_for
from bridge.interface.keys import body_of

RECORDING = Path(__file__).parents[2] / "contract/recordings/v4.1.2/node-trees.json"
RECORDED: dict[str, Any] = json.loads(RECORDING.read_text())["cases"]
"""Workflows that a real server ended, with their nodes."""


def node(key: str, kind: str, phase: str = "Failed", **more: object) -> dict[str, Any]:
    return {"id": key, "name": key, "displayName": more.pop("display", key), "type": kind, "phase": phase, **more}


def table(*nodes: dict[str, object], templates: tuple[object, ...] = ()) -> dict[str, Any]:
    status = {"phase": "Failed", "nodes": {str(item["id"]): item for item in nodes}}
    return {"metadata": {"name": "wf"}, "spec": {"templates": list(templates)}, "status": status}


def found(answer: dict[str, object]) -> str:
    failed = find_failed_node(answer)
    assert failed is not None
    return failed.name


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("onexit-fails-after-success", 'step "rec-mps2f.onExit" (template bye) failed with exit code 3'),
        ("onexit-fails-after-failure", 'step "rec-7pk9t" (template main) failed with exit code 2'),
        ("steps-failfast-parallelism", 'step "s(0:1)" (template f1) failed with exit code 1'),
        ("retry-exhausted", 'step "rec-px8hq(1)" (template main) failed with exit code 5'),
        ("dag-failfast-false", 'step "a" (template f1) failed with exit code 1'),
        ("dag-tolerated-continueOn", 'step "c" (template f4) failed with exit code 4'),
        ("dag-tolerated-depends", 'step "c" (template f4) failed with exit code 4'),
        ("dag-enhanced-depends", 'step "B" (template f1) failed with exit code 1'),
    ],
)
def test_what_a_real_server_ended_is_told_by_its_step(case: str, sentence: str) -> None:
    """A tolerated failure, an exit handler, attempts and tasks that were not run: the step that decided is named."""
    recorded = RECORDED[case]["workflow"]
    assert message_for(recorded["status"].get("message", ""), find_failed_node(recorded)) == sentence


def test_what_a_real_server_ended_well_has_no_failed_node() -> None:
    """No step of a workflow that succeeded is told as failed."""
    good = [case["workflow"] for case in RECORDED.values() if case["workflow"]["status"]["phase"] == "Succeeded"]
    assert len(good) == 8
    assert [find_failed_node(workflow) for workflow in good] == [None] * 8


@pytest.mark.parametrize(
    "message", ["child 'm' failed", "step group deemed errored due to child wf[0].m error: no lock", "any other"]
)
def test_a_group_of_steps_is_never_told(message: str) -> None:
    """The step is found behind its group, by the id or the name that Argo writes, or for having failed."""
    texts = {"message": message, "boundaryID": "wf"}
    answer = table(
        node("wf", "Steps", message=message, children=["g"]),
        node("g", "StepGroup", "Error", children=["fine", "m"], **texts),
        node("tolerated", "Pod", boundaryID="wf", children=["g"], finishedAt="2026-11-24T14:00:01Z"),
        node("fine", "Pod", "Succeeded", boundaryID="wf"),
        node("m", "Pod", "Error", boundaryID="wf", name="wf[0].m", message="no lock"),
    )
    assert found(answer) == "m"
    del answer["status"]["nodes"]["m"]
    failed = find_failed_node(answer)
    assert failed == FailedNode("wf", "", message, None)


def test_of_a_dag_without_blame_the_first_failure_counts() -> None:
    """A DAG has no message: the task that failed first is the cause, not the one that fell over later."""
    later = node("t1", "Pod", boundaryID="wf", finishedAt="2026-11-24T14:00:09Z")
    first = node("t2", "Pod", boundaryID="wf", finishedAt="2026-11-24T14:00:03Z")
    fine = node("t3", "Pod", "Succeeded", boundaryID="wf", finishedAt="2026-11-24T14:00:01Z")
    assert found(table(node("wf", "DAG"), later, first, fine)) == "t2"


def test_of_a_retried_step_the_last_attempt_counts() -> None:
    """A step with attempts failed by the last of them; attempts of a step that came right are no cause."""
    answer = table(
        node("wf", "DAG"),
        node("r", "Retry", boundaryID="wf", children=["r0", "r1"], message="No more retries left"),
        node("r0", "Pod", boundaryID="wf", finishedAt="2026-11-24T14:00:01Z"),
        node("r1", "Pod", boundaryID="wf", finishedAt="2026-11-24T14:00:05Z"),
    )
    assert found(answer) == "r1"


def test_a_single_pod_is_its_own_cause() -> None:
    """A workflow of one container fails by its root node, one of a container set by the container."""
    pod = node("wf", "Pod", message="Error (exit code 1)")
    assert found(table(pod)) == "wf"
    assert found(table(pod, node("wf-1", "Container", display="b", boundaryID="wf"))) == "b"


@pytest.mark.parametrize("nodes", [[], [node("wf", "Steps", "Running"), node("a", "Pod", boundaryID="wf")]])
def test_without_a_failed_root_there_is_none(nodes: list[dict[str, Any]]) -> None:
    """A workflow that never ran (invalid spec), or that failed as a whole, has no failed node."""
    assert find_failed_node(table(*nodes)) is None


@pytest.mark.parametrize("stored", [False, True])
def test_a_last_task_that_may_fail_is_not_told(stored: bool) -> None:
    """`continueOn` of a last task is read from the template that the DAG ran, the workflow's own or a referred one."""
    tasks = [{"name": "may-fail", "continueOn": {"failed": True}}, {"name": "must-not"}]
    template = {"name": "main", "dag": {"tasks": tasks}}
    answer = table(
        node("wf", "DAG", templateName="main", templateScope="namespaced/wt" if stored else "local/wf"),
        node("a", "Pod", display="may-fail", boundaryID="wf", finishedAt="2026-11-24T14:00:01Z"),
        node("b", "Pod", display="must-not", boundaryID="wf", finishedAt="2026-11-24T14:00:09Z"),
        templates=() if stored else (template,),
    )
    answer["status"]["storedTemplates"] = {"namespaced/wt/main": template} if stored else {}
    assert found(answer) == "must-not"


def test_a_circle_of_blame_ends() -> None:
    """Nodes that blame each other do not hold the thread."""
    one = node("a", "Pod", message="child 'b' failed")
    other = node("b", "Pod", message="child 'a' failed")
    assert find_failed_node(table(node("wf", "Steps", message="child 'a' failed"), one, other)) is None


@pytest.mark.parametrize(
    ("text", "exit_code", "sentence"),
    [
        ("main: Error (exit code 3)", 3, 'step "m" (template p) failed with exit code 3'),
        ("Error (exit code 3): sensor away", 3, 'step "m" (template p) failed with exit code 3: sensor away'),
        ("OOMKilled (exit code 137)", 137, 'step "m" (template p) failed with exit code 137: OOMKilled'),
        ("Step exceeded its deadline", None, 'step "m" (template p) failed: Step exceeded its deadline'),
    ],
)
def test_the_sentence_says_each_thing_once(text: str, exit_code: int | None, sentence: str) -> None:
    """Step, template, exit code and text, without Argo's repetition of the exit code."""
    assert FailedNode("m", "p", text, exit_code).sentence() == sentence
    assert FailedNode("m", "", text, exit_code).sentence() == sentence.replace(" (template p)", "")


@pytest.mark.parametrize(
    ("own", "is_replaced"),
    [
        ("child 'wf-2' failed", True),
        ("child 'wf-2' errored", True),
        ("step group deemed errored due to child wf[0].m error: no lock", True),
        ("No more retries left", True),
        ("Max duration limit exceeded", True),
        ("template has failed or errored children and failFast enabled", True),
        ("", True),
        ("boom", True),
        ("Stopped with strategy 'Stop'", False),
        ("invalid spec: x", False),
    ],
)
def test_only_a_useless_message_is_replaced(own: str, is_replaced: bool) -> None:
    """Argo's message stays where it says something of its own."""
    failed = FailedNode("m", "p", "boom", None)
    assert message_for(own, failed) == (failed.sentence() if is_replaced else own)
    assert message_for(own, None) == own


def test_details_are_read_back() -> None:
    """What a status message says of a failed node is understood by the next process; anything else is not."""
    failed = FailedNode("m", "p", "boom", 3)
    assert from_details(body_of(FAILED_NODE_KEYS, failed)) == failed
    assert [from_details(value) for value in (None, [], {}, {"name": 1}, "x")] == [None] * 5


class Grown:
    """Nodes of a workflow that failed by one node, with any number of failures around it that did not matter.

    Attributes:
        nodes: by id.
        cause: id of the node that decided.
    """

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.nodes: dict[str, Any] = {}
        self.cause = ""

    def add(self, name: str, kind: str, phase: str, boundary: str, **more: object) -> dict[str, Any]:
        second = self._draw(st.integers(10, 59))
        key = f"n{len(self.nodes)}" if self.nodes else "wf"
        grown = node(key, kind, phase, boundaryID=boundary, children=[], **more)
        self.nodes[grown["id"]] = {**grown, "name": name, "finishedAt": f"2026-11-24T14:00:{second}Z"}
        return self.nodes[grown["id"]]

    def pod(self, name: str, phase: str, boundary: str) -> dict[str, Any]:
        pod = self.add(name, "Pod", phase, boundary)
        if self._draw(st.booleans()):
            hook = self.add(f"{name}.onExit", "Pod", "Failed", boundary, nodeFlag={"hooked": True})
            pod["children"].append(hook["id"])
        return pod

    def fail(self, name: str, boundary: str, depth: int, *, decides: bool = True) -> list[dict[str, Any]]:
        """Add a node that failed; return it and the last of what it led to, on which others hang."""
        kinds = ["pod", "steps", "dag", "retry"] if depth else ["pod"]
        if re.search(r"\(\d+\)$", name):
            kinds = [kind for kind in kinds if kind != "retry"]  # no attempt has attempts of its own
        kind = self._draw(st.sampled_from(kinds))
        return [*getattr(self, f"fail_{kind}")(name, boundary, depth, decides)]

    def fail_pod(self, name: str, boundary: str, _: int, decides: bool) -> list[dict[str, Any]]:
        pod = self.pod(name, "Failed", boundary)
        self.cause = pod["id"] if decides else self.cause
        return [pod, pod]

    def fail_retry(self, name: str, boundary: str, depth: int, decides: bool) -> list[dict[str, Any]]:
        retry = self.add(name, "Retry", "Failed", boundary, message="No more retries left")
        count = self._draw(st.integers(0, 2))
        attempts = [self.fail(f"{name}({i})", boundary, depth - 1, decides=False)[0] for i in range(count)]
        attempts.append(self.fail(f"{name}({count})", boundary, depth - 1, decides=decides)[0])
        hook = self.add(f"{name}.onExit", "Pod", "Failed", boundary, nodeFlag={"hooked": True})
        retry["children"] += [attempt["id"] for attempt in attempts] + [hook["id"]]
        return [retry, attempts[-1]]

    def fail_steps(self, name: str, boundary: str, depth: int, decides: bool) -> list[dict[str, Any]]:
        steps = self.add(name, "Steps", "Failed", boundary)
        before = self.add(f"{name}[0]", "StepGroup", "Succeeded", steps["id"])
        group = self.add(f"{name}[1]", "StepGroup", "Failed", steps["id"])
        tolerated = [self.fail(f"{name}[{i}].t", steps["id"], depth - 1, decides=False) for i in range(2)]
        failed, end = self.fail(f"{name}[1].f", steps["id"], depth - 1, decides=decides)
        steps["children"].append(before["id"])
        before["children"].append(tolerated[0][0]["id"])
        tolerated[0][1]["children"].append(group["id"])
        group["children"] += self._draw(st.permutations([failed["id"], tolerated[1][0]["id"]]))
        by_name = f"step group deemed errored due to child {failed['name']} error: no lock"
        steps["message"] = group["message"] = self._draw(st.sampled_from([f"child '{failed['id']}' failed", by_name]))
        return [steps, end]

    def fail_dag(self, name: str, boundary: str, depth: int, decides: bool) -> list[dict[str, Any]]:
        dag = self.add(name, "DAG", "Failed", boundary)
        for number in range(self._draw(st.integers(0, 2))):
            tolerated, end = self.fail(f"{name}.t{number}", dag["id"], depth - 1, decides=False)
            follower = self.pod(f"{name}.after-t{number}", "Succeeded", dag["id"])
            dag["children"].append(tolerated["id"])
            end["children"].append(follower["id"])
        parent: dict[str, Any] = dag
        if self._draw(st.booleans()):
            parent = self.add(f"{name}.f", "TaskGroup", "Failed", dag["id"])
            dag["children"].append(parent["id"])
        failed, end = self.fail(f"{name}.f(0:x)", dag["id"], depth - 1, decides=decides)
        parent["children"].append(failed["id"])
        for number in range(self._draw(st.integers(0, 2))):
            omitted = self.add(f"{name}.o{number}", "Skipped", "Omitted", dag["id"])
            end["children"].append(omitted["id"])
            end = omitted
        return [dag, end]


@given(st.data())
def test_whatever_else_failed_the_node_that_decided_is_told(data: st.DataObject) -> None:
    """Tolerated failures, earlier attempts, hooks and tasks that were not run hide no cause, however deep it is."""
    tree = Grown(data.draw)
    if data.draw(st.booleans()):
        tree.fail("wf", "", 3)
    else:
        tree.add("wf", "Pod", "Succeeded", "")
        handler, _ = tree.fail("wf.onExit", "", 3)
        handler["nodeFlag"] = {"hooked": True}
    assert found(table(*tree.nodes.values())) == tree.cause


ANY = st.sampled_from(
    ["wf", "a", "b", "Failed", "DAG", "Steps", "Retry", "child 'a' failed", "Omitted", None, 1, ["a"]]
)
NODES = st.dictionaries(
    st.sampled_from(["id", "name", "phase", "type", "message", "children", "boundaryID", "nodeFlag", "outputs"]), ANY
)


@given(st.dictionaries(st.sampled_from(["wf", "a", "b"]), NODES | ANY))
def test_no_nodes_make_it_raise(nodes: dict[str, Any]) -> None:
    """Whatever a server answers, there is a failed node or there is none."""
    answer = {"metadata": {"name": "wf"}, "status": {"phase": "Failed", "nodes": nodes}}
    failed = find_failed_node(answer)
    assert failed is None or isinstance(failed.name, str)
