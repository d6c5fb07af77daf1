"""The bridge's HTTP server: GET and HEAD of a few pages, on the standard library.

A malformed, slow or broken request occupies one thread for at most 10 seconds, and there are never more than 16.

Threads: ``web`` accepts connections and closes those that take too long; each request has its own short-lived
``web-request``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, TCPServer
from typing import Any, cast

from bridge.core import log
from bridge.core.errors import ConfigError
from bridge.core.report import ErrorReports
from bridge.web.health import TEXT, Page

_LOG = log.logger(__name__)
MAX_REQUESTS = 16
REQUEST_TIMEOUT_S = 10.0
_POLL_S = 0.2

Find = Callable[[str], Page | None]
"""Returns the page for a path (without query), or None. Called on a request's thread."""


class WebServer:
    """Serves pages on one address; host "" is every IPv4 address of the machine, port 0 a free one."""

    def __init__(self, host: str, port: int, find: Find, reports: ErrorReports) -> None:
        self._configured = (host, port)
        self._find = find
        self._reports = reports
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and actual port while it runs; before that, as configured."""
        if self._server is None:
            return self._configured
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Bind and serve; returns once connections are accepted.

        Raises:
            ConfigError: the address cannot be bound (in use, or not ours).
        """
        try:
            self._server = _Server(self._configured, self._find, self._reports)
        except OSError as error:
            raise ConfigError(
                f"listen on {self._configured[0]}:{self._configured[1]}: {error.strerror or error}",
                code="cannot-listen",
                hint="check whether another bridge is running, or set another port in web.listen",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="web")
        self._thread.start()

    def stop(self, deadline_s: float) -> list[str]:
        """Close the port and every connection; returns the names of threads that did not end in time."""
        if self._server is None or self._thread is None:
            return []
        until_s = time.monotonic() + deadline_s
        self._server.shutdown()
        self._server.server_close()
        threads = [self._thread, *self._server.close_all()]
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return [thread.name for thread in threads if thread.is_alive()]


class _Server(TCPServer):
    """Accepts connections, with one thread per request.

    The standard library's ThreadingHTTPServer looks up the host's name in DNS when it binds, does not limit its
    threads, and waits forever for a client that sends nothing.
    """

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], find: Find, reports: ErrorReports) -> None:
        self.find = find
        self.reports = reports
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._lock = threading.Lock()
        self._open: dict[Any, tuple[threading.Thread, float]] = {}
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        with self._lock:
            is_full = len(self._open) >= MAX_REQUESTS
            if not is_full:
                thread = threading.Thread(target=self._serve, args=(request, client_address), name="web-request")
                self._open[request] = (thread, time.monotonic() + REQUEST_TIMEOUT_S)
        if is_full:
            self.shutdown_request(request)
        else:
            thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as error:
            _LOG.debug("a web client disconnected: %s", error)
        except Exception as error:  # noqa: BLE001 - one bad request never ends the server
            self.reports.unexpected("web", error)
        finally:
            with self._lock:
                self._open.pop(request, None)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Cut connections that take too long; called five times a second on the thread ``web``."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, (_, until_s) in self._open.items() if until_s <= now]
        for request in late:
            _cut(request)

    def close_all(self) -> list[threading.Thread]:
        """Cut every connection; returns their threads."""
        with self._lock:
            current = dict(self._open)
        for request in current:
            _cut(request)
        return [thread for thread, _ in current.values()]


def _cut(request: socket.socket) -> None:
    # Only shut down: the request's own thread closes it, so that the descriptor is not reused while in use.
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request per connection (HTTP/1.0: no connection stays open)."""

    timeout = REQUEST_TIMEOUT_S
    server_version = "argo-bridge"
    sys_version = ""
    server: BaseServer

    def do_GET(self) -> None:
        """Answer with the page; for HEAD with the headers only."""
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 - as above

    def _page(self) -> Page:
        server = cast(_Server, self.server)
        try:
            page = server.find(self.path.partition("?")[0])
        except Exception as error:  # noqa: BLE001 - a page that fails is a 500, no more
            server.reports.unexpected("web", error)
            return Page(500, TEXT, b"internal error\n")
        return page if page is not None else Page(404, TEXT, b"not found\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Log at debug level, because probes come every few seconds."""
        _LOG.debug("web: " + format, *args)
