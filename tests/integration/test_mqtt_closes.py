"""Brokers that close the connection: a rival with our client id, a message they do not take, an outage."""

from __future__ import annotations

import pytest

from bridge.transports.base import PublishResult
from bridge.transports.mqtt.options import MqttVersion
from bridge.transports.mqtt.transport import QUICK_CLOSES
from bridge.transports.suspects import ENDS_ALONE
from tests.support.scripted_broker import ScriptedBroker, meet, packet
from tests.support.transport_ends import wait_until
from tests.support.transports import TransportMaker

CONFIRMED, REFUSED, LOST = PublishResult.CONFIRMED, PublishResult.REFUSED, PublishResult.LOST

PINGRESP = b"\xd0\0"


def test_quick_closes_for_nothing_that_we_sent_mean_a_rival(transports: TransportMaker) -> None:
    """3.1.1 brokers just close when another client takes the session over; after some times it is believed."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        for _ in range(QUICK_CLOSES):
            meet(broker).close()
        assert "another client uses client id bridge-under-test" in wired.await_problem("taken-over")
        ends = [event[1] for event in wired.listener.events if event[0] == "disconnected"]
        assert ends == ["connection-lost"] * (QUICK_CLOSES - 1) + ["taken-over"]
        meet(broker)
        wait_until(lambda: wired.transport.is_ready, "the next connection")
        assert wired.problem_codes == ["taken-over"], "being connected again proves nothing yet"


@pytest.mark.parametrize("last", ["SUBSCRIBE", "PUBLISH"])
def test_a_close_after_a_packet_of_ours_is_no_rival(transports: TransportMaker, last: str) -> None:
    """Closed each time that it reads a SUBSCRIBE or a PUBLISH: however often, no other client is blamed."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        for number in range(2 * QUICK_CLOSES):
            connection = broker.next_connection()
            connection.accept()
            if last == "PUBLISH":
                connection.grant()
                wait_until(lambda: wired.transport.is_ready, "ready")
                wired.publish(f"t/{number}", b"x")
            connection.expect(last)
            connection.close()
        meet(broker)
        wired.await_ready()
        ends = [event[1] for event in wired.listener.events if event[0] == "disconnected"]
        assert ends == ["connection-lost"] * 2 * QUICK_CLOSES
        assert wired.transport.problems == ()


def test_a_refusal_that_ends_the_connection_is_told_and_not_repeated(transports: TransportMaker) -> None:
    """Closed each time after a refusal: no other client is blamed, and the topic is set aside after the first."""
    with ScriptedBroker(v5=True) as broker:
        wired = transports.start(broker.url, "a", version=MqttVersion.V5)
        for number in range(2 * QUICK_CLOSES):
            connection = meet(broker)
            wait_until(lambda: wired.transport.is_ready, "ready")
            outcomes = wired.publish(f"t/{number}", b"x")
            refused = connection.expect("PUBLISH").body[5:7]
            connection.send(packet(0x40, refused + b"\x87"))
            connection.close(reset=number % 2 == 1)
            wait_until(lambda outcomes=outcomes: outcomes.results == [REFUSED], "the refusal")
        connection = meet(broker)
        wired.await_ready()
        again, other = wired.publish("t/0", b"x"), wired.publish("good", b"x")
        assert connection.expect("PUBLISH").body[2:6] == b"good"
        wait_until(lambda: again.results == [REFUSED], "the refusal without a try")
        assert other.results == []
        ends = [event[1] for event in wired.listener.events if event[0] == "disconnected"]
        assert ends == ["connection-lost"] * 2 * QUICK_CLOSES


def test_a_broker_that_is_away_in_between_is_no_rival(transports: TransportMaker) -> None:
    """One that restarts again and again closes soon after each connect too, but cannot be reached for a moment."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url, "a")
        for number in range(2 * QUICK_CLOSES):
            meet(broker).close()
            if number % 2:
                broker.next_connection().close()
        meet(broker)
        wired.await_ready()
        assert not wired.listener.count("disconnected", "taken-over")


def test_a_message_that_the_broker_closes_on_is_set_aside(transports: TransportMaker) -> None:
    """Two ends, then it is told and not sent again; what was on its way beside it arrives."""
    with ScriptedBroker() as broker:
        wired = transports.start(broker.url)
        first = broker.next_connection()
        first.accept()
        wired.await_ready()
        outcomes = [wired.publish(topic, b"x") for topic in ("good", "bad")]
        for _ in range(2):
            first.expect("PUBLISH")
        first.close()
        wait_until(lambda: all(one.results == [PublishResult.LOST] for one in outcomes), "both to be lost")
        seen: list[str] = []
        results: list[PublishResult] = []
        for _ in range(ENDS_ALONE):
            connection = broker.next_connection()
            connection.accept()
            wait_until(lambda: wired.transport.is_ready, "ready")
            again = [wired.publish(topic, b"x") for topic in ("good", "bad") if topic not in seen]
            while (received := connection.expect("PUBLISH")).body[2:5] != b"bad":
                seen.append("good")
                connection.send(packet(0x40, received.body[6:8]))
            connection.close()
            wait_until(lambda again=again: all(one.results for one in again), "outcomes")
            results = [*results, *(one.results[0] for one in again)]
        assert results == [PublishResult.CONFIRMED, PublishResult.LOST, PublishResult.SET_ASIDE]
        connection = broker.next_connection()
        connection.accept()
        wait_until(lambda: wired.transport.is_ready, "ready")
        refused, taken = wired.publish("bad", b"x"), wired.publish("good", b"y")
        assert connection.expect("PUBLISH").body[2:6] == b"good"
        wait_until(lambda: refused.results, "the refusal")
        assert (refused.results, taken.results) == ([PublishResult.REFUSED], [])
