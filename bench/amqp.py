"""The whole way over AMQP: queued messages in a real RabbitMQ -> the bridge -> an Argo Server that answers at once.

Every message triggers: received, mapped, validated, stored, acknowledged, created. The baseline is pika alone, which
drains as many messages from a quorum queue in the same run, with the same prefetch, and only acknowledges them.

Needs the program rabbitmq-server.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pika

from bench.argo_stub import ArgoStub
from bench.figures import Figure
from bench.whole_way import Bridge, Drained, Messages, beside, readings
from tests.support.rabbitmq import RabbitMq

EXCHANGE = "argo.workflows"
KEY = "sensors.a.boiler.7.temperature"
PREFETCH = 500
BASELINE_QUEUE = "baseline"
_UNCONFIRMED = 2000
_QUORUM = {"x-queue-type": "quorum"}


def _connect(broker: RabbitMq) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))


def publish(broker: RabbitMq, messages: Messages) -> None:
    """Publish `messages`; returns once RabbitMQ confirmed each."""
    left = [len(messages)]
    numbers = iter(range(len(messages)))
    properties = pika.BasicProperties(delivery_mode=2)

    def opened(connection: Any) -> None:
        connection.channel(on_open_callback=selected)

    def selected(channel: Any) -> None:
        channel.confirm_delivery(
            lambda frame: confirmed(channel, frame), callback=lambda _: fill(channel, _UNCONFIRMED)
        )

    unconfirmed: set[int] = set()

    def fill(channel: Any, count: int) -> None:
        for _ in range(count):
            number = next(numbers, None)
            if number is None:
                return
            unconfirmed.add(number + 1)
            channel.basic_publish(EXCHANGE, KEY, messages[number][1], properties)

    def confirmed(channel: Any, frame: Any) -> None:
        tag = frame.method.delivery_tag
        done = {each for each in unconfirmed if each <= tag} if frame.method.multiple else {tag}
        unconfirmed.difference_update(done)
        left[0] -= len(done)
        fill(channel, len(done))
        if not left[0]:
            channel.connection.close()

    connection = pika.SelectConnection(
        pika.ConnectionParameters("127.0.0.1", broker.port),
        on_open_callback=opened,
        on_close_callback=lambda connection, _: connection.ioloop.stop(),
    )
    connection.ioloop.start()


def drain_with_bridge(messages: Messages) -> Drained:
    """Drain `messages`, each of which leads to a workflow, with the bridge."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ArgoStub() as argo, RabbitMq() as broker:
        bridge = Bridge(Path(name), f'amqp: {{url: "{broker.url}", prefetch: {PREFETCH}}}', argo)
        return bridge.drain(messages, partial(publish, broker), len(messages))


def drain_with_pika(messages: Messages) -> Drained:
    """Drain as many messages with pika alone, acknowledging every `PREFETCH` / 2."""
    with RabbitMq() as broker:
        with _connect(broker) as blocking:
            channel = blocking.channel()
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(BASELINE_QUEUE, durable=True, arguments=_QUORUM)
            channel.queue_bind(BASELINE_QUEUE, EXCHANGE, "#")
        publish(broker, messages)
        left = [len(messages)]
        times: list[float] = []

        def arrived(channel: Any, method: Any, _properties: object, _body: bytes) -> None:
            if not times:
                times.append(time.perf_counter())
            left[0] -= 1
            if left[0] % (PREFETCH // 2) == 0:
                channel.basic_ack(method.delivery_tag, multiple=True)
            if not left[0]:
                times.append(time.perf_counter())
                channel.connection.close()

        connection = pika.SelectConnection(
            pika.ConnectionParameters("127.0.0.1", broker.port),
            on_open_callback=lambda connection: connection.channel(
                on_open_callback=lambda channel: channel.basic_qos(
                    prefetch_count=PREFETCH, callback=lambda _: channel.basic_consume(BASELINE_QUEUE, arrived)
                )
            ),
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )
        before_s = sum(os.times()[:2])
        connection.ioloop.start()
        used_s = sum(os.times()[:2]) - before_s
    return Drained(len(messages) / (times[-1] - times[0]), used_s / len(messages) * 1e6)


def run(count: int) -> list[Figure]:
    """Return events/s of `count` messages that all trigger, beside pika alone."""
    messages = readings(count)
    return [beside("AMQP", "events/s", drain_with_bridge(messages), drain_with_pika(messages), 0.5, "plain pika")]
