"""An Argo Server that answers at once: every create is accepted, and lists are empty.

Its watch stays silent, or with ``--running`` shows each created workflow as Running at once, or with ``--workflows N``
has N running workflows, each of which changes once a second.

A process of its own, so that its work is not counted as the bridge's: ``python -m bench.argo_stub`` prints its port and
serves until its standard input is closed. ``GET /bench/figures`` tells how many creates came, and when.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import orjson

ROOT = Path(__file__).resolve().parent.parent
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
SHOWN_AFTER_S = 0.02
_FILLER = "x" * 1800  # a real answer to such a create is about 2 KB


@dataclass(frozen=True, slots=True)
class Figures:
    """What the stub saw: creates accepted, the monotonic seconds of the first and the last, and of the last 1,000."""

    creates: int
    first_s: float
    last_s: float
    at_s: list[float]

    @property
    def per_s(self) -> float:
        """Creates a second between the first and the last."""
        return (self.creates - 1) / (self.last_s - self.first_s) if self.creates > 1 else 0.0


class _Connection(asyncio.Protocol):
    figures: ClassVar[dict[str, Any]] = {"creates": 0, "first_s": 0.0, "last_s": 0.0, "at_s": []}
    watches: ClassVar[set[asyncio.Transport]] = set()
    workflows: ClassVar[list[dict[str, Any]]] = []
    shows_running: ClassVar[bool] = False

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self.watches.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                if b"expect: 100-continue" in head.lower():
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
            self._answer(method, path.decode(), body)

    def _answer(self, method: bytes, path: str, body: bytes) -> None:
        if method == b"POST":
            self._send(self._created(orjson.loads(body)["workflow"]["metadata"]))
        elif path.startswith("/api/v1/workflow-events/"):
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            self.watches.add(self._transport)
        elif path == "/api/v1/version":
            self._send({"version": "v4.1.2"})
        elif path == "/bench/figures":
            self._send(self.figures)
        else:
            self._send({"metadata": {"resourceVersion": "1"}, "items": self.workflows or None})

    def _created(self, metadata: dict[str, Any]) -> dict[str, Any]:
        figures = self.figures
        figures["last_s"] = time.monotonic()
        figures["first_s"] = figures["first_s"] or figures["last_s"]
        figures["creates"] += 1
        figures["at_s"] = [*figures["at_s"][-999:], figures["last_s"]]
        metadata = metadata | {"uid": f"uid-{figures['creates']}"}
        if self.shows_running:
            asyncio.get_running_loop().call_later(SHOWN_AFTER_S, self.show, running(metadata, "0/1"))
        return {"metadata": metadata, "spec": {"x": _FILLER}}

    @classmethod
    def show(cls, workflow: dict[str, Any]) -> None:
        """Send a workflow to every watch, with the time in its message."""
        workflow["status"]["message"] = f"{time.monotonic():.6f}"
        frame = b"data: " + orjson.dumps({"result": {"type": "MODIFIED", "object": workflow}}) + b"\n\n"
        for transport in cls.watches:
            transport.write(frame)

    def _send(self, document: dict[str, Any]) -> None:
        body = orjson.dumps(document)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


def running(metadata: dict[str, Any], progress: str) -> dict[str, Any]:
    """Return a running workflow."""
    metadata = metadata | {"resourceVersion": str(time.monotonic_ns()), "creationTimestamp": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "progress": progress, "startedAt": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {}, "status": status}


def _metadata(number: int) -> dict[str, Any]:
    return {
        "name": f"running-{number}",
        "namespace": "factory",
        "uid": f"uid-of-{number}",
        "labels": {"argo-bridge/bridge": "bench"},
        "annotations": {
            "argo-bridge/mapping": "boiler-overheat",
            "argo-bridge/topic": "sensors/a/boiler/7",
        },
    }


class ArgoStub:
    """The stub's process, for as long as a ``with`` block; the arguments are those of the program."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __enter__(self) -> Self:
        """Start it."""
        command = [sys.executable, "-m", "bench.argo_stub", *self._arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.communicate(timeout=10)

    def figures(self) -> Figures:
        """Return what it saw so far."""
        with urllib.request.urlopen(f"{self.url}/bench/figures", timeout=10) as answer:
            return Figures(**orjson.loads(answer.read()))


async def _change(count: int) -> None:
    """Change each of `count` workflows once a second, a tenth at a time."""
    turn = 0
    while True:
        turn += 1
        for number in range(turn % 10, count, 10):
            workflow = running(_metadata(number), f"{turn // 10 % 100}/100")
            _Connection.workflows[number] = workflow
            _Connection.show(workflow)
        await asyncio.sleep(0.1)


async def _serve(arguments: argparse.Namespace) -> None:
    _Connection.shows_running = arguments.running
    _Connection.workflows.extend(running(_metadata(number), "0/100") for number in range(arguments.workflows))
    changes = asyncio.create_task(_change(arguments.workflows))
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    changes.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--running", action="store_true")
    parser.add_argument("--workflows", type=int, default=0)
    asyncio.run(_serve(parser.parse_args()))
