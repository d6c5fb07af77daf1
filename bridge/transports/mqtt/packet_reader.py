"""Splits a broker's byte stream into MQTT control packets. Pure: no socket, no clock; runs on the transport's thread.

It never interprets a packet; `publish_packet` parses PUBLISH, paho reads all others.
"""

from __future__ import annotations

from collections.abc import Iterator

PUBLISH = 0x30
MAX_PACKET_BYTES = 16 * 1024 * 1024  # our announced Maximum Packet Size (docs/design/brokers.md)


class ProtocolError(Exception):
    """The broker sent bytes that are not MQTT; the connection is closed, and a new one may work."""


class PacketReader:
    """Takes bytes in any chunks and returns whole packets.

    A PUBLISH larger than `limit` (possible with MQTT 3.1.1, which has no Maximum Packet Size) is returned truncated to
    `limit` bytes and the rest is skipped, so that memory stays limited and the receiver still sees that it is too
    large.
    """

    def __init__(self, limit: int = MAX_PACKET_BYTES) -> None:
        self._limit = limit
        self._data = b""
        self._position = 0
        self._chunks: list[bytes] = []
        self._chunk_bytes = 0
        self._needed = 2  # no packet is complete with fewer unread bytes
        self._skip = 0

    @property
    def unread_bytes(self) -> int:
        """Bytes received and not returned yet."""
        return len(self._data) - self._position + self._chunk_bytes

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the stream."""
        if self._skip:
            dropped = min(self._skip, len(chunk))
            self._skip -= dropped
            chunk = chunk[dropped:]
        if chunk:
            self._chunks.append(chunk)
            self._chunk_bytes += len(chunk)

    def packets(self) -> Iterator[bytes]:
        """Yield each complete packet; the caller may stop at any packet and continue later.

        Raises:
            ProtocolError: a remaining length of more than four bytes, or a packet over the limit that is not a PUBLISH.
        """
        while self.unread_bytes >= self._needed:
            data = self._join()
            packet, behind = self._cut(data, self._position)
            if packet is None:
                return
            self._position = behind
            self._needed = 2
            yield packet

    def _join(self) -> bytes:
        # Chunks are joined only if they may complete a packet: joining each one would copy a large packet many times.
        if self._chunks:
            self._data = b"".join([self._data[self._position :], *self._chunks])
            self._position = 0
            self._chunks.clear()
            self._chunk_bytes = 0
        return self._data

    def _cut(self, data: bytes, start: int) -> tuple[bytes | None, int]:
        available = len(data)
        length, shift, body = 0, 0, start + 1
        while True:
            if body >= available:
                self._needed = available - start + 1
                return None, start
            byte = data[body]
            body += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                # Source: MQTT 5.0 section 1.5.5: a variable byte integer has at most four bytes.
                raise ProtocolError("the remaining length has more than four bytes")
        end = body + length
        if end - start > self._limit:
            return self._cut_oversized(data, start, end)
        if end > available:
            self._needed = end - start
            return None, start
        return data[start:end], end

    def _cut_oversized(self, data: bytes, start: int, end: int) -> tuple[bytes | None, int]:
        if data[start] & 0xF0 != PUBLISH:
            raise ProtocolError(f"a packet of {end - start} bytes that is not a PUBLISH")
        kept = start + self._limit
        if kept > len(data):
            self._needed = self._limit
            return None, start
        behind = min(end, len(data))
        self._skip = end - behind
        return data[start:kept], behind
