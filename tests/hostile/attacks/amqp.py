"""What only AMQP has: queues by their names, bindings, exchanges, and properties that say odd things."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pika

from tests.hostile.attack import TRIGGER, Attack, Expectation, Group, Seen, counted, dead_letter, reply, send
from tests.hostile.stage import ATTACKER, AUDITOR, BRIDGE_ID, DEVICE, LINE_CONTROL, PREFIX, WITHIN_S, Stage, Venue
from tests.support.bridge_files import TEMPLATE
from tests.support.spine import mapping
from tests.support.transport_ends import wait_until

EXCHANGE = "argo.workflows"
REQUEST = {"submit": {"template": TEMPLATE}}
READING = "sensors/amqp/boiler"


def queue(kind: str) -> str:
    """The name of one of the bridge's queues."""
    return f"argo-bridge.{BRIDGE_ID}.{kind}"


def _attack(name: str, act: Callable[[Stage], Any], *expected: Expectation, **limits: Any) -> Attack:
    return Attack(name, act, *expected, venues=frozenset({Venue.RABBITMQ}), **limits)


def by_name(kind: str) -> Attack:
    """A trigger message sent to a queue of the bridge through the default exchange; its reply address is forbidden."""
    return _attack(
        f"a trigger to the queue {kind} by its name",
        send("", REQUEST, exchange="", key=queue(kind), reply_to="victim"),
        dead_letter("wrong-queue"),
        reply(400, queue(kind), EXCHANGE),
    )


def refused(name: str, reason: str, code: int, body: Any = REQUEST, **properties: Any) -> Attack:
    """A trigger message that is refused for what its properties say."""
    return _attack(name, send(TRIGGER, body, **properties), dead_letter(reason), reply(code))


def taken(name: str, **properties: Any) -> Attack:
    """A trigger message that runs, whatever its properties say."""
    return _attack(name, send(TRIGGER, REQUEST, **properties), reply(200), workflows=1)


def deep(levels: int) -> Any:
    """Nested tables."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


# -- at the broker -----------------------------------------------------------------------------------------------------


def at_broker(stage: Stage, work: Callable[[Any], Any]) -> Any:
    """Do something on a channel of the attacker, who may do everything."""
    return stage._client(ATTACKER).do(work)


def _bound(stage: Stage) -> bool:
    listed = stage.broker.ctl("list_bindings", "source_name", "destination_name", "routing_key")  # type: ignore[union-attr]
    wanted = {
        (EXCHANGE, queue("requests"), "argo.workflows.trigger.*"),
        (EXCHANGE, queue("events"), "sensors.*.boiler.*.temperature"),
    }
    return wanted <= {tuple(line.split("\t")) for line in listed.splitlines()}


def _await_mended(stage: Stage) -> None:
    """Return once the bridge has made again what it needs, with the auditor listening anew."""
    wait_until(lambda: _bound(stage) and stage.bridge.get("/readyz")[0] == 200, "a bridge that is bound", WITHIN_S)
    stage._close_clients()
    stage._client(AUDITOR)


def delete_exchange(stage: Stage) -> None:
    """The exchange goes, and with it every binding."""
    at_broker(stage, lambda channel: channel.exchange_delete(EXCHANGE))
    _await_mended(stage)


def replace_exchange(stage: Stage) -> None:
    """The exchange is made anew as a topic exchange, without the bridge's bindings."""

    def work(channel: Any) -> None:
        channel.exchange_delete(EXCHANGE)
        channel.exchange_declare(EXCHANGE, "topic", durable=True)

    at_broker(stage, work)
    _await_mended(stage)


def turn_exchange(kind: str) -> Callable[[Stage], None]:
    """The exchange is made anew as another one, which the bridge must refuse, and goes again."""

    def act(stage: Stage) -> None:
        def work(channel: Any) -> None:
            channel.exchange_delete(EXCHANGE)
            channel.exchange_declare(EXCHANGE, kind, durable=True)

        def is_done() -> bool:
            try:
                at_broker(stage, work)
            except pika.exceptions.ChannelClosedByBroker:
                return False  # the bridge was faster and has made it again
            return True

        wait_until(is_done, "an exchange of another type", WITHIN_S)
        wait_until(lambda: "must be a topic exchange" in str(stage.bridge.get("/readyz")), "the reason", WITHIN_S)
        stage.publish(LINE_CONTROL, TRIGGER, REQUEST)
        at_broker(stage, lambda channel: channel.exchange_delete(EXCHANGE))
        _await_mended(stage)

    return act


def delete_queue(kind: str) -> Callable[[Stage], None]:
    """A queue of the bridge goes."""

    def act(stage: Stage) -> None:
        def consumers(channel: Any) -> int:
            return int(channel.queue_declare(queue(kind), passive=True).method.consumer_count)

        at_broker(stage, lambda channel: channel.queue_delete(queue(kind)))

        def is_back() -> bool:
            try:
                return bool(at_broker(stage, consumers))
            except pika.exceptions.ChannelClosedByBroker:
                return False

        wait_until(is_back, f"queue {kind}", WITHIN_S)

    return act


def unbind(stage: Stage) -> None:
    """Somebody takes the bridge's bindings away."""
    at_broker(stage, lambda channel: channel.queue_unbind(queue("requests"), EXCHANGE, "argo.workflows.trigger.*"))
    at_broker(stage, lambda channel: channel.queue_unbind(queue("events"), EXCHANGE, "sensors.*.boiler.*.temperature"))
    wait_until(lambda: _bound(stage), "both bindings", WITHIN_S)


def bind_stray(stage: Stage) -> None:
    """Somebody lets the queue of requests have sensor messages too."""
    binding = (queue("requests"), EXCHANGE, "sensors.amqp.boiler")
    at_broker(stage, lambda channel: channel.queue_bind(*binding))
    started = len(stage.started())
    stage.publish(DEVICE, READING, {"n": 1})
    wait_until(lambda: len(stage.started()) > started, "the workflow", WITHIN_S)
    at_broker(stage, lambda channel: channel.queue_unbind(*binding))


def bind_third(stage: Stage) -> None:
    """Somebody lets the third queue have every trigger message too."""
    binding = (queue("redelivered"), EXCHANGE, "argo.workflows.trigger.*")
    at_broker(stage, lambda channel: channel.queue_bind(*binding))
    started = len(stage.started())
    stage.publish(LINE_CONTROL, TRIGGER, REQUEST)
    wait_until(lambda: len(stage.started()) > started, "the workflow", WITHIN_S)
    at_broker(stage, lambda channel: channel.queue_unbind(*binding))


def _runs_once(seen: Seen) -> bool:
    return seen.rise("events_duplicate_total") == 49


GROUP = Group(
    "amqp",
    (
        by_name("requests"),
        by_name("events"),
        by_name("redelivered"),
        _attack(
            "a trigger to the exchange of what was redelivered",
            send(TRIGGER, REQUEST, exchange=queue("redelivered")),
            dead_letter("wrong-queue"),
            reply(400),
        ),
        _attack(
            "a namespace that is a wildcard", send(f"{PREFIX}/trigger/#", REQUEST), dead_letter("forbidden-namespace")
        ),
        _attack("a namespace of no letters", send(f"{PREFIX}/trigger/", REQUEST), dead_letter("forbidden-namespace")),
        refused("an unknown encoding", "unknown-encoding", 400, content_encoding="br"),
        refused("gzip that is none", "unreadable-encoding", 400, content_encoding="gzip"),
        refused("a gzip bomb", "payload-too-large", 413, gzip.compress(b" " * 50_000_000), content_encoding="gzip"),
        refused("a time to live of nothing", "expired", 504, expiration="0"),
        refused("a time to live that is over", "expired", 504, expiration="60000", timestamp=1),
        refused("a forged death", "expired", 504, headers={"x-death": [{"queue": "x", "reason": "expired"}]}),
        refused("a CloudEvent that is none", "invalid-request", 400, content_type="application/cloudevents+json"),
        taken("a content type of another kind", content_type="application/x-protobuf"),
        taken("a time of no year", timestamp=2**63 - 1),
        taken("headers 60 levels deep", headers={"deep": deep(60), "list": [[[deep(60)]]]}),
        taken("a header of 100 KB", headers={"large": "x" * 100_000}),
        taken("5,000 headers", headers={f"h{number}": "x" for number in range(5000)}),
        taken("headers that are no text", headers={"bytes": b"\xff\xfe", "\u202e": "x", "": "y", "x-death": 5}),
        taken("properties that nobody reads", type="x" * 255, app_id="y" * 255, cluster_id="z", priority=255),
        taken("a correlation id of 255 bytes", correlation_id="c" * 255),
        _attack(
            "a reply queue that is not there",
            send(TRIGGER, REQUEST, reply_to="amq.gen-nobody"),
            counted("replies_unsendable_total", cause="unroutable"),
            workflows=1,
        ),
        _attack(
            "one message id 50 times",
            send(READING, {"n": 2}, user=DEVICE, times=50, message_id="m-1"),
            _runs_once,
            workflows=1,
        ),
        _attack("a binding that feeds the queue of requests", bind_stray, dead_letter("wrong-queue"), workflows=1),
        _attack("a binding that feeds the third queue", bind_third, dead_letter("wrong-queue"), workflows=1),
        _attack("bindings that are taken away", unbind),
        # RabbitMQ 3.10 may end the connection (INTERNAL_ERROR)
        # when a quorum queue is declared while the deleted one still goes away.
        _attack("a queue of requests that is deleted", delete_queue("requests"), cuts_link=True),
        _attack("a queue of events that is deleted", delete_queue("events"), cuts_link=True),
        _attack("a third queue that is deleted", delete_queue("redelivered"), cuts_link=True),
        _attack("an exchange that is deleted", delete_exchange),
        _attack("an exchange that is made anew", replace_exchange),
        _attack("an exchange that becomes a fanout", turn_exchange("fanout")),
        _attack("an exchange that becomes direct", turn_exchange("direct")),
    ),
    mappings=mapping("amqp", READING),
)
