"""`argo-bridge validate` as people run it: a process, files, standard input, exit codes."""

import json
import subprocess
import sys

import pytest

VALID = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  generateName: hello-
spec:
  entrypoint: main
  templates:
  - name: main
    container:
      image: alpine
"""

INVALID = """# a comment
kind: Workflow
metadata:
  name: Hello
spec:
  entrypont: main
  templates:
  - name: main
    container:
      image: alpine
      env:
      - {name: DEBUG, value: y}
      securityContext: {runAsUser: 0o755}
---
kind: Deployment
---
kind: CronWorkflow
spec:
  schedule: "* * * * *"
  workflowSpec:
    entrypoint: main
    templates:
    - name: main
      suspend: {}
"""


def validate(*arguments, text=""):
    """Run the verb; standard output is a list of lines."""
    command = [sys.executable, "-m", "bridge.cli.main", "validate", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_valid_file_is_no_news(tmp_path):
    """Exit code 0, nothing on standard output, the sum on standard error."""
    file = tmp_path / "a.yaml"
    file.write_text(VALID)
    code, lines, notes = validate(file)
    assert (code, lines) == (0, [])
    assert "1 manifest checked against Argo 4.1.2: no problems" in notes


def test_every_problem_of_every_document_is_one_line_with_its_position(tmp_path):
    """YAML is read as Argo reads it: `y` is a boolean, `0o755` a number; other kinds are skipped with a note."""
    file = tmp_path / "a.yaml"
    file.write_text(INVALID)
    code, lines, notes = validate(file)
    assert code == 1
    assert [line.removeprefix(f"{file}:").split(": ")[:2] for line in lines] == [
        ["4:9", "bad-name"],
        ["6:3", "unknown-field"],
        ["12:30", "wrong-type"],
        ["19:3", "unknown-field"],
    ]
    assert 'unknown field "entrypont"; did you mean "entrypoint"? (at /spec/entrypont)' in lines[1]
    assert "YAML reads y this way: quote it" in lines[2]
    assert 'it is in Argo 3.5, 3.6 and 3.7, not in 4.1.2; did you mean "schedules"?' in lines[3]
    assert f'{file}:15:7: note: kind "Deployment" is not checked' in notes
    assert "2 manifests checked" in notes


def test_a_minor_version_means_its_newest_known_patch(tmp_path):
    """What 4.1 refuses, 3.7 may take."""
    cron = INVALID.rpartition("---")[2]
    for version, expected in (("3.7", 0), ("3.7.18", 0), ("4.0", 1), ("4.1.2", 1)):
        code, _, notes = validate("--argo-version", version, "-", text=cron)
        assert code == expected, version
        assert f"against Argo {version}" in notes


def test_an_unknown_version_gets_the_nearest_known_with_a_warning():
    """A newer cluster is no reason to check nothing."""
    code, _, notes = validate("--argo-version", "v4.9.0", "-", text=VALID)
    assert code == 0
    assert "warning: no schema of Argo 4.9.0; using 4.1.2" in notes


@pytest.mark.parametrize("arguments", [[], ["--argo-version", "latest", "-"], ["--nonsense", "-"]])
def test_wrong_usage_is_exit_code_2(arguments):
    """Scripts can tell a bad call from a bad manifest."""
    code, lines, notes = validate(*arguments, text=VALID)
    assert (code, lines) == (2, [])
    assert notes


def test_json_and_several_files_are_taken(tmp_path):
    """Problems name their file; a file that is not there is a problem, the others are checked all the same."""
    (tmp_path / "a.json").write_text(json.dumps({"kind": "Workflow", "spec": {"entrypoint": 3}}, indent="\t"))
    (tmp_path / "b.yaml").write_text(VALID)
    code, lines, notes = validate(tmp_path / "a.json", tmp_path / "gone.yaml", tmp_path / "b.yaml")
    assert code == 1
    assert lines[0].startswith(f"{tmp_path}/a.json:4:17: wrong-type: must be a string, not the number 3")
    assert lines[1].startswith(f"{tmp_path}/gone.yaml: unreadable-file: ")
    assert "2 manifests checked" in notes


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: Workflow\nkind: Workflow\nspec: {}", "<stdin>:2:1: duplicate-key"),
        ("kind: Workflow\nspec: [", "<stdin>:2:8: yaml-syntax"),
        ("- kind: Workflow", "<stdin>:1:1: wrong-type: a manifest must be a map, not a list"),
        ("knd: Workflow", '<stdin>:1:1: missing-field: the manifest has no "kind"; did you mean "kind"?'),
    ],
)
def test_what_cannot_be_read_as_a_manifest_is_a_problem(text, line):
    """Nothing passes because it was not understood."""
    code, lines, _ = validate("-", text=text)
    assert code == 1
    assert any(one.startswith(line) for one in lines), lines


def test_references_to_templates_are_checked_inside_the_given_files(tmp_path):
    """Both files together show the wrong reference; alone, the template may well be in the cluster."""
    spec = {"templates": [{"name": "build", "suspend": {}}]}
    template = {"kind": "WorkflowTemplate", "metadata": {"name": "tools"}, "spec": spec}
    step = {"name": "a", "templateRef": {"name": "tools", "template": "bild"}}
    caller = {"kind": "Workflow", "spec": {"entrypoint": "m", "templates": [{"name": "m", "steps": [[step]]}]}}
    (tmp_path / "t.json").write_text(json.dumps(template))
    (tmp_path / "w.json").write_text(json.dumps(caller))
    code, lines, _ = validate(tmp_path / "w.json", tmp_path / "t.json")
    assert code == 1
    assert 'WorkflowTemplate "tools" has no template "bild"; did you mean "build"?' in lines[0]
    assert validate(tmp_path / "w.json")[0] == 0


@pytest.mark.parametrize(
    "kind", ["WorkflowTemplate", "ClusterWorkflowTemplate", "WorkflowEventBinding", "CronWorkflow"]
)
def test_each_kind_is_checked_as_such(kind):
    """A misspelling in any of them is found."""
    code, lines, _ = validate("-", text=f"kind: {kind}\nspec: {{nonsense: 1}}")
    assert code == 1
    assert any('unknown field "nonsense"' in line for line in lines)
