"""The node that a workflow failed by, and its sentence."""

from __future__ import annotations

import pytest
from status_fakes import failed_nodes, workflow

from bridge.status.failures import FailedNode, find_failed_node, from_details, message_for


def node(key: str, kind: str, phase: str = "Failed", **more: object) -> dict[str, object]:
    return {"id": key, "name": key, "displayName": more.pop("display", key), "type": kind, "phase": phase, **more}


def table(*nodes: dict[str, object], message: str = "") -> dict[str, object]:
    return workflow("wf", message=message, nodes={str(item["id"]): item for item in nodes})


def found(answer: dict[str, object]) -> str:
    failed = find_failed_node(answer)
    assert failed is not None
    return failed.name


def test_the_chain_of_blame_leads_to_the_step() -> None:
    """The step that Argo blames is found from the workflow down, not its group and not its exit handler."""
    nodes = failed_nodes("wf")
    nodes["wf-9"] = node("wf-9", "Pod", display="wf.onExit", finishedAt="2026-11-24T00:00:00Z")
    failed = find_failed_node(workflow("wf", message="child 'wf-2' failed", nodes=nodes))
    assert failed == FailedNode("measure", "probe", "main: Error (exit code 3)", 3)


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
    """A workflow of one container fails by its root node."""
    assert found(table(node("wf", "Pod"), message="Error (exit code 1)")) == "wf"


@pytest.mark.parametrize("nodes", [{}, {"wf": {"id": "wf", "phase": "Running"}}])
def test_without_a_failed_node_there_is_none(nodes: dict[str, object]) -> None:
    """A workflow that never ran (invalid spec) has no failed node."""
    assert find_failed_node(workflow("wf", message="invalid spec: x", nodes=nodes)) is None


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
    assert from_details(failed.details()) == failed
    assert [from_details(value) for value in (None, [], {}, {"name": 1}, "x")] == [None] * 5
