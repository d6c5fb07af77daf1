"""What a refused workflow is told: pointer, what was found and expected, the nearest name, other releases."""

import pytest
from valid_workflows import LIBRARY, NEWEST, container, pointers, sample, workflow

from bridge.core.errors import PermanentError
from tests.support.work import lines_run

VALIDATOR = LIBRARY.validator(NEWEST)


def only(manifest, kind="Workflow", version=NEWEST):
    """The single finding of a manifest."""
    found = LIBRARY.validator(version).problems(manifest, kind)
    assert len(found) == 1, [one.text for one in found]
    return found[0]


def test_a_misspelt_entrypoint_is_told_with_the_right_name():
    """The typo of the issue: named, placed, and not blamed a second time as a missing entrypoint."""
    manifest = workflow(container())
    manifest["spec"]["entrypont"] = manifest["spec"].pop("entrypoint")
    found = only(manifest)
    assert found.pointer == "/spec/entrypont"
    assert found.code == "unknown-field"
    assert found.suggestion == "entrypoint"
    assert 'did you mean "entrypoint"?' in found.message


def test_a_field_of_another_release_says_which():
    """A 3.x `mutex` would run unlocked on 4.x."""
    manifest = workflow(container(), synchronization={"mutex": {"name": "m"}})
    found = only(manifest)
    assert (found.pointer, found.releases) == ("/spec/synchronization/mutex", ("3.5", "3.6", "3.7"))
    assert "it is in Argo 3.5, 3.6 and 3.7, not in 4.1.2" in found.message
    assert found.suggestion == "mutexes"


def test_a_field_of_a_later_release_says_which():
    """A manifest of 4.1 on an older cluster."""
    found = only(sample("resources of the pod"), version="3.7.18")
    assert (found.pointer, found.releases) == ("/spec/podResources", ("4.1",))


def test_a_misplaced_field_says_where_it_belongs():
    """An image beside the container, and a template's field inside it."""
    beside = only(workflow({**container(), "imagePullSecrets": []}))
    assert "it is a field of the WorkflowSpec above it" in beside.message
    outside = only(workflow({**container(), "args": ["x"]}))
    assert outside.pointer == "/spec/templates/0/args"
    assert 'it is a field of "container"' in outside.message


def test_a_finding_names_its_template_and_step():
    """People know their templates by name, not by index."""
    step = {"name": "one", "template": "work", "wen": "true"}
    found = only(workflow({"name": "main", "steps": [[step]]}, container("work")))
    assert found.item == 'template "main", step "one"'
    assert found.text.startswith('template "main", step "one": unknown field "wen"')
    assert found.suggestion == "when"


@pytest.mark.parametrize(
    ("change", "pointer", "found", "expected"),
    [
        ({"parallelism": "10"}, "/spec/parallelism", '"10"', "an integer"),
        ({"suspend": "yes"}, "/spec/suspend", '"yes"', "true or false"),
        ({"arguments": []}, "/spec/arguments", "a list", "a map"),
        ({"onExit": ["main"]}, "/spec/onExit", "a list", "a string"),
        ({"volumes": {}}, "/spec/volumes", "a map", "a list"),
        ({"nodeSelector": {"a": 1}}, "/spec/nodeSelector/a", "the number 1", "a string"),
        ({"dnsPolicy": "ClusterLast"}, "/spec/dnsPolicy", '"ClusterLast"', "one of"),
        ({"priority": 2**31}, "/spec/priority", "the number 2147483648", "from -2147483648 to 2147483647"),
        ({"podResources": {"limits": {"cpu": "1 core"}}}, "/spec/podResources/limits/cpu", '"1 core"', "a quantity"),
        ({"hooks": {"exit": {"template": "main", "name": 1}}}, "/spec/hooks/exit/name", '"name"', "LifecycleHook"),
    ],
)
def test_a_wrong_value_says_what_was_found_and_what_was_expected(change, pointer, found, expected):
    """Each kind of rule has words of its own."""
    one = only(workflow(container(), **change))
    assert one.pointer == pointer
    assert one.found == found
    assert expected in one.expected


def test_lists_and_maps_as_parameter_values_are_refused_although_argo_takes_them():
    """Stricter on purpose: Argo turns them into empty strings without a word."""
    for value, word in (([], "a list"), ({"a": 1}, "a map")):
        found = only(workflow(container(), arguments={"parameters": [{"name": "p", "value": value}]}))
        assert found.pointer == "/spec/arguments/parameters/0/value"
        assert found.item == 'parameter "p"'
        assert word in found.message
        assert "empty string" in found.message


def test_unknown_fields_below_a_step_are_refused_although_argo_takes_them():
    """Stricter on purpose: Argo's decoder of steps drops what it does not know, also in strict mode."""
    step = {"name": "one", "template": "work", "arguments": {"parametres": []}}
    found = only(workflow({"name": "main", "steps": [[step]]}, container("work")))
    assert found.pointer == "/spec/templates/0/steps/0/0/arguments/parametres"
    assert found.suggestion == "parameters"


def test_all_findings_are_told_sorted_by_place():
    """One round of corrections, not one a finding; list items by number."""
    templates = [container(f"t{index}") for index in range(12)]
    for index in (10, 2):
        templates[index]["contaner"] = {}
    manifest = workflow(*templates, zzz=1, aaa=1)
    found = [one.pointer for one in VALIDATOR.problems(manifest)]
    assert found == ["/spec/aaa", "/spec/templates/2/contaner", "/spec/templates/10/contaner", "/spec/zzz"]


def test_a_refusal_is_a_sentence_and_a_list_of_details():
    """The reply's `error` reads by itself, its `details` have every finding."""
    refusal = VALIDATOR.check({"spec": {"entrypont": "main", "templates": [container(imagePullPolicy="always")]}})
    assert isinstance(refusal, PermanentError)
    assert refusal.code == "invalid-workflow"
    assert refusal.message.startswith("Invalid workflow definition for Argo 4.1.2: unknown field")
    assert refusal.message.endswith("(at /spec/entrypont) and 1 more")
    assert refusal.details[0] == {
        "pointer": "/spec/entrypont",
        "code": "unknown-field",
        "message": 'unknown field "entrypont"; did you mean "entrypoint"?',
        "found": '"entrypont"',
        "expected": '"entrypoint"',
        "suggestion": "entrypoint",
    }
    assert refusal.details[1]["pointer"] == "/spec/templates/0/container/imagePullPolicy"
    assert refusal.details[1]["suggestion"] == "Always"


def test_a_valid_workflow_has_no_refusal_and_needs_neither_kind_nor_api_version():
    """The seed's own trigger message has neither."""
    manifest = workflow(container())
    assert VALIDATOR.check(manifest) is None
    del manifest["kind"], manifest["apiVersion"]
    assert VALIDATOR.check(manifest) is None


def test_another_kind_is_no_workflow():
    """A trigger message carries workflows only."""
    assert pointers({**workflow(container()), "kind": "CronWorkflow"}) == {"/kind": "bad-value"}
    assert pointers({**workflow(container()), "apiVersion": "argoproj.io/v1"}) == {"/apiVersion": "bad-value"}


def test_fields_that_template_defaults_may_give_are_not_asked_for():
    """Argo merges them at run time, so a template may lack what is required elsewhere."""
    template = {"name": "main", "resource": {"manifest": "x"}}
    assert pointers(workflow(template)) == {"/spec/templates/0/resource": "missing-field"}
    assert pointers(workflow(template, templateDefaults={"resource": {"action": "get"}})) == {}
    misspelt = workflow(template, templateDefaults={"resource": {"acton": "get"}})
    assert pointers(misspelt) == {"/spec/templateDefaults/resource/acton": "unknown-field"}


def test_pointers_escape_slashes_and_tildes():
    """Label keys have slashes (RFC 6901)."""
    manifest = workflow(container())
    manifest["metadata"]["labels"] = {"a/b~c": 1}
    assert "/metadata/labels/a~1b~0c" in pointers(manifest)


@pytest.mark.parametrize("spec", [None, 1, [], "x", {"templates": 1}, {"templates": [1, None, []]}, {"arguments": 3}])
def test_any_shape_is_answered(spec):
    """What publishers send is not shaped like a workflow; nothing may raise."""
    for kind in ("Workflow", "CronWorkflow", "WorkflowTemplate"):
        assert VALIDATOR.check({"spec": spec, "metadata": spec}, kind) is not None or spec is None


def test_a_manifest_that_nests_as_deep_as_a_payload_may_is_explained():
    """JSON is read to 100 levels; the explanation must not run out of stack."""
    template = {"nme": "deepest", "suspend": {}}
    for index in range(18):
        template = {"name": f"t{index}", "dag": {"tasks": [{"name": "a", "inline": template}]}}
    found = VALIDATOR.problems(workflow(template))
    assert [one.code for one in found] == ["unknown-field"]
    assert found[0].suggestion == "name"


LONG = "a" * 29
GARBAGE = {
    "12 KB of misspelt keys": workflow(container(), **{f"serviceAccountNames{index:03}": 1 for index in range(420)}),
    "unknown fields": workflow(container(), **{f"entrypoin{index}": index for index in range(15_000)}),
    "unknown templates": workflow(
        *(container(f"t{index}") for index in range(1500)),
        {"name": "s", "steps": [[{"name": f"s{index}", "template": f"x{index}"} for index in range(3000)]]},
    ),
    "unknown tasks with long names": workflow(
        container("t"),
        {
            "name": "d",
            "dag": {
                "tasks": [
                    {"name": f"{LONG}{LONG}{index}", "template": "t", "dependencies": [f"b{LONG}{LONG}{index}"]}
                    for index in range(1000)
                ]
            },
        },
    ),
    "wrong values": workflow(*(container(f"t{index}", imagePullPolicy=f"Alway{index}") for index in range(1500))),
    "misplaced fields": workflow(*(container(f"t{index}", contaner={}, timeout="x") for index in range(1500))),
    "one name for all": workflow(*[container()] * 3000),
    "nothing in every template": workflow(*[{}] * 50_000),
    "no template at all": workflow(container(), *range(50_000)),
    "a long quantity": workflow({**container(), "container": {"resources": {"limits": {"cpu": "1" * 200_000 + "x"}}}}),
}


@pytest.mark.parametrize("manifest", GARBAGE.values(), ids=GARBAGE)
def test_garbage_cannot_buy_minutes(manifest):
    """A payload of 256 KiB holds thousands of mistakes; the ingest thread must survive it, and the reply stay small."""
    refusals = []
    assert lines_run(lambda: refusals.append(VALIDATOR.check(manifest))) < 1_000_000
    assert 1 <= len(refusals[0].details) <= 100
    assert sum("did you mean" in str(one["message"]) for one in refusals[0].details) <= 10


def test_what_is_left_out_is_said():
    """Nobody reads thousands of findings; that there are more is told, and the first have their proposals."""
    refusal = VALIDATOR.check(GARBAGE["12 KB of misspelt keys"])
    assert len(refusal.details) == 100
    assert sum('"serviceAccountName"' in str(one.get("expected")) for one in refusal.details) == 10
    assert refusal.message.endswith("and at least 99 more")
