"""The tutorial, step by step as a reader does it: its files, its commands, and what it says comes of them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.bridge_process import clean_environment
from tests.support.documents import ROOT, blocks, command_lines
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]
PAGE = ROOT / "docs" / "tutorial.md"
LINES = command_lines(PAGE)
BRIDGE, MAPPINGS = [block.text for block in blocks("yaml") if block.document == "docs/tutorial.md"]


def line(start: str, number: int = 0) -> str:
    """A command line of the page."""
    return [one for one in LINES if one.startswith(start)][number]


class Reader:
    """Somebody who follows the page, with ports of their own."""

    def __init__(self, home: Path, broker: Mosquitto) -> None:
        self.home = home
        self.broker = broker
        self.argo_port = free_port()

    def here(self, text: str) -> str:
        """What the page says, with this reader's ports."""
        return text.replace("localhost:1883", f"localhost:{self.broker.port}").replace(":2746", f":{self.argo_port}")

    def write(self, mappings: str = MAPPINGS) -> None:
        """The two files."""
        folder = self.home / "first"
        folder.mkdir(exist_ok=True)
        (folder / "bridge.yaml").write_text(self.here(BRIDGE))
        (folder / "mappings.yaml").write_text(mappings)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run one line to its end."""
        return subprocess.run(
            self._words(command),
            cwd=self.home,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    @contextmanager
    def running(self, command: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run one line in another terminal; Ctrl-C ends it."""
        words = [*self._words(command), *more]
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen(words, cwd=self.home, env=clean_environment(), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def simulator(self):
        """The simulated Argo Server, on this reader's port."""
        return self.running(line("argo-bridge simulate"), "--listen", f"127.0.0.1:{self.argo_port}")

    def bridge(self):
        """The bridge."""
        return self.running(line("argo-bridge run"))

    def names(self) -> list[str]:
        """The workflows that `list` shows."""
        return sorted(set(re.findall(r"\btank-low-\w+", self.run(line("argo-bridge list")).stdout)))

    @staticmethod
    def _words(command: str) -> list[str]:
        words = shlex.split(command)
        return [sys.executable, "-m", "bridge", *words[1:]] if words[0] == "argo-bridge" else words


@pytest.fixture
def reader(tmp_path: Path, mosquitto: Mosquitto) -> Reader:
    reader = Reader(tmp_path, mosquitto)
    reader.write()
    return reader


@pytest.mark.timeout(600)
def test_the_tutorial_does_what_it_says(reader: Reader):
    """From the check to the outage, in the order of the page."""
    warning, verdict = reader.run(line("argo-bridge check")).stdout.splitlines()
    assert "insecure" in warning
    assert f"`{verdict}`" in PAGE.read_text()
    reader.write(MAPPINGS.replace("entrypoint:", "entrypont:"))
    assert 'did you mean "entrypoint"' in reader.run(line("argo-bridge check")).stdout
    reader.write()

    with PlainClient(reader.broker.port) as panel, reader.simulator():
        panel.subscribe("tanks/7/workflow")
        with reader.bridge():
            assert reader.run(line("argo-bridge send")).returncode == 0
            followed = reader.run(line("argo-bridge send", 1))
            assert followed.returncode == 0, followed
            assert "Succeeded" in followed.stderr
            (first,) = reader.names()
            wait_until(lambda: any(b"Succeeded" in one for one in panel.payloads), "the tank's own topic shows it")

            reader.run(line("argo-bridge send", 2))
            wait_until(
                lambda: "invalid-payload" in reader.run(line("argo-bridge dead-letters")).stdout, "a dead letter"
            )

        reader.write(MAPPINGS.replace("    when:", f"    {line('event-id')}\n    when:"))
        with reader.bridge():
            twice = line("argo-bridge send", 3)
            assert reader.run(f"{twice} --wait").returncode == 0
            assert reader.run(twice).returncode == 0
            # Whatever the second one led to is decided before this one is.
            assert reader.run(line("argo-bridge send", 1).replace("12.5", '12.5, "seq": 2')).returncode == 0
            second_and_third = set(reader.names()) - {first}
            assert len(second_and_third) == 2

    with reader.bridge() as bridge:
        assert reader.run(line("argo-bridge send", 4)).returncode == 0
        bridge.kill()
    with reader.simulator(), reader.bridge():
        wait_until(lambda: len(reader.names()) == 1, "the workflow of tank 8 runs", 60)
