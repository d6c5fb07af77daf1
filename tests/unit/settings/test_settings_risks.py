"""A careless operator is warned, before anybody makes use of it; nothing of this refuses a configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.configfile.problems import Problems
from bridge.settings.loading import load_settings
from bridge.settings.risks import is_remote, open_to_others

SAFE = "interface: {manifests: false, operations: [trigger, get]}\n"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that every user gets to, with secrets that none of them can read."""
    folder = tmp_path_factory.mktemp("risks")
    for one in (folder, *folder.parents[:-2]):
        one.chmod(0o755)
    for name in ("token", "password", "key", "cert"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o600)
    monkeypatch.chdir(folder)
    return folder


def warnings(
    mqtt: str = 'url: "mqtt://localhost"', argo: str = "http://localhost", more: str = SAFE, **env: str
) -> list[str]:
    """What is said of a configuration that is sound otherwise."""
    text = (
        f"bridge: {{id: a, data-dir: data}}\nconnections: {{plant: {{mqtt: {{{mqtt}}}}}}}\n"
        f"argo: {{url: {argo}, namespaces: [factory]}}\n{more}"
    )
    Path("bridge.yaml").write_text(text)
    problems = Problems()
    assert load_settings(Path("bridge.yaml"), {}, problems).settings is not None, problems.in_order()
    assert {problem.code for problem in problems.found} <= {"insecure"}
    return [problem.render() for problem in problems.in_order()]


def test_a_careful_configuration_has_no_warning(folder: Path) -> None:
    """Secrets of its own, TLS to other machines, and no more rights than needed."""
    login = "username: u, password-file: password"
    assert warnings() == []
    assert warnings(f'url: "mqtts://broker", {login}', "https://argo", "interface: {manifests: true}\n") == []
    assert warnings(f'url: "mqtt://127.0.0.1", {login}', "http://localhost, token-file: token", "") == []


@pytest.mark.parametrize(
    ("given", "where", "words"),
    [
        (
            {"mqtt": 'url: "mqtt://broker", username: u, password-file: password'},
            ":2:35",
            "the password is sent unencrypted over the network",
        ),
        ({"mqtt": 'url: "ws://broker", username: u, password-file: password'}, ":2:35", "use wss://"),
        ({"argo": "http://argo, token-file: token"}, ":3:13", "the token is sent unencrypted over the network"),
        ({"argo": "https://argo, tls: {insecure: true}"}, ":3:", "insecure"),
        ({"mqtt": 'url: "mqtts://localhost", tls: {insecure: true}'}, ":2:", "insecure"),
        ({"more": SAFE + "web: {listen: ':8080'}\n"}, ":5:15", "no password"),
        ({"more": SAFE + "web: {listen: '0.0.0.0:8080'}\n"}, ":5:15", "no password"),
        ({"more": SAFE + "web: {listen: '[::]:8080'}\n"}, ":5:15", "no password"),
        ({"more": ""}, ":2:", "can start any workflow and delete workflows"),
        ({"more": "interface: {manifests: false}\n"}, ":2:", "can delete workflows"),
        ({"more": "interface: {operations: [trigger]}\n"}, ":2:", "can start any workflow;"),
    ],
)
def test_what_is_open_is_told_with_its_place(folder: Path, given: dict[str, str], where: str, words: str) -> None:
    """One warning each."""
    (warning,) = warnings(**given)
    assert warning.startswith(f"bridge.yaml{where}")
    assert ": warning: insecure: " in warning
    assert words in warning


@pytest.mark.parametrize("wrong", ["interface: {manifests: flase}\n", SAFE + "web: {listen: nowhere}\n"])
def test_nothing_is_warned_of_that_cannot_be_read(folder: Path, wrong: str) -> None:
    """A section that is wrong is told as such, and not judged by what would stand in its place."""
    text = "bridge: {id: a, data-dir: data}\nconnections: {plant: {mqtt: {url: 'mqtt://localhost'}}}\n"
    Path("bridge.yaml").write_text(f"{text}argo: {{url: http://localhost, namespaces: [factory]}}\n{wrong}")
    problems = Problems()
    assert load_settings(Path("bridge.yaml"), {}, problems).settings is None
    assert [problem.code for problem in problems.found] == ["bad-value"]


def test_a_token_of_the_environment_counts_too(folder: Path) -> None:
    """ARGO_TOKEN goes where ARGO_SERVER says."""
    text = f'bridge: {{id: a, data-dir: d}}\nconnections: {{p: {{mqtt: {{url: "mqtt://localhost"}}}}}}\n{SAFE}'
    Path("bridge.yaml").write_text(text)
    problems = Problems()
    environ = {"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "false", "ARGO_TOKEN": "Bearer x", "ARGO_NAMESPACE": "n"}
    load_settings(Path("bridge.yaml"), environ, problems)
    assert any("the token is sent unencrypted over the network" in problem.message for problem in problems.found)


SECRETS = {
    "password": {"mqtt": 'url: "mqtt://localhost", username: u, password-file: password'},
    "key": {"mqtt": 'url: "mqtts://localhost", tls: {cert: cert, key: key}'},
    "token": {"argo": "http://localhost, token-file: token"},
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_others_can_read_is_told(folder: Path, name: str) -> None:
    """But not where its folder keeps them out."""
    assert warnings(**SECRETS[name]) == []
    (folder / name).chmod(0o644)
    (warning,) = warnings(**SECRETS[name])
    assert f"every user of this machine can read {name}; chmod o-r" in warning
    folder.chmod(0o750)
    assert warnings(**SECRETS[name]) == []


def test_what_others_can_write_is_told(folder: Path) -> None:
    """bridge.yaml, a mapping file, the folder of either, and the data directory."""
    (folder / "m").mkdir()
    (folder / "m" / "a.yaml").write_text("mappings: []\n")
    (folder / "data").mkdir()
    more = SAFE + "mappings: [m/*.yaml]\n"
    assert warnings(more=more) == []
    for path in ("bridge.yaml", "m/a.yaml", "m", "data"):
        before = (folder / path).stat().st_mode
        (folder / path).chmod(before | 0o002)
        (warning,) = warnings(more=more)
        assert "every user of this machine can" in warning
        assert "data-dir" in warning if path == "data" else warning.startswith(f"{path}: warning")
        (folder / path).chmod(before)


@pytest.mark.parametrize(
    ("url", "remote"),
    [("mqtt://localhost", False), ("mqtt://127.0.0.53:1", False), ("amqp://[::1]", False), ("http://10.0.0.1", True)],
)
def test_which_urls_leave_the_machine(url: str, remote: bool) -> None:
    """By their text alone: nothing is looked up."""
    assert is_remote(url) == remote


def test_what_cannot_be_looked_at_is_not_open(folder: Path) -> None:
    """A file that is not there."""
    assert not open_to_others(folder / "none", os.R_OK)
