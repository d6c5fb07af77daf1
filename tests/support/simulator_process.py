"""Runs `argo-bridge simulate` as a process of its own, and talks to it over HTTP. For tests and benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from tests.support.accounting import account
from tests.support.bridge_files import NAMESPACE
from tests.support.bridge_process import clean_environment
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until


class SimulatorProcess:
    """A simulator that runs while the context is entered.

    url: of its API.
    """

    def __init__(self, *options: str, namespaces: str = NAMESPACE) -> None:
        self._options = options
        self._namespaces = namespaces
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, port: int = 0) -> SimulatorProcess:
        """Start it, and return once it listens."""
        command = [sys.executable, "-m", "bridge", "simulate", "--listen", f"127.0.0.1:{port}"]
        self._process = subprocess.Popen(
            [*command, "--namespaces", self._namespaces, *self._options],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.url = line.split()[-1]
        return self

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return the JSON of its answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def put_template(self, template: Mapping[str, Any], namespace: str = NAMESPACE) -> None:
        """Create a WorkflowTemplate."""
        self.call("POST", f"/api/v1/workflow-templates/{namespace}", {"template": template})

    def add_faults(self, *faults: Mapping[str, Any]) -> None:
        """Put faults in force."""
        self.call("POST", "/simulator/faults", list(faults))

    def clear_faults(self) -> int:
        """Take all faults away; returns how many requests met one."""
        hits = sum(fault["hits"] for fault in self.call("GET", "/simulator/faults"))
        self.call("DELETE", "/simulator/faults")
        return int(hits)

    @property
    def created(self) -> list[dict[str, Any]]:
        """Every create that was accepted."""
        created: list[dict[str, Any]] = self.call("GET", "/simulator/created")
        return created

    def await_all(self, wanted: Iterable[int], within_s: float) -> None:
        """Return once each of these events has a workflow.

        The whole list is asked for seldom: to tell it takes the server's time, which the bridge needs.
        """
        numbers = set(wanted)
        wait_until(
            lambda: self.stats["created"] >= len(numbers) and not account(numbers, self.created).lost,
            f"workflows of {len(numbers)} events",
            within_s,
            every_s=0.5,
        )

    @property
    def stats(self) -> dict[str, Any]:
        """Its counts."""
        stats: dict[str, Any] = self.call("GET", "/simulator/stats")
        return stats

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.wait(scaled(10))
        assert process.stdout is not None
        process.stdout.close()

    def __enter__(self) -> SimulatorProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
