"""A publisher gets only what the operator allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.validation.policy import Policy, check_parameters

POLICY = Policy(("factory", "lab"))
SPEC = {"workflowTemplateRef": {"name": "t"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def refusal(workflow: object, policy: Policy = POLICY) -> PermanentError:
    """Why the manifest is refused."""
    with pytest.raises(PermanentError) as caught:
        policy.check_manifest(workflow, "factory")
    return caught.value


@pytest.mark.parametrize(
    ("in_topic", "in_body", "chosen"),
    [(None, "", "factory"), (None, "lab", "lab"), ("lab", "", "lab"), ("lab", "lab", "lab")],
)
def test_the_namespace_is_that_of_topic_or_body_or_the_first_allowed(
    in_topic: str | None, in_body: str, chosen: str
) -> None:
    """The topic decides, then the body, then the order of the allow-list."""
    assert POLICY.namespace(in_topic, in_body) == chosen


@pytest.mark.parametrize(
    ("in_topic", "in_body", "code", "text"),
    [
        ("lab", "factory", "namespace-mismatch", 'the topic says namespace "lab", the body "factory"'),
        ("", "factory", "namespace-mismatch", 'the topic says namespace "", the body "factory"'),
        ("", "", "forbidden-namespace", 'namespace "" is not allowed here'),
        (None, "kube-system", "forbidden-namespace", 'namespace "kube-system" is not allowed here'),
        ("factroy", "", "forbidden-namespace", 'did you mean "factory"?'),
        (None, "n" * 5000, "forbidden-namespace", "nnn\u2026"),
    ],
)
def test_no_other_namespace_is_reached(in_topic: str | None, in_body: str, code: str, text: str) -> None:
    """A namespace that is not allowed, contradicts the topic, or is empty in the topic is refused by name."""
    with pytest.raises(PermanentError) as caught:
        POLICY.namespace(in_topic, in_body)
    assert caught.value.code == code
    assert text in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("workflow", "pointer", "text"),
    [
        ({"spec": SPEC, "status": {}}, "/status", "status is Argo's to write"),
        ({"metadata": {}}, "/spec", "a workflow has a spec"),
        ({"spec": SPEC, "kind": "CronWorkflow"}, "/kind", 'found "CronWorkflow"'),
        ({"spec": SPEC, "kind": ["x"] * 9000}, "/kind", "found a list"),
        ({"spec": SPEC, "metadata": {"namespace": "lab"}}, "/metadata/namespace", 'request\'s namespace is "factory"'),
        ({"spec": SPEC, "metadata": {"namespace": 7}}, "/metadata/namespace", "it is the number 7"),
        (
            {"spec": SPEC, "metadata": {"labels": {"argo-bridge/bridge": "x"}}},
            "/metadata/labels/argo-bridge~1bridge",
            "",
        ),
        (
            {"spec": SPEC, "metadata": {"annotations": {"argo-bridge/event": "x"}}},
            "/metadata/annotations/argo-bridge~1event",
            "belong to the bridge",
        ),
        (
            {"spec": SPEC, "metadata": {"labels": {"workflows.argoproj.io/phase": "Succeeded"}}},
            "/metadata/labels/workflows.argoproj.io~1phase",
            "belong to Argo",
        ),
        (
            {"spec": SPEC | {"workflowMetadata": {"labels": {"argo-bridge/bridge": "other"}}}},
            "/spec/workflowMetadata/labels/argo-bridge~1bridge",
            "belong to the bridge",
        ),
        (
            {"spec": SPEC | {"workflowMetadata": {"labelsFrom": {"workflows.argoproj.io/completed": {}}}}},
            "/spec/workflowMetadata/labelsFrom/workflows.argoproj.io~1completed",
            "belong to Argo",
        ),
    ],
)
def test_what_belongs_to_argo_or_the_bridge_is_refused_at_its_place(workflow: object, pointer: str, text: str) -> None:
    """Each finding names the place, and what stands there."""
    found = refusal(workflow)
    assert found.code == "invalid-workflow"
    assert [detail["pointer"] for detail in found.details] == [pointer]
    assert text in found.details[0]["message"]
    assert pointer in found.message


def test_all_findings_are_told_at_once() -> None:
    """Three in the sentence, every one in the details."""
    labels = {f"argo-bridge/{number}": "x" for number in range(4)}
    found = refusal({"status": {}, "metadata": {"labels": labels}})
    assert len(found.details) == 6
    assert "(and 3 more)" in found.message


def test_a_plain_manifest_passes() -> None:
    """Own labels, Argo's annotations, the right namespace and a name are a publisher's business."""
    metadata = {
        "name": "x",
        "namespace": "factory",
        "labels": {"team": "a"},
        "annotations": {"workflows.argoproj.io/description": "d"},
    }
    POLICY.check_manifest(
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": SPEC}, "factory"
    )


def test_manifests_can_be_switched_off() -> None:
    """With manifests off only templates are taken, and the sentence says so; a template still passes."""
    policy = Policy(("factory",), manifests=False)
    assert refusal({"spec": SPEC}, policy).code == "manifests-not-allowed"
    policy.check_marks({"spec": SPEC}, "factory")


@given(JSON | st.dictionaries(st.sampled_from(["metadata", "spec", "kind", "status"]), JSON))
def test_no_manifest_makes_the_policy_raise_anything_else(workflow: object) -> None:
    """Any JSON object passes or is refused with findings that can be sent."""
    if not isinstance(workflow, dict):
        return
    try:
        POLICY.check_manifest(workflow, "factory")
    except PermanentError as error:
        details = error.details
    else:
        details = ({"pointer": "", "message": ""},)
    assert all(detail.keys() == {"pointer", "message"} for detail in details)


def test_values_that_argo_would_expand_are_refused_by_name() -> None:
    """A parameter value with {{ never reaches Argo; each such parameter is named."""
    check_parameters({"plain": "a { b"}, "submit.parameters")
    values = {"ok": "x", "evil": '{{=sprig.env("X")}}', "worse": "a{{b"}
    with pytest.raises(PermanentError, match="evil, worse contains") as caught:
        check_parameters(values, "submit.parameters")
    assert caught.value.code == "template-braces"
    assert [detail["pointer"] for detail in caught.value.details] == [
        "/submit/parameters/evil",
        "/submit/parameters/worse",
    ]
