"""What arrives on a queue becomes a message: topic, payload, whether it was met before, and what is wrong with it."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.transports.amqp.messages import Arrival, MessageReader, Origin, Skip
from bridge.transports.amqp.options import AmqpOptions, QueueKind

OPTIONS = AmqpOptions(name="office", url="amqp://localhost", bridge_id="plant-1", max_payload_bytes=1000)
EVENTS = "argo-bridge.plant-1.events"


def arrival(
    body: bytes = b"x", kind: QueueKind = QueueKind.EVENTS, key: Any = "sensors.a", **properties: Any
) -> Arrival:
    """One delivery."""
    redelivered = properties.pop("redelivered", False)
    origin = Origin(kind, properties.pop("exchange", "argo.workflows"), key)
    return Arrival(1, origin, 7, redelivered, b"".join(pika.BasicProperties(**properties).encode()), body)


def read(*arguments: Any, options: AmqpOptions = OPTIONS, **properties: Any) -> Any:
    """The message of one delivery."""
    reader = MessageReader(options)
    reader.expect({"argo/workflows/trigger", "argo/workflows/trigger/+"}, {"sensors/+", "orders"})
    return reader.read(arrival(*arguments, **properties), 0.0)


def test_a_message_has_its_topic_and_is_acknowledged() -> None:
    """Whatever its delivery mode: QoS 1 is what is acknowledged."""
    message = read(b"{}", key="sensors.v1%2E2.x", content_type="application/json").message
    assert (message.connection, message.topic, message.payload) == ("office", "sensors/v1.2/x", b"{}")
    assert (message.qos, message.retain, message.dup, message.flaw) == (1, False, False, None)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip"])
def test_gzip_is_unpacked(encoding: str) -> None:
    """The payload is what was packed."""
    assert read(gzip.compress(b"packed"), content_encoding=encoding).message.payload == b"packed"


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"x", "br", "unknown-encoding"),
        (b"x", "gzip", "unreadable-encoding"),
        (gzip.compress(b"x" * 50)[:-9], "gzip", "unreadable-encoding"),
        (gzip.compress(b"x" * 10_000_000), "gzip", "payload-too-large"),
    ],
    ids=["unknown", "no-gzip", "cut-off", "bomb"],
)
def test_what_cannot_be_unpacked_is_a_flaw(body: bytes, encoding: str, code: str) -> None:
    """The payload stays as it came, for the dead letter."""
    message = read(body, content_encoding=encoding).message
    assert message.flaw is not None
    assert message.flaw.code == code
    assert message.payload == body


@given(st.binary(max_size=100))
def test_any_bytes_are_unpacked_or_a_flaw(body: bytes) -> None:
    """Never an exception."""
    message = read(body, content_encoding="gzip").message
    assert message.flaw is not None or zlib.decompress(body, 47) == message.payload


def test_a_redelivery_is_marked() -> None:
    """By the broker's flag, or because the broker took it out of another queue."""
    assert read(redelivered=True).message.dup
    death = {"x-death": [{"queue": EVENTS, "reason": "delivery_limit"}]}
    assert read(kind=QueueKind.REDELIVERED, headers=death).message.dup
    assert not read(kind=QueueKind.REDELIVERED, exchange=OPTIONS.dead_letter_exchange).message.dup


@pytest.mark.parametrize(
    ("kind", "key", "from_queue", "is_copy"),
    [
        (QueueKind.EVENTS, "argo.workflows.trigger", "", True),
        (QueueKind.EVENTS, "argo.workflows.trigger.factory", "", True),
        (QueueKind.EVENTS, "argo.workflows.other", "", False),
        (QueueKind.REQUESTS, "argo.workflows.trigger", "", False),
        (QueueKind.REDELIVERED, "argo.workflows.trigger", EVENTS, True),
        (QueueKind.REDELIVERED, "argo.workflows.trigger", "argo-bridge.plant-1.requests", False),
    ],
)
def test_a_request_counts_on_one_queue(kind: QueueKind, key: str, from_queue: str, is_copy: bool) -> None:
    """A mapping's filter may catch requests: they are handled where the queue of requests brings them."""
    death = {"queue": from_queue, "reason": "delivery_limit", "exchange": "argo.workflows"}
    found = read(kind=kind, key=key, headers={"x-death": [death]} if from_queue else None)
    assert found.skip == (Skip.COPY if is_copy else None)
    assert found.message.flaw is None


OTHERS = replace(OPTIONS, queue="orders")
REQUEST, READING = "argo.workflows.trigger", "sensors.a"


@pytest.mark.parametrize("was_redelivered", [False, True])
@pytest.mark.parametrize(
    ("kind", "options", "exchange", "key", "code"),
    [
        (QueueKind.REQUESTS, OPTIONS, "argo.workflows", REQUEST, ""),
        (QueueKind.REQUESTS, OPTIONS, "elsewhere", REQUEST, ""),
        (QueueKind.REQUESTS, OPTIONS, "", "argo-bridge.plant-1.requests", "wrong-queue"),
        (QueueKind.REQUESTS, OPTIONS, "argo.workflows", READING, "wrong-queue"),
        (QueueKind.REQUESTS, OPTIONS, "elsewhere", READING, "wrong-queue"),
        (QueueKind.EVENTS, OPTIONS, "argo.workflows", READING, ""),
        (QueueKind.EVENTS, OPTIONS, "elsewhere", READING, ""),
        (QueueKind.EVENTS, OPTIONS, "", "argo-bridge.plant-1.events", "wrong-queue"),
        (QueueKind.EVENTS, OTHERS, "argo.workflows", READING, ""),
        (QueueKind.EVENTS, OTHERS, "shop", READING, ""),
        (QueueKind.EVENTS, OTHERS, "", "orders", ""),
        (QueueKind.EVENTS, OTHERS, "shop", REQUEST, "wrong-queue"),
        (QueueKind.EVENTS, OTHERS, "shop", "unheard.of", "no-mapping"),
    ],
)
def test_a_message_is_taken_where_it_belongs_or_refused(
    kind: QueueKind, options: AmqpOptions, exchange: str, key: str, code: str, was_redelivered: bool
) -> None:
    """The queue of requests never feeds mappings, theirs never takes requests, and no queue's name is a topic."""
    headers = None
    if was_redelivered:
        queue = {queue.kind: queue.name for queue in options.queues()}[kind]
        headers = {"x-death": [{"queue": queue, "reason": "delivery_limit", "exchange": exchange}]}
        kind, exchange = QueueKind.REDELIVERED, options.dead_letter_exchange
    found = read(kind=kind, exchange=exchange, key=key, headers=headers, options=options)
    assert (found.skip, found.message.flaw and found.message.flaw.code) == (None, code or None)


@pytest.mark.parametrize("key", [REQUEST, READING])
@pytest.mark.parametrize("exchange", [OPTIONS.dead_letter_exchange, "argo.workflows", ""])
def test_what_was_in_no_queue_before_is_not_redelivered(key: str, exchange: str) -> None:
    """Somebody bound the third queue, or its exchange, to others: the message would run twice."""
    flaw = read(kind=QueueKind.REDELIVERED, exchange=exchange, key=key).message.flaw
    assert flaw is not None
    assert flaw.code == "wrong-queue"
    foreign = {"x-death": [{"queue": "somebody's", "reason": "expired", "exchange": exchange}]}
    assert read(kind=QueueKind.REDELIVERED, exchange=exchange, key=key, headers=foreign).message.flaw == flaw


def test_a_request_on_a_queue_of_somebody_else_s_is_a_copy_only_by_the_bridge_s_own_exchange() -> None:
    """By another exchange nobody has it but that queue: it is refused, not dropped."""
    assert read(kind=QueueKind.EVENTS, options=OTHERS, key=REQUEST).skip is Skip.COPY
    assert read(kind=QueueKind.EVENTS, options=OTHERS, key=REQUEST, exchange="shop").skip is None
