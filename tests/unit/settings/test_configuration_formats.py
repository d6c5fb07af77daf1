"""What `check` says about payload formats: at the key, once, with what to do."""

import sys

import pytest

from bridge.core.model import Message
from bridge.settings.configuration import load
from tests.support.descriptors import descriptor_set, reading

BRIDGE = """\
bridge: {id: plant-1, data-dir: data}
connections: {plant: {mqtt: {url: "mqtt://localhost", username: bridge}}}
argo: {url: "http://localhost:2746", namespaces: [factory]}
mappings: [mappings/*.yaml]
"""


def loaded(folder, payload):
    (folder / "mappings").mkdir()
    (folder / "bridge.yaml").write_text(BRIDGE)
    (folder / "mappings" / "plant.desc").write_bytes(descriptor_set(reading()))
    (folder / "mappings" / "m.yaml").write_text(
        f"mappings:\n- name: m\n  topic: a\n  payload: {{{payload}}}\n"
        "  workflow: {template: t, parameters: {device: '${payload.device}'}}\n"
    )
    return load(folder / "bridge.yaml", {})


def problems_of(folder, payload):
    found = [problem.render() for problem in loaded(folder, payload).problems if problem.code != "insecure"]
    return [text.partition("m.yaml:")[2] for text in found]


def test_a_descriptor_is_read_beside_the_mapping_file(tmp_path):
    """Once, when the configuration is loaded."""
    configuration = loaded(tmp_path, "format: protobuf, descriptor: plant.desc, message: plant.Reading")
    assert configuration.ok, configuration.problems
    (tmp_path / "mappings" / "plant.desc").unlink()
    (match,) = configuration.compiled.route("plant", "a")
    outcome = match.mapping.evaluate(Message("plant", "a", b"\x0a\x02m7"), match.captures, 0.0)
    assert outcome.order.parameters == {"device": "m7"}


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ("format: protobuf, descriptor: no.desc, message: a.B", '4:43: unreadable-file: mapping "m": "descriptor": '),
        ("format: protobuf, message: a.B", '4:12: missing-key: mapping "m": "payload.descriptor" is required'),
        ("format: protobuf, descriptor: plant.desc", '4:12: missing-key: mapping "m": "payload.message" is required'),
        (
            "format: protobuf, descriptor: plant.desc, message: plant.Readings",
            '4:64: bad-value: mapping "m": "payload.message" is "plant.Readings", which is not in the descr',
        ),
        ("descriptor: plant.desc", '4:25: conflicting-keys: mapping "m": "payload.descriptor" means nothing for'),
    ],
)
def test_what_protobuf_lacks_is_one_problem(payload, problem, tmp_path):
    """Not one more for what follows from it."""
    found = problems_of(tmp_path, payload)
    assert [text[: len(problem)] for text in found] == [problem]


@pytest.mark.parametrize(
    ("payload", "module", "key"),
    [
        ("format: cbor", "cbor2", "format"),
        ("format: msgpack", "msgpack", "format"),
        ("encoding: zstd", "backports.zstd", "encoding"),
    ],
)
def test_a_library_that_is_not_installed_is_a_problem_of_the_mapping(payload, module, key, tmp_path, monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    (problem,) = problems_of(tmp_path, payload)
    assert f'missing-library: mapping "m": "payload.{key}" needs the library {module}' in problem
    assert 'pip install "argo-bridge[formats]"' in problem
