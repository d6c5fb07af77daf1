"""References between given manifests: wrong ones are told, unknown ones are the cluster's business."""

from valid_workflows import container, workflow

from bridge.validation.references import GivenTemplates


def holder(kind, name, *templates, **spec):
    """A template object with named templates."""
    return kind, {"metadata": {"name": name}, "spec": {"templates": [container(one) for one in templates], **spec}}


def calling(**ref):
    """A workflow whose only step calls a template elsewhere."""
    return workflow({"name": "main", "steps": [[{"name": "a", "templateRef": ref}]]})


GIVEN = GivenTemplates(
    [
        holder("WorkflowTemplate", "tools", "build", "test"),
        holder("ClusterWorkflowTemplate", "shared", "notify", entrypoint="notify"),
        ("Workflow", workflow(container())),
        ("WorkflowTemplate", {"metadata": None, "spec": None}),
        ("WorkflowTemplate", {"metadata": {"name": "broken"}, "spec": {"templates": [3, {"name": 4}]}}),
    ]
)


def found(manifest, kind="Workflow"):
    """Pointer -> proposal."""
    return {one.pointer: one.suggestion for one in GIVEN.check(manifest, kind)}


def test_a_template_that_a_given_object_lacks_is_told_with_the_nearest():
    """Both files are at hand, so the typo is certain."""
    place = "/spec/templates/0/steps/0/0/templateRef/template"
    assert found(calling(name="tools", template="bild")) == {place: "build"}
    assert found(calling(name="shared", template="ntify", clusterScope=True)) == {place: "notify"}


def test_objects_that_are_not_given_are_not_judged():
    """They may be in the cluster; the two scopes are apart."""
    assert found(calling(name="elsewhere", template="x")) == {}
    assert found(calling(name="tools", template="x", clusterScope=True)) == {}
    assert found(calling(name="shared", template="x")) == {}


def test_right_and_computed_references_pass():
    """An expression is decided at run time."""
    assert found(calling(name="tools", template="build")) == {}
    assert found(calling(name="tools", template="{{inputs.parameters.which}}")) == {}


def test_a_workflow_made_from_a_given_template_needs_an_entrypoint_that_exists():
    """The template's own counts too."""
    assert found({"spec": {"workflowTemplateRef": {"name": "tools"}}}) == {"/spec": "entrypoint"}
    assert found({"spec": {"workflowTemplateRef": {"name": "tools"}, "entrypoint": "tst"}}) == {
        "/spec/entrypoint": "test"
    }
    assert found({"spec": {"workflowTemplateRef": {"name": "shared", "clusterScope": True}}}) == {}
    assert found({"spec": {"workflowTemplateRef": {"name": "unknown"}}}) == {}


def test_references_are_found_in_cron_workflows_and_hooks():
    """Wherever a templateRef may stand."""
    spec = workflow(container(), hooks={"exit": {"templateRef": {"name": "tools", "template": "nope"}}})["spec"]
    assert found({"spec": {"workflowSpec": spec}}, "CronWorkflow") == {
        "/spec/workflowSpec/hooks/exit/templateRef/template": ""
    }
