"""The command starts fast: a verb imports what it works with, and nothing of the other verbs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.cli.catalogue import VERBS
from bridge.cli.main import build_parser, main

WHOLE_BRIDGE = (
    "bridge.service.composition",
    "bridge.pipeline",
    "bridge.status.service",
    "bridge.spool.store",
    "bridge.argo.client",
    "bridge.argo.exchanges",
    "bridge.simulator",
)
CLIENTS = ("cel_expr_python", "jsonschema", "jsonschema_rs", "pycurl", "requests", "pika", "sqlite3")
BROKER_AND_FILES = ("bridge.transports", "bridge.settings", "paho", "rich", "yaml", "prometheus_client")


def imported_for(asked: str) -> set[str]:
    """All modules that a process has which builds the parser with the options of one verb."""
    code = f"import sys, bridge.cli.main as main; main.build_parser({asked!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_list_of_commands_imports_nothing_that_works() -> None:
    """`--help`, `--version` and a verb that there is not need no client, no schema and no part of a bridge."""
    assert imported_for("") & {*WHOLE_BRIDGE, *CLIENTS, *BROKER_AND_FILES} == set()


@pytest.mark.parametrize("asked", ["send", "stop", "list", "watch"])
def test_a_verb_that_asks_the_broker_imports_no_bridge(asked: str) -> None:
    """Nothing of what runs, stores, checks or submits; what visits a broker is there."""
    imported = imported_for(asked)
    assert "bridge.transports" in imported
    assert imported & {*WHOLE_BRIDGE, *CLIENTS} == set()


def test_the_list_of_commands_is_the_same_whichever_is_asked_for() -> None:
    """A verb without its options still has its line, word for word."""
    whole = build_parser().format_help()
    for verb in VERBS:
        assert build_parser(verb.name).format_help() == whole
    lines = {line.strip().split(maxsplit=1)[0] for line in whole.splitlines() if line.startswith("    ")}
    assert {verb.name for verb in VERBS} <= lines


def test_the_verb_is_the_first_word_that_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Options of the verb are known, those of another are not."""
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    assert "--for DURATION" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version", "watch"])
    assert capsys.readouterr().out.startswith("argo-bridge ")
    with pytest.raises(SystemExit, match="2"):
        main(["wach"])
    assert "'wach'" in capsys.readouterr().err
