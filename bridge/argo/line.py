"""The connection beneath `requests` that keeps what `requests` does not: one deadline a call, and an end from outside.

`requests` bounds each wait for a byte, not the call: a server that sends a byte now and then holds it for ever, and
nothing ends a call of another thread. So the sockets here ask a `Line` before each wait how long it may be, and `cut`
shuts the socket down. Sends no request itself and knows no answers (`session` does).

Not bounded: the look-up of a host's name, which takes as long as the system's resolver takes.

Thread: whoever makes the call owns the line; `Line.cut` from any.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from bridge.argo.options import ArgoOptions
from bridge.argo.trust import Trust

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Line:
    """Time and socket of the call under way; one call at a time.

    Attributes:
        trust: asked at each new TLS connection.
        is_sent: whether any of the call's request may have left.
        is_cut: `cut` was called; it stays so.
    """

    def __init__(self, trust: Trust, connect_timeout_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nothing is under way.

        Args:
            trust: asked at each new TLS connection.
            connect_timeout_s: seconds until a connection, TLS included, must stand.
            monotonic: seconds that never go back.
        """
        self.trust = trust
        self.is_sent = False
        self.is_cut = False
        self._connect_timeout_s = connect_timeout_s
        self._monotonic = monotonic
        self._until_s = 0.0
        self._connected_until_s = 0.0
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def begin(self, timeout_s: float) -> None:
        """Begin a call that may take so many seconds."""
        now_s = self._monotonic()
        self._until_s = now_s + timeout_s
        self._connected_until_s = now_s + min(timeout_s, self._connect_timeout_s)
        self.is_sent = False

    def remaining_s(self) -> float:
        """Return the seconds that the call still has, more than 0.

        Raises:
            TimeoutError: none.
            ConnectionAbortedError: the line is cut.
        """
        return self._left_s(self._until_s)

    def connect_remaining_s(self) -> float:
        """Return the seconds that connecting still has, more than 0; raises as `remaining_s` does."""
        return self._left_s(self._connected_until_s)

    def _left_s(self, until_s: float) -> float:
        if self.is_cut:
            raise ConnectionAbortedError("given up")
        left_s = until_s - self._monotonic()
        if left_s <= 0.0:
            raise TimeoutError("timed out")
        return left_s

    def hold(self, sock: socket.socket) -> None:
        """Take the socket that `cut` will shut down from now on, before anything waits on it.

        Raises:
            ConnectionAbortedError: the line is cut.
        """
        with self._lock:
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        if self.is_cut:
            raise ConnectionAbortedError("given up")
        self._socket = sock

    def dial(self, sock: socket.socket, address: Any) -> int:
        """Hold the socket and begin to connect it, without waiting; return the error number of that, or 0.

        Both under the lock: shutting down a socket that is about to be connected would not keep it from waiting.
        """
        with self._lock:
            self._take(sock)
            sock.setblocking(False)
            return sock.connect_ex(address)

    def cut(self) -> None:
        """End the call under way and every later one; returns at once.

        Thread: any.
        """
        with self._lock:
            self.is_cut = True
            # It fails where nothing waits any more: closed already, or still connecting, which it ends all the same.
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


class _Plain(socket.socket):
    """Waits no longer than its line says; http.client reads by `recv_into` and writes by `sendall` alone."""

    line: Line

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(self.line.remaining_s())
        return super().recv_into(buffer, nbytes, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        self.settimeout(self.line.remaining_s())
        self.line.is_sent = True
        super().sendall(data, flags)


class _Tls(ssl.SSLSocket):
    """The same over TLS, where `sendall` is many `send`s and each would have the whole time."""

    line: Line

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.line.remaining_s())
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        self.settimeout(self.line.remaining_s())
        self.line.is_sent = True
        return super().send(data, flags)

    def shutdown(self, how: int) -> None:
        # SSLSocket's own takes the TLS layer away from the thread that waits in it, which then would read bare bytes.
        socket.socket.shutdown(self, how)


def _dial(line: Line, host: str, port: int) -> _Plain:
    """Return a connected socket; a silent address leaves time for those after it."""
    cause: OSError = OSError(f"{host} has no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        sock = None
        try:
            sock = _Plain(family, kind, protocol)
            sock.line = line
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _connect(sock, address, line.connect_remaining_s() / (len(found) - tried))
        except OSError as error:
            cause = error
            if sock is not None:
                sock.close()
        else:
            return sock
    raise cause


def _connect(sock: _Plain, address: Any, timeout_s: float) -> None:
    error = sock.line.dial(sock, address)
    if error == errno.EINPROGRESS:
        # Not `select`, to which a descriptor over 1023 would be the end.
        ready = select.poll()
        ready.register(sock, select.POLLOUT)
        if not ready.poll(timeout_s * 1000):
            raise TimeoutError("timed out")
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    # Cut while connecting: that ends without an error of its own.
    sock.settimeout(sock.line.connect_remaining_s())


class _HttpConnection(HTTPConnection):
    """Plain HTTP on a line."""

    def __init__(self, *args: Any, line: Line, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self._line = line

    def _new_conn(self) -> socket.socket:
        # UnicodeError: a name that cannot be asked for.
        try:
            return _dial(self._line, self._dns_host, self.port)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, str(error)) from error


class _HttpsConnection(_HttpConnection, HTTPSConnection):
    """HTTPS on a line, verified as `Trust` says."""

    def connect(self) -> None:
        """Connect and shake hands within the line's connect time."""
        context = self._line.trust.context()
        self.sock = plain = self._new_conn()
        context.sslsocket_class = _Tls
        tls = cast(_Tls, context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False))
        # From here on the pool closes it, whatever happens.
        self.sock = tls
        tls.line = self._line
        self._line.hold(tls)
        tls.settimeout(self._line.connect_remaining_s())
        tls.do_handshake()
        # Also where the operator asked for less (argo.tls.insecure): urllib3 would warn at each request otherwise.
        self.is_verified = True


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class LineAdapter(HTTPAdapter):
    """Sends every request of a session over one line to one server, which keeps its connection alive in between."""

    def __init__(self, options: ArgoOptions, line: Line) -> None:
        """Open nothing yet."""
        super().__init__()
        parts = urlsplit(options.url)
        secure = parts.scheme == "https"
        pool = _HttpsPool if secure else _HttpPool
        port = parts.port or (443 if secure else 80)
        self._pool = pool(parts.hostname or "", port, maxsize=1, line=line)

    def get_connection_with_tls_context(self, *_request: Any, **_settings: Any) -> HTTPConnectionPool:
        """Return the one pool, whatever was asked for: proxies are never used."""
        return self._pool

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        """Leave it to `Trust`."""

    def close(self) -> None:
        """Close the connection that is kept."""
        self._pool.close()
        super().close()
