"""Sits between paho and the network: reads in large chunks, joins writes, and shows paho only some packets.

paho reads a few bytes per system call and writes each acknowledgement separately. With this object the transport reads
ahead, handles PUBLISH packets itself, and writes once per turn. Runs on the transport's thread alone.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # paho defines it for type checkers only

READ_BYTES = 256 * 1024
WRITE_BYTES = 256 * 1024
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BufferedSocket:
    """A socket for paho; `read`, `offer`, `write` and `flush` are for the transport.

    Attributes:
        written_bytes: total bytes accepted for sending.
        sent_bytes: of those, bytes passed to the system; a message whose last byte is among them is "written".
    """

    def __init__(self, inner: SocketLike, network: socket.socket | None = None) -> None:
        """Wrap `inner`: a socket, an SSL socket, or paho's WebSocket over either; `network` is its TCP socket."""
        self._inner = inner
        self._network = network if _QUICKACK is not None else None
        self._offered = b""
        self._offered_position = 0
        self._out = bytearray()
        self.written_bytes = 0
        self.sent_bytes = 0

    # What paho calls.

    def recv(self, buffer_size: int) -> bytes:
        """Return the next bytes of the offered packet to paho; never touches the network."""
        start = self._offered_position
        if start >= len(self._offered):
            raise BlockingIOError
        self._offered_position = min(start + buffer_size, len(self._offered))
        return self._offered[start : self._offered_position]

    def send(self, buffer: bytes | bytearray) -> int:
        """Accept all of `buffer`: paho never has half a packet left, so our own writes fall between packets."""
        self.write(buffer)
        return len(buffer)

    def pending(self) -> int:
        """Bytes that polling the descriptor does not show: decrypted by TLS but not read yet."""
        pending = getattr(self._inner, "pending", None)
        return int(pending()) if pending else 0

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._inner.fileno()

    def setblocking(self, flag: bool) -> None:
        """Pass on to the network's socket."""
        self._inner.setblocking(flag)

    def close(self) -> None:
        """Close; harmless when closed."""
        self._inner.close()

    # What the transport calls.

    def offer(self, packet: bytes) -> None:
        """Give paho one whole packet for its next read."""
        self._offered = packet
        self._offered_position = 0

    def read(self) -> bytes | None:
        """Return up to `READ_BYTES`, b"" at the end, None if nothing is there; OSError if the connection is gone."""
        try:
            data = self._inner.recv(READ_BYTES)
        except _WOULD_BLOCK:
            return None
        if self._network is not None and data:
            # Mosquitto does not set TCP_NODELAY by itself: it holds the next small packet until this one is
            # acknowledged, for which the system would take 40 ms. The option lasts until the system resets it.
            self._network.setsockopt(socket.IPPROTO_TCP, _QUICKACK or 0, 1)
        return data

    def write(self, data: bytes | bytearray) -> None:
        """Accept `data` for sending; `flush` sends it."""
        self._out += data
        self.written_bytes += len(data)

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait for the network."""
        return bool(self._out)

    def flush(self) -> bool:
        """Send what the network accepts now; True if any byte was sent; OSError if the connection is gone."""
        before = self.sent_bytes
        try:
            while self._out:
                # The WebSocket wrapper returns 0 until the frame made from its first argument is sent, and then that
                # argument's length: until then the same bytes must stay in front, and they do.
                with memoryview(self._out) as view, view[:WRITE_BYTES] as part:
                    sent = self._inner.send(part)  # type: ignore[arg-type]  # any buffer will do
                if not sent:
                    break
                del self._out[:sent]
                self.sent_bytes += sent
        except _WOULD_BLOCK:
            pass
        return self.sent_bytes > before
