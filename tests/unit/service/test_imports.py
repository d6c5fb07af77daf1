"""A bridge imports only what its configuration uses: memory and start-up time of a gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bridge_files import BridgeFiles
from tests.support.documents import ROOT

UNUSED = {
    "pika",
    "requests",
    "jsonschema",
    "referencing",
    "cel_expr_python.cel",
    "amqtt",
    "backports.zstd",
    "cbor2",
    "google.protobuf",
    "msgpack",
    "asyncio",
    "bridge.simulator",
}
PROGRAM = """
import json, os, sys
from pathlib import Path
from bridge.cli import main
from bridge.cli.verbs import run
loaded = run.load(Path(sys.argv[1]), os.environ)
assert loaded.ok, [problem.render() for problem in loaded.problems]
run.Service(loaded.settings, loaded.compiled)
print(json.dumps(sorted(sys.modules)))
"""
MAPPING = """
- name: hot
  topic: sensors/{{device}}/value
  payload: {{schema: {{type: object, required: [value]}}, format: {format}, {more}}}
  when: {when}
  workflow: {{template: inspect, parameters: {{device: "${{topic.device}}", value: "${{payload.value}}"}}}}
"""


def mapping(format: str = "json", when: str = "payload.value > 90", more: str = "charset: utf-8") -> str:  # noqa: A002
    return MAPPING.format(format=format, when=when, more=more)


def imported(folder: Path, **changes: str) -> set[str]:
    """Return the modules of a process that has composed a bridge."""
    files = BridgeFiles(folder, "mqtt://127.0.0.1:1", "http://127.0.0.1:1", **changes)
    command = [sys.executable, "-c", PROGRAM, str(files.write())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_what_no_key_asks_for_is_not_imported(tmp_path: Path) -> None:
    """Neither AMQP nor CEL nor what explains refusals, where conditions are comparisons."""
    modules = imported(tmp_path, mappings=mapping(when="payload.value > 90 && topic.device != 'test'"))
    assert not UNUSED & modules


@pytest.mark.parametrize(
    ("module", "changes"),
    [
        ("cel_expr_python.cel", {"mappings": mapping(when="payload.value + 1 > 90")}),
        ("cbor2", {"mappings": mapping(format="cbor")}),
        ("msgpack", {"mappings": mapping(format="msgpack")}),
        ("backports.zstd", {"mappings": mapping(more="encoding: zstd")}),
        ("pika", {"connections": '{plant: {amqp: {url: "amqp://127.0.0.1:1"}}}'}),
    ],
)
def test_what_a_key_asks_for_is_imported_at_the_start(tmp_path: Path, module: str, changes: dict[str, str]) -> None:
    """The test above would notice it."""
    assert module in imported(tmp_path, **changes)
