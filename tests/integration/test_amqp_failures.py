"""What RabbitMQ refuses, cancels, blocks and cuts: each is told by name, mended if it can be, and costs no message."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge.core.backoff import Backoff
from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishResult
from bridge.transports.mqtt.options import FilterMemory
from tests.support.amqp_client import AmqpClient
from tests.support.amqp_memory import DeliveryNotes
from tests.support.amqp_place import Owner
from tests.support.mosquitto import free_port
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import Outcomes, RecordingReceiver, wait_until


def test_wrong_credentials_are_told_with_what_to_do(place, tmp_path):
    """A refused login names the user, and the connection is tried again."""
    (tmp_path / "password").write_text("wrong")
    wired = place.start(username="guest", password_file=tmp_path / "password")
    text = wired.await_problem("not-authorized")
    assert 'user "guest"' in text
    assert "password-file" in text
    wait_until(lambda: wired.listener.count("disconnected", "not-authorized") >= 2, "a second attempt")


def test_an_unknown_virtual_host_is_told_by_name(place):
    """The virtual host is the path of the url."""
    text = place.start(url=f"{place.broker.url}/nowhere").await_problem("vhost-refused")
    assert '"nowhere"' in text


def test_a_virtual_host_with_a_slash_is_reached(place):
    """plant/one is written plant%2Fone; RabbitMQ knows the connection by the bridge's name."""
    place.start("a", url=f"{place.broker.url}/plant%2Fone").await_ready()
    listed = place.broker.ctl("list_connections", "vhost", "client_properties")
    assert any("plant/one" in line and f"argo-bridge {place.name} plant" in line for line in listed.splitlines())


def test_a_password_file_that_is_not_there_is_told(place, tmp_path):
    """The file is read at each connect, so a secret that is mounted late is no fatal error."""
    path = tmp_path / "later"
    wired = place.start(username="guest", password_file=path)
    assert str(path) in wired.await_problem("unreadable-file")
    path.write_bytes(b"\xff\n")
    wait_until(lambda: "not UTF-8" in wired.await_problem("unreadable-file"), "what is wrong with it")
    path.write_bytes(b"guest\r\n")
    wired.await_ready()


def test_the_next_node_is_tried_when_one_is_away(place):
    """`hosts` are tried in turn after `url`."""
    wired = place.start("a", url=f"amqp://127.0.0.1:{free_port()}", hosts=(f"127.0.0.1:{place.broker.port}",))
    wired.await_ready()
    assert wired.listener.events[0] == ("disconnected", "unreachable")


def test_a_stop_is_heeded_at_any_time(place):
    """Never started, while nobody answers, and between two attempts: stop() ends every thread."""
    with TcpProxy(place.broker.port) as proxy:
        proxy.stall()
        silent = place.start("a", url=proxy.url.replace("mqtt", "amqp"))
        wait_until(lambda: proxy.connections, "an attempt")
        away = place.start("a", url=f"amqp://127.0.0.1:{free_port()}", backoff=Backoff(initial_s=60.0, cap_s=60.0))
        away.await_problem("unreachable")
        for wired in (silent, away, place.make("a")):
            assert wired.transport.stop(10) == []
            assert not wired.transport.is_ready
        proxy.resume()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("amqp-plant")]


def test_missing_rights_on_one_queue_leave_the_others_working(place, tmp_path):
    """A user who may not read the queue of sensor messages still serves requests; the problem names the queue."""
    wired = place.start("requests/trigger", "sensors/+", **place.login("half", tmp_path))
    text = wired.await_problem("not-permitted")
    assert place.queue("events") in text
    wired.await_ready()
    place.client.publish("requests/trigger", b"served")
    wired.await_payloads(b"served")


def test_a_topic_that_is_too_long_for_a_key_is_refused_alone(place):
    """A filter of over 255 bytes is named as refused, the others are bound; a message to such a topic is REFUSED."""
    wired = place.start("sensors/+", "x" * 256).await_ready()
    assert "256 bytes" in wired.await_problem("filter-refused")
    outcomes = wired.publish("y" * 300, b"")
    wait_until(lambda: outcomes.results == [PublishResult.REFUSED], "a refusal")
    place.client.publish("sensors/a", b"bound")
    wired.await_payloads(b"bound")


def test_a_filter_that_is_not_bound_yet_is_not_ready(place):
    """is_ready is False from subscribe() on until the broker has bound; what is unbound is remembered until then."""
    remembered: list[frozenset[str]] = []
    memory = FilterMemory(changed=remembered.append)
    wired = place.start("old", memory=memory)
    wait_until(lambda: wired.listener.count("ready") == 1, "ready with the old filter")
    may_go_on = threading.Event()
    wired.transport._loop.call(lambda: may_go_on.wait(60))
    try:
        wired.transport.subscribe(frozenset({"new"}), frozenset())
        wait_until(lambda: len(remembered[-1]) == 2, "both bindings to be remembered")
        assert not wired.transport.is_ready
    finally:
        may_go_on.set()
    wait_until(lambda: wired.listener.count("ready") == 2, "ready with the new filter")
    assert wired.transport.is_ready
    wait_until(lambda: len(remembered[-1]) == 1, "the old binding to be forgotten")


def test_a_message_that_may_not_be_published_is_refused_alone(place, tmp_path):
    """No right to one topic: that message is REFUSED, however many were under way with it; all others get through."""
    wired = place.start("a", exchange="narrow.exchange", **place.login("narrow", tmp_path)).await_ready()
    topics = {b"%d" % number: "out/dead-letter" if number == 7 else "out/ok" for number in range(20)}
    with AmqpClient(place.broker.port, "narrow.exchange") as client:
        client.subscribe("out.#")
        owner = Owner(wired, topics)
        owner.publish_all()
        assert [payload for payload, result in owner.ended.items() if result is PublishResult.REFUSED] == [b"7"]
        wait_until(lambda: set(topics) - {b"7"} <= set(client.payloads), "all but one")
        assert b"7" not in client.payloads
    assert wired.listener.count("ready") >= 2
    assert wired.listener.sessions == ["new"]


def test_a_topic_that_was_refused_costs_no_further_channel(place, tmp_path, caplog):
    """What follows to it is refused at once, with nothing else lost meanwhile, and one line names the topic."""
    wired = place.start("a", exchange="narrow.exchange", **place.login("narrow", tmp_path)).await_ready()
    first = wired.publish("out/dead-letter", b"first")
    wait_until(lambda: first.results == [PublishResult.REFUSED], "the refusal")
    wait_until(lambda: wired.listener.count("ready") == 2, "ready again")
    later = [wired.publish(topic, b"later %d" % n) for n in range(20) for topic in ("out/dead-letter", "out/ok")]
    wait_until(lambda: all(one.results for one in later), "an end of each")
    assert [one.results[0] for one in later] == [PublishResult.REFUSED, PublishResult.CONFIRMED] * 20
    assert wired.listener.count("ready") == 2
    lines = [record for record in caplog.records if "refused a message" in record.message]
    assert [line.topic for line in lines] == ["out/dead-letter"]


@pytest.mark.parametrize("others", [0, 30])
def test_a_message_that_ends_the_connection_is_set_aside(place, others):
    """Something between here and the broker cuts on it: all others get out, the link stays up, and it is told."""
    with TcpProxy(place.broker.port, cuts_on=(b"poisoned",)) as proxy:
        wired = place.start("sensors/+", url=proxy.url.replace("mqtt", "amqp")).await_ready()
        owner = Owner(wired, {b"%d" % number: "out/ok" for number in range(others)} | {b"poisoned": "out/bad"})
        owner.publish_all()
        ends = {payload for payload, result in owner.ended.items() if result is not PublishResult.CONFIRMED}
        assert (ends, owner.ended[b"poisoned"]) == ({b"poisoned"}, PublishResult.SET_ASIDE)
        wired.await_ready()
        cuts = proxy.cuts
        again = wired.publish("out/bad", b"as poisoned")
        wait_until(lambda: again.results == [PublishResult.REFUSED], "a refusal")
        place.client.publish("sensors/a", b"after")
        wired.await_payloads(b"after")
        assert proxy.cuts == cuts


def test_a_queue_that_is_full_refuses_and_the_connection_goes_on(place):
    """A queue bound by somebody else takes no more (reject-publish): REFUSED, and other messages are confirmed."""
    wired = place.start("a").await_ready()

    def full(channel: Any) -> None:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
        channel.queue_bind(queue, place.name, "out.full")

    place.client.do(full)
    outcomes = [wired.publish("out/full", b"%d" % number) for number in range(20)]
    wait_until(lambda: all(one.results for one in outcomes), "an end of each")
    ends = {one.results[0] for one in outcomes}
    assert ends == {PublishResult.CONFIRMED, PublishResult.REFUSED}
    after = wired.publish("out/other", b"")
    wait_until(lambda: after.results == [PublishResult.CONFIRMED], "a confirmation")
    assert wired.listener.sessions == ["new"]


def test_a_queue_that_is_deleted_is_made_again(place):
    """The broker cancels the consumer: the queue is declared and bound again, and what comes then is received."""
    wired = place.start("sensors/+", "requests/trigger").await_ready()
    place.client.do(lambda channel: channel.queue_delete(place.queue("events")))
    wait_until(lambda: wired.listener.count("ready") >= 2 and wired.transport.is_ready, "ready again")
    place.client.publish("sensors/a", b"after")
    wired.await_payloads(b"after")
    assert wired.listener.sessions == ["new"]
    assert wired.problem_codes == []


def test_an_alarm_stops_publishing_and_not_consuming(place):
    """With the memory alarm on, messages are received and acknowledged; publish() takes none until it is over."""
    wired = place.start("sensors/+").await_ready()
    place.client.publish_many("sensors/a", [b"1", b"2"])
    wired.await_payloads(b"1", b"2")
    wired.receiver.acks = False
    place.client.publish_many("sensors/a", [b"3", b"4"])
    wired.await_payloads(b"1", b"2", b"3", b"4")
    place.broker.raise_alarm(is_on=True)
    try:
        caught = wired.publish("out", b"caught by the alarm")
        assert "alarm" in wired.await_problem("blocked")
        assert not wired.transport.publish(OutgoingMessage("out", b"x"), Outcomes())
        for delivery in wired.receiver.deliveries[2:]:
            delivery.ack()
        unacknowledged = ("list_queues", "name", "messages_unacknowledged")
        wait_until(lambda: f"{place.queue('events')}\t0" in place.broker.ctl(*unacknowledged), "acknowledgements")
    finally:
        place.broker.raise_alarm(is_on=False)
    wait_until(lambda: caught.results == [PublishResult.CONFIRMED], "the message that the alarm caught")
    wait_until(lambda: wired.problem_codes == [], "no problem")
    assert wired.publish("out", b"after")


def test_a_connection_that_the_broker_ends_is_made_again(place):
    """An operator closes all connections (320): told as such, and mended."""
    wired = place.start("sensors/+").await_ready()
    listed = place.broker.ctl("list_connections", "pid", "client_properties").splitlines()
    for pid in (line.split()[0] for line in listed if f"argo-bridge {place.name} plant" in line):
        place.broker.ctl("close_connection", pid, "maintenance of the plant")
    wait_until(lambda: wired.listener.count("ready") >= 2, "ready again")
    assert ("disconnected", "connection-forced") in wired.listener.events


def test_what_cannot_be_stored_goes_back_and_comes_again(place):
    """While the receiver fails, nothing stays unacknowledged: it waits in the queue, and arrives once there is room."""
    receiver = RecordingReceiver()
    receiver.fails = True
    wired = place.start("sensors/+", receiver=receiver, deliveries=DeliveryNotes()).await_ready()
    place.client.publish_many("sensors/a", [b"%d" % number for number in range(50)])
    assert "disk full" in wired.await_problem("spool-unusable")
    wait_until(lambda: place.client.depth(place.queue("events")) == 50, "all of them back in the queue")
    refused = receiver.refused
    wait_until(lambda: receiver.refused > refused + 1, "the kept batch handed in again")
    assert place.client.depth(place.queue("events")) == 50
    receiver.fails = False
    wait_until(lambda: {b"%d" % number for number in range(50)} <= set(receiver.payloads), "all messages")
    wait_until(lambda: wired.problem_codes == [], "no problem")
    wait_until(lambda: place.client.depth(place.queue("events")) == 0, "an empty queue")


def test_heartbeats_go_on_while_a_batch_is_being_stored(place):
    """A commit that hangs for several heartbeats does not cost the connection."""
    hanging, over = threading.Event(), threading.Event()

    class Hanging(RecordingReceiver):
        def receive(self, batch, waiting=()):
            hanging.set()
            assert over.wait(60)
            return super().receive(batch, waiting)

    wired = place.start("sensors/+", receiver=Hanging(), heartbeat_s=1).await_ready()
    place.client.publish("sensors/a", b"slow")
    assert hanging.wait(30)
    over.wait(5)  # five heartbeats: RabbitMQ gives up after two
    over.set()
    wired.await_payloads(b"slow")
    outcomes = wired.publish("out", b"still there")
    wait_until(lambda: outcomes.results == [PublishResult.CONFIRMED], "a confirmation")
    assert wired.listener.sessions == ["new"]


def test_a_silent_connection_is_given_up(place):
    """Nothing is heard, as on a half-open connection: it counts as lost by its heartbeats, and is made again."""
    with TcpProxy(place.broker.port) as proxy:
        wired = place.start("sensors/+", url=proxy.url.replace("mqtt", "amqp"), heartbeat_s=1).await_ready()
        proxy.stall()
        wait_until(lambda: wired.listener.count("disconnected", "heartbeat-lost"), "the loss", 60)
        proxy.resume()
        wait_until(lambda: wired.listener.count("ready") >= 2, "ready again", 60)
        wired.transport.stop(10)


def test_a_redelivery_gets_the_number_of_what_was_stored(place):
    """Stored and not acknowledged when the connection broke: it comes again as DUP under the same number, once."""
    notes = DeliveryNotes()
    with TcpProxy(place.broker.port) as proxy:
        url = proxy.url.replace("mqtt", "amqp")
        receiver = RecordingReceiver(acks=False)
        wired = place.start("sensors/+", url=url, receiver=receiver, deliveries=notes).await_ready()
        place.client.publish_many("sensors/a", [b"same", b"same"])
        wired.await_payloads(b"same", b"same")
        first = receiver.messages[0].packet_id
        notes.stored[first] = ("sensors/a", b"same")  # of two that are alike one was stored
        receiver.acks = True
        proxy.cut()
        wired.await_payloads(b"same", b"same", b"same", b"same")
        again = receiver.messages[2:]
        assert [message.dup for message in again] == [True, True]
        assert again[0].packet_id == first
        assert again[1].packet_id not in {message.packet_id for message in receiver.messages[:2]}
        # Its acknowledgement was taken: after a moment it need not be remembered.
        wait_until(lambda: first in notes.forgotten, "the number to be forgotten")
        wired.transport.stop(10)


def test_the_redelivery_limit_of_the_broker_costs_nothing(place):
    """With x-delivery-limit 2 a message that comes back too often is taken from the third queue, as a redelivery."""
    policy = '{"delivery-limit": 2}'
    place.broker.ctl(
        "set_policy", place.name, f"^argo-bridge\\.{place.name}\\.(requests|events)$", policy, "--apply-to", "queues"
    )
    with TcpProxy(place.broker.port) as proxy:
        receiver = RecordingReceiver(acks=False)
        wired = place.start("sensors/+", url=proxy.url.replace("mqtt", "amqp"), receiver=receiver).await_ready()
        place.client.publish("sensors/a", b"again")
        for count in range(1, 4):
            wait_until(lambda count=count: len(receiver.deliveries) == count, f"delivery {count}")
            proxy.cut()
        wait_until(lambda: len(receiver.deliveries) == 4, "the delivery from the third queue")
        receiver.deliveries[3].ack()
        last = receiver.messages[3]
        assert (last.topic, last.payload, last.dup) == ("sensors/a", b"again", True)
        wait_until(lambda: place.client.depth(place.queue("redelivered")) == 0, "an empty third queue")
        assert place.client.depth(place.queue("events")) == 0
        wired.transport.stop(10)


def test_what_expires_in_the_queue_comes_as_expired(place):
    """RabbitMQ takes out a message whose expiration is over: it arrives by the third queue with no time left."""
    first = place.start("sensors/+").await_ready()
    assert first.transport.stop(10) == []
    place.client.publish("sensors/a", b"old", expiration="1")
    wait_until(lambda: place.client.depth(place.queue("redelivered")) == 1, "the dead-lettering by the broker")
    second = place.start("sensors/+").await_ready()
    second.await_payloads(b"old")
    message = second.receiver.messages[0]
    assert (message.topic, message.properties.message_expiry_s) == ("sensors/a", 0.0)


def test_a_message_of_both_queues_is_handed_in_once(place):
    """A mapping's filter that catches requests too does not make two of one request."""
    wired = place.start("#", "requests/trigger").await_ready()
    place.client.publish("requests/trigger", b"request")
    place.client.publish("requests/other", b"no request")
    wait_until(lambda: b"no request" in wired.receiver.payloads, "the message behind it")
    wait_until(lambda: place.client.depth(place.queue("events")) == 0, "an empty queue")
    assert sorted(wired.receiver.payloads) == [b"no request", b"request"]
    assert wired.metrics.value("messages_skipped_total", cause="copy") == 1


def test_a_visit_leaves_nothing_behind(place):
    """A visitor's queue goes with its connection, and hears what is published while it is there."""
    place.start("a").await_ready()
    visit = place.start("out/+", bridge_id="somebody", is_visit=True).await_ready()
    place.client.publish("out/a", b"heard")
    visit.await_payloads(b"heard")
    outcomes = visit.publish("out/b", b"said")
    wait_until(lambda: outcomes.results == [PublishResult.CONFIRMED], "a confirmation")
    queues = set(place.broker.ctl("list_queues", "name").split())
    assert visit.transport.stop(10) == []
    gone = queues - set(place.broker.ctl("list_queues", "name").split())
    assert len(gone) == 1
    assert next(iter(gone)).startswith("amq.gen-")


def test_properties_travel_both_ways(place):
    """reply_to, correlation id, content type, expiration, message id and headers arrive; what is sent is persistent."""
    wired = place.start("in").await_ready()
    place.client.subscribe("out")
    wired.publish("out", b"{}", correlation_data=b"\0\xff", content_type="application/json", user=(("code", "200"),))
    wait_until(lambda: place.client.messages, "the message out")
    sent = place.client.messages[0].properties
    assert (sent.content_type, sent.headers, sent.delivery_mode) == ("application/json", {"code": "200"}, 2)
    assert sent.correlation_id == b"\0\xff"
    place.client.publish(
        "in",
        b"x",
        reply_to="answers",
        correlation_id="c",
        content_type="text/plain",
        expiration="300000",
        message_id="m",
        headers={"text": "t", "number": 5, "flag": True, "nested": {"not": "handed on"}},
    )
    wait_until(lambda: wired.receiver.deliveries, "the message in")
    found = wired.receiver.messages[0].properties
    assert (found.reply_queue, found.correlation_data, found.content_type) == ("answers", b"c", "text/plain")
    assert (found.message_expiry_s, found.message_id) == (300.0, "m")
    assert found.user == (("text", "t"), ("number", "5"), ("flag", "true"))


def test_a_direct_publish_to_a_queue_is_no_request(place):
    """What is sent to the bridge's queue by its name bears no topic of the interface."""
    wired = place.start("requests/trigger").await_ready()
    queue = place.queue("requests")
    place.client.do(lambda channel: channel.basic_publish("", queue, b"direct"))
    wired.await_payloads(b"direct")
    message = wired.receiver.messages[0]
    assert message.topic == queue.replace(".", "/")
