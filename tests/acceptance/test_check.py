"""`argo-bridge check` as people run it: a process, its lines, its exit code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NO_CAPTURE = 'the topic has no capture "devise"; did you mean "device"?'
ROOT = Path(__file__).parents[2]
TYPO = """\
mappings:
  - name: press-alarm
    topic: sensors/{site}/press/{device}/pressure
    when: payload.value > 8.0
    workflow:
      templte: inspect-press
      parameters:
        device: ${topic.devise}
"""


@pytest.fixture
def folder(tmp_path):
    """A copy of the example configuration."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def check(folder, *arguments, **environ):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ARGO_")}
    return subprocess.run(
        [sys.executable, "-m", "bridge", "check", *arguments],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(ROOT)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_example_configuration_is_fine(folder):
    """Exit code 0, what there is, and that a broker without users lets everybody in."""
    result = check(folder, "--config", "config/bridge.yaml")
    assert (result.returncode, result.stderr) == (0, "")
    warning, last = result.stdout.splitlines()
    assert 'warning: insecure: connection "plant": no user and no certificate' in warning
    assert last == "config OK: 3 mappings, 1 connection, 1 warning"


def test_all_problems_are_told_at_once(folder):
    """In the order of the files, the environment last; then how many there are; exit code 1."""
    (folder / "config/mappings/plant.yaml").write_text(TYPO)
    bridge = folder / "config/bridge.yaml"
    bridge.write_text(bridge.read_text().replace("version: 5", "version: 4").replace("spool:", "spol:"))
    result = check(folder, "--config", "config/bridge.yaml", ARGO_BRIDGE_LOG_LEVEL="loud", ARGO_BRIDGE_X="y")
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    alarm = 'mapping "press-alarm"'
    assert lines[2:] == [
        f'config/mappings/plant.yaml:6:7: unknown-key: {alarm}: unknown key "templte"; did you mean "template"?',
        f'config/mappings/plant.yaml:8:25: unknown-capture: {alarm}: "device": {NO_CAPTURE}',
        'environment ARGO_BRIDGE_LOG_LEVEL: bad-value: log: "level" must be debug, info, warning or error, not "loud"',
        "environment ARGO_BRIDGE_X: warning: unknown-variable: ignored; no key has this name",
        "config refused: 5 errors, 1 warning",
    ]
    assert [line.split(": ")[1] for line in lines[:2]] == ["bad-value", "unknown-key"]
    assert all(line.startswith("config/bridge.yaml:") for line in lines[:2])


def test_warnings_leave_the_exit_code_at_0(folder):
    """They are told and counted."""
    result = check(folder, "--config", "config/bridge.yaml", ARGO_BRIDGE_SPOL_MAX_ROWS="5")
    assert result.returncode == 0
    assert result.stdout.endswith("config OK: 3 mappings, 1 connection, 2 warnings\n")


def test_a_file_that_is_not_there_is_a_problem(folder):
    """Exit code 1, one line, no traceback."""
    result = check(folder, "--config", "nope.yaml")
    assert (result.returncode, result.stderr) == (1, "")
    told = "nope.yaml: unreadable-file: cannot read the file: No such file or directory\nconfig refused: 1 error\n"
    assert result.stdout == told


@pytest.mark.parametrize("arguments", [(), ("--config",), ("--config", "config/bridge.yaml", "--lively"), ("more",)])
def test_wrong_usage_is_exit_code_2(folder, arguments):
    """With the usage on standard error."""
    result = check(folder, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: argo-bridge" in result.stderr


def test_nothing_is_written_or_made(folder):
    """Not even the data folder."""
    before = sorted(folder.rglob("*"))
    result = check(folder, "--config", "config/bridge.yaml", ARGO_BRIDGE_BRIDGE_DATA_DIR="data")
    assert result.returncode == 0
    assert sorted(folder.rglob("*")) == before
