"""A server between the bridge and the simulated Argo Server that answers some requests as no Argo Server should."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

_CHUNK = 65536
_CONNECTION = re.compile(rb"\r\nConnection:[^\r]*", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)

Bytes = Callable[[bytes], Iterable[bytes]]
"""Makes an answer of a request's head, piece by piece; the connection is closed behind it."""


@dataclass
class Trap:
    """Answers `count` requests whose first line matches `pattern`; `hits` of them came so far."""

    pattern: re.Pattern[str]
    answer: Bytes
    count: int
    hits: int = 0


class ArgoFront:
    """Passes every request on, one connection each, but for those that a trap takes.

    Use as a context manager. `set_trap` and `clear` are for any thread.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._traps: list[Trap] = []
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="argo-front")

    @property
    def url(self) -> str:
        """Where the bridge finds it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def set_trap(self, pattern: str, answer: Bytes, count: int = 1) -> Trap:
        """Answer the next `count` requests whose first line (``POST /api/... HTTP/1.1``) matches."""
        trap = Trap(re.compile(pattern), answer, count)
        with self._lock:
            self._traps.append(trap)
        return trap

    def clear(self) -> None:
        """Take all traps away, and cut what is under way."""
        with self._lock:
            self._traps.clear()
        self.cut()

    def cut(self) -> None:
        """Cut every connection, so that watches begin anew."""
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="argo-front-request")
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with self._held(client), contextlib.suppress(OSError):
            request = _read_request(client)
            if not request:
                return
            trap = self._trap_for(request.split(b"\r\n", 1)[0].decode("latin-1"))
            if trap is None:
                self._pass_on(client, request)
                return
            for piece in trap.answer(request):
                client.sendall(piece)

    def _trap_for(self, line: str) -> Trap | None:
        with self._lock:
            for trap in self._traps:
                if trap.hits < trap.count and trap.pattern.search(line):
                    trap.hits += 1
                    return trap
        return None

    def _pass_on(self, client: socket.socket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        head = _CONNECTION.sub(b"", head) + b"\r\nConnection: close"
        server = socket.create_connection(("127.0.0.1", self._target_port), timeout=30)
        server.settimeout(None)
        with self._held(server):
            server.sendall(head + b"\r\n\r\n" + body)
            while piece := server.recv(_CHUNK):
                client.sendall(piece)

    @contextlib.contextmanager
    def _held(self, sock: socket.socket) -> Iterator[None]:
        with self._lock:
            self._sockets.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(sock)
            sock.close()

    def __enter__(self) -> ArgoFront:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.clear()
        for thread in self._threads:
            thread.join()


def _read_request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(_CHUNK)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    size = int(found[1]) if found else 0
    while len(body) < size:
        piece = client.recv(_CHUNK)
        if not piece:
            return b""
        body += piece
    return head + b"\r\n\r\n" + body


def authorization(request: bytes) -> bytes:
    """The value of a request's Authorization header, b"" without one."""
    found = re.search(rb"\r\nAuthorization: *([^\r]*)", request, re.IGNORECASE)
    return found[1] if found else b""


def http(body: bytes, status: str = "200 OK", content_type: str = "application/json", *headers: str) -> Bytes:
    """One whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    whole = "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body
    return lambda _request: [whole]


def pieces(*parts: bytes, times: int = 1, then: bytes = b"", status: str = "200 OK", length: int = -1) -> Bytes:
    """An answer of `parts` so often, and `then`; with a Content-Length of `length`, or until the connection ends."""

    def answer(_request: bytes) -> Iterator[bytes]:
        told = f"Content-Length: {length}\r\n" if length >= 0 else "Connection: close\r\n"
        yield f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{told}\r\n".encode()
        for _ in range(times):
            yield from parts
        yield then

    return answer
