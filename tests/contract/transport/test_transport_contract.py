"""What every broker must see of a transport, and the bridge of every broker (bridge/transports/base.py)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.core.model import OutgoingMessage
from bridge.interface.topics import Topics
from bridge.transports.base import PublishResult
from bridge.transports.mqtt.options import FilterMemory
from tests.contract.transport.conftest import Ground
from tests.support.transport_ends import Outcomes, RecordingReceiver, wait_until

ROOT = Path(__file__).parents[3]
TOPICS = Topics("p", "own")


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_arrives_as_it_was_sent(ground: Ground, qos: int) -> None:
    """Topic, payload and QoS arrive unchanged; a message at QoS 0 has no packet id, one at QoS 1 has."""
    wired = ground.start("sensors/+/temperature")
    with ground.client() as client:
        client.publish("sensors/boiler/temperature", b'{"value": 95.5}', qos)
    wired.await_payloads(b'{"value": 95.5}')
    message = wired.receiver.messages[0]
    assert (message.connection, message.topic) == ("plant", "sensors/boiler/temperature")
    assert (message.retain, message.dup) == (False, False)
    if ground.is_amqp:
        assert (message.qos, message.packet_id > 0) == (1, True)  # a transient message is acknowledged like any other
    elif ground.is_strict:
        assert (message.qos, message.packet_id > 0) == (qos, qos == 1)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_published_message_reaches_others_and_is_confirmed(ground: Ground, qos: int) -> None:
    """publish() sends topic and payload as given and says True exactly once."""
    wired = ground.start()
    with ground.client() as client:
        client.subscribe("out/#")
        outcomes = wired.publish("out/topic", b"body", qos=qos)
        wait_until(lambda: outcomes.results and client.messages, "the message and its confirmation")
        assert client.payloads == [b"body"]
    assert outcomes.results == [PublishResult.CONFIRMED]


def test_a_qos_2_publish_arrives_once_at_qos_1(ground: Ground) -> None:
    """We subscribe at QoS 1, so the broker brings a QoS 2 publish down to 1."""
    ground.require_mqtt("QoS 2")
    wired = ground.start("a")
    with ground.client() as client:
        client.publish("a", b"two", 2)
        client.publish("a", b"after", 1)
    wired.await_payloads(b"two", b"after")
    assert wired.receiver.messages[0].qos == 1


def test_messages_arrive_in_order(ground: Ground) -> None:
    """A burst arrives complete and in the broker's order, whatever the batches."""
    wired = ground.start("a")
    payloads = [b"%d" % number for number in range(500)]
    with ground.client() as client:
        client.publish_many("a", payloads)
    wired.await_payloads(*payloads)
    assert sum(wired.receiver.batches) == 500
    assert wired.metrics.value("messages_received_total", connection="plant") == 500


def test_an_unacknowledged_message_comes_again(ground: Ground) -> None:
    """What was handed in and not acknowledged when the connection broke is delivered again, marked DUP."""
    ground.require_strict()
    wired = ground.start("a", receiver=RecordingReceiver(acks=False))
    with ground.client() as client:
        client.publish("a", b"kept")
        wired.await_payloads(b"kept")
        wired.receiver.acks = True
        ground.proxy.cut()
        wired.await_payloads(b"kept", b"kept")
    first, second = wired.receiver.messages
    assert not first.dup
    assert second.dup
    if not ground.is_amqp:
        # A broker that speaks AMQP names no message; what recognises it has tests of its own.
        assert second.packet_id == first.packet_id


def test_an_acknowledged_message_does_not_come_again(ground: Ground) -> None:
    """ack() reaches the broker: after a reconnect only what is new arrives."""
    wired = ground.start("a")
    with ground.client() as client:
        client.publish("a", b"first")
        wired.await_payloads(b"first")
        # A round trip behind the PUBACK shows that the broker has read it.
        outcomes = wired.publish("other", b"", qos=1)
        wait_until(lambda: outcomes.results == [PublishResult.CONFIRMED], "a confirmation")
        ground.proxy.cut()
        wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
        client.publish("a", b"second")
        wired.await_payloads(b"first", b"second")


def test_the_session_is_new_once_and_resumed_after(ground: Ground) -> None:
    """The first connection reports a new session, a reconnect the same one, in the order connected, ready."""
    wired = ground.start("a")
    ground.proxy.cut()
    wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
    assert wired.listener.events == [
        ("connected", "new"),
        ("ready",),
        ("disconnected", "connection-lost"),
        ("connected", "resumed"),
        ("ready",),
    ]
    assert wired.metrics.value("connects_total", connection="plant") == 2
    assert wired.metrics.value("disconnects_total", connection="plant", reason="connection-lost") == 1


def test_what_was_published_while_away_arrives_after(ground: Ground) -> None:
    """The persistent session collects messages while the bridge is down; the next process gets them."""
    ground.require_strict()
    first = ground.start("a")
    assert first.transport.stop(5) == []
    with ground.client() as client:
        client.publish("a", b"meanwhile")
    second = ground.start("a")
    second.await_payloads(b"meanwhile")
    assert second.listener.sessions == ["resumed"]


def test_a_filter_of_an_earlier_run_is_unsubscribed(ground: Ground) -> None:
    """A filter that the configuration no longer has leaves the persistent session, and the memory is told so."""
    reported: list[frozenset[str]] = []
    first = ground.start("old", "kept", memory=FilterMemory(changed=reported.append))
    assert len(reported[-1]) == 2
    assert first.transport.stop(5) == []
    second = ground.start("kept", "new", memory=FilterMemory(reported[-1], reported.append))
    wait_until(lambda: [len(each) for each in reported[-3:]] == [2, 3, 2], f"what is remembered: {reported}")
    if not ground.is_amqp:  # which remembers bindings, not filters
        assert reported[-3:] == [{"old", "kept"}, {"old", "kept", "new"}, {"kept", "new"}]
    with ground.client() as client:
        client.publish("old", b"unwanted")
        client.publish("kept", b"wanted")
        client.publish("new", b"also")
    second.await_payloads(b"wanted", b"also")


def test_filters_change_while_connected(ground: Ground) -> None:
    """subscribe() on a running transport adds and removes without a reconnect, and `ready` tells when it is done."""
    wired = ground.start("old")
    wait_until(lambda: wired.listener.count("ready") == 1, "ready with the old filter")
    wired.transport.subscribe(frozenset({"new"}), frozenset())
    wait_until(lambda: wired.listener.count("ready") == 2, "ready with the new filter")
    assert wired.transport.is_ready
    with ground.client() as client:
        client.publish("old", b"unwanted")
        client.publish("new", b"wanted")
    wired.await_payloads(b"wanted")
    assert wired.listener.sessions == ["new"]


def test_retained_messages_are_marked_and_live_ones_not(ground: Ground) -> None:
    """A filter of `retained` brings what the broker kept, with retain set; a live retained publish has it unset."""
    ground.require_mqtt("retained messages")
    with ground.client() as client:
        client.publish("status/a", b"old", retain=True)
        wired = ground.start(retained=("status/+",))
        wired.await_payloads(b"old")
        client.publish("status/a", b"live", retain=True)
        wired.await_payloads(b"old", b"live")
        client.publish("status/a", b"", retain=True)
    assert [message.retain for message in wired.receiver.messages[:2]] == [True, False]


def test_a_live_filter_brings_nothing_kept(ground: Ground) -> None:
    """On 5.0 a live filter gets no retained message at all; on 3.1.1 it may, and then it is marked."""
    ground.require_mqtt("retained messages")
    with ground.client() as client:
        client.publish("live/a", b"old", retain=True)
        wired = ground.start("live/a")
        client.publish("live/a", b"now")
        wait_until(lambda: b"now" in wired.receiver.payloads, "the live message")
        client.publish("live/a", b"", retain=True)
    kept = [message for message in wired.receiver.messages if message.payload == b"old"]
    assert [message.retain for message in kept] == ([] if ground.is_v5 else [True])


def test_what_it_publishes_itself_comes_back_unless_told_otherwise(ground: Ground) -> None:
    """On 5.0 the filter of the stream of updates brings only what others send; on 3.1.1 all of it."""
    ground.require_mqtt("such filters")
    stream = TOPICS.status_stream
    wired = ground.start(stream, "echo", topics=TOPICS)
    for topic in (stream, "echo"):
        wired.publish(topic, b"own", qos=1)
    wait_until(lambda: "echo" in [message.topic for message in wired.receiver.messages], "what comes back")
    with ground.client() as client:
        client.publish(stream, b"of others")
    wait_until(lambda: b"of others" in wired.receiver.payloads, "what others send")
    heard = [message.payload for message in wired.receiver.messages if message.topic == stream]
    assert heard == ([b"of others"] if ground.is_v5 else [b"own", b"of others"])


@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_payloads_of_any_size_pass_unchanged(ground: Ground, size: int) -> None:
    """Empty, small and large payloads are received and published byte for byte."""
    payload = os.urandom(size)
    wired = ground.start("in")
    with ground.client() as client:
        client.subscribe("out")
        client.publish("in", payload)
        wired.publish("out", payload)
        wait_until(lambda: wired.receiver.deliveries and client.messages, "both messages")
        assert wired.receiver.payloads == [payload]
        assert client.payloads == [payload]


def test_the_window_bounds_what_is_taken(ground: Ground) -> None:
    """While nothing is confirmed publish() takes a bounded number, then says False; each taken one is told."""
    wired = ground.start()
    ground.proxy.stall()
    outcomes = Outcomes()
    taken = sum(wired.transport.publish(OutgoingMessage("out", b"x"), outcomes) for _ in range(300))
    assert 0 < taken <= 100
    assert not wired.transport.publish(OutgoingMessage("out", b"x"), outcomes)
    ground.proxy.resume()
    wait_until(lambda: len(outcomes.results) == taken, "all confirmations")
    assert outcomes.results == [PublishResult.CONFIRMED] * taken
    assert wired.publish("out", b"again")


def test_nothing_is_taken_while_disconnected_and_what_is_in_flight_fails(ground: Ground) -> None:
    """A lost connection tells LOST for each message under way; nothing is kept and sent later."""
    wired = ground.start()
    with ground.client() as client:
        client.subscribe("out")
        ground.proxy.stall()
        outcomes = [wired.publish("out", b"lost"), wired.publish("out", b"lost too", qos=1)]
        ground.proxy.cut()
        wait_until(lambda: all(outcome.results for outcome in outcomes), "both outcomes")
        assert [outcome.results for outcome in outcomes] == [[PublishResult.LOST], [PublishResult.LOST]]
        assert not wired.transport.publish(OutgoingMessage("out", b"x"), Outcomes())
        ground.proxy.resume()
        wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
        wired.publish("out", b"after")
        wait_until(lambda: client.messages, "the message after")
        assert client.payloads == [b"after"]


def test_a_stop_sends_what_was_taken_and_no_will(ground: Ground) -> None:
    """stop() sends what publish() took before, then disconnects; the broker drops the will."""
    wired = ground.start("a", **({} if ground.is_amqp else {"topics": TOPICS}))
    with ground.client() as client:
        client.subscribe(TOPICS.availability)
        client.subscribe("out")
        outcomes = [wired.publish("out", b"%d" % number) for number in range(50)]
        assert wired.transport.stop(5) == []
        assert [outcome.results for outcome in outcomes] == [[PublishResult.CONFIRMED]] * 50
        client.publish(TOPICS.availability, b"end")
        wait_until(lambda: b"end" in client.payloads, "the last message")
        assert client.payloads == [*(b"%d" % number for number in range(50)), b"end"]
    assert not wired.transport.is_ready
    assert wired.problem_codes == ["stopped"]


VICTIM = """
import sys, threading
from bridge.interface.topics import Topics
from bridge.transports.mqtt.options import MqttVersion
from tests.support.transports import TransportMaker
topics, version = Topics("p", "own"), MqttVersion(sys.argv[2])
TransportMaker().start(sys.argv[1], "a", version=version, topics=topics, client_id="victim").await_ready()
print("ready", flush=True)
threading.Event().wait()
"""


def test_a_killed_bridge_leaves_its_will_retained(ground: Ground) -> None:
    """After SIGKILL the broker publishes the will: retained, at QoS 1."""
    ground.require_mqtt("last will")
    command = [sys.executable, "-c", VICTIM, ground.proxy.url, ground.version.value]
    with ground.client() as client:
        client.subscribe(TOPICS.availability)
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: client.messages, "the will")
        assert client.payloads == [b"offline"]
        assert client.messages[0].qos == 1
    with ground.client("late") as late:
        late.subscribe(TOPICS.availability)
        wait_until(lambda: late.messages, "the retained will")
        assert late.messages[0].retain
        late.publish(TOPICS.availability, b"", retain=True)


def test_a_late_acknowledgement_is_only_counted(ground: Ground) -> None:
    """ack() after a reconnect does nothing on the new connection and is counted as late."""
    ground.require_strict()
    wired = ground.start("a", receiver=RecordingReceiver(acks=False))
    with ground.client() as client:
        client.publish("a", b"one")
        wired.await_payloads(b"one")
        ground.proxy.cut()
        wired.await_payloads(b"one", b"one")
        wired.receiver.deliveries[0].ack()
        assert wired.metrics.value("late_acks_total", connection="plant") == 1
        ground.proxy.cut()
        wired.await_payloads(b"one", b"one", b"one")
        wired.receiver.deliveries[2].ack()
    assert wired.metrics.value("late_acks_total", connection="plant") == 1


def test_acks_from_another_thread_leave_without_new_traffic(ground: Ground) -> None:
    """An acknowledgement given later, from any thread, is sent at once, in order of arrival."""
    wired = ground.start("a", receiver=RecordingReceiver(acks=False))
    with ground.client() as client:
        client.publish_many("a", [b"1", b"2", b"3"])
        wired.await_payloads(b"1", b"2", b"3")
        for delivery in reversed(wired.receiver.deliveries):
            delivery.ack()
        outcomes = wired.publish("other", b"", qos=1)
        wait_until(lambda: outcomes.results == [PublishResult.CONFIRMED], "a confirmation")
        ground.proxy.cut()
        wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
        client.publish("a", b"4")
        wired.await_payloads(b"1", b"2", b"3", b"4")


def test_properties_travel_both_ways_on_5_0(ground: Ground) -> None:
    """Response Topic, Correlation Data, Content Type, Message Expiry and User Properties arrive, and can be sent."""
    ground.require_mqtt("5.0; its own properties have tests of their own")
    wired = ground.start("in")
    with ground.client() as client:
        client.subscribe("out")
        wired.publish("out", b"{}", correlation_data=b"\0\1", content_type="application/json", user=(("code", "200"),))
        wait_until(lambda: client.messages, "the reply")
        if not ground.is_v5:
            assert client.payloads == [b"{}"]
            return
        sent = client.messages[0].properties
        assert (sent.CorrelationData, sent.ContentType, sent.UserProperty) == (
            b"\0\1",
            "application/json",
            [("code", "200")],
        )
        user = [("a", "1"), ("a", "2")]
        client.publish(
            "in",
            b"x",
            ResponseTopic="reply/me",
            CorrelationData=b"\xff\0",
            ContentType="text/plain",
            MessageExpiryInterval=300,
            UserProperty=user,
        )
    wait_until(lambda: wired.receiver.deliveries, "the request")
    found = wired.receiver.messages[0].properties
    assert (found.response_topic, found.correlation_data, found.content_type) == ("reply/me", b"\xff\0", "text/plain")
    assert found.user == (("a", "1"), ("a", "2"))
    assert found.message_expiry_s is not None
    assert 298 <= found.message_expiry_s <= 300
