"""The Argo client against servers that break HTTP, by bare sockets; creates and single requests meet the same fate."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.errors import Answer, AnswerKind
from bridge.argo.exchanges import Exchanges, HttpRequest
from bridge.argo.options import ArgoOptions, Secret
from tests.support.argo_options import argo_at
from tests.support.bare_server import JSON_200, BareServer, Handler, at, hang, plain, reply, trickle
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

CREATE = HttpRequest("POST", "/api/v1/workflows/ns", b'{"workflow":{}}')


@pytest.fixture
def serve() -> Iterator[Callable[..., BareServer]]:
    servers: list[BareServer] = []

    def start(handler: Handler, context: ssl.SSLContext | None = None, *, reads: bool = True) -> BareServer:
        servers.append(BareServer(handler, context, reads=reads))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


Ask = Callable[[ArgoOptions, HttpRequest], Answer]


def by_exchanges(options: ArgoOptions, request: HttpRequest) -> Answer:
    with Exchanges(options, Credentials(options.token_file, options.authorization)) as exchanges:
        exchanges.start("key", request)
        ended = exchanges.poll(20.0)
        assert [key for key, _ in ended] == ["key"]
        return ended[0][1]


def by_client(options: ArgoOptions, request: HttpRequest) -> Answer:
    with ArgoClient(options) as client:
        return client.ask(request)


@pytest.fixture(params=[by_exchanges, by_client], ids=["exchanges", "client"])
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


UNKNOWN_OUTCOME = [
    ("cut before the answer", reply(b"", close=True), "connection-lost"),
    ("cut in the headers", reply(b"HTTP/1.1 200 OK\r\nContent-Ty", close=True), "incomplete-answer"),
    ("cut in the body", reply(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", close=True), "connection-lost"),
    ("cut in a chunk", reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{", close=True),
     "connection-lost"),
    ("closed in the body", reply(b'HTTP/1.0 200 OK\r\n\r\n{"a":', close=True), "incomplete-answer"),
    ("504", plain("504 Gateway Timeout", b"upstream request timeout"), "server-error"),
    ("502", plain("502 Bad Gateway", b"<html>bad gateway</html>"), "server-error"),
]  # fmt: skip


@pytest.mark.parametrize(("handler", "code"), [row[1:] for row in UNKNOWN_OUTCOME], ids=[r[0] for r in UNKNOWN_OUTCOME])
def test_a_lost_answer_is_retried_and_never_taken_for_a_refusal(serve, ask, handler, code):
    """The request arrived, its outcome is unknown: UNAVAILABLE, ambiguous."""
    server = serve(handler)
    answer = ask(at(server), CREATE)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, code, True)
    assert server.requests


MISCONFIGURED = [
    ("page", plain("200 OK", b"<!doctype html><html></html>", "Content-Type: text/html"), "not-argo"),
    ("redirect", plain("302 Found", b"", "Location: http://127.0.0.1:1/login"), "redirected"),
    ("not HTTP", reply(b"220 mail.example ESMTP\r\n", close=True), "not-http"),
    ("404 page", plain("404 Not Found", b"<html>nginx</html>"), "not-argo"),
]


@pytest.mark.parametrize(("handler", "code"), [row[1:] for row in MISCONFIGURED], ids=[row[0] for row in MISCONFIGURED])
def test_another_server_is_the_configurations_fault(serve, ask, handler, code):
    """The user interface's page, a login redirect (not followed), a mail server, a proxy's 404."""
    answer = ask(at(serve(handler)), CREATE)
    assert (answer.kind, answer.code) == (AnswerKind.MISCONFIGURED, code)


def test_nobody_listens(ask):
    """A refused connection is retried, and the request certainly did not happen."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    answer = ask(argo_at(f"http://127.0.0.1:{port}"), CREATE)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, "unreachable", False)
    assert str(port) in answer.message


def test_a_connection_that_is_closed_at_once(serve, ask):
    """Accepted and closed without reading: nobody knows what was read."""
    answer = ask(at(serve(lambda connection, request: None, reads=False)), CREATE)
    assert (answer.kind, answer.code) == (AnswerKind.UNAVAILABLE, "connection-lost")


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{"],
    ids=["status line", "headers", "body"],
)
def test_an_answer_that_trickles_is_given_up_in_time(serve, ask, start):
    """A byte now and then does not hold a request beyond its time."""
    began_s = time.monotonic()
    answer = ask(at(serve(trickle(start) if start else hang), timeout_s=0.4), CREATE)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, "timeout", True)
    assert time.monotonic() - began_s < scaled(2.5)


def test_a_request_may_have_its_own_time(serve, ask):
    """`HttpRequest.timeout_s` wins over the options'."""
    server = serve(hang)
    answer = ask(at(server, timeout_s=30.0), HttpRequest("GET", "/api/v1/version", timeout_s=0.2))
    assert answer.code == "timeout"
    assert answer.elapsed_s < 1.5


def test_a_handshake_that_never_comes_is_an_outage(serve, ask):
    """TLS to a server that is silent: given up after the connect timeout; nothing was sent."""
    server = serve(hang, reads=False)
    answer = ask(argo_at(f"https://127.0.0.1:{server.port}", connect_timeout_s=0.3), CREATE)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, "unreachable", False)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"],
    ids=["announced", "unannounced"],
)
def test_an_answer_beyond_the_bound_is_given_up(serve, ask, head):
    """Memory is bounded by max_answer_bytes, whether the length was announced or not."""
    answer = ask(at(serve(reply(head + b"x" * 5000, close=True)), max_answer_bytes=1000), CREATE)
    assert (answer.kind, answer.code) == (AnswerKind.MISCONFIGURED, "answer-too-large")


def test_many_large_answers_at_once_are_bounded_together(serve):
    """Each is within its bound; together they are not, so some are given up, and small ones are all answered."""
    gate = threading.Barrier(8)

    def handler(connection, request):
        size = 300 if b"/small" in request else 1_000_000
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * (size * 2 // 5))
        gate.wait(scaled(20))  # all of them have begun
        connection.sendall(b"x" * (size - size * 2 // 5))

    options = at(serve(handler), max_held_bytes=2_000_000)
    with Exchanges(options, Credentials(None, "")) as exchanges:
        for number in range(8):
            exchanges.start(number, HttpRequest("GET", "/api/v1/small" if number < 4 else "/api/v1/large"))
        answers = {}
        while len(answers) < 8:
            answers.update(exchanges.poll(5.0))
        codes = [answers[number].code for number in range(8)]
        assert codes[:4] == ["not-argo"] * 4
        assert 1 <= codes[4:].count("answer-too-large") <= 3
        assert exchanges._held.size_bytes == 0


def test_an_endless_header_is_given_up(serve, ask):
    """Memory is bounded in the headers too."""
    endless = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(2000))
    answer = ask(at(serve(reply(endless, close=True)), timeout_s=5.0), CREATE)
    assert not answer.ok
    assert answer.ambiguous


def test_the_limiters_text_closes_for_its_date(serve, ask):
    """429 of Argo's HTTP layer: text, and a Retry-After in Go's form that ends in UTC."""
    handler = plain(
        "429 Too Many Requests",
        b"Too Many Requests\n",
        "Content-Type: text/plain; charset=utf-8",
        "Date: Tue, 24 Nov 2026 14:00:00 GMT",
        "Retry-After: Tue, 24 Nov 2026 14:00:04 UTC",
    )
    answer = ask(at(serve(handler)), CREATE)
    assert (answer.is_throttle, answer.retry_after_s, answer.ambiguous) == (True, 4.0, False)


def test_what_goes_over_the_wire(serve, ask, monkeypatch, tmp_path):
    """HTTP/1.1, one Authorization, no Expect, the whole body; proxies of the environment and .netrc are ignored."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    server = serve(reply(JSON_200))
    body = bytes(range(256)) * 8192
    options = argo_at(f"http://127.0.0.1:{server.port}/argo", token=Secret("Bearer t"))
    assert ask(options, HttpRequest("POST", "/api/v1/workflows/ns", body)).ok
    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /argo/api/v1/workflows/ns HTTP/1.1"
    assert [line for line in lines if line.lower().startswith("authorization")] == ["Authorization: Bearer t"]
    assert "Content-Type: application/json" in lines
    assert "Accept: application/json" in lines
    assert not any(line.lower().startswith(("expect", "accept-encoding")) for line in lines)
    assert sent == body


def test_a_reused_handle_sends_each_method_as_it_is(serve, ask):
    """No body or method of an earlier request sticks to a later one."""
    server = serve(reply(JSON_200))
    wanted = [("POST", b"{1}"), ("GET", None), ("PUT", b"{22}"), ("DELETE", None), ("GET", None), ("POST", None)]
    wanted += [("PUT", None), ("POST", b"{333}")]
    with ArgoClient(at(server)) as client, Exchanges(at(server), Credentials(None)) as exchanges:
        for method, body in wanted:
            request = HttpRequest(method, f"/api/{method}", body)
            if ask is by_client:
                assert client.ask(request).ok
            else:
                exchanges.start("key", request)
                assert [answer.ok for _, answer in exchanges.poll(10.0)] == [True]
    got = [(request.split(b" ")[0].decode(), request.partition(b"\r\n\r\n")[2]) for request in server.requests]
    assert got == [(method, body or b"") for method, body in wanted]


def test_a_connection_that_died_while_idle_is_replaced(serve, ask):
    """A server that closes kept-alive connections costs no failure."""
    server = serve(reply(JSON_200, close=True))
    if ask is by_client:
        with ArgoClient(at(server)) as client:
            assert [client.ask(CREATE).code for _ in range(5)] == ["ok"] * 5
        return
    with Exchanges(at(server), Credentials(None)) as exchanges:
        for _ in range(5):
            exchanges.start("key", CREATE)
            assert [answer.code for _, answer in exchanges.poll(10.0)] == ["ok"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_changes_something_is_never_repeated_unseen(serve, method):
    """Carried out and cut on a connection that was kept: libcurl sends no second one, the caller decides."""

    def handle(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET"):
            connection.sendall(JSON_200)
        else:
            connection.close()

    server = serve(handle)
    options = at(server)
    with Exchanges(options, Credentials(None), window=1) as exchanges:
        answers = []
        for request in (HttpRequest("GET", "/api/v1/version"), HttpRequest(method, "/api/v1/workflows/ns/w", b"{}")):
            exchanges.start("one", request)
            while exchanges.in_flight:
                answers += exchanges.poll(5.0)
    assert [(answer.ok, answer.ambiguous) for _, answer in answers] == [(True, False), (False, True)]
    assert [request.split()[0] for request in server.requests] == [b"GET", method.encode()]


def test_one_exchange_is_given_up_and_the_others_go_on(serve):
    """Its connection is closed, its answer never comes; calling it for one that has ended is harmless."""

    def handle(connection: socket.socket, request: bytes) -> None:
        if b"/slow" in request:
            hang(connection, request)
        else:
            connection.sendall(JSON_200)

    options = at(serve(handle))
    with Exchanges(options, Credentials(None)) as exchanges:
        exchanges.start("slow", HttpRequest("GET", "/api/v1/slow"))
        exchanges.start("quick", HttpRequest("GET", "/api/v1/quick"))
        exchanges.give_up("slow")
        answers = []
        while exchanges.in_flight:
            answers += exchanges.poll(5.0)
        exchanges.give_up("quick")
    assert [key for key, _ in answers] == ["quick"]


def test_a_read_is_repeated_once_when_its_connection_was_cut(serve):
    """A GET changes nothing; a PUT is never repeated by the client."""
    count = [0]

    def cut_first(connection: socket.socket, request: bytes) -> None:
        count[0] += 1
        reply(b"HTTP/1.1 2" if count[0] == 1 else JSON_200, close=count[0] == 1)(connection, request)

    server = serve(cut_first)
    with ArgoClient(at(server)) as client:
        assert client.ask(HttpRequest("GET", "/api/v1/version")).ok
        assert count == [2]
        count[0] = 0
        assert client.ask(HttpRequest("PUT", "/api/x", b"{}")).code == "connection-lost"
        assert count == [1]


def test_closing_the_client_ends_a_call_under_way(serve):
    """Shutdown does not wait for a server that hangs."""
    reached = threading.Event()

    def reach(connection: socket.socket, request: bytes) -> None:
        reached.set()
        hang(connection, request)

    server = serve(reach)
    client = ArgoClient(at(server))
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(client.ask(CREATE)))
    thread.start()
    assert reached.wait(5)
    began_s = time.monotonic()
    client.close()
    thread.join(5)
    assert time.monotonic() - began_s < scaled(3.0)
    assert (answers[0].code, answers[0].ambiguous) == ("stopped", True)
    assert client.ask(CREATE).code == "stopped"


def test_without_a_token_nothing_is_sent(serve, ask, tmp_path):
    """A token file that is missing is an answer like others, and the server hears nothing."""
    server = serve(reply(JSON_200))
    answer = ask(at(server, token_file=tmp_path / "token"), CREATE)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.DENIED, "token-unreadable", False)
    assert server.connections == 0


def test_json_of_another_server_is_no_created_workflow(serve, ask):
    """A 200 without the workflow that was asked for: not submitted as far as we know, and looked up before a repeat."""
    request = HttpRequest("POST", "/api/v1/workflows/ns", b"{}", expects="inspect-abc")
    answer = ask(at(serve(reply(JSON_200))), request)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.MISCONFIGURED, "not-argo", True)


def test_descriptors_beyond_1023_are_no_limit(serve):
    """A process with many files and sockets still submits: nothing here uses select()."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip("the machine allows fewer than 1,400 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        assert by_exchanges(at(serve(reply(JSON_200))), CREATE).ok
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_token_files_are_read_again_while_running(serve, tmp_path: Path):
    """A rotated token is on the next requests, on kept-alive handles too."""
    server = serve(reply(JSON_200))
    token = tmp_path / "token"
    token.write_text("first")
    options = at(server, token_file=token)
    with Exchanges(options, Credentials(token)) as exchanges:

        def is_renewed() -> bool:
            exchanges.start("key", CREATE)
            assert [answer.ok for _, answer in exchanges.poll(5.0)] == [True]
            return b"Authorization: Bearer second\r\n" in server.requests[-1]

        assert not is_renewed()
        token.write_text("second")
        wait_until(is_renewed, "a request with the second token")
    assert b"Authorization: Bearer first\r\n" in server.requests[0]
    assert server.connections == 1
