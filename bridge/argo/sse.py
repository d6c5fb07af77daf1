"""Splits a watch's stream into frames: server-sent events, or lines of JSON. Pure, incremental, bounded.

Does not know what frames mean (`watch` does). Owner: the thread that reads the stream.
"""

from __future__ import annotations

MAX_FRAME_BYTES = 64 * 1024 * 1024


class FrameTooLargeError(Exception):
    """A frame exceeds the limit; the stream cannot be followed any further."""


class SseParser:
    """Takes bytes in any chunks and returns whole frames.

    Source: docs/design/argo-server.md, Watch (``data: JSON `` + blank lines; ``:`` as heartbeat; the error frame may be
    unterminated at the end) and the WHATWG rules for what proxies may do to it (CR, LF or CRLF, no space after the
    colon, several data lines, unused fields, a byte order mark).
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_frame_bytes
        self._pieces: list[bytes] = []  # the unfinished line
        self._pieces_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False
        self._is_first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the frames that `chunk` completes, each the data of one event.

        Raises:
            FrameTooLargeError: nothing more can be read from this stream.
        """
        if self._after_cr and chunk:
            # The LF of a CRLF that was split between two chunks is not another line end.
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._after_cr = True
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        frames: list[bytes] = []
        for rest in lines[:-1]:
            self._keep(rest)
            line = b"".join(self._pieces)
            self._pieces, self._pieces_size = [], 0
            self._line(line, frames)
        self._keep(lines[-1])
        return frames

    def close(self) -> list[bytes]:
        """Return a complete but unterminated frame at the stream's end: Argo's error frame in either framing."""
        frames: list[bytes] = []
        line = b"".join(self._pieces)
        self._pieces, self._pieces_size = [], 0
        if line:
            self._line(line, frames)
        self._line(b"", frames)
        return frames

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._pieces_size += len(piece)
        if self._pieces_size + self._data_size > self._max:
            raise FrameTooLargeError

    def _line(self, line: bytes, frames: list[bytes]) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                frames.append(b"\n".join(self._data).strip())
                self._data, self._data_size = [], 0
        elif line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            self._data.append(value)
            self._data_size += len(value) + 1
        elif line.startswith(b"{"):
            frames.append(line.strip())  # a server or proxy ignored our Accept: one JSON object per line
