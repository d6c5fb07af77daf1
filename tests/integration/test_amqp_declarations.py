"""Exchanges, queues and bindings that RabbitMQ has already, or loses: used, made again, or told by name."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.model import OutgoingMessage
from bridge.transports.amqp.options import Declare
from bridge.transports.base import PublishResult
from tests.support.amqp_place import Owner
from tests.support.transport_ends import Outcomes, wait_until

QUORUM = {"x-queue-type": "quorum"}


def test_a_queue_with_other_arguments_is_reported_and_used(place):
    """406 is told with queue and argument, not as a lost connection; its messages are taken all the same."""
    queue = place.queue("requests")
    place.client.do(lambda channel: channel.queue_declare(queue, durable=True, arguments=QUORUM))
    wired = place.start("requests/trigger", "sensors/+")
    text = wired.await_problem("declared-otherwise")
    assert queue in text
    assert "x-dead-letter-exchange" in text
    wired.await_ready()
    place.client.publish("requests/trigger", b"taken")
    wired.await_payloads(b"taken")
    assert wired.metrics.value("disconnects_total", connection="plant", reason="connection-lost") == 0


def test_check_declares_nothing_and_finds_what_the_operator_makes(place, tmp_path):
    """With declare: check a missing queue is named; once it is made, it is consumed without a restart."""
    place.client.do(lambda channel: channel.exchange_declare(place.name, "topic", durable=True))
    wired = place.start("requests/trigger", declaration=Declare.CHECK, **place.login("checker", tmp_path))
    wired.await_problem("not-declared")
    wait_until(lambda: any(place.queue("requests") in one.message for one in wired.transport.problems), "its name")

    def make(channel: Any) -> None:
        for kind in ("requests", "events", "redelivered"):
            channel.queue_declare(place.queue(kind), durable=True, arguments=QUORUM)

    place.client.do(make)
    wait_until(lambda: wired.problem_codes == [], f"no problem: {wired.problem_codes}")
    place.client.publish("requests/trigger", b"found")
    wired.await_payloads(b"found")


@pytest.mark.parametrize("declare", [Declare.CREATE, Declare.CHECK])
@pytest.mark.parametrize("name", ["amq.fanout", "amq.headers", "amq.direct", "fanout", "headers", "direct"])
def test_an_exchange_that_is_no_topic_exchange_is_not_used(place, name, declare):
    """It is told by its name and type; nothing is bound to it and nothing published to it."""
    kind = name.removeprefix("amq.")
    exchange = name if name.startswith("amq.") else f"{place.name}-{kind}"

    def make(channel: Any) -> None:
        if not exchange.startswith("amq."):
            channel.exchange_declare(exchange, kind, durable=True)
        for each in ("requests", "events", "redelivered"):
            channel.queue_declare(place.queue(each), durable=True, arguments=QUORUM)

    place.client.do(make)
    wired = place.start("requests/trigger", "sensors/+", exchange=exchange, declaration=declare)
    text = wired.await_problem("wrong-exchange-type")
    assert f'exchange "{exchange}" must be a topic exchange: it is a {kind} exchange' in text
    assert not wired.transport.is_ready
    assert not wired.transport.publish(OutgoingMessage("out", b""), Outcomes())
    assert exchange not in place.broker.ctl("list_bindings", "source_name", "destination_name").split()
    assert wired.listener.count("ready") == 0


def test_an_exchange_that_is_made_anew_as_a_topic_exchange_is_used(place):
    """Without a restart of the bridge."""
    place.client.do(lambda channel: channel.exchange_declare(place.name, "fanout", durable=True))
    wired = place.start("sensors/+")
    wired.await_problem("wrong-exchange-type")
    place.client.do(lambda channel: channel.exchange_delete(place.name))
    wired.await_ready()
    assert wired.problem_codes == []
    place.client.publish("sensors/a", b"after")
    wired.await_payloads(b"after")


@pytest.mark.parametrize("exchange", ["amq.fanout", "foreign"])
def test_who_may_not_ask_for_the_type_finds_out_all_the_same(place, tmp_path, exchange):
    """By the name where it is RabbitMQ's own, else by what the bridge said of itself and gets back as a request."""
    exchange = exchange if exchange.startswith("amq.") else f"{place.name}-fanout"

    def make(channel: Any) -> None:
        if not exchange.startswith("amq."):
            channel.exchange_declare(exchange, "fanout", durable=True)
        for each in ("requests", "events", "redelivered"):
            channel.queue_declare(place.queue(each), durable=True, arguments=QUORUM)

    place.client.do(make)
    options = {"exchange": exchange, "declaration": Declare.CHECK} | place.login("checker", tmp_path)
    wired = place.start("requests/trigger", **options)
    if not exchange.startswith("amq."):
        wired.await_ready().publish("argo/bridge/plant-1/availability", b"online")
    assert "must be a topic exchange" in wired.await_problem("wrong-exchange-type")
    assert not wired.transport.is_ready
    assert not wired.receiver.payloads


def test_an_exchange_that_is_deleted_is_made_again_and_costs_no_message(place):
    """The next message that is published is LOST, not REFUSED, and goes out later; the bindings are made again too."""
    wired = place.start("sensors/+", retry_s=3600.0).await_ready()
    place.client.do(lambda channel: channel.exchange_delete(place.name))
    owner = Owner(wired, {b"kept": "out/ok"})
    owner.publish_all()
    assert owner.ended == {b"kept": PublishResult.CONFIRMED}
    place.client.publish("sensors/a", b"after")
    wired.await_payloads(b"after")
    assert wired.problem_codes == []


def test_bindings_that_were_lost_with_their_exchange_are_found_missing(place):
    """Somebody deletes the exchange and makes it again: nobody tells, and nothing is published that would."""
    wired = place.start("sensors/+", "requests/trigger").await_ready()

    def replace(channel: Any) -> None:
        channel.exchange_delete(place.name)
        channel.exchange_declare(place.name, "topic", durable=True)

    place.client.do(replace)

    def bound() -> bool:
        listed = place.broker.ctl("list_bindings", "source_name", "routing_key").splitlines()
        return {f"{place.name}\tsensors.*", f"{place.name}\trequests.trigger"} <= set(listed)

    wait_until(bound, "both bindings")
    place.client.publish("sensors/a", b"after")
    wired.await_payloads(b"after")
    assert wired.listener.count("ready") == 1


def test_a_queue_of_somebody_else_s_is_consumed_as_it_is(place):
    """Whatever its kind and arguments, and whichever exchange feeds it; the bridge binds nothing to it."""
    queue, shop = f"{place.name}-orders", f"{place.name}-shop"

    def make(channel: Any) -> None:
        channel.queue_declare(queue, durable=True, arguments={"x-max-priority": 5, "x-message-ttl": 3_600_000})
        channel.exchange_declare(shop, "direct", durable=True)
        channel.queue_bind(queue, shop, "orders.new")

    place.client.do(make)
    place.client.publish_many("", [b"before"], exchange=shop, key="orders.new")
    wired = place.start("orders/+", queue, queue=queue).await_ready()
    wired.await_payloads(b"before")
    place.client.publish_many("", [b"by name"], exchange="", key=queue)
    wired.await_payloads(b"before", b"by name")
    assert [one.message.topic for one in wired.receiver.deliveries] == ["orders/new", queue]
    assert wired.problem_codes == []
    bound = place.broker.ctl("list_bindings", "source_name", "destination_name").splitlines()
    assert f"{place.name}\t{queue}" not in bound
    wait_until(lambda: place.client.depth(queue) == 0, "an empty queue")


def test_a_queue_of_somebody_else_s_is_made_only_with_arguments(place):
    """Without `queue-arguments` a missing one is told; with them it is made, and one that differs is told."""
    queue = f"{place.name}-orders"
    wired = place.start("orders/new", queue=queue)
    assert "queue-arguments" in wired.await_problem("not-declared")
    made = place.start("orders/new", queue=queue, bridge_id=f"{place.name}-2", queue_arguments={"x-max-length": 9})
    made.await_ready()
    assert made.problem_codes == []
    arguments = [line for line in place.broker.ctl("list_queues", "name", "arguments").splitlines() if queue in line]
    assert "x-max-length" in arguments[0]
    other = place.start("orders/new", queue=queue, bridge_id=f"{place.name}-3", queue_arguments={"x-max-length": 8})
    assert "x-max-length" in other.await_problem("declared-otherwise")
    wait_until(lambda: wired.problem_codes == [], "the queue to be found")
