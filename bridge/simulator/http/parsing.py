"""Parses HTTP/1.1 requests incrementally.

Supports heads, Content-Length and chunked bodies; it never touches a socket and never raises anything except
`MalformedRequestError`. One parser per connection. Source: RFC 9112.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

MAX_HEAD = 64 * 1024
MAX_BODY = 100 * 1024 * 1024
_TOKEN = re.compile(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
_MAX_CHUNK_LINE = 1024


class MalformedRequestError(Exception):
    """The bytes are not an HTTP request; the connection cannot be used further.

    Attributes:
        status: HTTP status to answer.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(slots=True)
class ParsedRequest:
    """One request.

    Attributes:
        method: As sent.
        raw_path: Path before decoding, without the query.
        query: Raw query string.
        headers: By lower-case name; the first value wins.
        body: Whole body; empty if it was too large.
        body_bytes: Size of the body that was sent.
        keep_alive: The client wants the connection to stay open.
    """

    method: str
    raw_path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    body_bytes: int = 0
    keep_alive: bool = True
    _params: dict[str, str] | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """Decoded path."""
        return unquote(self.raw_path)

    @property
    def params(self) -> dict[str, str]:
        """Query parameters; the first value of each wins."""
        if self._params is None:
            params: dict[str, str] = {}
            for key, value in parse_qsl(self.query, keep_blank_values=True):
                params.setdefault(key, value)
            self._params = params
        return self._params


class RequestParser:
    """Turns bytes into requests.

    Args:
        max_body: Largest body that is kept, in bytes; for a larger one only the size is reported.

    Attributes:
        wants_continue: The client waits for `100 Continue` before it sends the body; the owner clears it.
    """

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._request: ParsedRequest | None = None
        self._missing = 0
        self._chunked = False
        self._chunk_left: int | None = None
        self._in_trailers = False
        self._body = bytearray()
        self._body_bytes = 0
        self.wants_continue = False

    def feed(self, data: bytes) -> None:
        """Add bytes from the socket."""
        self._buffer += data

    @property
    def buffered(self) -> int:
        """Number of unparsed bytes."""
        return len(self._buffer)

    def next_request(self) -> ParsedRequest | None:
        """Return the next whole request, or None if more bytes are needed.

        Raises:
            MalformedRequestError: The bytes are not a request.
        """
        if self._request is None and not self._read_head():
            return None
        complete = self._read_chunks() if self._chunked else self._read_length()
        if not complete or self._request is None:
            return None
        request, self._request = self._request, None
        request.body_bytes = self._body_bytes
        request.body = bytes(self._body) if self._body_bytes <= self._max_body else b""
        self._body.clear()
        self._body_bytes = 0
        return request

    def _read_head(self) -> bool:
        while self._buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2: ignore empty lines before a request
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise MalformedRequestError(431, "Request Header Fields Too Large")
            return False
        if end > MAX_HEAD:
            raise MalformedRequestError(431, "Request Header Fields Too Large")
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, target, version = _request_line(lines[0])
        headers = _headers(lines[1:])
        path, _, query = target.partition("?")
        connection = headers.get("connection", "").lower()
        keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
        self._request = ParsedRequest(method, path, query, headers, keep_alive=keep_alive)
        self._plan_body(headers)
        return True

    def _plan_body(self, headers: dict[str, str]) -> None:
        encoding = headers.get("transfer-encoding")
        if encoding is not None and encoding.strip().lower() != "chunked":
            raise MalformedRequestError(501, "Unsupported transfer encoding")
        self._chunked = encoding is not None
        self._chunk_left = None
        length = headers.get("content-length", "0").strip()
        if not (length.isascii() and length.isdigit()) or len(length) > 15:
            raise MalformedRequestError(400, "Bad Request")
        self._missing = int(length)
        if headers.get("expect", "").lower() == "100-continue" and (self._chunked or self._missing):
            self.wants_continue = True

    def _take_body(self, count: int) -> int:
        """Move up to `count` bytes of the buffer into the body, or discard them if it is already too large."""
        count = min(count, len(self._buffer))
        self._body_bytes += count
        if self._body_bytes <= self._max_body:
            self._body += self._buffer[:count]
        else:
            self._body.clear()
        del self._buffer[:count]
        return count

    def _read_length(self) -> bool:
        if self._missing:
            self._missing -= self._take_body(self._missing)
        return self._missing == 0

    def _read_chunks(self) -> bool:
        while True:
            if self._chunk_left is None:
                line = self._read_line()
                if line is None:
                    return False
                self._chunk_left = _chunk_size(line)
                if self._chunk_left == 0:
                    self._in_trailers = True
            if self._in_trailers:
                return self._read_trailers()
            self._chunk_left -= self._take_body(self._chunk_left)
            if self._chunk_left or len(self._buffer) < 2:
                return False
            if self._buffer[:2] != b"\r\n":
                raise MalformedRequestError(400, "Bad Request")
            del self._buffer[:2]
            self._chunk_left = None

    def _read_trailers(self) -> bool:
        while (line := self._read_line()) is not None:
            if not line:
                self._in_trailers = False
                return True
        return False

    def _read_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, _MAX_CHUNK_LINE + 2)
        if end < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE:
                raise MalformedRequestError(400, "Bad Request")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not _TOKEN.match(parts[0]) or not parts[1].startswith(("/", "http://", "https://", "*")):
        raise MalformedRequestError(400, "Bad Request")
    if parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise MalformedRequestError(505 if parts[2].startswith("HTTP/") else 400, "Bad Request")
    target = parts[1]
    if not target.startswith("/"):
        target = "/" + target.split("://", 1)[-1].partition("/")[2]
    return parts[0], target, parts[2]


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.match(name):
            raise MalformedRequestError(400, "Bad Request")
        key, value = name.lower(), value.strip(" \t")
        if key in headers and key in ("content-length", "host") and headers[key] != value:
            raise MalformedRequestError(400, "Bad Request")
        headers.setdefault(key, value)
    return headers


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 8 or any(c not in b"0123456789abcdefABCDEF" for c in digits):
        raise MalformedRequestError(400, "Bad Request")
    return int(digits, 16)
