"""A server of bare sockets that breaks HTTP in whatever way a test says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from bridge.argo.options import ArgoOptions
from tests.support.argo_options import argo_at

Handler = Callable[[socket.socket, bytes], None]
JSON_200 = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class BareServer:
    """Accepts connections and lets `handler` treat each request; counts both."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None, *, reads: bool = True) -> None:
        self._handler = handler
        self._context = context
        self._reads = reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._context is not None:
                connection = stack.enter_context(self._handshake(connection))
            if not self._reads:
                self._handler(connection, b"")
                return
            while request := read_request(connection):
                self.requests.append(request)
                self._handler(connection, request)

    def _handshake(self, connection: socket.socket) -> socket.socket:
        assert self._context is not None
        with connection.dup() as spare:
            try:
                return self._context.wrap_socket(connection, server_side=True)
            except OSError:
                # Closing with bytes unread would send a reset, which can overtake the alert that tells why.
                spare.settimeout(2.0)
                while spare.recv(65536):
                    pass
                raise

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


def read_request(connection: socket.socket) -> bytes:
    """One request with its body, b"" at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            return b""
        body += piece
    return head + b"\r\n\r\n" + body


def hold(connection: socket.socket, seconds: float) -> None:
    """Stay silent for so long, or until either side closes."""
    connection.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        connection.recv(1)
    connection.settimeout(None)


def hang(connection: socket.socket, _request: bytes) -> None:
    hold(connection, 10.0)


def reply(raw: bytes, *, close: bool = False) -> Handler:
    def handle(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(raw)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return handle


def trickle(start: bytes) -> Handler:
    """Answers a byte at a time, for ever."""

    def handle(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(b"x")
            hold(connection, 0.02)

    return handle


def plain(status: str, body: bytes, *headers: str) -> Handler:
    lines = "".join(f"{header}\r\n" for header in headers)
    return reply(f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def at(server: BareServer, **keys: object) -> ArgoOptions:
    return argo_at(f"http://127.0.0.1:{server.port}", **keys)  # type: ignore[arg-type]  # a test's own keys
