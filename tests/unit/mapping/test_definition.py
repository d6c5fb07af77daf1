"""Promises of reading mapping files: every key, with its place, and what text alone can tell is wrong."""

from pathlib import Path

import pytest

from bridge.configfile.kinds import Choice
from bridge.configfile.problems import Position, Problems
from bridge.configfile.source import SourceFile, read_bytes
from bridge.mapping.definition import MappingDefinition, Trigger, read_definitions
from bridge.mapping.definition_checks import MappingContext, check_definitions
from bridge.mapping.payloads import PayloadFormat

CONTEXT = MappingContext("argo/workflows", frozenset({"plant", "office"}), ("factory", "lab"))
UNIQUE = "names must be unique across all files"
BOILER = """\
mappings:
  - name: boiler-overheat
    topic: sensors/{site}/boiler/{device}/temperature
    connection: plant
    payload:
      format: json
      schema: {type: object, required: [value]}
    when: payload.value > 90.0
    trigger: every
    event-id: payload.seq
    order-by: topic.device
    max-age: 1d
    workflow:
      namespace: lab
      template: inspect-boiler
      entrypoint: main
      name: inspect-${payload.seq}
      service-account: inspector
      parameters:
        device: ${topic.device}
        count: 007
        empty: ""
      labels: {line: a}
      annotations: {example.com/why: "${payload.value} degrees"}
    status:
      topic: sensors/{site}/boiler/{device}/workflow
    tests:
      - given: {topic: sensors/a/boiler/7/temperature, payload: {value: 95}}
"""


def read(*texts, folder=Path()):
    problems = Problems()
    names = ["plant.yaml", "office.yaml"]
    sources = [
        SourceFile(folder / name, read_bytes(text.encode(), name, problems))
        for name, text in zip(names, texts, strict=False)
    ]
    definitions = check_definitions(read_definitions(sources, problems), CONTEXT, problems)
    return definitions, [problem.render() for problem in problems.in_order()]


def mapping(**changes):
    """A sound mapping as a line of flow YAML, with some keys changed or, with None, left out."""
    keys = {"name": "m", "topic": "a/b", "workflow": "{template: t}"} | changes
    return f"  - {{{', '.join(f'{key}: {value}' for key, value in keys.items() if value is not None)}}}\n"


def problems_of(*lines, folder=Path()):
    return read("mappings:\n" + "".join(lines), folder=folder)[1]


def only_problem(**changes):
    (problem,) = problems_of(mapping(**changes))
    assert problem.startswith("plant.yaml:2:")
    return problem.partition(": ")[2]


def test_every_key_is_read():
    """Texts with expressions as they were written, durations in seconds."""
    (definition,), problems = read(BOILER)
    assert problems == []
    workflow = definition.workflow
    assert (definition.name, definition.topic) == (
        "boiler-overheat",
        ("sensors/{site}/boiler/{device}/temperature",),
    )
    assert (definition.connection, definition.trigger, definition.max_age_s) == ("plant", Trigger.EVERY, 86_400.0)
    assert definition.payload.format is PayloadFormat.JSON
    assert definition.payload.schema == {"type": "object", "required": ["value"]}
    assert (definition.when, definition.event_id) == ("payload.value > 90.0", "payload.seq")
    assert definition.order_by == "topic.device"
    assert (workflow.namespace, workflow.template, workflow.entrypoint) == ("lab", "inspect-boiler", "main")
    assert (workflow.name, workflow.service_account) == ("inspect-${payload.seq}", "inspector")
    assert workflow.parameters == {"device": "${topic.device}", "count": "007", "empty": ""}
    assert workflow.labels == {"line": "a"}
    assert workflow.annotations == {"example.com/why": "${payload.value} degrees"}
    assert definition.status.topic == "sensors/{site}/boiler/{device}/workflow"
    assert definition.tests == ({"given": {"topic": "sensors/a/boiler/7/temperature", "payload": {"value": 95}}},)


def test_values_know_their_place():
    """Asked for by the keys of the file; what is absent stands where its section does."""
    (definition,), _ = read(BOILER)
    assert definition.position() == Position("plant.yaml", 2, 5)
    assert definition.position("when") == Position("plant.yaml", 8, 11)
    assert definition.position("workflow", "parameters", "device") == Position("plant.yaml", 20, 17)
    assert definition.position("workflow", "parameters", "nothing") == Position("plant.yaml", 20, 9)
    assert definition.position("tests", 0, "given") == Position("plant.yaml", 28, 16)


def test_a_small_mapping_has_defaults():
    """The namespace is the first of the allow-list."""
    (definition,), problems = read("mappings:\n" + mapping())
    assert problems == []
    assert (definition.workflow.namespace, definition.payload.format) == ("factory", PayloadFormat.JSON)
    assert definition.connection is None
    assert definition.max_age_s is None
    assert definition.status is None
    assert isinstance(definition, MappingDefinition)


def test_the_line_of_the_house_style():
    """Item, key, proposal, and no second complaint that the key is missing."""
    lines = [mapping(name="a"), "  - name: press-alarm\n    topic: x/y\n    workflow:\n      templte: x\n"]
    assert problems_of(*lines) == [
        'plant.yaml:6:7: unknown-key: mapping "press-alarm": unknown key "templte"; did you mean "template"?'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'plant.yaml:1:1: missing-key: the file is empty; it needs the key "mappings", a list'),
        ("[]", 'plant.yaml:1:1: wrong-type: a mapping file must be a map with "mappings", not a list'),
        ("mapings: []", 'plant.yaml:1:1: unknown-key: unknown key "mapings"; did you mean "mappings"?'),
        ("mappings: {}", 'plant.yaml:1:11: wrong-type: "mappings" must be a list, each item a map of keys, not a map'),
        ("mappings: [x]", 'plant.yaml:1:12: bad-value: "mappings" must be a list of maps, each with name, topic and'),
        (
            "mappings: [{topic: a, workflow: {template: t}}]",
            "plant.yaml:1:12: missing-key: a mapping without a name: the",
        ),
    ],
)
def test_a_file_of_another_shape_is_one_problem(text, problem):
    """With what it should be."""
    (found,) = read(text)[1]
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Press"}, 'bad-value: mapping "Press": "name" must be small letters, digits and -'),
        ({"name": "x" * 64}, 'bad-value: mapping "xxx'),
        ({"topic": None}, 'missing-key: mapping "m": the key "topic" is missing'),
        ({"topic": ""}, 'wrong-type: mapping "m": "topic" has no value; it must be a topic; quote text that begins'),
        ({"topic": "a/#/b"}, 'bad-topic: mapping "m": "topic": # must be the whole last level'),
        ({"topic": "a/b+"}, 'bad-topic: mapping "m": "topic": + must be a whole level, found "b+"'),
        ({"topic": "'a/{b}{c}'"}, 'bad-topic: mapping "m": "topic": "{b}{c}" is not a capture; a capture is {name}'),
        ({"topic": "'a/{b...}/c'"}, 'bad-topic: mapping "m": "topic": "{b...}" captures all further levels, so it'),
        ({"topic": "'a/x+{b}'"}, 'bad-topic: mapping "m": "topic": "x+{b}" has a capture and a wildcard'),
        ({"topic": "[a/b, a/#/c]"}, 'bad-topic: mapping "m": "topic": # must be the whole last level'),
        ({"except": "a/#/c"}, 'bad-topic: mapping "m": "except": # must be the whole last level'),
        ({"topic": "'a/{b-c}'"}, 'bad-topic: mapping "m": "topic": "{b-c}" is not a capture'),
        ({"topic": "'{a}/{a}'"}, 'bad-topic: mapping "m": "topic": the capture {a} is used twice'),
        ({"topic": "$share/g/a"}, 'bad-topic: mapping "m": "topic": $share cannot be used in mappings'),
        ({"topic": "argo/workflows/status"}, 'reserved-topic: mapping "m": "topic" lies under argo/workflows, where'),
        ({"topic": "argo/workflows/#"}, 'reserved-topic: mapping "m": "topic" lies under argo/workflows, where'),
        ({"topic": "argo/bridge/x/state"}, 'reserved-topic: mapping "m": "topic" lies under argo/bridge, where'),
        ({"connection": "plnt"}, 'unknown-connection: mapping "m": "connection": no connection is named "plnt"; did'),
        (
            {"trigger": "evry"},
            'bad-value: mapping "m": "trigger" must be every, rising, falling, change or silent, not "evry"; did you',
        ),
        ({"cooldown": "10"}, 'bad-value: mapping "m": "cooldown" must be a duration'),
        ({"deadband": "0"}, 'bad-value: mapping "m": "deadband" must be a number above 0'),
        ({"active": "{days: someday}"}, 'bad-value: mapping "m": "days" must be days, such as mon-fri or sat,sun'),
        (
            {"collect": "{quiet: 1s, every: 2s}"},
            'conflicting-keys: mapping "m": "every" cannot be combined with "quiet"',
        ),
        ({"payload": "{format: sparkplug}"}, 'not-yet: mapping "m": "format": sparkplug is not built yet'),
        (
            {"payload": "{format: jsn}"},
            f'bad-value: mapping "m": "format" must be {Choice(PayloadFormat).words}, not "jsn"',
        ),
        ({"when": "[]"}, 'wrong-type: mapping "m": "when" must be an expression, not a list'),
        ({"max-age": "7"}, 'bad-value: mapping "m": "max-age" must be a duration'),
        (
            {"workflow": "{}"},
            'missing-key: mapping "m": one of the keys template, cluster-template, cron, manifest, spec',
        ),
        (
            {"workflow": "{template: a, spec: {}}"},
            'conflicting-keys: mapping "m": "spec" cannot be combined with "template"',
        ),
        ({"workflow": "{cron: a}"}, 'not-yet: mapping "m": "cron" as a source is not built yet'),
        ({"workflow": "{template: A}"}, 'bad-value: mapping "m": "template" must be a name in Kubernetes'),
        (
            {"workflow": "{template: a, namespace: other}"},
            'namespace-not-allowed: mapping "m": "namespace": "other" is not',
        ),
        (
            {"workflow": "{template: a, namespace: factry}"},
            'namespace-not-allowed: mapping "m": "namespace": "factry" is',
        ),
        (
            {"workflow": "{template: a, parameters: {p: [1]}}"},
            'wrong-type: mapping "m": "parameters.p" must be text, not a',
        ),
        ({"workflow": "{template: a, parameters: {p: }}"}, 'wrong-type: mapping "m": "parameters.p" has no value'),
        ({"workflow": "{template: a, labels: {x: 'a b'}}"}, 'bad-value: mapping "m": "labels.x" must be a label value'),
        (
            {"workflow": "{template: a, labels: {x y: a}}"},
            'bad-key: mapping "m": in "labels" a name must be a label key',
        ),
        (
            {"workflow": "{template: a, labels: {argo-bridge/x: y}}"},
            'reserved-key: mapping "m": "labels": "argo-bridge/x"',
        ),
        ({"workflow": "{template: a, labels: {workflows.argoproj.io/x: y}}"}, 'reserved-key: mapping "m": "labels"'),
        ({"workflow": "{template: a, annotations: {argo-bridge/x: y}}"}, 'reserved-key: mapping "m": "annotations"'),
        (
            {"workflow": "{manifest: nope.yaml}"},
            'unreadable-file: mapping "m": "manifest": cannot read the file: No such',
        ),
        ({"status": "{topic: a/b}"}, 'status-loop: mapping "m": "status.topic" can match the topic of mapping "m"'),
        ({"status": "{topic: a/+}"}, 'bad-topic: mapping "m": "status.topic": a topic name must not have wildcards'),
        ({"status": "{topic: $SYS/a}"}, 'bad-topic: mapping "m": "status.topic": topics that begin with $ belong to'),
        (
            {"status": "{topic: argo/workflows/x}"},
            'reserved-topic: mapping "m": "status.topic" can lie under argo/workflows',
        ),
        (
            {"status": "{topic: argo/bridge/x/state}"},
            'reserved-topic: mapping "m": "status.topic" can lie under argo/bridge',
        ),
        ({"status": "{notify: [{on: ended}]}"}, 'missing-key: mapping "m": the key "topic" is missing'),
        ({"status": "{notify: [{topic: a, on: ever}]}"}, 'bad-value: mapping "m": "on" must be failed or ended'),
        ({"status": "{notify: [{topic: a/b}]}"}, 'status-loop: mapping "m": "status.notify" can match the topic of'),
        (
            {"status": "{notify: [{topic: 'a/{x}'}]}"},
            'bad-topic: mapping "m": "status.notify": {x} is not a capture of',
        ),
        ({"status": "{notify: [{topic: a/+}]}"}, 'bad-topic: mapping "m": "status.notify": a topic name must not have'),
    ],
)
def test_what_is_wrong_is_told_once_with_the_mapping_s_name(changes, problem):
    """Code, item, key and what to do."""
    assert only_problem(**changes).startswith(problem)


def test_a_status_that_can_reach_any_mapping_is_refused():
    """Also by way of captures and of another file's mapping."""
    first = mapping(name="first", topic="'x/{a}/{b}'", status="{topic: 'y/{a}/{b}'}")
    second = mapping(name="second", topic="y/+/state")
    problems = read("mappings:\n" + first, "mappings:\n" + second)[1]
    assert [problem.split(": ")[1:3] for problem in problems] == [["status-loop", 'mapping "first"']]
    assert 'the topic of mapping "second"' in problems[0]


def test_a_status_topic_that_captures_could_lead_under_the_prefix_is_refused():
    """A device chooses what a capture holds."""
    problem = only_problem(topic="'x/y/{a}/{b}'", status="{topic: '{a}/workflows/{b}'}")
    assert problem.startswith('reserved-topic: mapping "m": "status.topic" can lie under argo/workflows')


def test_wildcards_beside_the_prefix_are_allowed():
    """`{site}/{device}/{metric}` is a usual scheme of topics."""
    assert problems_of(mapping(topic="'{site}/{device}/{metric}'"), mapping(name="all", topic="'#'")) == []


def test_names_are_unique_among_all_files():
    """The second is told, with the place of the first."""
    problems = read("mappings:\n" + mapping(), "mappings:\n" + mapping())[1]
    assert problems == [
        'office.yaml:2:12: duplicate-name: mapping "m": this name is taken at plant.yaml:2:12; ' + UNIQUE,
    ]


def test_one_wrong_mapping_hides_nothing():
    """Neither about itself nor about the others."""
    problems = problems_of(
        mapping(name="one", topic="a/#/b", connection="no", trigger="no"), mapping(name="two", topic="a//#/")
    )
    assert [problem.split(": ")[1:3] for problem in problems] == [
        ["bad-topic", 'mapping "one"'],
        ["unknown-connection", 'mapping "one"'],
        ["bad-value", 'mapping "one"'],
        ["bad-topic", 'mapping "two"'],
    ]


def test_a_manifest_is_read_beside_its_mapping_file(tmp_path):
    """Relative to the file that names it, wherever the bridge runs."""
    (tmp_path / "flow.yaml").write_text("kind: Workflow\nspec: {entrypoint: a}\n")
    (definition,), problems = read("mappings:\n" + mapping(workflow="{manifest: flow.yaml}"), folder=tmp_path)
    assert problems == []
    assert definition.workflow.manifest == tmp_path / "flow.yaml"
    assert definition.workflow.manifest_tree.get("spec").get("entrypoint").text == "a"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("kind: Workflow\nkind: Workflow\n", "flow.yaml:2:1: duplicate-key:"),
        ("[a]", "must contain one Workflow, not a list"),
        ("kind: Workflow\n---\nkind: Workflow\n", "must contain one Workflow, not 2 documents"),
        ("kind: WorkflowTemplate", 'flow.yaml:1:7: bad-value: mapping "m": the manifest must say "kind: Workflow"'),
        ("spec: {}", 'flow.yaml:1:1: bad-value: mapping "m": the manifest must say "kind: Workflow"'),
    ],
)
def test_a_manifest_that_is_no_workflow_is_told_with_its_place(content, problem, tmp_path):
    """In the manifest itself where there is one."""
    (tmp_path / "flow.yaml").write_text(content)
    (found,) = problems_of(mapping(workflow="{manifest: flow.yaml}"), folder=tmp_path)
    assert problem in found
