"""Commands that ask a bridge which is still starting, as people do who type one right after the other."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator import Simulator, SimulatorOptions
from tests.support.bridge_files import CONNECTION, INSPECT, NAMESPACE, BridgeFiles
from tests.support.bridge_process import BridgeProcess, clean_environment
from tests.support.mosquitto import Mosquitto, MosquittoOptions, find_security_plugin, free_port
from tests.support.spine import mapping, submit

WAITING = "waiting for the bridge"
TRIGGER = ("send", "trigger", json.dumps(submit()), "--wait")
READING = ("send", "sensors/boiler/plain", '{"n": 7}', "--wait")
CODES = {TRIGGER: 0, READING: 0, ("list",): 0, ("suspend-cron", "nope"): 1, ("logs", "nope"): 1}


class Gateway:
    """A bridge that is not started yet, and the commands that ask it."""

    def __init__(self, files: BridgeFiles) -> None:
        self.files = files
        self.bridge = BridgeProcess(files)

    @contextmanager
    def command(self, verb: str, *arguments: str) -> Iterator[Command]:
        """One command, started."""
        with Command([sys.executable, "-m", "bridge", verb, "--config", str(self.files.config), *arguments]) as one:
            yield one


class Command:
    """One command while it runs; `notes` is its standard error so far."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), text=True
        )
        self.notes = ""

    def await_note(self, text: str) -> None:
        """Return once it said a line with `text`."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.notes += line
            if text in line:
                return
        raise AssertionError(f"{text!r} was not said: {self.notes}")

    def end(self) -> int:
        """Its exit code, once it has ended."""
        _, notes = self._process.communicate(timeout=100)
        self.notes += notes
        return self._process.returncode

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(params=["mqtt 5", "mqtt 3.1.1", "amqp"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """Its broker has never seen a bridge of this name; the Argo Server is simulated."""
    kind, _, version = request.param.partition(" ")
    url = request.getfixturevalue("mosquitto" if kind == "mqtt" else "rabbitmq").url
    name = f"gateway-{secrets.token_hex(4)}"
    broker: dict[str, Any] = {"url": url} | ({"version": version} if version else {"exchange": name})
    with Simulator(SimulatorOptions(namespaces=frozenset({NAMESPACE}), container_s=0.05)) as simulator:
        simulator.put_template(NAMESPACE, INSPECT)
        files = BridgeFiles(
            tmp_path,
            url,
            simulator.url,
            mappings=mapping("plain", "sensors/{device}/plain"),
            web_port=free_port(),
            connections=json.dumps({CONNECTION: {kind: broker}}),
            bridge_id=name,
        )
        files.write()
        gateway = Gateway(files)
        yield gateway
        if gateway.bridge.is_running:
            assert gateway.bridge.terminate() == 0


def run_all(gateway: Gateway) -> None:
    """Start every command, then the bridge; each command ends as it would have with a bridge that ran before."""
    with ExitStack() as started:
        commands = {verb: started.enter_context(gateway.command(*verb)) for verb in CODES}
        for one in commands.values():
            one.await_note(WAITING)
        gateway.bridge.start_ready()
        ended = {verb: one.end() for verb, one in commands.items()}
        assert ended == CODES, {verb: one.notes for verb, one in commands.items()}


@pytest.mark.timeout(240)
def test_every_command_waits_for_a_bridge_that_is_still_starting(gateway: Gateway) -> None:
    """At its first start, when the broker knows nothing of it, and at a later one; nothing that was sent is lost."""
    run_all(gateway)
    assert gateway.bridge.terminate() == 0
    run_all(gateway)


def test_a_bridge_that_stays_away_is_sent_nothing(gateway: Gateway) -> None:
    """Exit code 4, which says where the bridge was looked for; a request that nobody waits for must not run later."""
    gateway.bridge.start_ready()
    assert gateway.bridge.terminate() == 0
    with gateway.command("send", "trigger", json.dumps(submit(requestId="late")), "--timeout", "3s") as sent:
        assert sent.end() == 4
    assert "nothing was sent" in sent.notes
    assert gateway.files.bridge_id in sent.notes
    with gateway.command("stop", "w-1", "--timeout", "3s") as stopped:
        assert stopped.end() == 4
    assert "may still carry it out" not in stopped.notes
    gateway.bridge.start_ready()
    with gateway.command("list") as listed:
        assert listed.end() == 0
    assert gateway.bridge.figure("replies_total") == gateway.bridge.figure('replies_total{code="200"}') == 1


def test_what_was_started_by_nothing_is_looked_for_at_the_bridge_s_own_topic(gateway: Gateway) -> None:
    """The topic that is named can be subscribed to as it stands."""
    gateway.bridge.start_ready()
    with gateway.command("send", "sensors/boiler/plain", "no json", "--wait", "--timeout", "4s") as sent:
        assert sent.end() == 4
    assert f"argo/bridge/{gateway.files.bridge_id}/state" in sent.notes


@pytest.mark.skipif(find_security_plugin() is None, reason="this Mosquitto comes without its security plugin")
def test_who_may_not_hear_whether_the_bridge_is_there_may_ask_it(tmp_path: Path, start_mosquitto: Any) -> None:
    """Refused the topic, or kept from it without a word: after most of the time the request is sent all the same."""
    broker: Mosquitto = start_mosquitto(MosquittoOptions(filters=("argo/workflows/#", "sensors/#")))
    files = BridgeFiles(tmp_path, broker.url, "http://127.0.0.1:9")
    files.write()
    with Gateway(files).command("send", "trigger", "{}", "--timeout", "2s") as sent:
        assert sent.end() == 4
    assert "no reply in time" in sent.notes


def test_the_wait_is_told_to_no_terminal_but_once(gateway: Gateway) -> None:
    """One line, however long it takes."""
    with gateway.command("list", "--timeout", "4s") as listed:
        assert listed.end() == 4
    assert listed.notes.count(WAITING) == 1, listed.notes
