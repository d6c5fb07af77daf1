"""The rules beyond shape: names, references, types, enums; each broken alone."""

import pytest
from valid_workflows import LIBRARY, container, pointers, sample, workflow

STEP = {"name": "one", "template": "work"}
T = "/spec/templates/0"


def steps(*calls, **more):
    """A steps template with one group, and the template that it calls."""
    return workflow({"name": "main", "steps": [list(calls)], **more}, container("work"))


def dag(*tasks):
    """A dag template, and the template that it calls."""
    return workflow({"name": "main", "dag": {"tasks": list(tasks)}}, container("work"))


def parameters(*items):
    """A workflow with these arguments."""
    return workflow(container(), arguments={"parameters": list(items)})


def changed(**metadata):
    """A workflow with other metadata."""
    return {**workflow(container()), "metadata": metadata}


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        # entrypoint
        ({"spec": {"templates": [container()]}}, {"/spec": "missing-field"}),
        (workflow(container(), entrypoint="mian"), {"/spec/entrypoint": "unknown-template"}),
        (workflow(container(), onExit="nope"), {"/spec/onExit": "unknown-template"}),
        (
            workflow(container(), hooks={"exit": {"template": "nope"}}),
            {"/spec/hooks/exit/template": "unknown-template"},
        ),
        # exactly one type
        (workflow({"name": "main"}), {T: "template-type"}),
        (workflow({"name": "main", "suspend": None}), {T: "template-type"}),
        (workflow({**container(), "suspend": {}}), {T: "template-type"}),
        (dag({"name": "a", "inline": {}}), {f"{T}/dag/tasks/0/inline": "template-type"}),
        # unique names
        (workflow(container(), container()), {"/spec/templates/1/name": "duplicate-name"}),
        (steps(STEP, STEP), {f"{T}/steps/0/1/name": "duplicate-name"}),
        (dag(STEP, STEP), {f"{T}/dag/tasks/1/name": "duplicate-name"}),
        (parameters({"name": "a"}, {"name": "a"}), {"/spec/arguments/parameters/1/name": "duplicate-name"}),
        (
            workflow({**container(), "inputs": {"artifacts": [{"name": "a"}, {"name": "a"}]}}),
            {f"{T}/inputs/artifacts/1/name": "duplicate-name"},
        ),
        (
            steps({**STEP, "arguments": {"parameters": [{"name": "a"}, {"name": "a"}]}}),
            {f"{T}/steps/0/0/arguments/parameters/1/name": "duplicate-name"},
        ),
        # references
        (steps({**STEP, "template": "wrk"}), {f"{T}/steps/0/0/template": "unknown-template"}),
        (dag({**STEP, "template": "wrk"}), {f"{T}/dag/tasks/0/template": "unknown-template"}),
        (
            steps({**STEP, "hooks": {"exit": {"template": "wrk"}}}),
            {f"{T}/steps/0/0/hooks/exit/template": "unknown-template"},
        ),
        (steps({"name": "one"}), {f"{T}/steps/0/0": "missing-field"}),
        (dag({**STEP, "dependencies": ["two"]}), {f"{T}/dag/tasks/0/dependencies/0": "unknown-task"}),
        # names
        (workflow(container("my_template")), {f"{T}/name": "bad-name"}),
        (workflow(container("t" * 129)), {f"{T}/name": "bad-name"}),
        (steps({**STEP, "name": "one.two"}), {f"{T}/steps/0/0/name": "bad-name"}),
        (parameters({"name": "a.b"}), {"/spec/arguments/parameters/0/name": "bad-name"}),
        (parameters({"name": ""}), {"/spec/arguments/parameters/0/name": "bad-name"}),
        (parameters({"name": None}), {"/spec/arguments/parameters/0": "missing-field"}),
        (steps({"template": "work"}), {f"{T}/steps/0/0": "missing-field"}),
        ({**workflow({"suspend": {}}, entrypoint="x")}, {T: "missing-field"}),
        (changed(name="Upper"), {"/metadata/name": "bad-name"}),
        (changed(name="under_score"), {"/metadata/name": "bad-name"}),
        (changed(name="n" * 64), {"/metadata/name": "bad-name"}),
        (changed(name="trailing-"), {"/metadata/name": "bad-name"}),
        (changed(generateName="-"), {"/metadata/generateName": "bad-name"}),
        (changed(namespace="a.b"), {"/metadata/namespace": "bad-name"}),
        (changed(labels={"a": "b c"}), {"/metadata/labels/a": "bad-label"}),
        (changed(labels={"a": "x" * 64}), {"/metadata/labels/a": "bad-label"}),
        (changed(labels={"a b": "x"}), {"/metadata/labels/a b": "bad-label"}),
        (changed(labels={"Bad.prefix/a": "x"}), {"/metadata/labels/Bad.prefix~1a": "bad-label"}),
        (changed(labels={"k" * 64: "x"}), {"/metadata/labels/" + "k" * 64: "bad-label"}),
        (changed(annotations={"a b": "any text"}), {"/metadata/annotations/a b": "bad-label"}),
        (workflow(container(), podMetadata={"labels": {"a": "-"}}), {"/spec/podMetadata/labels/a": "bad-label"}),
        (
            workflow({**container(), "metadata": {"labels": {"a": "-"}}}),
            {f"{T}/metadata/labels/a": "bad-label"},
        ),
        # a parameter outside its own enum: Argo does not look
        (parameters({"name": "a", "value": "x", "enum": ["y"]}), {"/spec/arguments/parameters/0/value": "not-in-enum"}),
        (parameters({"name": "a", "default": 1, "enum": [2]}), {"/spec/arguments/parameters/0/default": "not-in-enum"}),
        (
            workflow({**container(), "inputs": {"parameters": [{"name": "a", "value": "x", "enum": ["y"]}]}}),
            {f"{T}/inputs/parameters/0/value": "not-in-enum"},
        ),
    ],
)
def test_what_argo_would_say_later_or_never_is_told_at_once(manifest, expected):
    """Each rule alone, at its exact place."""
    assert pointers(manifest) == expected


@pytest.mark.parametrize(
    "manifest",
    [
        changed(name="a.b-c.9", labels={"a": "", "example.com/b": "A_b.c-9"}, annotations={"a/b": "any text; {}"}),
        changed(name="n" * 63, namespace="n" * 63),
        changed(generateName="ends-with-"),
        changed(generateName="g" * 60 + "-"),
        parameters({"name": "a", "value": 1, "enum": ["1", True]}, {"name": "b", "value": True, "enum": ["true"]}),
        parameters({"name": "a", "value": "{{workflow.name}}", "enum": ["y"]}),
        parameters({"name": "a", "enum": ["y"]}),
        parameters({"name": "a", "value": "x", "enum": []}),
        steps({**STEP, "template": "{{inputs.parameters.which}}"}),
        steps({"name": "one", "templateRef": {"name": "elsewhere", "template": "any"}}),
        workflow({**container(), "metadata": {"labels": {"a": "{{workflow.name}}", "{{x}}": "b"}}}),
        {"spec": {"workflowTemplateRef": {"name": "t"}, "entrypoint": "any", "onExit": "other"}},
        dag({**STEP, "name": "a"}, {**STEP, "name": "b", "dependencies": ["a"]}),
        workflow({"name": "main"}, templateDefaults={"container": {"image": "x"}}),
    ],
)
def test_what_argo_takes_or_decides_at_run_time_is_let_through(manifest):
    """A rule must not refuse more than Argo does."""
    assert pointers(manifest) == {}


def test_a_misspelt_reference_proposes_the_template():
    """Names of templates are known, so the nearest one is proposed."""
    manifest = steps({**STEP, "template": "wrok"})
    found = LIBRARY.validator("4.1.2").problems(manifest)[0]
    assert found.suggestion == "work"
    assert 'did you mean "work"?' in found.message


def test_a_template_without_a_usable_name_is_told_once():
    """Every reference to it would be blamed too, and none of them is wrong."""
    manifest = steps({**STEP})
    manifest["spec"]["templates"][1]["nme"] = manifest["spec"]["templates"][1].pop("name")
    assert pointers(manifest) == {"/spec/templates/1/nme": "unknown-field"}


def test_a_template_with_a_misspelt_type_is_told_once():
    """ "It does nothing" is no news beside the misspelling."""
    assert pointers(workflow({"name": "main", "contaner": {}})) == {f"{T}/contaner": "unknown-field"}


def test_cron_workflows_are_checked_in_their_workflow_spec():
    """Argo says it when the first one starts, at night."""
    manifest = sample("cron, several schedules")
    manifest["spec"]["workflowSpec"]["entrypoint"] = "mian"
    manifest["metadata"] = {"name": "n" * 53}
    manifest["spec"]["workflowMetadata"] = {"labels": {"a": "-"}}
    assert pointers(manifest, kind="CronWorkflow") == {
        "/metadata/name": "bad-name",
        "/spec/workflowMetadata/labels/a": "bad-label",
        "/spec/workflowSpec/entrypoint": "unknown-template",
    }


def test_templates_need_no_entrypoint_but_one_that_is_given_must_exist():
    """A WorkflowTemplate may be a mere collection."""
    manifest = sample("workflow template")
    assert pointers(manifest, kind="WorkflowTemplate") == {}
    manifest["spec"]["entrypoint"] = "mian"
    assert pointers(manifest, kind="WorkflowTemplate") == {"/spec/entrypoint": "unknown-template"}
