"""TLS towards the Argo Server: the same verification for creates, single requests and watches."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.errors import Answer, AnswerKind
from bridge.argo.exchanges import Exchanges, HttpRequest
from bridge.argo.options import ArgoOptions
from bridge.argo.watch import EndReason, Watch, WatchEnd, WatchRequest
from tests.integration.test_argo_wire import BareServer, plain
from tests.support.argo_options import argo_at
from tests.support.certificates import Authority, ServerCertificates
from tests.support.transport_ends import wait_until

VERSION = HttpRequest("GET", "/api/v1/version")
Ask = Callable[[ArgoOptions], Answer]


def by_exchanges(options: ArgoOptions) -> Answer:
    with Exchanges(options, Credentials(None)) as exchanges:
        exchanges.start(0, VERSION)
        ((_, answer),) = exchanges.poll(20.0)
        return answer


def by_client(options: ArgoOptions) -> Answer:
    with ArgoClient(options) as client:
        return client.ask(VERSION)


def by_watch(options: ArgoOptions) -> Answer:
    """A watch of a namespace that is refused ends at once, so it tells whether the connection stood."""
    for event in Watch(options, Credentials(None), WatchRequest("ns", selector="=")):
        if isinstance(event, WatchEnd):
            assert event.reason is EndReason.UNAVAILABLE
            return event.answer
    raise AssertionError("a watch ends with its end")


@pytest.fixture(params=[by_exchanges, by_client, by_watch], ids=["exchanges", "client", "watch"])
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


def answer_api(connection: socket.socket, request: bytes) -> None:
    """A version, or the refusal of a watch."""
    watch = b"workflow-events" in request.split(b"\r\n")[0]
    plain("400 Bad Request" if watch else "200 OK", b'{"code":3,"message":"no"}')(connection, request)


@pytest.fixture
def start() -> Iterator[Callable[..., str]]:
    started: list[BareServer] = []

    def begin(certificates: ServerCertificates, client_ca: Path | None = None) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        started.append(BareServer(answer_api, context))
        return f"https://127.0.0.1:{started[-1].port}"

    yield begin
    for server in started:
        server.close()


def reached(answer: Answer) -> bool:
    return answer.ok or answer.code == "invalid"


def test_a_private_authority_is_trusted_when_it_is_named(ask, start, authority: Authority):
    """argo.tls.ca: the usual case of an Argo Server inside a company."""
    url = start(authority.issue("argo"))
    assert reached(ask(argo_at(url, ca=authority.ca)))


def test_a_certificate_of_nobody_known_is_refused(ask, start, authority: Authority):
    """Without the authority's file; the message names the place and nothing was sent."""
    answer = ask(argo_at(start(authority.issue("argo"))))
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.MISCONFIGURED, "tls-failed", False)
    assert "127.0.0.1" in answer.message


def test_a_certificate_for_another_host_is_refused(ask, start, authority: Authority):
    """A trusted authority is not enough: the name must be right."""
    url = start(authority.issue("argo", host="other.example"))
    answer = ask(argo_at(url, ca=authority.ca))
    assert (answer.kind, answer.code) == (AnswerKind.MISCONFIGURED, "tls-failed")


def test_insecure_accepts_any_certificate(ask, start, authority: Authority):
    """argo.tls.insecure, for the self-signed certificate that Argo makes at each start."""
    url = start(authority.issue("argo", host="other.example"))
    assert reached(ask(argo_at(url, insecure=True)))


def test_https_to_a_plain_server_is_told(ask):
    """A wrong scheme is the configuration's fault, not an outage."""
    server = BareServer(plain("400 Bad Request", b"not TLS"), reads=False)
    answer = ask(argo_at(f"https://127.0.0.1:{server.port}"))
    server.close()
    assert (answer.kind, answer.code) == (AnswerKind.MISCONFIGURED, "tls-failed")


def test_a_missing_authority_file_is_told(ask, start, authority: Authority, tmp_path: Path):
    """The path is wrong: nothing is sent without verification."""
    url = start(authority.issue("argo"))
    answer = ask(argo_at(url, ca=tmp_path / "nowhere.pem"))
    assert (answer.kind, answer.code, answer.ambiguous) == (AnswerKind.MISCONFIGURED, "tls-failed", False)


def test_the_servers_own_certificate_may_be_the_trusted_one(ask, start, authority: Authority):
    """argo.tls.ca with what Argo shows, its authority being unknown here."""
    shown = authority.issue("argo")
    assert reached(ask(argo_at(start(shown), ca=shown.certificate)))


def test_a_renewed_certificate_is_used_while_running(start, authority: Authority, tmp_path: Path):
    """argo.tls.ca is read again when it has changed, without a restart; for single requests and on the hot path."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Authority(tmp_path, "the old authority").ca.read_bytes())
    options = argo_at(start(authority.issue("argo")), ca=trusted)
    with ArgoClient(options) as client, Exchanges(options, Credentials(None)) as exchanges:

        def by_hot_path() -> Answer:
            exchanges.start(0, VERSION)
            ((_, answer),) = exchanges.poll(20.0)
            return answer

        ways = [lambda: client.ask(VERSION), by_hot_path]
        assert [way().code for way in ways] == ["tls-failed", "tls-failed"]
        trusted.write_bytes(authority.ca.read_bytes())
        for way in ways:
            # libcurl looks at the file once a second.
            wait_until(lambda way=way: way().ok, "the renewed certificate is trusted")


def test_without_our_certificate_it_is_the_configurations_fault(ask, start, authority: Authority):
    """TLS 1.3 refuses after the handshake; that is not mistaken for an outage."""
    answer = ask(argo_at(start(authority.issue("argo"), client_ca=authority.ca), ca=authority.ca))
    assert (answer.kind, answer.code) == (AnswerKind.MISCONFIGURED, "tls-failed")
