"""A TCP proxy that a test can cut or stall, as networks do. Byte for byte otherwise."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType


class TcpProxy:
    """Listens on a free port of 127.0.0.1 and passes everything on to one port.

    cut: resets every connection at once. stall: passes nothing on, and keeps the connections open (half-open).
    `cuts_on`: bytes of a client that end its connection in place of being passed on, as a broker does by its policy.
    """

    def __init__(self, target_port: int, cuts_on: tuple[bytes, ...] = ()) -> None:
        self._target_port = target_port
        self._cuts_on = cuts_on
        self._clients: set[socket.socket] = set()
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._stalled = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="tcp-proxy")
        self.connections = 0

    @property
    def port(self) -> int:
        """Where to connect."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Where to connect, for MQTT."""
        return f"mqtt://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection; new ones are let through."""
        with self._lock:
            for sock in list(self._peers):
                self._drop(sock)

    def stall(self) -> None:
        """Pass nothing on until `resume`; connections stay open, new ones are taken and not answered."""
        self._stalled = True

    def resume(self) -> None:
        """Pass on again, what came meanwhile first."""
        self._stalled = False
        self._wake_writer.send(b"\0")

    def _run(self) -> None:
        while not self._closed:
            with self._lock:
                readers = [] if self._stalled else list(self._peers)
            try:
                ready, _, _ = select.select([self._listener, self._wake_reader, *readers], [], [], 0.05)
            except (OSError, ValueError):
                continue  # cut while selecting
            for sock in ready:
                if sock is self._wake_reader:
                    sock.recv(64)
                elif sock is self._listener:
                    self._accept()
                elif not self._stalled:
                    self._pass_on(sock)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.connections += 1
            self._peers[client], self._peers[server] = server, client
            self._clients.add(client)

    def _pass_on(self, sock: socket.socket) -> None:
        with self._lock:
            peer = self._peers.get(sock)
            if peer is None:
                return
            try:
                data = sock.recv(65536)
                if sock in self._clients and any(each in data for each in self._cuts_on):
                    self.cuts += 1
                    data = b""
                peer.sendall(data)
            except OSError:
                data = b""
            if not data:
                self._close_pair(sock, peer)

    def _drop(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._peers.pop(sock, None)
        self._clients.discard(sock)
        sock.close()

    def _close_pair(self, sock: socket.socket, peer: socket.socket) -> None:
        for each in (sock, peer):
            self._peers.pop(each, None)
            self._clients.discard(each)
            each.close()

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._wake_writer.send(b"\0")
        self._thread.join()
        self.cut()
        for sock in (self._listener, self._wake_reader, self._wake_writer):
            sock.close()
