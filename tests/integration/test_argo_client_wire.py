"""Single requests that are waited for, by bare sockets: connections, bounds, and their end from another thread."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.argo.client import ArgoClient
from bridge.argo.errors import Answer, AnswerKind
from bridge.argo.exchanges import HttpRequest
from bridge.argo.options import ArgoOptions
from tests.integration.test_argo_wire import CREATE
from tests.support.argo_options import argo_at
from tests.support.bare_server import JSON_200, BareServer, Handler, at, hang, hold, plain, reply
from tests.support.certificates import Authority
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

READ = HttpRequest("GET", "/api/v1/version")
AT_ONCE_S = 1.0


@pytest.fixture
def serve() -> Iterator[Callable[..., BareServer]]:
    servers: list[BareServer] = []

    def start(handler: Handler, context: ssl.SSLContext | None = None, *, reads: bool = True) -> BareServer:
        servers.append(BareServer(handler, context, reads=reads))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def unanswered() -> Iterator[int]:
    """A port whose connections never stand: its listener's queue is full, so the system drops what comes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()[1]


def tls_of(authority: Authority) -> ssl.SSLContext:
    certificates = authority.issue("argo")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


class Call:
    """One request under way in a thread of its own."""

    def __init__(self, options: ArgoOptions, request: HttpRequest = READ) -> None:
        self.client = ArgoClient(options)
        self.answers: list[Answer] = []
        self._thread = threading.Thread(target=lambda: self.answers.append(self.client.ask(request)))
        self._thread.start()

    def end(self) -> Answer:
        """Close the client and return the answer, which must come at once."""
        began_s = time.monotonic()
        self.client.close()
        self._thread.join(10)
        assert time.monotonic() - began_s < scaled(AT_ONCE_S)
        return self.answers[0]


class Reached:
    """Tells when a server has come to its handler, which then does `after`."""

    def __init__(self, after: Handler = hang) -> None:
        self._after = after
        self.event = threading.Event()

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        self.event.set()
        self._after(connection, request)


def begin_and_hang(start: bytes) -> Handler:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(start)
        hang(connection, request)

    return handle


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ],
    ids=["before the headers", "in the headers", "in the body", "in a body without length"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_close_ends_a_call_in_every_phase(serve, authority, start, secure):
    """No server holds the bridge when it stops; what could change something may have been carried out."""
    reached = Reached(begin_and_hang(start) if start else hang)
    server = serve(reached, tls_of(authority) if secure else None)
    url = f"{'https' if secure else 'http'}://127.0.0.1:{server.port}"
    call = Call(argo_at(url, ca=authority.ca), CREATE)
    assert reached.event.wait(5)
    answer = call.end()
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, "stopped", True)


def listen_only(connection: socket.socket, _request: bytes) -> None:
    while connection.recv(65536):
        pass


def test_close_ends_a_handshake(serve):
    """TLS to a server that is silent: nothing was sent."""
    reached = Reached(listen_only)
    server = serve(reached, reads=False)
    call = Call(argo_at(f"https://127.0.0.1:{server.port}", connect_timeout_s=30.0))
    assert reached.event.wait(5)
    answer = call.end()
    assert (answer.code, answer.ambiguous) == ("stopped", False)


def test_close_ends_connecting(unanswered):
    """A host that drops packets: nothing was sent."""
    call = Call(argo_at(f"http://127.0.0.1:{unanswered}", connect_timeout_s=30.0))
    wait_until(lambda: any(exchanges.in_flight for exchanges in list(call.client._busy)), "it is connecting")
    answer = call.end()
    assert (answer.code, answer.ambiguous) == ("stopped", False)


def test_connecting_has_its_own_time(unanswered):
    """A host that drops packets is an outage after the connect timeout, not after the request's."""
    with ArgoClient(argo_at(f"http://127.0.0.1:{unanswered}", connect_timeout_s=0.3)) as client:
        began_s = time.monotonic()
        answer = client.ask(CREATE)
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, "unreachable", False)
    assert time.monotonic() - began_s < scaled(2.0)


def test_close_ends_all_calls(serve):
    """Each of several threads' calls, and the next one is refused."""
    server = serve(hang)
    client = ArgoClient(at(server))
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(client.ask(READ))) for _ in range(12)]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + scaled(10)
    while len(server.requests) < len(threads):
        assert time.monotonic() < until_s
    began_s = time.monotonic()
    client.close()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began_s < scaled(AT_ONCE_S)
    assert [answer.code for answer in answers] == ["stopped"] * len(threads)
    assert client.ask(READ).code == "stopped"


def test_a_body_that_nobody_reads_is_given_up_in_time(serve):
    """Sending is within the request's time too."""
    server = serve(lambda connection, request: threading.Event().wait(1.5) and None, reads=False)
    with ArgoClient(at(server, timeout_s=0.4)) as client:
        began_s = time.monotonic()
        answer = client.ask(HttpRequest("POST", "/api/v1/workflows/ns", b"x" * 30_000_000))
    assert (answer.code, answer.ambiguous) == ("timeout", True)
    assert time.monotonic() - began_s < scaled(1.4)


def test_a_trickle_over_tls_is_given_up_in_time(serve, authority):
    """The time is that of the whole call over TLS as well."""

    def trickle(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connection.sendall(b"x")
            hold(connection, 0.02)

    server = serve(trickle, tls_of(authority))
    options = argo_at(f"https://127.0.0.1:{server.port}", ca=authority.ca, timeout_s=0.5)
    with ArgoClient(options) as client:
        began_s = time.monotonic()
        assert client.ask(CREATE).code == "timeout"
    assert time.monotonic() - began_s < scaled(2.5)


def test_reads_share_a_connection_and_changes_do_not(serve):
    """A kept connection may have died unnoticed: a read is repeated then, a delete or a resubmit must not be."""
    server = serve(reply(JSON_200))
    with ArgoClient(at(server)) as client:
        assert all(client.ask(READ).ok for _ in range(5))
        assert server.connections == 1
        assert client.ask(HttpRequest("PUT", "/api/x", b"{}")).ok
        assert client.ask(HttpRequest("DELETE", "/api/x")).ok
        assert server.connections == 3


def test_a_read_survives_kept_connections_that_died_unseen(serve):
    """All that are kept die at their next request, as after a server's crash: the repeat opens a new one."""
    seen: set[int] = set()
    together = threading.Barrier(3)
    is_first = True

    def once(connection: socket.socket, request: bytes) -> None:
        if id(connection) in seen:
            connection.shutdown(socket.SHUT_RDWR)
            return
        seen.add(id(connection))
        if is_first:
            together.wait(5)
        reply(JSON_200)(connection, request)

    server = serve(once)
    with ArgoClient(at(server)) as client:
        threads = [threading.Thread(target=client.ask, args=(READ,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        is_first = False
        assert server.connections == 3
        assert client.ask(READ).ok


def test_a_cookie_is_not_kept(serve):
    """Argo takes a cookie for a token (docs/design/argo-server.md, Rights), so nobody may set one for us."""
    server = serve(plain("200 OK", b"{}", "Set-Cookie: authorization=mine; Path=/"))
    with ArgoClient(at(server)) as client:
        assert client.ask(READ).ok
        assert client.ask(READ).ok
    assert not any(b"ookie" in request for request in server.requests)


def test_a_packed_answer_is_not_unpacked(serve):
    """Nobody asked for it, and a small one can become any size."""
    server = serve(plain("200 OK", gzip.compress(b"{}"), "Content-Encoding: gzip"))
    with ArgoClient(at(server)) as client:
        assert client.ask(READ).code == "not-argo"


def test_a_redirect_is_not_read_beyond_the_bound(serve):
    """Its body counts like any other, and where it leads to does not matter."""
    server = serve(plain("307 Temporary Redirect", b"x" * 5000, "Location: http://[::bad"))
    with ArgoClient(at(server, max_answer_bytes=1000)) as client:
        assert client.ask(CREATE).code == "answer-too-large"
    server = serve(plain("307 Temporary Redirect", b"x", "Location: http://[::bad"))
    with ArgoClient(at(server)) as client:
        assert client.ask(CREATE).code == "redirected"


def test_what_the_caller_was_handling_is_no_cause(serve):
    """A retry from within an except block is told by its own failure."""
    server = serve(reply(b"", close=True))
    with ArgoClient(at(server)) as client:
        try:
            raise TimeoutError("somebody else's")
        except TimeoutError:
            assert client.ask(CREATE).code == "connection-lost"


def test_an_address_of_the_next_protocol(serve):
    """An IPv6 literal in the URL."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = listener.getsockname()[1]
    listener.close()
    with ArgoClient(argo_at(f"http://[::1]:{port}")) as client:
        answer = client.ask(READ)
    assert (answer.code, "refused" in answer.message) == ("unreachable", True)


def test_a_name_that_nobody_has():
    """An unknown host is an outage; an impossible one is told likewise, not raised."""
    for host in ("argo.invalid", "x" * 70 + ".invalid"):
        with ArgoClient(argo_at(f"http://{host}:2746")) as client:
            answer = client.ask(CREATE)
        assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.UNAVAILABLE, "unreachable", False)


LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue", b"HTTP/1.1 302 Found", b"HTTP/9.9 200", b"HTTP/1.1 099 x", b"",
     b"Content-Length: 3", b"Content-Length: 3, 4", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"{}", b"2",
     b"Location: //", b"Set-Cookie: \xff=;;", b"Retry-After: \xb2", b"Content-Encoding: gzip", b"zz", b" folded"]
)  # fmt: skip
ANSWERS = st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=9).map(b"\r\n".join))


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[tuple[ArgoClient, list[bytes]]]:
    said = [b""]

    def say(connection: socket.socket, request: bytes) -> None:
        reply(said[0], close=True)(connection, request)

    server = BareServer(say)
    with ArgoClient(at(server, timeout_s=5.0)) as client:
        yield client, said
    server.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=ANSWERS)
def test_no_bytes_make_a_call_raise(fuzzed, raw: bytes):
    """Whatever answers, and be it no HTTP, becomes an `Answer`; only a JSON object is OK."""
    client, said = fuzzed
    said[0] = raw
    answer = client.ask(CREATE)
    assert answer.ok == (answer.body is not None)
    assert answer.kind is not AnswerKind.OK or b"{" in raw
