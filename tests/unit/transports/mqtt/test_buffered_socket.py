"""Writes are joined and survive a socket that takes little; paho sees only what it was offered."""

from __future__ import annotations

import socket
import ssl

import pytest

from bridge.transports.mqtt.buffered_socket import BufferedSocket


class ScriptedSocket:
    """Takes as many bytes a send as scripted, and raises what is scripted."""

    def __init__(self, *script: int | Exception) -> None:
        self.script = list(script)
        self.sent = b""
        self.sends = 0
        self.incoming: list[bytes | Exception] = []

    def send(self, data: bytes) -> int:
        self.sends += 1
        step = self.script.pop(0) if self.script else len(data)
        if isinstance(step, Exception):
            raise step
        self.sent += bytes(data[:step])
        return min(step, len(data))

    def recv(self, size: int) -> bytes:
        step = self.incoming.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.script = []


def test_writes_are_joined_into_one_send() -> None:
    """Many small packets cost one system call."""
    inner = ScriptedSocket()
    sock = BufferedSocket(inner)
    assert sock.send(b"one") == 3
    sock.write(b"two")
    assert sock.wants_write
    assert sock.flush()
    assert (inner.sent, inner.sends) == (b"onetwo", 1)
    assert not sock.wants_write
    assert not sock.flush()


@pytest.mark.parametrize("full", [BlockingIOError(), ssl.SSLWantWriteError(), ssl.SSLWantReadError(), 0])
def test_a_full_socket_keeps_the_rest_in_order(full: Exception | int) -> None:
    """What the network does not take now leaves later, byte for byte."""
    inner = ScriptedSocket(2, full)
    sock = BufferedSocket(inner)
    sock.write(b"abcdef")
    assert sock.flush()
    assert (inner.sent, sock.sent_bytes, sock.wants_write) == (b"ab", 2, True)
    sock.write(b"gh")
    assert sock.flush()
    assert (inner.sent, sock.sent_bytes, sock.written_bytes) == (b"abcdefgh", 8, 8)


def test_paho_reads_only_what_was_offered() -> None:
    """Its reads never touch the network; past the packet there is nothing."""
    sock = BufferedSocket(ScriptedSocket())
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    sock.offer(b"\x90\x03abc")
    assert [sock.recv(1), sock.recv(1), sock.recv(2), sock.recv(9)] == [b"\x90", b"\x03", b"ab", b"c"]
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_read_tells_nothing_now_from_the_end() -> None:
    """None = nothing yet (TLS may want more first), b"" = the end."""
    inner = ScriptedSocket()
    inner.incoming = [b"data", BlockingIOError(), ssl.SSLWantReadError(), b""]
    sock = BufferedSocket(inner)
    assert [sock.read() for _ in range(4)] == [b"data", None, None, b""]
    assert sock.pending() == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can acknowledge at once")
def test_what_was_read_is_acknowledged_at_once() -> None:
    """A broker without TCP_NODELAY sends the next small packet only then; the system would wait 40 ms."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        with theirs:
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            sock = BufferedSocket(ours, ours)
            theirs.sendall(b"packet")
            assert sock.read() == b"packet"
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
