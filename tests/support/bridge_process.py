"""Runs `argo-bridge run` as a process of its own, to be killed at any point. For tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.bridge_files import BridgeFiles
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 20.0


def clean_environment() -> dict[str, str]:
    """The environment without what would configure a bridge."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARGO_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


class BridgeProcess:
    """One bridge that is started, killed and started again.

    files: its configuration, written already; `web_port` must be set.
    program: what Python runs, up to the verb; `bridge_child` builds faults in.
    slowest_s: the longest time from a start to readiness, seconds.
    """

    def __init__(self, files: BridgeFiles) -> None:
        self.files = files
        self.program: tuple[str, ...] = ("-m", "bridge")
        self.slowest_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Where its standard error goes, of all its lives."""
        return self.files.folder / "bridge.log"

    @property
    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended by itself; one that has is forgotten."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return self._process is not None

    @property
    def peak_kib(self) -> int:
        """The most memory that the process that runs has taken so far, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))

    @property
    def cpu_s(self) -> float:
        """The CPU time that the process that runs has used so far, seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)

    def start(self) -> BridgeProcess:
        """Start it; returns at once."""
        assert self._process is None
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.program, "run", "--config", str(self.files.config)],
                cwd=self.files.folder,
                env=clean_environment(),
                stdout=log,
                stderr=log,
            )
        return self

    def start_ready(self) -> BridgeProcess:
        """Start it, and return once it takes messages."""
        started_s = time.monotonic()
        self.start()
        self.await_ready(READY_WITHIN_S)
        self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)
        return self

    def await_ready(self, within_s: float) -> None:
        """Return once it takes messages; fail with its log if it ends or needs longer."""
        try:
            wait_until(lambda: self._look()[0] == 200, "ready", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._look()}\n{self.log[-4000:]}") from None

    def _look(self) -> tuple[int, Any]:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the bridge ended with {self._process.returncode}\n{self.log[-4000:]}")
        return self.get("/readyz")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and body of one of its pages; (0, the reason) while it does not listen. JSON comes decoded."""
        url = f"http://127.0.0.1:{self.files.web_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())
        except OSError as error:
            return 0, str(error)

    def figure(self, name: str) -> float:
        """The sum of a figure of /metrics over its labels, by its name without prefix."""
        _, text = self.get("/metrics")
        lines = (line for line in str(text).splitlines() if line.startswith(f"argo_bridge_{name}"))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        process = self._take()
        process.kill()
        process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, within_s: float = 20.0) -> int:
        """Return its exit code once it ended."""
        assert self._process is not None
        code = self._process.wait(scaled(within_s))
        self._process = None
        return code

    def ends_within(self, seconds: float) -> int | None:
        """Return its exit code if it ends by itself in this time, else None."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return self.wait()

    def terminate(self) -> int:
        """SIGTERM; returns its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def _take(self) -> subprocess.Popen[bytes]:
        process, self._process = self._process, None
        assert process is not None
        return process

    def close(self) -> None:
        """Kill it if it runs."""
        if self._process is not None:
            self.kill()

    def __enter__(self) -> BridgeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
