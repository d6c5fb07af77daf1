"""Promises of compiling mapping files: every problem is told with its place, and what has none runs."""

import json
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from bridge.configfile.problems import Problems
from bridge.configfile.source import SourceFile, read_bytes
from bridge.core.errors import ConfigError
from bridge.core.model import Message, WorkflowOrder
from bridge.mapping.compiled import EMPTY_REFUSED, EMPTY_SKIPPED, WHEN_FALSE, Fired
from bridge.mapping.compiler import compile_mappings
from bridge.mapping.definition import read_definitions

TOPIC = "sensors/a/boiler/7/temperature"
HEAD = """\
mappings:
  - name: hot
    topic: sensors/{site}/boiler/{device}/temperature
"""
WORKFLOW = """\
    workflow:
      namespace: factory
      template: inspect-boiler
"""


def template_manifest(name, cluster_scope):
    reference = {"name": name, "clusterScope": True} if cluster_scope else {"name": name}
    return {"spec": {"workflowTemplateRef": reference}}


def compiled(text, make=template_manifest):
    problems = Problems()
    root = read_bytes(dedent(text).encode(), "hot.yaml", problems)
    definitions = read_definitions([SourceFile(Path("hot.yaml"), root)], problems)
    assert problems.found == []
    return compile_mappings(definitions, make)


def problems_of(text):
    mappings, problems = compiled(text)
    assert len(mappings) == 0
    return [problem.render() for problem in problems]


def manifest_of(text):
    mappings, problems = compiled(text)
    assert problems == []
    (mapping,) = mappings
    return json.loads(mapping.plan.manifest), mapping


def test_the_mapping_of_the_guide_runs():
    """From YAML to the order of a workflow."""
    text = (
        HEAD
        + """\
    payload: {format: json, schema: {type: object, required: [value]}}
    when: payload.value > 90.0
    event-id: payload.seq
    order-by: topic.device
    max-age: 5m
    workflow:
      namespace: factory
      template: inspect-boiler
      parameters:
        device: ${topic.device}
        value: ${payload.value}
        mode: 3
      annotations: {plant/site: "${topic.site}", plant/kind: static}
      labels: {team: quality}
    status:
      topic: sensors/{site}/boiler/{device}/workflow
    """
    )
    mappings, problems = compiled(text)
    assert problems == []
    assert mappings.filters("plant") == {"sensors/+/boiler/+/temperature"}
    (match,) = mappings.route("plant", TOPIC)
    assert match.mapping is mappings.get("hot")
    assert match.mapping.name == "hot"
    outcome = match.mapping.evaluate(Message("plant", TOPIC, b'{"value": 95.5, "seq": 8}'), match.captures, 0.0)
    manifest = (
        b'{"metadata":{"labels":{"team":"quality"},"annotations":{"plant/kind":"static"}},'
        b'"spec":{"workflowTemplateRef":{"name":"inspect-boiler"}}}'
    )
    parameters = {"device": "7", "value": "95.5", "mode": "3"}
    order = WorkflowOrder("factory", "inspect-boiler", manifest, "", parameters, {"plant/site": "a"})
    assert outcome == Fired(order, "8", "hot:7", "sensors/a/boiler/7/workflow", 300.0)
    quiet = match.mapping.evaluate(Message("plant", TOPIC, b'{"value": 20, "seq": 8}'), match.captures, 0.0)
    assert quiet is WHEN_FALSE


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (
            "when",
            "payload.value >",
            '4:26: bad-expression: mapping "hot": "when": the expression is wrong: Syntax error',
        ),
        ("when", "topic.device", '4:11: bad-expression: mapping "hot": "when": a condition needs a bool'),
        ("when", "1 + 1", "4:11: bad-expression"),
        ("when", "paylod.value > 1", '4:11: unknown-variable: mapping "hot": "when": unknown name "paylod"; did you'),
        (
            "when",
            "topic.devise == '1'",
            'unknown-capture: mapping "hot": "when": the topic has no capture "devise"; did',
        ),
        ("event-id", "topic.site + 1", "4:26: bad-expression"),
        ("order-by", "foo(1)", "4:15: unknown-variable"),
    ],
)
def test_a_wrong_expression_is_told_with_its_place(key, value, problem):
    """The column is that within the expression, added to where it begins."""
    (told,) = problems_of(f"{HEAD}    {key}: {value}\n{WORKFLOW}")
    assert told.startswith("hot.yaml:4:")
    assert problem in told


def test_every_problem_of_every_mapping_is_told_at_once():
    """Parameters, annotations, name, schema and status topic each have their own place."""
    text = (
        HEAD
        + """\
    payload: {schema: {properties: {value: {type: objekt}}}}
    when: payload.value >> 1
    workflow:
      namespace: factory
      template: inspect-boiler
      name: x-${topic.dev}
      parameters:
        device: ${topic.devise}
        two: ${foo} ${bar}
        open: "{{workflow.uid"
      annotations: {plant/site: "{{${topic.site}}}"}
    status: {topic: "s/{sit}"}
  - name: fine
    topic: other
    workflow: {namespace: factory, template: t}
    """
    )
    mappings, problems = compiled(text)
    assert [mapping.name for mapping in mappings] == ["fine"]
    assert [(problem.position.line, problem.code) for problem in problems] == [
        (4, "bad-schema"),
        (5, "bad-expression"),
        (9, "unknown-capture"),
        (11, "unknown-capture"),
        (12, "unknown-variable"),
        (12, "unknown-variable"),
        (13, "expression-in-braces"),
        (14, "expression-in-braces"),
        (15, "unknown-capture"),
    ]
    assert problems[0].position.column == text.splitlines()[3].index("objekt") + 1


def test_an_expression_of_several_lines_is_one_place():
    """A block's columns are not those of its text."""
    (told,) = problems_of(f"{HEAD}    when: >-\n      payload.value > 1 &&\n\n      foo > 1\n{WORKFLOW}")
    assert told.startswith("hot.yaml:4:11: unknown-variable")


def test_a_cluster_template_is_referred_to_as_one():
    """And options of the mapping go into the spec."""
    text = (
        HEAD
        + """\
    workflow: {namespace: factory, cluster-template: inspect, entrypoint: main, service-account: runner}
    """
    )
    manifest, mapping = manifest_of(text)
    assert manifest == {
        "spec": {
            "workflowTemplateRef": {"name": "inspect", "clusterScope": True},
            "entrypoint": "main",
            "serviceAccountName": "runner",
        }
    }
    assert mapping.plan.base == "inspect"


def test_a_spec_written_in_place_is_the_workflow():
    """The base of names is then the mapping's own, unless generate-name says otherwise."""
    text = (
        HEAD
        + """\
    workflow:
      namespace: factory
      spec: {entrypoint: main, templates: [{name: main, container: {image: alpine, args: ["{{inputs.parameters.x}}"]}}]}
"""
    )
    manifest, mapping = manifest_of(text)
    assert manifest["spec"]["templates"][0]["container"]["args"] == ["{{inputs.parameters.x}}"]
    assert mapping.plan.base == "hot"
    _, mapping = manifest_of(text + "      generate-name: cold-\n")
    assert mapping.plan.base == "cold-"


def with_manifest(document):
    """The definition of a mapping whose manifest file holds `document`."""
    problems = Problems()
    text = f"{HEAD}    workflow: {{namespace: factory, manifest: w.yaml, labels: {{a: mine}}}}\n"
    root = read_bytes(text.encode(), "hot.yaml", problems)
    (definition,) = read_definitions([SourceFile(Path("hot.yaml"), root)], problems)
    tree = read_bytes(json.dumps(document).encode(), "w.yaml", problems)
    assert problems.found == []
    return replace(definition, workflow=replace(definition.workflow, manifest_tree=tree))


def test_a_manifest_keeps_all_but_its_name():
    """Every event needs a name of its own; the manifest's name is where it begins."""
    document = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "press", "namespace": "factory", "labels": {"a": "its", "b": "its"}},
        "spec": {"entrypoint": "main"},
    }
    mappings, problems = compile_mappings([with_manifest(document)], template_manifest)
    assert problems == []
    (mapping,) = mappings
    assert json.loads(mapping.plan.manifest) == {
        "metadata": {"labels": {"a": "mine", "b": "its"}},
        "spec": {"entrypoint": "main"},
    }
    assert mapping.plan.base == "press"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"kind": "WorkflowTemplate", "spec": {}}, 'its kind is "WorkflowTemplate"'),
        ({"metadata": {}}, "spec is required and must be a map"),
        ({"spec": []}, "spec is required and must be a map"),
        ({"metadata": {"namespace": "other"}, "spec": {}}, 'its namespace is "other"'),
        ({"metadata": {"labels": ["a"]}, "spec": {}}, "metadata.labels"),
        ({"spec": {}, "status": {}}, '"status"'),
        ({"spec": {"n": 10**30}}, "64-bit"),
    ],
)
def test_a_manifest_that_is_no_workflow_is_told(document, words):
    """At the mapping's workflow, with the reason."""
    mappings, (problem,) = compile_mappings([with_manifest(document)], template_manifest)
    assert len(mappings) == 0
    assert problem.code == "bad-manifest"
    assert problem.position.line == 4
    assert words in problem.message


def test_a_template_that_the_caller_refuses_is_a_problem():
    """What makes manifests may refuse a name, and the place is still told."""

    def refuse(_name, _cluster_scope):
        raise ConfigError("no such template", code="bad-template")

    _, (problem,) = compiled(HEAD + WORKFLOW, refuse)
    assert problem.render() == 'hot.yaml:5:7: bad-template: mapping "hot": no such template'


def test_mappings_share_what_they_can_and_keep_their_connection():
    """A mapping with a connection hears that one alone; others hear all, known or not."""
    text = """\
    mappings:
      - {name: everywhere, topic: "a/#", workflow: {namespace: f, template: t}}
      - {name: here, topic: a/b, connection: plant, workflow: {namespace: f, template: t}}
      - {name: there, topic: c, connection: office, workflow: {namespace: f, template: t}}
    """
    mappings, _ = compiled(text)
    assert mappings.filters("plant") == {"a/#"}
    assert mappings.filters("office") == {"a/#", "c"}
    assert mappings.filters("third") == {"a/#"}
    assert [match.mapping.name for match in mappings.route("plant", "a/b")] == ["everywhere", "here"]
    assert [match.mapping.name for match in mappings.route("office", "a/b")] == ["everywhere"]
    assert mappings.route("plant", "c") == ()


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("", EMPTY_SKIPPED),
        ("payload: {empty: skip}", EMPTY_SKIPPED),
        ("payload: {empty: dead-letter}", EMPTY_REFUSED),
        ("payload: {format: text, empty: event}", None),
    ],
)
def test_a_mapping_says_what_no_payload_is(line, outcome):
    """Nothing, unless it asks for a dead letter or for an event."""
    text = f"mappings:\n  - name: m\n    topic: a\n    workflow: {{namespace: n, template: t}}\n    {line}\n"
    mappings, problems = compiled(text)
    assert not problems
    assert mappings.route("plant", "a")[0].mapping.empty == outcome


def with_payload(keys):
    return compiled(
        f"mappings:\n  - name: m\n    topic: a\n    payload: {{{keys}}}\n    workflow: {{namespace: n, template: t}}\n"
    )


@pytest.mark.parametrize(("keys", "skips"), [("on-unreadable: skip", True), ("on-unreadable: dead-letter", False)])
def test_a_mapping_says_what_an_unreadable_payload_is(keys, skips):
    """A dead letter by default."""
    mappings, problems = with_payload(keys)
    assert not problems
    assert mappings.get("m").skips_unreadable is skips


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "format: text, charset: utf9",
            '4:38: bad-value: mapping "m": "payload.charset" is "utf9", no character set that Python knows',
        ),
        (
            "format: bytes, charset: latin-1",
            '4:39: conflicting-keys: mapping "m": "payload.charset" means nothing for the format bytes; remove it',
        ),
        (
            "format: csv, columns: [a, rows]",
            '4:37: bad-value: mapping "m": "payload.columns" has a column "rows", which is',
        ),
        ("columns: [a]", '4:24: conflicting-keys: mapping "m": "payload.columns" means nothing for the format json'),
    ],
)
def test_a_format_that_cannot_be_read_as_asked_is_a_problem(keys, problem):
    """At the key that is at fault."""
    _, problems = with_payload(keys)
    assert [one.render().removeprefix("hot.yaml:").startswith(problem) for one in problems] == [True], problems


def test_the_schema_says_which_columns_are_text():
    """Of CSV; a decoder of JSON does not depend on the schema."""
    schema = "schema: {properties: {a: {type: string}}}"
    mappings, _ = with_payload(f"format: csv, columns: [a, b], {schema}")
    assert mappings.get("m").decoder.decode(b"01,1") == {"a": "01", "b": 1, "rows": [{"a": "01", "b": 1}]}


def test_mappings_that_read_alike_share_a_decoder():
    """A message of several mappings is decoded once; one with another character set is read by itself."""
    rest = "topic: a, workflow: {namespace: n, template: t}"
    names = ("a", "b", "c, payload: {charset: cp1252}")
    mappings, _ = compiled("mappings:\n" + "".join(f"  - {{name: {name}, {rest}}}\n" for name in names))
    first, second, third = (mapping.decoder for mapping in mappings)
    assert first is second is not third


def test_a_changed_mapping_file_gives_the_same_bytes_for_the_same_workflow():
    """The spool stores a manifest once by its digest, over reloads too."""
    first, _ = manifest_of(HEAD + WORKFLOW)
    second, _ = manifest_of(HEAD + "    when: payload > 1\n" + WORKFLOW)
    assert first == second
