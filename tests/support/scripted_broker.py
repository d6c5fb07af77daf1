"""A broker that does exactly what a test tells it: raw sockets, one connection after the other.

The test accepts a connection, expects packets and sends packets, in the order it likes: acknowledgements lost, late or
in another order, packet ids used again, bytes that are not MQTT.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from types import TracebackType
from typing import NamedTuple

from tests.support.machine import scaled

WITHIN_S = 15.0
NAMES = {
    1: "CONNECT", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 8: "SUBSCRIBE",
    10: "UNSUBSCRIBE", 12: "PINGREQ", 14: "DISCONNECT",
}  # fmt: skip


class Packet(NamedTuple):
    """One control packet: its name, its first byte and what follows the remaining length."""

    name: str
    first: int
    body: bytes

    @property
    def packet_id(self) -> int:
        """Of an acknowledgement or a SUBSCRIBE."""
        return int.from_bytes(self.body[:2], "big")


def length_of(size: int) -> bytes:
    """`size` as a variable byte integer."""
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def packet(first: int, body: bytes) -> bytes:
    """A control packet."""
    return bytes([first]) + length_of(len(body)) + body


def text(value: str | bytes) -> bytes:
    """A UTF-8 string with its length before it."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def publish(
    topic: str | bytes, payload: bytes = b"x", packet_id: int = 0, *, first: int | None = None, properties: bytes = b""
) -> bytes:
    """A PUBLISH, QoS 1 if it has a packet id; `properties` with their length, for 5.0 (b"\\0" = none)."""
    if first is None:
        first = 0x32 if packet_id else 0x30
    identifier = struct.pack("!H", packet_id) if packet_id else b""
    return packet(first, text(topic) + identifier + properties + payload)


class ScriptedConnection:
    """One client's connection."""

    def __init__(self, sock: socket.socket, *, v5: bool) -> None:
        self._sock = sock
        self._v5 = v5
        self._buffer = b""
        sock.settimeout(scaled(WITHIN_S))

    def send(self, *packets: bytes) -> None:
        """Send bytes as they are."""
        self._sock.sendall(b"".join(packets))

    def receive(self) -> Packet | None:
        """The next packet; None at the end of the connection."""
        while True:
            found = self._cut()
            if found is not None:
                return found
            try:
                chunk = self._sock.recv(65536)
            except ConnectionError:
                return None
            if not chunk:
                return None
            self._buffer += chunk

    def _cut(self) -> Packet | None:
        size, shift = 0, 0
        for position, byte in enumerate(self._buffer[1:5], 1):
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                end = position + 1 + size
                if len(self._buffer) < end:
                    return None
                first, body = self._buffer[0], self._buffer[position + 1 : end]
                self._buffer = self._buffer[end:]
                return Packet(NAMES.get(first >> 4, str(first >> 4)), first, body)
        return None

    def expect(self, name: str, *, skip: tuple[str, ...] = ("PINGREQ",)) -> Packet:
        """The next packet, which must be `name`; those in `skip` may come before (PINGREQ is answered)."""
        while (found := self.receive()) is not None:
            if found.name == name:
                return found
            assert found.name in skip, f"expected {name}, got {found}"
            if found.name == "PINGREQ":
                self.send(b"\xd0\0")
        raise AssertionError(f"expected {name}, got the end of the connection")

    def accept(self, *, session_present: bool = False, code: int = 0, properties: bytes = b"\0") -> Packet:
        """Read CONNECT and answer it; returns the CONNECT."""
        connect = self.expect("CONNECT")
        self.send(packet(0x20, bytes([session_present, code]) + (properties if self._v5 else b"")))
        return connect

    def grant(self, *codes: int) -> Packet:
        """Read SUBSCRIBE and answer it with `codes` (QoS 1 for one filter by default); returns the SUBSCRIBE."""
        subscribe = self.expect("SUBSCRIBE")
        properties = b"\0" if self._v5 else b""
        self.send(packet(0x90, subscribe.body[:2] + properties + bytes(codes or (1,))))
        return subscribe

    def close(self, *, reset: bool = False) -> None:
        """End the connection."""
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._sock.close()


class ScriptedBroker:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, *, v5: bool = False) -> None:
        self._v5 = v5
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(scaled(WITHIN_S))
        self._connections: list[ScriptedConnection] = []

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def next_connection(self) -> ScriptedConnection:
        """Wait for the next client."""
        sock, _ = self._listener.accept()
        connection = ScriptedConnection(sock, v5=self._v5)
        self._connections.append(connection)
        return connection

    def __enter__(self) -> ScriptedBroker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.close()


def suback(packet_id: int, *codes: int) -> bytes:
    """A SUBACK of 3.1.1."""
    return packet(0x90, struct.pack("!H", packet_id) + bytes(codes))


def meet(broker: ScriptedBroker, *, session_present: bool = False) -> ScriptedConnection:
    """Accept the next connection and its subscription."""
    connection = broker.next_connection()
    connection.accept(session_present=session_present)
    connection.grant()
    return connection
