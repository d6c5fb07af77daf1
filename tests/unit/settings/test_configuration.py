"""Promises of loading a whole configuration, and of what is shipped with the product for it."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configfile.nodes import plain
from bridge.configfile.problems import Problems, Severity
from bridge.configfile.source import read_file
from bridge.settings.configuration import load
from tests.docs.generated import CONFIG_SCHEMAS

ROOT = Path(__file__).parents[3]
BRIDGE = """\
bridge: {id: a, data-dir: d}
connections: {plant: {mqtt: {url: "mqtt://localhost", username: bridge}}}
argo: {url: http://localhost, namespaces: [factory]}
mappings: ["*-map.yaml"]
"""
MAPPING = """\
mappings:
  - name: hot
    topic: sensors/{device}
    when: payload.value > 90.0
    workflow: {template: inspect, parameters: {device: "${topic.device}"}}
"""


def loaded_from(folder, bridge=BRIDGE, mapping=MAPPING):
    (folder / "bridge.yaml").write_text(bridge)
    (folder / "a-map.yaml").write_text(mapping)
    return load(folder / "bridge.yaml", {})


def test_a_sound_configuration_is_settings_and_compiled_mappings(tmp_path):
    """Ready to run."""
    loaded = loaded_from(tmp_path)
    assert loaded.ok
    assert loaded.problems == []
    assert loaded.settings.bridge.id == "a"
    assert [definition.name for definition in loaded.mappings] == ["hot"]
    (match,) = loaded.compiled.route("plant", "sensors/7")
    assert json.loads(match.mapping.plan.manifest)["spec"]["workflowTemplateRef"] == {"name": "inspect"}
    assert match.mapping.plan.namespace == "factory"


def test_problems_of_all_parts_are_told_together(tmp_path):
    """Settings, keys of mappings, and expressions that do not compile; nothing of it is to be run."""
    mapping = MAPPING.replace("payload.value >", "payload.value >>").replace("topic: ", "topik: 1\n    topic: ")
    loaded = loaded_from(tmp_path, BRIDGE + "spoll: {}\n", mapping)
    assert [problem.code for problem in loaded.problems] == ["unknown-key", "bad-expression", "unknown-key"]
    assert not loaded.ok
    assert loaded.settings is None
    assert loaded.mappings == ()
    assert len(loaded.compiled) == 0


def test_wrong_mappings_refuse_sound_settings(tmp_path):
    """A configuration is used as a whole or not at all."""
    loaded = loaded_from(tmp_path, mapping=MAPPING.replace("topic.device", "topic.devise"))
    assert [problem.code for problem in loaded.problems] == ["unknown-capture"]
    assert not loaded.ok
    assert loaded.mappings == ()


def test_warnings_refuse_nothing(tmp_path):
    """They are told all the same."""
    loaded = loaded_from(tmp_path, BRIDGE.replace('"*-map.yaml"', '"*-map.yaml", "other/*.yaml"'))
    assert loaded.ok
    assert [problem.severity for problem in loaded.problems] == [Severity.WARNING]


def test_a_missing_configuration_is_one_problem(tmp_path):
    """Nothing else is said about what it would have held."""
    loaded = load(tmp_path / "nope.yaml", {})
    assert [problem.code for problem in loaded.problems] == ["unreadable-file"]
    assert not loaded.ok


@pytest.mark.parametrize(
    "name", ["bridge.yaml", "mappings/boiler.yaml", "mappings/vibration.yaml", "mappings/door.yaml"]
)
def test_the_examples_agree_with_their_schemas(name):
    """As an editor would check them."""
    schema = CONFIG_SCHEMAS["bridge.json" if name == "bridge.yaml" else "mappings.json"]
    root = read_file(ROOT / "config" / name, Problems())
    jsonschema.Draft202012Validator(schema).validate(plain(root))


def test_the_examples_can_be_used():
    """Wherever they are checked; their broker has no users, and that is all they are warned of."""
    loaded = load(ROOT / "config/bridge.yaml", {})
    assert [(problem.code, problem.severity) for problem in loaded.problems] == [("insecure", Severity.WARNING)]
    assert {definition.name for definition in loaded.mappings} == {"boiler-overheat", "press-vibration", "door-forced"}


@pytest.mark.parametrize("name", CONFIG_SCHEMAS)
def test_the_schemas_are_schemas(name):
    """Editors refuse to work with one that is none."""
    jsonschema.Draft202012Validator.check_schema(CONFIG_SCHEMAS[name])


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _with_one_changed(tree, draw):
    """The tree with one value, somewhere in it, replaced by any other."""
    if isinstance(tree, dict) and tree and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(tree)))
        return tree | {key: _with_one_changed(tree[key], draw)}
    if isinstance(tree, list) and tree and draw(st.booleans()):
        index = draw(st.integers(0, len(tree) - 1))
        return [*tree[:index], _with_one_changed(tree[index], draw), *tree[index + 1 :]]
    return draw(TREES)


@given(data=st.data())
def test_no_configuration_raises(data, tmp_path_factory):
    """Whatever one value of a sound configuration becomes: settings, or problems that can be printed."""
    folder = tmp_path_factory.mktemp("any")
    sources = [read_file(ROOT / "config" / name, Problems()) for name in ("bridge.yaml", "mappings/boiler.yaml")]
    trees = [plain(source) for source in sources]
    which = data.draw(st.integers(0, 1))
    trees[which] = _with_one_changed(trees[which], data.draw)
    loaded = loaded_from(folder, *(json.dumps(tree) for tree in trees))
    assert loaded.ok or any(problem.severity is Severity.ERROR for problem in loaded.problems)
    for problem in loaded.problems:
        problem.render().encode()
        assert "\n" not in problem.render()
