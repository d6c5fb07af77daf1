"""Listens on the control socket of a running bridge and answers questions one at a time.

Only the bridge's own user and root can connect: the socket has mode 0600 before it listens. Input is still not trusted:
lines, responses, connections and their idle time are limited, and a bad line gets an error and ends its connection.

Limits: does not know what a question means; its handler does.

Thread: ``control``.
"""

from __future__ import annotations

import selectors
import socket
from dataclasses import dataclass, field
from pathlib import Path

from bridge.control.protocol import (
    MAX_QUESTION_BYTES,
    Ask,
    error_line,
    read_question,
    result_line,
    socket_address,
)
from bridge.core.clock import Clock
from bridge.core.errors import BridgeError, PermanentError
from bridge.core.log import fields, logger
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker

_log = logger(__name__)

MAX_CONNECTIONS = 16
IDLE_S = 30.0
LOOK_S = 5.0


@dataclass(slots=True)
class _Peer:
    socket: socket.socket
    heard_s: float
    received: bytearray = field(default_factory=bytearray)
    answer: memoryview = field(default_factory=lambda: memoryview(b""))
    is_ending: bool = False


class ControlServer(Worker):
    """The thread that answers; the lock of the data directory, in which it creates its socket, must be held."""

    def __init__(self, path: Path, ask: Ask, reports: ErrorReports, clock: Clock) -> None:
        super().__init__("control")
        self._path = path
        self._ask = ask
        self._reports = reports
        self._clock = clock
        self._peers: dict[socket.socket, _Peer] = {}
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Create the socket and start the thread. Without a socket the bridge still runs, and logs it."""
        try:
            self._listener = self._listen()
        except OSError as error:
            keys = fields(action="control", code="no-control-socket")
            _log.error("commands cannot reach this bridge: cannot listen on %s: %s", self._path, error, extra=keys)
            return
        self._wake_out, self._wake_in = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        super().start()

    def _listen(self) -> socket.socket:
        # An existing socket was left by a killed bridge: the lock guarantees that no other bridge runs.
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            with socket_address(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o600)  # before it listens, so that the umask lets nobody in
            listener.listen(MAX_CONNECTIONS)
        except OSError:
            listener.close()
            raise
        return listener

    @property
    def thread_names(self) -> list[str]:
        """The thread, if there is a socket for it."""
        return [] if self._listener is None else super().thread_names

    def _interrupt(self) -> None:
        if self._listener is not None:
            self._wake_in.close()  # which makes the other end readable

    def run(self) -> None:
        """Run on the thread."""
        try:
            while self._step():
                pass
        finally:
            for peer in list(self._peers.values()):
                self._drop(peer)
            if self._listener is not None:
                self._listener.close()
            self._path.unlink(missing_ok=True)
            self._selector.close()
            self._wake_out.close()

    def _step(self) -> bool:
        for key, _ in self._selector.select(LOOK_S):
            if key.fileobj is self._wake_out:
                return False
            if key.fileobj is self._listener:
                self._accept(self._listener)
            else:
                peer = self._peers[key.fileobj]  # type: ignore[index]  # only sockets are registered
                self._serve(peer)
        now_s = self._clock.monotonic_s()
        for peer in [peer for peer in self._peers.values() if now_s - peer.heard_s > IDLE_S]:
            self._drop(peer)
        return True

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # it is gone, or too many files are open; the next connection is tried again
        if len(self._peers) >= MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._peers[connection] = _Peer(connection, self._clock.monotonic_s())
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, peer: _Peer) -> None:
        self._selector.unregister(peer.socket)
        del self._peers[peer.socket]
        peer.socket.close()

    def _serve(self, peer: _Peer) -> None:
        peer.heard_s = self._clock.monotonic_s()
        try:
            if not peer.answer and not self._read_questions(peer):
                self._drop(peer)
                return
            if peer.answer:
                peer.answer = peer.answer[peer.socket.send(peer.answer) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(peer)
            return
        if not peer.answer and peer.is_ending:
            self._drop(peer)
            return
        # One question at a time: while a peer does not read its response, nothing is read from it.
        interest = selectors.EVENT_WRITE if peer.answer or b"\n" in peer.received else selectors.EVENT_READ
        self._selector.modify(peer.socket, interest)

    def _read_questions(self, peer: _Peer) -> bool:
        """Read the next question of `peer`; False if it is gone."""
        if b"\n" not in peer.received:
            part = peer.socket.recv(MAX_QUESTION_BYTES)
            if not part:
                return False
            peer.received += part
        line, newline, rest = peer.received.partition(b"\n")
        if newline:
            peer.received = rest
            self._answer(peer, bytes(line))
        elif len(line) > MAX_QUESTION_BYTES:
            text = f"a question may have at most {MAX_QUESTION_BYTES} bytes"
            self._refuse(peer, PermanentError(text, code="bad-question"))
        return True

    def _answer(self, peer: _Peer, line: bytes) -> None:
        try:
            question = read_question(line)
        except PermanentError as error:
            self._refuse(peer, error)
            return
        try:
            peer.answer = memoryview(result_line(self._ask(question)))
        except BridgeError as error:
            peer.answer = memoryview(error_line(error))
        except Exception as error:  # noqa: BLE001 - one question's surprise must not end the thread
            path = self._reports.unexpected("control", error)
            text = f"unexpected error in the bridge; a report was written: {path}"
            peer.answer = memoryview(error_line(BridgeError(text, code="internal-error")))

    def _refuse(self, peer: _Peer, error: BridgeError) -> None:
        peer.received.clear()
        peer.answer = memoryview(error_line(error))
        peer.is_ending = True
