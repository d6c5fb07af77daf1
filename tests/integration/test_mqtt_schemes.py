"""Every scheme, TLS option and way to log in, against real Mosquitto; and what each failure says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.transports.base import PublishResult
from bridge.transports.mqtt.options import MqttVersion
from bridge.transports.tls import TlsOptions
from tests.support.certificates import Authority
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.scripted_broker import ScriptedBroker
from tests.support.transport_ends import wait_until
from tests.support.transports import TransportMaker

Start = Callable[[MosquittoOptions], Mosquitto]
VERSIONS = pytest.mark.parametrize("version", list(MqttVersion))


@VERSIONS
@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
def test_each_scheme_carries_messages_both_ways(
    start_mosquitto: Start, transports: TransportMaker, authority: Authority, scheme: str, version: MqttVersion
) -> None:
    """Small and large messages, alone and in a burst, go through TCP, TLS, WebSocket and both together."""
    tls = authority.issue("broker") if scheme.endswith("s") and scheme != "ws" else None
    broker = start_mosquitto(MosquittoOptions(tls=tls, websockets=scheme.startswith("ws")))
    assert broker.scheme == scheme
    wired = transports.start(broker.url, "loop/#", version=version, tls=TlsOptions(ca=authority.ca))
    wired.await_ready()
    # Mosquitto 2.0.11 stalls (for plain paho too) when it has much to send over a WebSocket; so no more than 3 KB each.
    step = 50 if broker.options.websockets else 1500
    payloads = [bytes([number]) * (1 + number * step) for number in range(60)]
    outcomes = [wired.publish(f"loop/{number}", payload) for number, payload in enumerate(payloads)]
    wired.await_payloads(*payloads)
    wait_until(lambda: all(each.results == [PublishResult.CONFIRMED] for each in outcomes), "all confirmations")
    assert wired.transport.stop(5) == []


def test_a_client_certificate_is_shown(
    start_mosquitto: Start, transports: TransportMaker, authority: Authority
) -> None:
    """A broker that asks for one lets us in with it, and not without."""
    broker = start_mosquitto(MosquittoOptions(tls=authority.issue("broker"), client_certificates=True))
    own = authority.issue("bridge")
    tls = TlsOptions(ca=authority.ca, cert=own.certificate, key=own.key)
    transports.start(broker.url, tls=tls).await_ready()
    without = transports.start(broker.url, tls=TlsOptions(ca=authority.ca), client_id="other")
    wait_until(lambda: without.listener.count("disconnected", "tls-failed"), "a TLS failure", within_s=10)
    assert not without.transport.is_ready


def test_an_unknown_authority_is_refused_unless_insecure(
    start_mosquitto: Start, transports: TransportMaker, authority: Authority, tmp_path: Path
) -> None:
    """The problem says what OpenSSL found and where to look; `insecure` goes on without a check."""
    broker = start_mosquitto(MosquittoOptions(tls=authority.issue("broker")))
    stranger = Authority(tmp_path, "stranger")
    wired = transports.start(broker.url, tls=TlsOptions(ca=stranger.ca))
    message = wired.await_problem("tls-failed")
    assert "not trusted" in message
    assert "tls.ca" in message
    transports.start(broker.url, tls=TlsOptions(ca=stranger.ca, insecure=True), client_id="other").await_ready()


def test_a_certificate_for_another_host_is_refused(
    start_mosquitto: Start, transports: TransportMaker, authority: Authority
) -> None:
    """A trusted certificate of another name does not do."""
    broker = start_mosquitto(MosquittoOptions(tls=authority.issue("broker", host="other.example")))
    wired = transports.start(broker.url, tls=TlsOptions(ca=authority.ca))
    assert "host name" in wired.await_problem("tls-failed")


def test_files_that_cannot_be_read_are_a_problem_and_not_the_end(
    mosquitto: Mosquitto, transports: TransportMaker, tmp_path: Path
) -> None:
    """A missing CA or password file is told, and tried again: it may be mounted late."""
    missing_ca = transports.start("mqtts://127.0.0.1:1", tls=TlsOptions(ca=tmp_path / "none.pem"))
    assert "tls files of connection plant" in missing_ca.await_problem("tls-failed")
    path = tmp_path / "password"
    wired = transports.start(mosquitto.url, username="worker", password_file=path)
    assert str(path) in wired.await_problem("password-unreadable")
    path.write_text("anything\n")
    wired.await_ready()


@VERSIONS
def test_the_password_file_is_read_at_each_connect(
    start_mosquitto: Start, transports: TransportMaker, tmp_path: Path, version: MqttVersion
) -> None:
    """A wrong password names the user; once the file has the right one, the next attempt is let in."""
    broker = start_mosquitto(MosquittoOptions(passwords={"worker": "right"}))
    path = tmp_path / "password"
    path.write_text("wrong\n")
    wired = transports.start(broker.url, version=version, username="worker", password_file=path)
    message = wired.await_problem("not-authorized")
    assert '"worker"' in message
    assert "right" not in message
    assert "wrong" not in message
    path.write_bytes(b"right\r\n")
    wired.await_ready()
    assert wired.transport.problems == ()


@VERSIONS
def test_no_user_name_where_one_is_asked_says_so(
    start_mosquitto: Start, transports: TransportMaker, version: MqttVersion
) -> None:
    """The sentence tells that none was sent."""
    broker = start_mosquitto(MosquittoOptions(passwords={"worker": "right"}))
    wired = transports.start(broker.url, version=version)
    assert "no user name" in wired.await_problem("not-authorized")


def test_a_broker_that_is_away_is_no_error(start_mosquitto: Start, transports: TransportMaker) -> None:
    """start() returns, the problem names the broker, and the connection comes up with the broker."""
    broker = start_mosquitto(MosquittoOptions())
    broker.stop()
    wired = transports.start(broker.url, "a")
    assert str(broker.port) in wired.await_problem("unreachable")
    assert not wired.transport.is_ready
    broker.start()
    wired.await_ready()


def test_an_unknown_host_name_is_told(transports: TransportMaker) -> None:
    """A name that does not resolve is named."""
    wired = transports.start("mqtt://no-such-host.invalid")
    assert "no-such-host.invalid" in wired.await_problem("unreachable")


def test_a_broker_of_the_other_version_is_told_with_the_remedy(transports: TransportMaker) -> None:
    """CONNACK 1 of a 3.1.1 broker to a 5.0 client, and the other way round: the key to set is named."""
    for version, remedy in ((MqttVersion.V5, "set version: 3.1.1"), (MqttVersion.V311, "set version: 5")):
        with ScriptedBroker() as broker:
            wired = transports.start(broker.url, version=version)
            broker.next_connection().accept(code=1)
            assert remedy in wired.await_problem("bad-protocol-version")


def test_something_that_is_no_broker_is_told(transports: TransportMaker) -> None:
    """An HTTP server on the port is a protocol error, or ends the connection; never an exception."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url)
        connection = broker.next_connection()
        connection.expect("CONNECT")
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wired.await_problem("protocol-error")
        assert wired.metrics.value("internal_errors_total", where="mqtt") == 0


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
def test_a_stop_interrupts_a_handshake(transports: TransportMaker, scheme: str) -> None:
    """A peer that takes the connection and says nothing does not hold up stop()."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url.replace("mqtt", scheme, 1), connect_timeout_s=30.0)
        broker.next_connection()
        assert wired.transport.stop(2) == []


def test_a_stop_interrupts_the_wait_between_attempts(transports: TransportMaker) -> None:
    """stop() does not wait for the backoff."""
    wired = transports.start(f"mqtt://127.0.0.1:{free_port()}")
    wired.await_problem("unreachable")
    assert wired.transport.stop(1) == []
