"""A broker that runs as a process of its own, with a folder of its own: the life of it. For tests and benchmarks."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.machine import scaled

END_WITHIN_S = 60.0
_LOG_TAIL = 4000


class BrokerProcess(ABC):
    """A running broker; use it as a context manager, or call `start` and `close`.

    Args:
        name: begins the name of its folder, and says in errors what did not start.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._folder = tempfile.TemporaryDirectory(prefix=f"{name}-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return Path(self._folder.name)

    @property
    @abstractmethod
    def log(self) -> str:
        """All that it has logged."""

    @abstractmethod
    def start(self) -> Self:
        """Start it, and return once it takes connections."""

    def _await_port(self, process: subprocess.Popen[bytes], port: int, until_s: float) -> None:
        """Return once `port` takes connections; fail, with what was logged, if `process` ends or it is too late."""
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError as error:
                try:
                    why = f"it ended with code {process.wait(0.05)}"
                except subprocess.TimeoutExpired:
                    if time.monotonic() < until_s:
                        continue
                    why = f"not in time: {error}"
                text = f"{self._name} takes no connections on port {port}: {why}"
                raise RuntimeError(f"{text}\n{self.log[-_LOG_TAIL:]}") from error

    def kill(self) -> None:
        """SIGKILL: what it had not saved is lost."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait; harmless when it does not run."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start it again, on the same ports and with the same folder, stopping it first if it runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered, as on a half-open connection."""
        assert self._process is not None
        self._signal(self._process, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        assert self._process is not None
        self._signal(self._process, signal.SIGCONT)

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send one signal; harmless when it has ended."""
        process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._signal(process, number)
        self._signal(process, signal.SIGCONT)
        try:
            process.wait(scaled(END_WITHIN_S))
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
