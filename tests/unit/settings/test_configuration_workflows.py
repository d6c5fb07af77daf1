"""A mapping's workflow is held against Argo's schema when the configuration is loaded."""

from pathlib import Path

import pytest

from bridge.configfile.problems import Severity
from bridge.settings.configuration import load

BRIDGE = """\
bridge: {{id: b, data-dir: data}}
connections: {{plant: {{mqtt: {{url: "mqtt://localhost", username: bridge}}}}}}
argo: {{url: "http://localhost:2746", namespaces: [factory], version: "{version}"}}
mappings: [mappings.yaml]
"""
SPEC = """\
mappings:
  - name: hot
    topic: a/b
    workflow:
      spec:
        entrypoint: main
        templates:
          - name: main
            container: {image: x, imag: y}
"""
MANIFEST = "mappings: [{name: hot, topic: a/b, workflow: {manifest: work.yaml}}]\n"
WORK = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  entrypont: main
  templates: [{name: main, suspend: {}}]
"""


def _load(folder: Path, version: str, mappings: str, work: str = "") -> list[tuple[str, str, Severity]]:
    (folder / "bridge.yaml").write_text(BRIDGE.format(version=version))
    (folder / "mappings.yaml").write_text(mappings)
    if work:
        (folder / "work.yaml").write_text(work)
    found = load(folder / "bridge.yaml", {}).problems
    return [(f"{Path(one.position.file).name}:{one.position.line}", one.message, one.severity) for one in found]


@pytest.mark.parametrize(("version", "severity"), [("4.1", Severity.ERROR), ("auto", Severity.WARNING)])
def test_a_typo_in_an_inline_spec_is_told_where_it_stands(tmp_path: Path, version: str, severity: Severity) -> None:
    """The field is named with its line and a proposal; it refuses only where the version is configured."""
    ((place, message, found),) = _load(tmp_path, version, SPEC)
    assert place == "mappings.yaml:9"
    assert 'unknown field "imag"; did you mean "image"?' in message
    assert found is severity


def test_a_typo_in_a_manifest_file_is_told_in_that_file(tmp_path: Path) -> None:
    """The position is that of the manifest, not of the mapping."""
    found = _load(tmp_path, "4.1", MANIFEST, WORK)
    assert any(place == "work.yaml:4" and '"entrypoint"' in message for place, message, _ in found)


def test_a_field_of_a_newer_release_is_refused_on_an_older_one(tmp_path: Path) -> None:
    """The configured version decides, and the message names a release that has the field."""
    spec = SPEC.replace(", imag: y", "").replace(
        "entrypoint", "synchronization: {mutexes: [{name: l}]}\n        entrypoint"
    )
    assert _load(tmp_path, "4.1", spec) == []
    assert any("3.6" in message for _, message, _ in _load(tmp_path, "3.5", spec))
