"""The wheel, the image's recipe, compose.yaml and the systemd unit. No image is built here: that takes Docker."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from bridge import __version__
from bridge.configfile.nodes import ListNode, MapNode, Node, ScalarNode
from bridge.configfile.problems import Problems
from bridge.configfile.source import read_file
from tests.support.documents import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PART_OF = {"referencing": "jsonschema"}
"""Modules that come with a declared dependency, which has them in its own interface."""


def copied() -> list[str]:
    """What the Dockerfile copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source.rstrip("/") for line in lines for source in line.split()[:-1]]


def test_what_the_image_copies_is_there_and_let_in() -> None:
    """Each source of a COPY exists, and .dockerignore lets it, and nothing else, into the build."""
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(copied()) == sorted(allowed)
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_the_image_is_not_root_and_is_checked_and_stopped() -> None:
    """User, health check, stop signal and command; the health check's words are Python."""
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", DOCKERFILE, re.MULTILINE)
    check = json.loads(re.search(r"CMD (\[\"python.*\])", DOCKERFILE)[1])
    compile(check[2], "HEALTHCHECK", "exec")
    assert json.loads(re.search(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[1])[0] == "run"


def plain(node: Node) -> object:
    """A tree of YAML as plain data."""
    if isinstance(node, MapNode):
        return {entry.key: plain(entry.value) for entry in node.entries}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


@pytest.fixture
def services() -> dict:
    """The services of compose.yaml."""
    problems = Problems()
    root = read_file(ROOT / "compose.yaml", problems)
    assert problems.in_order() == []
    return plain(root)["services"]


def test_compose_mounts_what_is_there(services: dict) -> None:
    """Each file of the repository that a service mounts exists."""
    mounts = [mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])]
    assert [name for name in mounts if name.startswith("./") and not (ROOT / name).exists()] == []


def test_compose_gives_the_bridge_little(services: dict) -> None:
    """Read-only, no capabilities, no new privileges; nothing is published beyond this machine."""
    for name in ("bridge", "simulator"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_understood(tmp_path: Path) -> None:
    """systemd finds nothing to say about the unit, with the program put where there is one."""
    text = (ROOT / "deploy" / "systemd" / "argo-bridge.service").read_text(encoding="utf-8")
    unit = tmp_path / "argo-bridge.service"
    unit.write_text(text.replace("/opt/argo-bridge/bin/argo-bridge", "/bin/true"))
    verify = ["systemd-analyze", "verify", str(unit)]
    result = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in result.stderr.splitlines() if "argo-bridge.service" in line] == []


def imported() -> set[str]:
    """The modules of others that the product imports."""
    found = set()
    for path in (ROOT / "bridge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"bridge", "_typeshed"}


def test_what_is_imported_is_installed_with_it() -> None:
    """Whoever installs the wheel needs nothing else: each module belongs to a dependency that it declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split("[<>=!~ ;]", line, maxsplit=1)[0] for line in project["dependencies"]}
    owners = packages_distributions()
    names = {
        module: {name.replace("_", "-") for name in [PART_OF.get(module, ""), *owners.get(module, ())]}
        for module in imported()
    }
    assert {"pika", "paho", "yaml"} <= names.keys(), "the search is broken"
    assert {module: found for module, found in names.items() if not found & declared} == {}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel in it, not editable; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)], check=True)
    wheel = next(folder.glob("*.whl"))
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)], check=True)
    packages = next((environment / "lib").glob("python*/site-packages"))
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return environment / "bin"


def command(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command, somewhere else than in the repository."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("ARGO_")}
    line = [installed / "argo-bridge", *arguments]
    return subprocess.run(line, cwd=installed, env=environ, capture_output=True, text=True, timeout=60, check=False)


def files_below(folder: Path) -> set[Path]:
    """The paths of all files within a folder."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_gives_the_whole_command(installed: Path) -> None:
    """Version, check and schemas work from the wheel, with what it ships and nothing of the repository."""
    where = subprocess.run(
        [installed / "python", "-c", "import bridge; print(bridge.__file__)"],
        cwd=installed, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(installed.parent) in where
    assert command(installed, "--version").stdout == f"argo-bridge {__version__}\n"
    checked = command(installed, "check", "--config", str(ROOT / "config" / "bridge.yaml"))
    assert (checked.returncode, checked.stdout.splitlines()[-1][:35]) == (0, "config OK: 3 mappings, 1 connection")
    schemas = command(installed, "schemas", "list").stdout
    for path in (ROOT / "schemas" / "argo").glob("*.json"):
        assert path.stem in schemas
    shipped = next(installed.parent.glob("lib/python*/site-packages/bridge/_schemas"))
    assert files_below(shipped) == files_below(ROOT / "schemas")
