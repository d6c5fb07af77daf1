"""`argo-bridge check --live` against a simulated Argo Server: what it finds out, and that it changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.simulator import RELEASES, Identity, Simulator, SimulatorOptions
from tests.acceptance.test_check import ROOT, check
from tests.support.certificates import Authority

NAMESPACE = "factory"
RIGHTS = ("create", "get", "list", "watch")
TEMPLATE = {"metadata": {"name": "inspect-boiler"}, "spec": {"templates": [{"name": "main", "suspend": {}}]}}


@pytest.fixture
def start() -> Iterator[Callable[..., Simulator]]:
    started: list[Simulator] = []

    def begin(**keys: object) -> Simulator:
        started.append(Simulator(SimulatorOptions(namespaces=frozenset({NAMESPACE}), **keys)))  # type: ignore[arg-type]  # a test's own keys
        started[-1].start()
        return started[-1]

    yield begin
    for simulator in started:
        simulator.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration whose one mapping runs a stored template."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for unwanted in ("vibration.yaml", "door.yaml"):
        (tmp_path / "config/mappings" / unwanted).unlink()
    return tmp_path


def live(folder: Path, url: str, **environ: str) -> tuple[int, list[str]]:
    """Exit code and lines, without those of the check that connects to nothing."""
    result = check(folder, "--config", "config/bridge.yaml", "--live", ARGO_BRIDGE_ARGO_URL=url, **environ)
    assert result.stderr == ""
    _, told, lines = result.stdout.partition("config OK: ")
    assert told, result.stdout
    return result.returncode, lines.splitlines()[1:]


@pytest.mark.parametrize("release", RELEASES)
def test_a_server_that_is_as_it_must_be(folder, start, release):
    """Version, rights and templates are there in every release; nothing was created."""
    simulator = start(argo_version=release)
    simulator.put_template(NAMESPACE, TEMPLATE)
    code, lines = live(folder, simulator.url)
    place = simulator.url.removeprefix("http://")
    assert code == 0
    assert lines == [
        f"Argo Server {place}: version v{release}; workflows are checked as Argo {release}",
        "namespace factory: the bridge may create, get, list, watch workflows",
        'mapping "boiler-overheat": WorkflowTemplate inspect-boiler in namespace factory exists',
    ]
    assert simulator.created == []


def test_a_missing_template_is_a_problem_where_the_mapping_names_it(folder, start):
    """Exit code 1, with file, line and column of the name."""
    code, lines = live(folder, start().url)
    assert code == 1
    place, _, text = lines[-1].partition(": template-not-found: ")
    file, line, column = place.split(":")
    named = (folder / file).read_text().splitlines()[int(line) - 1][int(column) - 1 :]
    assert named.startswith("inspect-boiler")
    assert "create the template or correct its name" in text


@pytest.mark.parametrize("missing", RIGHTS)
def test_each_missing_right_is_named(folder, start, missing):
    """The others are reported as permitted."""
    rights = {NAMESPACE: frozenset(RIGHTS) - {missing}}
    simulator = start(token="of an admin", identities=(Identity("mine", rights=rights),))
    token = folder / "token"
    token.write_text("mine")
    code, lines = live(folder, simulator.url, ARGO_BRIDGE_ARGO_TOKEN_FILE=str(token))
    assert code == 1
    assert f"config/bridge.yaml: not-permitted: {missing} workflows in namespace factory: " in lines[1]
    assert lines[1].endswith("grant the bridge's service account this right")
    assert f"may {', '.join(verb for verb in RIGHTS if verb != missing)} workflows" in lines[2]


def test_a_token_that_the_cluster_refuses_is_told_once(folder, start):
    """The version answers for any token, so the rights find it out."""
    token = folder / "token"
    token.write_text("expired")
    code, lines = live(folder, start(token="good").url, ARGO_BRIDGE_ARGO_TOKEN_FILE=str(token))
    assert code == 1
    assert [line.split(": ")[1] for line in lines[1:]] == ["not-authenticated"]


@pytest.mark.parametrize(
    ("url", "code"), [("http://127.0.0.1:1", "unreachable"), ("https://localhost:1", "unreachable")]
)
def test_a_server_that_is_away_is_one_problem(folder, url, code):
    """With the cause, and what to look at."""
    exit_code, lines = live(folder, url)
    assert (exit_code, len(lines)) == (1, 1)
    assert f": {code}: " in lines[0]
    assert "Connection refused; check that the Argo Server is running and argo.url is right" in lines[0]


def test_tls_is_verified_as_the_bridge_does(folder, start, authority: Authority):
    """an unknown authority is refused, a named one trusted, and `insecure` accepts any."""
    own = authority.issue("argo")
    url = start(certfile=str(own.certificate), keyfile=str(own.key)).url
    for environ, accepted in (
        ({}, False),
        ({"ARGO_BRIDGE_ARGO_TLS_CA": str(authority.ca)}, True),
        ({"ARGO_BRIDGE_ARGO_TLS_INSECURE": "true"}, True),
    ):
        _, lines = live(folder, url, **environ)
        assert lines[0].startswith("Argo Server ") == accepted, lines
        assert accepted or ": tls-failed: " in lines[0], lines


def test_another_kind_of_server_is_told(folder, start):
    """A web page with 200 is no Argo Server; the message says what to check."""
    code, lines = live(folder, start().url + "/wrong-base")
    assert (code, len(lines)) == (1, 1)
    assert ": not-argo: " in lines[0]
    assert "check argo.url" in lines[0]
