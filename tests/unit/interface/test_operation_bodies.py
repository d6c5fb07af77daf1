"""What is told of Argo's objects, whatever they look like, in as many bytes as there are."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.marks import MAPPING_ANNOTATION, annotation_of
from bridge.core.errors import PermanentError
from bridge.interface import operation_bodies as bodies
from bridge.interface.operation_bodies import LogLine

KEYS = ["metadata", "spec", "status", "name", "namespace", "labels", "annotations", "phase", "arguments", "parameters"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), ANY, max_size=5)
LINES = st.lists(st.builds(LogLine, st.text(max_size=5), st.text(max_size=40)), max_size=30)
WORKFLOW: dict[str, Any] = {
    "metadata": {
        "name": "w",
        "namespace": "factory",
        "uid": "u1",
        "creationTimestamp": "2026-11-24T14:00:00Z",
        "annotations": {"argo-bridge/mapping": "m"},
    },
    "spec": {"entrypoint": "main", "templates": [{"name": "main"}]},
    "status": {
        "phase": "Running",
        "progress": "1/2",
        "message": "half way",
        "startedAt": "2026-11-24T14:00:01Z",
        "finishedAt": None,
        "nodes": {"w": {"phase": "Running", "outputs": {"a": 1}}},
    },
}


@given(OBJECTS)
def test_no_object_makes_it_raise(found: dict[str, Any]) -> None:
    """Whatever a server answers, there is something to tell of it, with its keys and types."""
    told = bodies.listed_workflow(found, annotation_of(found, MAPPING_ANNOTATION))
    assert list(told) == ["namespace", "workflowId", "status", "progress", "message", "details"]
    assert all(isinstance(value, str) for key, value in told.items() if key != "details")
    assert isinstance(bodies.listed_template(found)["template"], str)
    assert bodies.trimmed(found, 10).value.keys() <= {"metadata", "spec", "status", *found}


def test_the_last_known_status_has_the_five_keys() -> None:
    """Argo's phase, its progress as a percentage, its message; Pending while there is no phase."""
    assert bodies.workflow_status(WORKFLOW) == {
        "namespace": "factory",
        "workflowId": "w",
        "status": "Running",
        "progress": "50%",
        "message": "half way",
    }
    assert bodies.workflow_status({"metadata": {"name": "n"}})["status"] == "Pending"
    assert bodies.listed_workflow(WORKFLOW, annotation_of(WORKFLOW, MAPPING_ANNOTATION))["details"] == {
        "uid": "u1",
        "mapping": "m",
        "createdAt": "2026-11-24T14:00:00Z",
        "startedAt": "2026-11-24T14:00:01Z",
    }


def test_a_failed_workflow_is_told_by_its_step() -> None:
    """Where Argo's message says nothing (a DAG has none), the five keys name the step; a list has no nodes for it."""
    step = {"id": "n", "displayName": "measure", "type": "Pod", "phase": "Failed", "boundaryID": "w"}
    nodes = {"w": {"id": "w", "type": "DAG", "phase": "Failed"}, "n": step | {"outputs": {"exitCode": "4"}}}
    failed = WORKFLOW | {"status": {"phase": "Failed", "nodes": nodes}}
    assert bodies.workflow_status(failed)["message"] == 'step "measure" failed with exit code 4'
    assert bodies.workflow_status(bodies.without(failed, "status.nodes"))["message"] == ""


def test_a_template_is_told_by_what_its_user_must_know() -> None:
    """Name, description, entrypoint and parameters with their defaults and choices; empty ones are left out."""
    template = {
        "metadata": {"name": "t", "annotations": {"workflows.argoproj.io/description": "looks at it"}},
        "spec": {
            "entrypoint": "main",
            "arguments": {"parameters": [{"name": "n", "value": "1", "enum": ["1", "2"], "globalName": "g"}, 7]},
        },
    }
    assert bodies.listed_template(template) == {
        "template": "t",
        "description": "looks at it",
        "entrypoint": "main",
        "parameters": [{"name": "n", "value": "1", "enum": ["1", "2"]}],
    }
    assert bodies.listed_template({"metadata": {"name": "t"}}) == {"template": "t"}


@given(st.integers(200, 3000), st.integers(0, 100), st.integers(0, 2000))
def test_what_does_not_fit_is_left_out_and_named(room: int, nodes: int, text: int) -> None:
    """The result fits; what is missing is told by its path, and nothing else is missing."""
    whole = WORKFLOW | {
        "status": WORKFLOW["status"] | {"nodes": {str(number): {"phase": "Succeeded"} for number in range(nodes)}},
        "spec": {"entrypoint": "x" * text},
    }
    fit = bodies.trimmed(whole, room)
    assert len(orjson.dumps(fit.value)) <= room
    assert bool(fit.left_out) == (len(orjson.dumps(whole)) > room)
    expected = whole
    for path in fit.left_out:
        expected = bodies.without(expected, path)
    if "metadata" not in fit.left_out:
        assert fit.value == expected
    assert fit.value["metadata"]["uid"] == "u1"


def test_nodes_go_before_the_rest() -> None:
    """A workflow that is too large keeps its phase and its spec as long as leaving out its nodes is enough."""
    room = len(orjson.dumps(bodies.without(WORKFLOW, "status.nodes")))
    fit = bodies.trimmed(WORKFLOW, room)
    assert fit.details == {"details": {"truncated": True, "leftOut": ["status.nodes"]}}
    assert fit.value["spec"] == WORKFLOW["spec"]
    assert bodies.trimmed(WORKFLOW, 10_000).details == {}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("metadata.name,status.phase", {"metadata": {"name": "w"}, "status": {"phase": "Running"}}),
        ("spec.templates.name", {"spec": {"templates": [{"name": "main"}]}}),
        ("status.nodes.w.phase, nope.x", {"status": {"nodes": {"w": {"phase": "Running"}}}}),
        ("-metadata,spec,-status.nodes.w", {"status": WORKFLOW["status"] | {"nodes": {}}}),
        (",", {}),
    ],
)
def test_fields_select_as_argo_does(fields: str, expected: dict[str, Any]) -> None:
    """Paths kept, or with a minus before the first one left out; lists are transparent."""
    assert bodies.selected(WORKFLOW, fields) == expected


@given(OBJECTS, st.text("a.,-metdnspu", max_size=12))
def test_no_fields_make_it_raise(found: dict[str, Any], fields: str) -> None:
    """Whatever somebody writes, what is left is JSON."""
    assert isinstance(bodies.selected(found, fields), dict)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=3).map(tuple))
def test_a_continue_comes_back(place: tuple[str, ...]) -> None:
    """It is one word of letters, digits, - and _, which means to us what it meant."""
    text = bodies.continue_behind(place)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert bodies.place_of(text) == place


@given(st.text(max_size=30) | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")))
def test_a_foreign_continue_is_refused(text: str) -> None:
    """Anything else is a sentence, never an exception of another kind."""
    try:
        found: object = bodies.place_of(text)
    except PermanentError as error:
        found = error
    assert isinstance(found, tuple) or (isinstance(found, PermanentError) and found.code == "invalid-request")


@given(LINES, st.integers(100, 900))
def test_the_last_lines_that_fit_are_kept(lines: list[LogLine], room: int) -> None:
    """In order, from the end on; whether any is missing or cut is said."""
    kept, is_cut = bodies.last_lines(lines, room)
    assert sum(len(orjson.dumps(line)) + 1 for line in kept) <= room + 1
    if is_cut:
        assert len(kept) < len(lines) or kept != lines
        assert kept
    else:
        assert kept == lines
    if len(kept) > 1:
        assert kept == lines[-len(kept) :]


@given(LINES, st.integers(100, 900))
def test_all_lines_go_out_in_packets_that_fit(lines: list[LogLine], room: int) -> None:
    """None is lost, doubled or out of order; only a line that no packet holds is cut, and that is said."""
    packets = list(bodies.in_packets(lines, room))
    assert all(group for group, _ in packets)
    for group, _ in packets:
        assert sum(len(orjson.dumps(line)) + 1 for line in group) <= room
    flat = [line for group, _ in packets for line in group]
    assert [line.pod for line in flat] == [line.pod for line in lines]
    if not any(is_cut for _, is_cut in packets):
        assert flat == lines


def test_a_line_too_long_for_any_packet_is_cut() -> None:
    """Its beginning stays, and an ellipsis says the rest."""
    (group, is_cut), *rest = bodies.in_packets([LogLine("p", "é" * 1000)], 200)
    assert is_cut
    assert rest == []
    assert group[0].text.startswith("éééé")
    assert group[0].text.endswith("…")
