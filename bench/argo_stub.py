"""An Argo Server that answers at once: every create is accepted, lists are empty, watches stay silent.

A process of its own, so that its work is not counted as the bridge's: ``python -m bench.argo_stub`` prints its port and
serves until its standard input is closed. ``GET /bench/figures`` tells how many creates came, and when.
"""

from __future__ import annotations

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
_FILLER = "x" * 1800  # a real answer to such a create is about 2 KB


@dataclass(frozen=True, slots=True)
class Figures:
    """What the stub saw: creates accepted, and the monotonic seconds of the first and the last."""

    creates: int
    first_s: float
    last_s: float

    @property
    def per_s(self) -> float:
        """Creates a second between the first and the last."""
        return (self.creates - 1) / (self.last_s - self.first_s) if self.creates > 1 else 0.0


class _Connection(asyncio.Protocol):
    figures: ClassVar[dict[str, Any]] = {"creates": 0, "first_s": 0.0, "last_s": 0.0}

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

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
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        elif path == "/api/v1/version":
            self._send({"version": "v4.1.2"})
        elif path == "/bench/figures":
            self._send(self.figures)
        else:
            self._send({"metadata": {"resourceVersion": "1"}, "items": None})

    def _created(self, metadata: dict[str, Any]) -> dict[str, Any]:
        figures = self.figures
        figures["last_s"] = time.monotonic()
        figures["first_s"] = figures["first_s"] or figures["last_s"]
        figures["creates"] += 1
        return {"metadata": metadata | {"uid": f"uid-{figures['creates']}"}, "spec": {"x": _FILLER}}

    def _send(self, document: dict[str, Any]) -> None:
        body = orjson.dumps(document)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


class ArgoStub:
    """The stub's process, for as long as a ``with`` block."""

    def __enter__(self) -> Self:
        """Start it."""
        command = [sys.executable, "-m", "bench.argo_stub"]
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


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
