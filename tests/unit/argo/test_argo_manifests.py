"""Bodies of creates."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.manifests import Manifests, template_manifest, template_workflow
from bridge.argo.marks import Marks, event_of
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowOrder

EVENT = bytes(range(32))
MARKS = Marks("plant-1", EVENT, "boiler", "sensors/a/ä/7 + #", "plant", "sensors/a/boiler/7/workflow")


def order(manifest: Any, parameters: dict[str, str] | None = None, **keys: Any) -> WorkflowOrder:
    raw = manifest if isinstance(manifest, bytes) else orjson.dumps(manifest)
    return WorkflowOrder("factory", "base", raw, name="base-abc", parameters=parameters or {}, **keys)


def create(manifest: Any, parameters: dict[str, str] | None = None, marks: Marks = MARKS, **keys: Any) -> Any:
    body = json.loads(Manifests().create_body(order(manifest, parameters, **keys), marks))
    assert list(body) == ["workflow"]
    return body["workflow"]


def test_a_workflow_says_whose_it_is():
    """Name, namespace, label and annotations that mark a workflow as ours; the topic as it is."""
    metadata = create({"spec": {"entrypoint": "main"}})["metadata"]
    assert metadata == {
        "name": "base-abc",
        "namespace": "factory",
        "labels": {"argo-bridge/bridge": "plant-1"},
        "annotations": {
            "argo-bridge/event": EVENT.hex(),
            "argo-bridge/mapping": "boiler",
            "argo-bridge/topic": "sensors/a/ä/7 + #",
            "argo-bridge/connection": "plant",
            "argo-bridge/status-topic": "sensors/a/boiler/7/workflow",
        },
    }


@pytest.mark.parametrize(
    ("reference", "labels"),
    [
        ({"name": "inspect"}, {"workflows.argoproj.io/workflow-template": "inspect"}),
        ({"name": "inspect", "clusterScope": True}, {"workflows.argoproj.io/cluster-workflow-template": "inspect"}),
        ({"name": "x" * 64}, {}),
        ({"name": ""}, {}),
        ({}, {}),
        ("inspect", {}),
    ],
)
def test_a_templates_workflow_bears_the_templates_label(reference, labels):
    """By it Argo finds a template's workflows; up to 4.0 its controller does not set it after a create."""
    workflow = create({"spec": {"workflowTemplateRef": reference}})
    assert workflow["metadata"]["labels"] == labels | {"argo-bridge/bridge": "plant-1"}


def test_the_operators_own_label_is_kept():
    """A manifest that names another template in that label means it."""
    label = "workflows.argoproj.io/workflow-template"
    manifest = {"metadata": {"labels": {label: "mine"}}, "spec": {"workflowTemplateRef": {"name": "inspect"}}}
    assert create(manifest)["metadata"]["labels"][label] == "mine"


def test_marks_that_are_empty_leave_no_annotation():
    """A trigger message has no mapping and no status topic."""
    annotations = create({"spec": {}}, marks=Marks("plant-1", EVENT))["metadata"]["annotations"]
    assert annotations == {"argo-bridge/event": EVENT.hex()}


def test_what_the_manifest_says_is_kept():
    """Other metadata, labels, annotations, spec and top-level members pass; ours win where keys are equal."""
    manifest = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "generateName": "base-",
            "finalizers": ["x"],
            "name": "other",
            "namespace": "other",
            "labels": {"team": "a", "argo-bridge/bridge": "forged"},
            "annotations": {"note": "n", "argo-bridge/event": "forged"},
        },
        "spec": {"entrypoint": "main", "arguments": {"artifacts": [{"name": "f"}]}, "templates": [{"name": "main"}]},
    }
    workflow = create(manifest, annotations={"per-event": "1", "argo-bridge/topic": "forged"})
    assert workflow["kind"] == "Workflow"
    assert workflow["apiVersion"] == "argoproj.io/v1alpha1"
    metadata = workflow["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("base-abc", "factory")
    assert (metadata["generateName"], metadata["finalizers"]) == ("base-", ["x"])
    assert metadata["labels"] == {"team": "a", "argo-bridge/bridge": "plant-1"}
    assert metadata["annotations"]["argo-bridge/event"] == EVENT.hex()
    assert metadata["annotations"]["argo-bridge/topic"] == MARKS.topic
    assert metadata["annotations"] | {"note": "n", "per-event": "1"} == metadata["annotations"]
    spec = workflow["spec"]
    assert spec["arguments"] == {"artifacts": [{"name": "f"}], "parameters": []}
    assert (spec["entrypoint"], spec["templates"]) == ("main", [{"name": "main"}])


def test_parameters_replace_and_extend():
    """Same name: the value is replaced in its place and valueFrom goes; others are added behind."""
    entries = [
        {"name": "a", "value": "old", "enum": ["x"]},
        {"name": "b", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "c", "value": "kept"},
    ]
    spec = create({"spec": {"arguments": {"parameters": entries}}}, {"b": "1", "d": "2", "a": "{}"})["spec"]
    assert spec["arguments"]["parameters"] == [
        {"name": "a", "value": "{}", "enum": ["x"]},
        {"name": "b", "value": "1"},
        {"name": "c", "value": "kept"},
        {"name": "d", "value": "2"},
    ]


def test_values_of_the_manifest_become_text():
    """Argo rounds numbers over 2**53 and empties objects; a missing value stays missing."""
    values = [9007199254740993, 1.5, True, {"a": [1]}, "text", None]
    entries = [{"name": f"p{index}", "value": value} for index, value in enumerate(values)]
    parameters = create({"spec": {"arguments": {"parameters": entries}}})["spec"]["arguments"]["parameters"]
    assert [entry["value"] for entry in parameters] == ["9007199254740993", "1.5", "true", '{"a":[1]}', "text", None]


def test_a_remembered_manifest_never_changes():
    """Many events share one: what one event adds is not in the next one's workflow."""
    manifests = Manifests()
    manifest = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"arguments": {"parameters": [{"name": "p", "value": "0"}]}, "x": 1},
    }
    plain = manifests.create_body(order(manifest), MARKS)
    for number in range(3):
        other = Marks("plant-1", bytes([number]) * 32, f"m{number}", "t")
        manifests.create_body(order(manifest, {"p": str(number), f"q{number}": "x"}, annotations={"e": "f"}), other)
    assert manifests.create_body(order(manifest), MARKS) == plain


def test_many_and_large_manifests_are_forgotten():
    """Memory stays bounded whatever the number and size of manifests, and results stay right."""
    manifests = Manifests()
    filler = "x" * 1_000_000
    for number in range(600):
        body = manifests.create_body(order({"spec": {"n": number, "f": filler if number % 5 == 0 else ""}}), MARKS)
        assert f'"n":{number}'.encode() in body
    assert len(manifests._plans) <= 256
    assert manifests._size == sum(map(len, manifests._plans))
    assert manifests._size <= 32 * 1024 * 1024


@pytest.mark.parametrize(
    "manifest",
    [b"", b"null", b"[]", b"null{", b'"x"', b'{"spec":[]}', b'{"metadata":1}', b'{"metadata":{"labels":[]}}',
     b'{"spec":{"arguments":[]}}', b'{"spec":{"arguments":{"parameters":{}}}}',
     b'{"spec":{"arguments":{"parameters":["a"]}}}', b'{"metadata":{"annotations":"x"}}'],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(manifest):
    """Never an exception that is not ours: a row with a bad manifest is dead-lettered, others go on."""
    with pytest.raises(PermanentError) as raised:
        Manifests().create_body(order(manifest), MARKS)
    assert raised.value.code == "bad-manifest"


def test_text_that_utf8_cannot_hold_is_refused():
    """A lone surrogate in a value cannot be sent."""
    with pytest.raises(PermanentError) as raised:
        Manifests().create_body(order({"spec": {}}, {"p": "\ud800"}), MARKS)
    assert raised.value.code == "bad-manifest"


def test_annotations_over_kubernetes_bound_are_refused():
    """256 KiB of keys and values together; a byte below passes, and escapes of JSON do not count."""
    fixed = len(json.loads(Manifests().create_body(order({"spec": {}}), MARKS))["workflow"]["metadata"]["annotations"])
    used = sum(
        len(key.encode()) + len(text.encode()) for key, text in create({"spec": {}})["metadata"]["annotations"].items()
    )
    assert fixed == 5
    room = 256 * 1024 - used - len("k")
    assert create({"spec": {}}, annotations={"k": "\n" * room})["metadata"]["annotations"]["k"] == "\n" * room
    with pytest.raises(PermanentError) as raised:
        Manifests().create_body(order({"spec": {}}, annotations={"k": "\n" * (room + 1)}), MARKS)
    assert raised.value.code == "annotations-too-large"


json_objects = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key not in ("metadata", "spec", "arguments", "parameters")),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3),
    ),
    max_size=4,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(json_objects, json_objects, json_objects, st.dictionaries(texts, texts, max_size=4), texts)
def test_the_body_is_the_manifest_with_marks_and_parameters(whole, spec, arguments, parameters, topic):
    """Splicing bytes gives the same object as changing a copy would."""
    manifest = {**whole, "spec": {**spec, "arguments": {**arguments, "parameters": [{"name": "p", "value": "0"}]}}}
    workflow = create(manifest, parameters, Marks("b", EVENT, topic=topic))
    expected = copy.deepcopy(manifest)
    entries = [{"name": "p", "value": parameters.get("p", "0")}]
    entries += [{"name": name, "value": value} for name, value in parameters.items() if name != "p"]
    expected["spec"]["arguments"]["parameters"] = entries
    metadata = workflow.pop("metadata")
    assert workflow == expected
    assert metadata["annotations"].get("argo-bridge/topic", "") == topic


def test_the_marks_can_be_read_back():
    """What was written on a workflow is what the watcher finds."""
    workflow = create({"spec": {}})
    assert event_of(workflow) == EVENT
    assert workflow["metadata"]["labels"]["argo-bridge/bridge"] == "plant-1"


@pytest.mark.parametrize(
    "annotation",
    [None, "", 7, "00", "zz" * 32, "0" * 63, "0" * 65, " " * 64, "é" * 64, "00" * 31 + "  ", ["0" * 64]],
)
def test_an_annotation_that_is_no_event_id_is_none(annotation):
    """Anybody may write annotations; only 64 hexadecimal digits are an id."""
    assert event_of({"metadata": {"annotations": {"argo-bridge/event": annotation}}}) is None


@pytest.mark.parametrize("workflow", [{}, {"metadata": None}, {"metadata": {"annotations": [], "labels": "x"}}])
def test_a_workflow_without_marks_is_nobodys(workflow):
    """Shells and foreign workflows are read without an exception."""
    assert event_of(workflow) is None


def test_a_template_is_run_by_reference():
    """workflowTemplateRef, with what submit may add; nothing is added that was not given."""
    assert template_workflow("t") == {"metadata": {}, "spec": {"workflowTemplateRef": {"name": "t"}}}
    assert template_workflow("t", True)["spec"]["workflowTemplateRef"] == {"name": "t", "clusterScope": True}
    full = json.loads(
        template_manifest(
            "t", cluster=True, entrypoint="e", service_account="s", labels={"a": "b"}, annotations={"c": "d,e"}
        )
    )
    assert full == {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d,e"}},
        "spec": {
            "workflowTemplateRef": {"name": "t", "clusterScope": True},
            "entrypoint": "e",
            "serviceAccountName": "s",
        },
    }
    assert json.loads(template_manifest("t")) == template_workflow("t")
