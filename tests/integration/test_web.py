"""The HTTP server with real sockets: answers, odd requests, bounds, and a stop that nobody holds up."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from bridge.core.clock import SystemClock
from bridge.core.errors import ConfigError
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.web import server as server_module
from bridge.web.health import HealthPages, Page
from bridge.web.server import MAX_REQUESTS, WebServer
from tests.support.transport_ends import reports_of, wait_until


def find(path: str) -> Page | None:
    if path == "/defect":
        raise ValueError("defect")
    return HealthPages(list, lambda: [HealthProblem("unreachable", "broker away")], Metrics()).page(path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    made = WebServer("127.0.0.1", 0, find, ErrorReports(tmp_path, Metrics(), SystemClock()))
    made.start()
    yield made
    assert made.stop(5.0) == []


def get(server: WebServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(server: WebServer, sent: bytes) -> bytes:
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def test_the_pages_are_served(server: WebServer) -> None:
    """Port 0 becomes a real port, and the three pages answer on it, with and without a query."""
    assert server.address[1] > 0
    assert get(server, "/livez")[0] == 200
    status, body = get(server, "/readyz?verbose")
    assert status == 503
    assert orjson.loads(body)["reasons"][0]["code"] == "unreachable"
    assert get(server, "/metrics")[1].startswith(b"# HELP")
    assert get(server, "/nothing")[0] == 404


def test_head_has_no_body(server: WebServer) -> None:
    """HEAD answers the status and the length alone."""
    assert get(server, "/livez", "HEAD") == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: WebServer, method: str) -> None:
    """Every method but GET and HEAD is refused."""
    assert get(server, "/livez", method)[0] == 501


@pytest.mark.parametrize(
    "sent",
    [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 70_000 + b"\r\n\r\n", b"\r\n"],
)
def test_a_bad_request_hurts_nobody(server: WebServer, sent: bytes) -> None:
    """Garbage is answered or cut off, and the next request is served."""
    try:
        answer = raw(server, sent)
    except ConnectionError:
        answer = b""
    assert b"200" not in answer[:20]
    assert get(server, "/livez")[0] == 200


def test_a_page_that_fails_is_a_500(server: WebServer, tmp_path: Path) -> None:
    """A defect behind a page is an answer without details and a report file, and the server goes on."""
    assert get(server, "/defect") == (500, b"internal error\n")
    assert len(list(tmp_path.glob("report-*-web.json"))) == 1
    assert get(server, "/livez")[0] == 200


def is_served(server: WebServer) -> bool:
    """Whether there is a place for one more client."""
    try:
        return get(server, "/livez")[0] == 200
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return False


def is_cut(connection: socket.socket) -> bool:
    """Whether the server has ended a connection; it is reset where the server had not read all by then."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_silent_clients_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that say nothing hold only so many threads, for so long; then others are served again."""
    monkeypatch.setattr(server_module, "REQUEST_TIMEOUT_S", 0.5)
    server = WebServer("127.0.0.1", 0, find, reports_of())
    server.start()
    silent = [socket.create_connection(server.address, timeout=10) for _ in range(MAX_REQUESTS)]
    try:
        for connection in silent:
            assert is_cut(connection)
        # A client sees the end of its connection a moment before its place is free.
        wait_until(lambda: is_served(server), "others are served again")
    finally:
        for connection in silent:
            connection.close()
        assert server.stop(5.0) == []


def test_a_stop_cuts_open_connections() -> None:
    """A stop does not wait for a client that says nothing, and no thread is left."""
    server = WebServer("127.0.0.1", 0, find, reports_of())
    server.start()
    with socket.create_connection(server.address, timeout=10) as silent:
        silent.sendall(b"GET /li")
        assert server.stop(server_module.REQUEST_TIMEOUT_S / 2) == []
        assert is_cut(silent)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("web")]


def test_a_port_in_use_is_a_config_error(server: WebServer) -> None:
    """A second bridge on the same port is told so."""
    with pytest.raises(ConfigError, match="in use") as caught:
        WebServer(*server.address, find, reports_of()).start()
    assert caught.value.code == "cannot-listen"
