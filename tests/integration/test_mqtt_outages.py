"""Brokers that crash, hang, refuse and take sessions away; a spool that is full. Real Mosquitto."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bridge.core.backoff import Backoff
from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishResult
from bridge.transports.mqtt.options import Bounds, MqttVersion
from bridge.transports.mqtt.transport import QUICK_CLOSES
from tests.support.mosquitto import Mosquitto, MosquittoOptions, find_security_plugin
from tests.support.plain_client import PlainClient
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import Outcomes, RecordingReceiver, wait_until
from tests.support.transports import TransportMaker, Wired

Start = Callable[[MosquittoOptions], Mosquitto]
VERSIONS = pytest.mark.parametrize("version", list(MqttVersion))
PERSISTENT = MosquittoOptions(persistence=True, config=("max_queued_messages 0",))


@VERSIONS
def test_a_killed_broker_loses_nothing_that_it_saved(
    start_mosquitto: Start, transports: TransportMaker, version: MqttVersion
) -> None:
    """SIGKILL with unacknowledged messages: after the restart they come again, marked DUP, in the same session."""
    broker = start_mosquitto(PERSISTENT)
    wired = transports.start(broker.url, "a", version=version, receiver=RecordingReceiver(acks=False)).await_ready()
    with PlainClient(broker.port) as client:
        client.publish_many("a", [b"1", b"2", b"3"])
    wired.await_payloads(b"1", b"2", b"3")
    broker.await_saved()
    broker.kill()
    wait_until(lambda: wired.listener.count("disconnected", "connection-lost"), "the loss")
    wired.receiver.acks = True
    broker.start()
    wired.await_payloads(b"1", b"2", b"3", b"1", b"2", b"3")
    assert wired.listener.sessions == ["new", "resumed"]
    first, again = wired.receiver.messages[:3], wired.receiver.messages[3:]
    assert [message.dup for message in again] == [True] * 3
    assert [message.packet_id for message in first] == [message.packet_id for message in again]


def test_a_restart_without_persistence_is_a_new_session(mosquitto: Mosquitto, transports: TransportMaker) -> None:
    """The broker forgot the subscriptions; they are made again, and the listener is told NEW."""
    wired = transports.start(mosquitto.url, "a").await_ready()
    mosquitto.restart()
    wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
    assert wired.listener.sessions == ["new", "new"]
    with PlainClient(mosquitto.port) as client:
        client.publish("a", b"x")
    wired.await_payloads(b"x")


@VERSIONS
def test_another_client_with_our_id_is_named(
    mosquitto: Mosquitto, transports: TransportMaker, version: MqttVersion
) -> None:
    """Two bridges with one client id: both say taken-over, back off, and keep saying so."""
    slow = Backoff(initial_s=0.3, cap_s=0.3)
    wires = [
        transports.start(mosquitto.url, "a", version=version, backoff=slow, taken_over_backoff=slow) for _ in range(2)
    ]
    for wired in wires:
        message = wired.await_problem("taken-over")
        assert "another client uses client id bridge-under-test" in message
    assert any(wired.listener.count("disconnected", "taken-over") for wired in wires)


@VERSIONS
def test_a_refused_filter_is_named_and_the_rest_works(
    start_mosquitto: Start, transports: TransportMaker, version: MqttVersion
) -> None:
    """A filter that the broker's access rules deny is a problem with its name; other filters bring messages."""
    if find_security_plugin() is None:
        pytest.skip("Mosquitto refuses filters by its dynamic security plugin only, which this package lacks")
    broker = start_mosquitto(MosquittoOptions(filters=("open/#",)))
    wired = transports.start(broker.url, "open/a", "secret/#", version=version).await_ready()
    with PlainClient(broker.port) as client:
        client.publish("open/a", b"x")
    wired.await_payloads(b"x")
    assert wired.problem_codes == ["filter-refused"]
    assert '"secret/#"' in wired.transport.problems[0].message


def test_a_half_open_connection_is_noticed_and_replaced(mosquitto: Mosquitto, transports: TransportMaker) -> None:
    """The network swallows everything while TCP stands: found by the keep alive, and connected anew."""
    with TcpProxy(mosquitto.port) as proxy:
        wired = transports.start(proxy.url, "a", keepalive_s=1, connect_timeout_s=0.5).await_ready()
        proxy.stall()
        wait_until(lambda: wired.listener.count("disconnected", "connection-lost"), "the loss")
        proxy.resume()
        wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
        transports.stop_all()


def test_a_hanging_broker_is_noticed(mosquitto: Mosquitto, transports: TransportMaker) -> None:
    """A broker process that stands still (SIGSTOP) is given up, and found again when it goes on."""
    wired = transports.start(mosquitto.url, "a", keepalive_s=1, connect_timeout_s=0.5).await_ready()
    mosquitto.pause()
    wait_until(lambda: wired.listener.count("disconnected", "connection-lost"), "the loss")
    mosquitto.resume()
    wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")


@VERSIONS
def test_a_full_spool_stops_reading_and_keeps_the_link(
    mosquitto: Mosquitto, transports: TransportMaker, version: MqttVersion
) -> None:
    """For several keep alives nothing is stored: the link stands, and then everything is stored, once and in order."""
    wired = transports.start(mosquitto.url, "a", version=version, keepalive_s=1).await_ready()
    wired.receiver.fails = True
    payloads = [b"%d" % number for number in range(30)]
    with PlainClient(mosquitto.port) as client:
        client.publish_many("a", payloads)
        client.publish("a", b"unpromised", qos=0)
        wait_until(lambda: wired.receiver.refused >= 5, "five attempts, a second each")
        assert wired.receiver.refused < 20, "waiting must not spin"
        assert "spool-unusable" in wired.problem_codes
        assert "disk full" in wired.transport.problems[0].message
        wired.receiver.fails = False
        wait_until(lambda: set(payloads) <= set(wired.receiver.payloads), "all messages")
        client.publish("a", b"fence")
        wait_until(lambda: b"fence" in wired.receiver.payloads, "what comes after everything else")
    stored = [payload for payload in wired.receiver.payloads if payload != b"unpromised"]
    assert stored == [*payloads, b"fence"]
    assert wired.listener.events == [("connected", "new"), ("ready",)]
    wait_until(lambda: wired.transport.problems == (), "no problems")


def test_a_broker_that_dies_while_we_do_not_read_is_noticed(mosquitto: Mosquitto, transports: TransportMaker) -> None:
    """Although nothing is read, the end of the connection is seen at once; after it the messages come again."""
    wired = transports.start(mosquitto.url, "a").await_ready()
    wired.receiver.fails = True
    with PlainClient(mosquitto.port) as client:
        client.publish("a", b"1")
        wait_until(lambda: wired.receiver.refused, "the refusal")
        mosquitto.kill()
    wait_until(lambda: wired.listener.count("disconnected", "connection-lost"), "the loss")


def test_late_acknowledging_receivers_are_bounded(mosquitto: Mosquitto, transports: TransportMaker) -> None:
    """With the bound of unacknowledged messages reached nothing more is read, until half is acknowledged."""
    receiver = RecordingReceiver(acks=False)
    wired = transports.start(mosquitto.url, "a", receiver=receiver, bounds=Bounds(count=50), keepalive_s=1)
    wired.await_ready()
    payloads = [b"%d" % number for number in range(200)]
    with PlainClient(mosquitto.port) as client:
        for start in range(0, 200, 10):
            client.publish_many("a", payloads[start : start + 10])
    held = []
    for position in range(200):
        wait_until(partial(_has_more_than, receiver, position), "more messages")
        held.append(len(receiver.deliveries) - position)
        receiver.deliveries[position].ack()
    assert wired.receiver.payloads == payloads
    assert max(held) <= 51
    assert wired.listener.count("disconnected", "connection-lost") == 0


@pytest.mark.parametrize("queued", [0, 1000])
def test_a_denied_publish_costs_no_more_than_itself(
    start_mosquitto: Start, transports: TransportMaker, tmp_path: Path, queued: int
) -> None:
    """Each is refused and then what is allowed goes through, also where Mosquitto closes the connection on it.

    With `max_queued_messages 0` Mosquitto 2.0.11 of Debian 12, and 2.0.16 and later, answer and close.
    """
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite allowed/#\n")
    config = (f"max_queued_messages {queued}", f"acl_file {acl}")
    broker = start_mosquitto(MosquittoOptions(config=config))
    wired = transports.start(broker.url, "allowed/#", version=MqttVersion.V5).await_ready()
    for number in range(2 * QUICK_CLOSES):
        assert _outcome(wired, f"denied/{number}") is PublishResult.REFUSED
    assert _outcome(wired, "allowed/1") is PublishResult.CONFIRMED
    wired.await_payloads(b"x")
    assert wired.listener.count("disconnected", "taken-over") == 0


def _outcome(wired: Wired, topic: str) -> PublishResult:
    """How a message ends that is published again as often as the connection is lost meanwhile."""
    while True:
        outcomes = Outcomes()
        publish = partial(wired.transport.publish, OutgoingMessage(topic, b"x"), outcomes)
        wait_until(publish, "the message to be taken")
        wait_until(lambda outcomes=outcomes: outcomes.results, "its outcome")
        if outcomes.results[0] is not PublishResult.LOST:
            return outcomes.results[0]


def _has_more_than(receiver: RecordingReceiver, count: int) -> bool:
    return len(receiver.deliveries) > count


def _publish(client: PlainClient, count: int) -> None:
    for start in range(0, count, 10_000):  # paho has 65,535 packet ids
        client.publish_many("burst", [b"%d" % number for number in range(start, start + 10_000)])


@pytest.mark.slow
@pytest.mark.timeout(180)
@VERSIONS
def test_a_burst_of_100_000_with_default_limits_arrives(
    start_mosquitto: Start, transports: TransportMaker, version: MqttVersion
) -> None:
    """Mosquitto with its default limits, but for its queue's: every message arrives once, without a disconnect."""
    broker = start_mosquitto(MosquittoOptions(config=("max_queued_messages 0",)))
    wired = transports.start(broker.url, "burst", version=version).await_ready()
    count = 100_000
    with PlainClient(broker.port) as client:
        publisher = threading.Thread(target=_publish, args=(client, count))
        publisher.start()
        wait_until(lambda: len(wired.receiver.deliveries) >= count, "the burst", within_s=120)
        publisher.join()
    assert wired.receiver.payloads == [b"%d" % number for number in range(count)]
    assert wired.listener.events == [("connected", "new"), ("ready",)]
