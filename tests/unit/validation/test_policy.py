"""A publisher gets only what the operator allowed."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.validation.policy import Policy, check_braces

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
    """Each finding names the place, and what was found there."""
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


def test_what_argo_would_expand_is_refused_by_place() -> None:
    """No key and no value with {{ reaches Argo, however deep; each place is named."""
    check_braces({"plain": "a { b", "list": ["{ {"], "numbers": {"n": 1, "none": None}}, ("submit",))
    given = {"ok": "x", "evil": '{{=sprig.env("X")}}', "deep": [{"worse": "a{{b"}, {"{{=1}}": "key"}]}
    with pytest.raises(PermanentError, match=r"submit\.evil, submit\.deep\.0\.worse, submit\.deep\.1") as caught:
        check_braces(given, ("submit",))
    assert caught.value.code == "template-braces"
    pointers = ["/submit/evil", "/submit/deep/0/worse", "/submit/deep/1/{{=1}}"]
    assert [detail["pointer"] for detail in caught.value.details] == pointers


BRACED = st.recursive(
    st.text("{ax", max_size=4) | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("{ax", max_size=4), inner, max_size=2),
    max_leaves=6,
).map(lambda value: {"given": value})


@given(BRACED)
def test_all_that_passes_has_no_braces_in_any_string(given_text: dict[str, object]) -> None:
    """What passes, written as JSON, has {{ nowhere."""
    try:
        check_braces(given_text)
    except PermanentError as error:
        assume(error.code != "template-braces")
    else:
        strings: list[object] = [given_text]
        for value in strings:
            if isinstance(value, dict):
                strings += [*value, *value.values()]
            elif isinstance(value, list):
                strings += value
        assert not any("{{" in value for value in strings if isinstance(value, str))


def test_thousands_of_braces_cost_little() -> None:
    """At most 100 places are told."""
    with pytest.raises(PermanentError) as caught:
        check_braces({str(number): "{{" for number in range(50_000)})
    assert len(caught.value.details) == 100


TAKEN_BY_NOBODY = (
    "finalizers ownerReferences resourceVersion uid managedFields creationTimestamp generation selfLink Labels"
)


@pytest.mark.parametrize("key", TAKEN_BY_NOBODY.split())
def test_of_metadata_only_names_labels_and_annotations_are_taken(key: str) -> None:
    """Everything else is the cluster's to write, or does harm there; null is nothing."""
    workflow = {"metadata": {"generateName": "x-", key: ["a/b"]}, "spec": SPEC}
    (detail,) = refusal(workflow).details
    assert detail["pointer"] == f"/metadata/{key}"
    POLICY.check_manifest({"metadata": {"name": "x", key: None}, "spec": SPEC}, "factory")


def test_braces_in_metadata_are_refused_and_in_the_spec_taken() -> None:
    """Templates of the operator's read metadata; the spec is the sender's own, where manifests are allowed."""
    spec = SPEC | {"arguments": {"parameters": [{"name": "n", "value": "{{workflow.name}}"}]}}
    POLICY.check_manifest({"metadata": {"name": "x"}, "spec": spec}, "factory")
    error = refusal({"metadata": {"annotations": {"a": "{{=1+1}}"}}, "spec": spec})
    assert error.code == "template-braces"
    assert error.details[0]["pointer"] == "/metadata/annotations/a"


def test_what_is_added_to_a_template_must_be_listed() -> None:
    """Service account, entrypoint and parameters: each has its list, and None allows all."""
    policy = Policy(("factory",), service_accounts=("runner",), entrypoints=(), parameters=("n",))
    policy.check_submit("runner", "", ("n",), ("submit",))
    POLICY.check_submit("cluster-admin", "anything", ("x",), ("submit",))
    with pytest.raises(PermanentError, match=r"interface\.submit\.service-accounts") as caught:
        policy.check_submit("cluster-admin", "main", ("n", "x"), ("submit",))
    assert caught.value.code == "submit-not-allowed"
    pointers = ["/submit/serviceAccount", "/submit/entrypoint", "/submit/parameters/x"]
    assert [detail["pointer"] for detail in caught.value.details] == pointers
