"""The AsyncAPI documents are valid by AsyncAPI's own parser, where node and npm can get it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "support" / "asyncapi_parser.mjs"
PACKAGE = "@asyncapi/parser@3.6.6"
WARNING = 1
"""Severities from here on are no errors."""
# The document stays at 3.0.0, which every tool reads.
TAKEN = {"asyncapi-latest-version"}

Parse = Callable[..., list[dict[str, Any]]]

MAPPINGS = """
mappings:
  - name: trigger
    topic: sensors/{site}/+/boiler/#
    connection: plant
    payload:
      schema:
        type: object
        required: [value]
        properties: {value: {$ref: "#/$defs/number"}, tree: {$ref: "#"}}
        $defs: {number: {type: number}}
    workflow: {template: inspect}
    status: {topic: "devices/{site}/status", notify: [{topic: "devices/{site}/ends", on: ended}]}
  - name: lamp
    topic: lamps/{namespace}
    payload: {format: number}
    workflow: {template: inspect}
"""
CONFIG = """
bridge: {id: plant-1, data-dir: data}
connections:
  plant: {mqtt: {url: "wss://broker.example:9001/mqtt", username: bridge}}
  second: {mqtt: {url: "mqtt://[::1]", version: 3.1.1}}
argo: {url: "http://localhost:2746", namespaces: [factory, lab]}
interface: {prefix: a/b, operations: [trigger, list-templates]}
mappings: [mappings.yaml]
status: {notify: [{topic: pager/failed}]}
"""


@pytest.fixture(scope="module")
def parse(pytestconfig: pytest.Config) -> Parse:
    """Parse documents with AsyncAPI's own parser; the package is kept in pytest's cache."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = pytestconfig.cache.mkdir("asyncapi-parser")  # type: ignore[union-attr]  # the cache plugin is on
    if not (folder / PACKAGE.replace("/", "_")).exists():
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=folder)
        if done.returncode:
            pytest.skip(f"npm could not install {PACKAGE}: {done.stderr.strip()[-200:]}")
        (folder / PACKAGE.replace("/", "_")).touch()

    def parse_files(*files: Path) -> list[dict[str, Any]]:
        command = [node, str(SCRIPT), str(folder), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return parse_files


@pytest.mark.timeout(240)
def test_the_documents_are_valid(parse: Parse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped one, and that of a configuration with every kind of topic; a broken one is told as such."""
    (tmp_path / "mappings.yaml").write_text(MAPPINGS)
    (tmp_path / "bridge.yaml").write_text(CONFIG)
    assert main(["asyncapi", "--config", str(tmp_path / "bridge.yaml")]) == 0
    own = tmp_path / "own.yaml"
    own.write_text(capsys.readouterr().out)
    assert main(["asyncapi", "--json"]) == 0
    shipped = ROOT / "schemas" / "asyncapi.yaml"
    broken = tmp_path / "broken.json"
    document = json.loads(capsys.readouterr().out)
    document["components"]["operationBindings"]["sent"]["mqtt"]["qos"] = 7
    document["operations"]["receiveTrigger"]["reply"]["channel"]["$ref"] = "#/channels/nowhere"
    broken.write_text(json.dumps(document))

    first, second, third = parse(shipped, own, broken)
    for result in (first, second):
        assert result["valid"], result["findings"]
        assert {one["code"] for one in result["findings"]} <= TAKEN, result["findings"]
    assert (first["channels"], second["channels"]) == (80, 21)
    assert not third["valid"]
    errors = {one["path"].rpartition("/")[2] for one in third["findings"] if one["severity"] < WARNING}
    assert errors & {"$ref", "qos"}, "the parser checks nothing"
