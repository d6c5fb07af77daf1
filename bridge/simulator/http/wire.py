"""The simulator's HTTP/1.1 server: connections, replies and chunked streams.

Passes each request to one synchronous handler and writes the handler's immediate or later response. It knows nothing
about Argo. Runs on the simulator's loop thread; nothing here may be called from another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from bridge.simulator.http.answers import TEXT_TYPE, UnaryAnswer
from bridge.simulator.http.parsing import MalformedRequestError, ParsedRequest, RequestParser

Handler = Callable[["Exchange"], None]

_MAX_PIPELINED = 4 * 1024 * 1024


class Exchange:
    """One request and its response: exactly one of `reply`, `open_stream`, `send_raw` or `cut`.

    Attributes:
        request: The request.
        on_gone: Called when the client disconnects before the response is complete.
    """

    __slots__ = ("_connection", "on_gone", "request")

    def __init__(self, connection: Connection, request: ParsedRequest) -> None:
        self._connection = connection
        self.request = request
        self.on_gone: Callable[[], None] | None = None

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""
        return self._connection.closed

    def reply(self, reply: UnaryAnswer) -> None:
        """Send a whole response."""
        self._connection.send_reply(reply, self.request)

    def send_raw(self, data: bytes) -> None:
        """Send bytes unchanged, then close the connection."""
        self._connection.send_raw(data)

    def open_stream(self) -> Stream:
        """Begin a streamed response; nothing is sent before its first write."""
        return Stream(self._connection, self)

    def cut(self) -> None:
        """Close the connection without a response."""
        self._connection.abort()


class Stream:
    """A chunked response.

    Attributes:
        started: Whether the head was sent.
        on_writable: Called when the client has read enough after `writable` was False.
    """

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._ended = False
        self.started = False
        self.on_writable: Callable[[], None] | None = None
        connection.stream = self

    @property
    def writable(self) -> bool:
        """Whether more may be written without filling buffers."""
        return not self._connection.paused and not self.closed

    @property
    def closed(self) -> bool:
        """Whether the stream has ended or the client has disconnected."""
        return self._ended or self._connection.closed

    def start(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        """Send the head."""
        self.started = True
        self._connection.write(self._connection.head(status, (*headers, ("Transfer-Encoding", "chunked"))))

    def write(self, data: bytes) -> None:
        """Send one chunk."""
        if not self.closed:
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """End the response; the connection can be used for another request."""
        if not self.closed:
            self._ended = True
            self._connection.write(b"0\r\n\r\n")
            self._connection.stream = None
            self._connection.finish(self._exchange.request)

    def cut(self) -> None:
        """Close the connection in the middle of the response."""
        self._connection.abort()


class Connection(asyncio.Protocol):
    """One client connection; requests are answered one after the other.

    Attributes:
        paused: The client does not read what is written.
        closed: The connection is gone.
        stream: The current streamed response.
    """

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = RequestParser()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._advancing = False
        self.paused = False
        self.closed = False
        self.stream: Stream | None = None

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # create_server gives nothing else
        self._transport = transport
        self._server.connections.add(self)
        if not self._server.listening:  # accepted just before the server went away
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        del exc
        self.closed = True
        self._server.connections.discard(self)
        if self._exchange is not None and self._exchange.on_gone is not None:
            self._exchange.on_gone()
        self._exchange = None
        self.stream = None

    def eof_received(self) -> bool:
        """The client will send nothing more: close the connection."""
        return False

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.paused = False
        if self.stream is not None and self.stream.on_writable is not None:
            self.stream.on_writable()

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._parser.feed(data)
        if self._exchange is not None and self._parser.buffered > _MAX_PIPELINED:
            self.abort()
            return
        self._advance()

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._exchange is None and not self.closed:
                request = self._parser.next_request()
                if self._parser.wants_continue:
                    self._parser.wants_continue = False
                    if request is None:
                        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if request is None:
                    return
                self._exchange = Exchange(self, request)
                self._server.handler(self._exchange)
        except MalformedRequestError as error:
            self._refuse(error)
        finally:
            self._advancing = False

    def _refuse(self, error: MalformedRequestError) -> None:
        body = f"{error.status} {error.reason}".encode()
        headers = (("Content-Type", TEXT_TYPE), ("Content-Length", str(len(body))), ("Connection", "close"))
        self.send_raw(self.head(error.status, headers) + body)

    # -- answering -------------------------------------------------------------------------------------------------

    def head(self, status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
        """Encode a status line and headers, with those of every response."""
        return self._server.head(status, headers)

    def write(self, data: bytes) -> None:
        """Send bytes, unless the client has disconnected."""
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    def send_reply(self, reply: UnaryAnswer, request: ParsedRequest) -> None:
        """Send a whole response and continue with the next request."""
        self.write(self._server.reply_head(reply) + reply.body)
        self.finish(request)

    def send_raw(self, data: bytes) -> None:
        """Send bytes and close."""
        self.write(data)
        self.closed = True
        self._exchange = None
        if self._transport is not None:
            self._transport.close()

    def finish(self, request: ParsedRequest) -> None:
        """Note that the response is complete."""
        self._exchange = None
        if request.keep_alive:
            if not self._advancing:
                self._advance()
        elif self._transport is not None:
            self.closed = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once; written data may be lost."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()


class HttpServer:
    """Holds the connections and the parts common to all responses.

    Args:
        handler: Called with each exchange; it must not raise.
        common_headers: Called at most once a second for the headers of every response.

    Attributes:
        connections: The open connections.
        listening: Whether new connections are accepted; others are cut.
    """

    def __init__(self, handler: Handler, common_headers: Callable[[], tuple[tuple[str, str], ...]]) -> None:
        self.handler = handler
        self._common_headers = common_headers
        self._common = b""
        self._common_until = 0.0
        self._heads: dict[tuple[int, str, tuple[tuple[str, str], ...]], bytes] = {}
        self._loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.listening = True

    def protocol(self) -> Connection:
        """Create the protocol of a new connection."""
        return Connection(self)

    def head(self, status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
        """Encode a status line, the given headers and the common ones."""
        return _status_line(status) + _encode(headers) + self._common_bytes() + b"\r\n"

    def reply_head(self, reply: UnaryAnswer) -> bytes:
        """Encode the head of a whole response; repeated parts are encoded once."""
        key = (reply.status, reply.content_type, reply.headers)
        fixed = self._heads.get(key)
        if fixed is None:
            content_type = (("Content-Type", reply.content_type),) if reply.content_type else ()
            fixed = _status_line(reply.status) + _encode((*content_type, *reply.headers))
            if len(self._heads) < 256:
                self._heads[key] = fixed
        return b"%bContent-Length: %d\r\n%b\r\n" % (fixed, len(reply.body), self._common_bytes())

    def _common_bytes(self) -> bytes:
        now_s = self._loop.time()
        if now_s >= self._common_until:
            self._common = _encode(self._common_headers())
            self._common_until = now_s + 1.0
        return self._common

    def abort_all(self) -> None:
        """Close all connections at once, and accept no more."""
        self.listening = False
        for connection in list(self.connections):
            connection.abort()


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def _encode(headers: tuple[tuple[str, str], ...]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
