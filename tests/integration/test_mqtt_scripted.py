"""Brokers that lose, reorder or invent packets: the transport loses nothing, and its thread lives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.model import OutgoingMessage
from bridge.interface.topics import Topics
from bridge.transports.base import Delivery, Left, PublishResult
from bridge.transports.mqtt.options import MqttVersion
from tests.support.scripted_broker import ScriptedBroker, meet, packet, publish, text
from tests.support.transport_ends import Outcomes, RecordingReceiver, wait_until
from tests.support.transports import TransportMaker, Wired

CONFIRMED, REFUSED, LOST = PublishResult.CONFIRMED, PublishResult.REFUSED, PublishResult.LOST

PINGRESP = b"\xd0\0"


def test_a_late_ack_never_acknowledges_another_message(transports: TransportMaker) -> None:
    """After a reconnect the broker gives packet id 1 to a new message: an ack() for the old one must not leave.

    The race: message A (packet id 1) is being stored while the connection breaks; the broker's session is lost, it
    uses packet id 1 for message B; A's ack() comes. Sent, it would acknowledge B, which is not stored yet.
    """
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", receiver=RecordingReceiver(acks=False))
        first = meet(broker)
        first.send(publish("a", b"A", 1))
        wired.await_payloads(b"A")
        first.close(reset=True)
        second = meet(broker)
        second.send(publish("a", b"B", 1))
        wired.await_payloads(b"A", b"B")
        wired.receiver.deliveries[0].ack()
        assert wired.metrics.value("late_acks_total", connection="plant") == 1
        # Whatever was written before this publish would arrive before it.
        wired.publish("probe", b"")
        assert second.expect("PUBLISH").name == "PUBLISH"
        wired.receiver.deliveries[1].ack()
        assert second.expect("PUBACK").packet_id == 1


def test_acks_leave_in_order_of_arrival(transports: TransportMaker) -> None:
    """Acknowledged 3, 1, 2: nothing leaves for 3 until 1 and 2 are done (MQTT 5.0 section 4.6)."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", receiver=RecordingReceiver(acks=False))
        connection = meet(broker)
        connection.send(*(publish("a", b"%d" % number, 100 + number) for number in (1, 2, 3)))
        wired.await_payloads(b"1", b"2", b"3")
        one, two, three = wired.receiver.deliveries
        three.ack()
        wired.publish("probe", b"")
        connection.expect("PUBLISH")
        one.ack()
        assert connection.expect("PUBACK").packet_id == 101
        two.ack()
        assert [connection.expect("PUBACK").packet_id for _ in range(2)] == [102, 103]


def test_acknowledgements_leave_while_the_rest_of_a_batch_waits(transports: TransportMaker) -> None:
    """A receiver that takes a part of a batch has that acknowledged before it is asked about the next part."""
    left = threading.Event()

    class OneByOne(RecordingReceiver):
        def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
            assert not self.deliveries or left.wait(30)
            left.clear()
            super().receive(batch[:1], waiting)
            return Left(no_time=batch[1:])

    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", receiver=OneByOne())
        connection = meet(broker)
        connection.send(*(publish("a", b"%d" % number, number) for number in range(1, 5)))
        for number in range(1, 5):
            assert connection.expect("PUBACK").packet_id == number
            left.set()
        wired.await_payloads(b"1", b"2", b"3", b"4")


def test_two_live_messages_may_share_a_packet_id(transports: TransportMaker) -> None:
    """Mosquitto 2.0.11 does it over 65,535 queued messages: each is handed in, and acknowledged once."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        connection = meet(broker)
        connection.send(publish("a", b"1", 7), publish("a", b"2", 7))
        wired.await_payloads(b"1", b"2")
        assert [connection.expect("PUBACK").packet_id for _ in range(2)] == [7, 7]


def test_confirmations_in_another_order_reach_their_owners(transports: TransportMaker) -> None:
    """PUBACKs may come in any order; a PUBACK for nothing is ignored; the lost one is told LOST."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        connection = meet(broker)
        wait_until(lambda: wired.transport.is_ready, "SUBACK")
        outcomes = [wired.publish("out", b"%d" % number) for number in range(3)]
        sent = [connection.expect("PUBLISH") for _ in range(3)]
        ids = [one.body[5:7] for one in sent]
        connection.send(packet(0x40, b"\xff\xff"), packet(0x40, ids[2]), packet(0x40, ids[2]), packet(0x40, ids[0]))
        wait_until(lambda: outcomes[0].results and outcomes[2].results, "two confirmations")
        assert outcomes[1].results == []
        connection.close(reset=True)
        wait_until(lambda: outcomes[1].results, "the third outcome")
        assert [each.results for each in outcomes] == [[CONFIRMED], [LOST], [CONFIRMED]]
        # The new connection brings no publish of its own: the owner decides whether to send it again.
        second = meet(broker)
        wait_until(lambda: wired.listener.count("ready") == 2, "reconnect")
        wired.publish("out", b"fresh")
        assert second.expect("PUBLISH").body.endswith(b"fresh")


def test_a_refused_publish_is_told_so(transports: TransportMaker) -> None:
    """A PUBACK of 5.0 with a reason of 0x80 or more means that the broker did not take the message."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5)
        connection = broker.next_connection()
        connection.accept()
        wired.await_ready()
        outcomes = [wired.publish("out", b"0"), wired.publish("out", b"1")]
        ids = [connection.expect("PUBLISH").body[5:7] for _ in range(2)]
        connection.send(packet(0x40, ids[0] + b"\x87"), packet(0x40, ids[1] + b"\x10"))  # 0x10: no subscribers
        wait_until(lambda: all(each.results for each in outcomes), "both outcomes")
        assert [each.results for each in outcomes] == [[REFUSED], [CONFIRMED]]


def test_the_brokers_limits_are_kept(transports: TransportMaker) -> None:
    """Receive Maximum bounds what is under way, Maximum Packet Size what is sent at all (both from CONNACK)."""
    limits = b"\x08\x21\x00\x02\x27\x00\x00\x08\x00"  # Receive Maximum 2, Maximum Packet Size 2048
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5)
        connection = broker.next_connection()
        connection.accept(properties=limits)
        wired.await_ready()
        assert wired.transport.max_publish_bytes == 1024
        too_large = wired.publish("out", b"x" * 2048)
        wait_until(lambda: too_large.results == [REFUSED], "the refusal")
        outcomes = [wired.publish("out", b"%d" % number) for number in range(3)]
        first, second = (connection.expect("PUBLISH") for _ in range(2))
        assert (first.body[-1:], second.body[-1:]) == (b"0", b"1")
        connection.send(packet(0x40, first.body[5:7]))
        third = connection.expect("PUBLISH")
        connection.send(packet(0x40, second.body[5:7]), packet(0x40, third.body[5:7]))
        wait_until(lambda: all(each.results == [CONFIRMED] for each in outcomes), "all confirmations")


def test_a_server_keep_alive_goes_before_ours(transports: TransportMaker) -> None:
    """The broker's Server Keep Alive of 1 s brings a ping within it, though ours is 30 s."""
    with ScriptedBroker(v5=True) as broker:
        transports.start(broker.url, version=MqttVersion.V5, keepalive_s=30)
        connection = broker.next_connection()
        connection.accept(properties=b"\x03\x13\x00\x01")
        assert connection.expect("PINGREQ", skip=()).name == "PINGREQ"
        connection.send(PINGRESP)
        assert connection.expect("PINGREQ", skip=()).name == "PINGREQ"


def test_a_silent_broker_is_given_up(transports: TransportMaker) -> None:
    """Nothing heard for 1.5 times the keep alive ends the connection, although TCP still stands."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", keepalive_s=1)
        connection = meet(broker)
        wired.await_ready()
        wait_until(lambda: wired.listener.count("disconnected", "connection-lost"), "the end", within_s=5)
        assert connection.receive() is not None, "it had sent a ping"


def test_no_connack_is_given_up(transports: TransportMaker) -> None:
    """A broker that takes the connection and says nothing does not hold the thread."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", connect_timeout_s=0.3)
        broker.next_connection().expect("CONNECT")
        assert "no CONNACK" in wired.await_problem("refused")
        meet(broker)
        wired.await_ready()


def test_a_qos_2_message_of_an_old_session_is_stored_before_pubrec(transports: TransportMaker) -> None:
    """A session that another program subscribed at QoS 2: PUBREC follows ack(), PUBREL is answered."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", receiver=RecordingReceiver(acks=False))
        connection = meet(broker)
        connection.send(publish("a", b"two", 9, first=0x34))
        wired.await_payloads(b"two")
        wired.publish("probe", b"")
        connection.expect("PUBLISH")
        wired.receiver.deliveries[0].ack()
        assert connection.expect("PUBREC").packet_id == 9
        connection.send(packet(0x62, b"\0\x09"))
        assert connection.expect("PUBCOMP").packet_id == 9


@pytest.mark.parametrize("topic", [b"\xff\xfe", b"a/+", b""])
def test_a_message_without_a_topic_name_is_skipped_and_acknowledged(transports: TransportMaker, topic: bytes) -> None:
    """Handing it on would break what follows, closing would bring it back for ever: it is counted and acknowledged."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        connection = meet(broker)
        connection.send(publish(topic, b"bad", 3), publish("a", b"good", 4))
        wired.await_payloads(b"good")
        assert [connection.expect("PUBACK").packet_id for _ in range(2)] == [3, 4]
        assert wired.metrics.value("messages_skipped_total", cause="bad-topic") == 1


def test_a_message_over_16_mib_is_cut_and_acknowledged(transports: TransportMaker) -> None:
    """3.1.1 has no Maximum Packet Size: it arrives cut, so that ingest can refuse it, and memory is bounded."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        connection = meet(broker)
        connection.send(publish("a", bytes(20 * 1024 * 1024), 3), publish("a", b"next", 4))
        wait_until(lambda: len(wired.receiver.deliveries) == 2, "both messages")
        large, following = wired.receiver.payloads
        assert 15 * 1024 * 1024 < len(large) <= 16 * 1024 * 1024
        assert following == b"next"
        assert [connection.expect("PUBACK").packet_id for _ in range(2)] == [3, 4]


def test_a_filter_granted_at_qos_0_or_refused_shows_until_granted(transports: TransportMaker) -> None:
    """Every SUBACK code is read; ready is announced all the same, and the next connection tries again."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", "b", "c")
        connection = broker.next_connection()
        connection.accept()
        connection.grant(1, 0x80, 0)
        wired.await_ready()
        assert wired.problem_codes == ["filter-refused", "filter-downgraded"]
        assert '"b"' in wired.transport.problems[0].message
        assert wired.listener.count("ready") == 1
        connection.close()
        second = broker.next_connection()
        second.accept(session_present=True)
        second.grant(1, 1, 1)
        wait_until(lambda: wired.transport.is_ready and not wired.transport.problems, "no problems")


def test_the_last_words_are_read_after_a_failed_write(transports: TransportMaker) -> None:
    """A broker that says why and resets the connection is understood, whichever side notices first."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5)
        for _ in range(10):
            connection = broker.next_connection()
            connection.accept()
            connection.send(packet(0xE0, b"\x98\0"))
            connection.close()
        wait_until(lambda: len(wired.listener.events) >= 20, "ten ends")
        ends = {event[1] for event in wired.listener.events if event[0] == "disconnected"}
        assert ends == {"disconnected"}


def test_connect_carries_session_will_and_limits_on_5_0(transports: TransportMaker) -> None:
    """CONNECT asks for the old session, names expiry, Receive Maximum and Maximum Packet Size, and has the will."""
    with ScriptedBroker(v5=True) as broker:
        options = {"session_expiry_s": 3600, "receive_maximum": 77, "keepalive_s": 9}
        transports.start(broker.url, version=MqttVersion.V5, **options)
        connect = broker.next_connection().accept()
        assert connect.body[:6] == text("MQTT")
        assert (connect.body[6], connect.body[7] & 0x02, connect.body[8:10]) == (5, 0, b"\0\x09")
        expected = {b"\x11\0\0\x0e\x10", b"\x21\0\x4d", b"\x27\x01\0\0\0"}
        assert all(value in connect.body for value in expected)


def survives(
    wired: Wired, broker: ScriptedBroker, version: MqttVersion, stream: bytes, *, before_connack: bool
) -> None:
    """Send `stream` on one connection; the transport must come back for another, or go on."""
    connection = broker.next_connection()
    with contextlib.suppress(OSError):
        if before_connack:
            connection.expect("CONNECT")
        else:
            connection.accept()
        connection.send(stream)
    connection.close()


@pytest.mark.parametrize("version", list(MqttVersion))
def test_the_thread_survives_any_bytes(transports: TransportMaker, version: MqttVersion) -> None:
    """Random bytes, and packets with random bodies, before or after CONNACK: the transport connects again."""
    packets = st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(packet, st.integers(0, 255), st.binary(max_size=30)),
            st.builds(publish, st.binary(max_size=8), st.binary(max_size=8), st.integers(0, 3)),
        ),
        max_size=5,
    )
    with ScriptedBroker(v5=version is MqttVersion.V5) as broker:
        wired = transports.start(broker.url, "a", version=version, connect_timeout_s=1.0)

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(packets=packets, before_connack=st.booleans())
        def run(packets: list[bytes], before_connack: bool) -> None:
            survives(wired, broker, version, b"".join(packets), before_connack=before_connack)

        run()
        connection = broker.next_connection()
        connection.accept()
        connection.grant()
        wait_until(lambda: wired.transport.is_ready, "a sane connection")
        connection.send(publish("a", b"sane", 1, properties=b"\0" if version is MqttVersion.V5 else b""))
        wait_until(lambda: b"sane" in wired.receiver.payloads, "a sane message")
        assert wired.metrics.value("internal_errors_total", where="mqtt") == 0


def test_a_publish_that_paho_cannot_encode_is_refused(transports: TransportMaker) -> None:
    """A topic with a wildcard, or text that is no Unicode, fails alone; the connection goes on."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5)
        connection = broker.next_connection()
        connection.accept()
        wired.await_ready()
        outcomes = Outcomes()
        for message in (
            OutgoingMessage("a/+", b""),
            OutgoingMessage("\udc00", b""),
            OutgoingMessage("a", b"", user=(("\udc00", ""),)),
        ):
            assert wired.transport.publish(message, outcomes)
        wait_until(lambda: outcomes.results == [REFUSED] * 3, "three refusals")
        wired.publish("fine", b"x")
        assert connection.expect("PUBLISH").body.endswith(b"x")


OWN = {"topics": Topics("p", "own")}
PROBE = OWN["topics"].probe


def test_what_the_bridge_can_do_without_is_asked_for_last_and_never_costs_the_link_for_long(
    transports: TransportMaker,
) -> None:
    """A broker that ends the connection on it is not asked a third time; what else is published is not blamed."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", **OWN)
        for _ in range(2):
            connection = meet(broker)
            assert text("argo/bridge/own/+") in connection.expect("SUBSCRIBE").body
            wait_until(lambda: wired.transport.is_ready, "ready all the same")
            outcomes = wired.publish("innocent", b"x")
            connection.close()
            wait_until(lambda outcomes=outcomes: outcomes.results == [PublishResult.LOST], "the loss")
        connection = meet(broker)
        wired.await_ready()
        wired.publish("innocent", b"x")
        assert connection.expect("PUBLISH").body[2:10] == b"innocent"
        assert wired.transport.problems == ()


def test_a_refusal_of_what_the_bridge_can_do_without_is_no_problem(transports: TransportMaker) -> None:
    """Neither a refused filter nor a refused probe makes a connection unready."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", **OWN)
        connection = meet(broker)
        connection.grant(0x80)
        wired.await_ready()
        wired.publish("next", b"x")
        assert connection.expect("PUBLISH").body[2:6] == b"next", "there is no probe where it could not come back"
        assert wired.transport.problems == ()


@pytest.mark.parametrize("heard", ["nothing", "the probe", "another message"])
def test_a_broker_that_delivers_nothing_is_noticed(
    transports: TransportMaker, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    """It confirms the probe and delivers neither it nor anything else: `deaf`, until something comes."""
    monkeypatch.setattr("bridge.transports.mqtt.probe.WITHIN_S", 0.0 if heard == "nothing" else 3600.0)
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a", **OWN)
        connection = meet(broker)
        connection.grant()
        probe = connection.expect("PUBLISH")
        assert probe.body.startswith(text(PROBE))
        connection.send(packet(0x40, probe.body[len(text(PROBE)) :][:2]))
        if heard == "nothing":
            assert f'"{PROBE}"' in wired.await_problem("deaf")
        topic = PROBE if heard == "the probe" else "a"
        connection.send(publish(topic, b"probe", 7))
        assert connection.expect("PUBACK").packet_id == 7
        wait_until(lambda: wired.transport.problems == (), "no problem")
        assert wired.receiver.payloads == ([] if heard == "the probe" else [b"probe"]), "the probe is nobody's event"


@pytest.mark.parametrize(("expiry_s", "is_told"), [(3600, True), (0, False)])
def test_a_session_that_the_broker_has_no_more_is_told(
    transports: TransportMaker, caplog: pytest.LogCaptureFixture, expiry_s: int, is_told: bool
) -> None:
    """Another client that took our id with a clean start has taken what waited: a warning says so, once."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, "a", version=MqttVersion.V5, session_expiry_s=expiry_s)
        for session_present in (False, True, False):
            connection = meet(broker, session_present=session_present)
            wired.await_ready()
            connection.close()
            wait_until(lambda: not wired.transport.is_ready, "the loss")
    told = [record for record in caplog.records if getattr(record, "code", "") == "session-lost"]
    assert len(told) == is_told
    assert not told or "bridge-under-test" in told[0].getMessage()


def test_refused_publishes_are_told_once_with_their_topic(
    transports: TransportMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """Hundreds of refusals are one line a minute: the first topic, and how many were held back comes with the next."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5)
        connection = broker.next_connection()
        connection.accept()
        wired.await_ready()
        outcomes = Outcomes()
        for number in range(100):
            message = OutgoingMessage(f"denied/{number}", b"")
            wait_until(lambda message=message: wired.transport.publish(message, outcomes), "room")
            connection.send(packet(0x40, connection.expect("PUBLISH").body[-3:-1] + b"\x87\0"))
        wait_until(lambda: len(outcomes.results) == 100, "every refusal")
    (told,) = [record for record in caplog.records if getattr(record, "action", "") == "publish"]
    assert (told.topic, outcomes.results) == ("denied/0", [PublishResult.REFUSED] * 100)


def test_a_maximum_packet_size_of_1_is_one_line_and_a_problem(
    transports: TransportMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be published: each message is refused at once, and the log does not fill with it."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5)
        connection = broker.next_connection()
        connection.accept(properties=b"\x05\x27\0\0\0\x01")
        wired.await_ready()
        outcomes = Outcomes()
        for number in range(200):
            message = OutgoingMessage("t", b"%d" % number)
            wait_until(lambda message=message: wired.transport.publish(message, outcomes), "room")
        wait_until(lambda: len(outcomes.results) == 200, "every refusal")
        assert set(outcomes.results) == {PublishResult.REFUSED}
        assert "1 bytes" in wired.await_problem("packet-limit")
    assert len([record for record in caplog.records if getattr(record, "topic", "")]) == 1


def test_a_broker_without_retain_and_will_is_asked_for_neither(transports: TransportMaker) -> None:
    """Values go out as live messages; a topic where nothing is retained need not be cleared."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, version=MqttVersion.V5, retain=False)
        connection = broker.next_connection()
        connect = connection.accept()
        wired.await_ready()
        cleared = wired.publish("status/a", b"", retain=True)
        shown = wired.publish("status/b", b"x", retain=True)
        first = connection.expect("PUBLISH")
        assert (first.body[2:10], first.first & 1, connect.body[7] & 0x24) == (b"status/b", 0, 0)
        assert (cleared.results, shown.results) == ([PublishResult.CONFIRMED], [])
