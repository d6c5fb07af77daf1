"""An AMQP client that is not the bridge's: plain pika on a thread, to publish to the bridge and watch what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pika

from tests.support.machine import scaled

WAIT_S = 30.0
DIRECT_REPLY = "amq.rabbitmq.reply-to"


@dataclass(frozen=True)
class Got:
    """What arrived: under which routing key, with which of pika's properties."""

    routing_key: str
    payload: bytes
    properties: Any

    @property
    def topic(self) -> str:
        """The topic of the routing key, if it has no escapes."""
        return self.routing_key.replace(".", "/")


def key_of(topic: str) -> str:
    """The routing or binding key of a topic or filter that has no dot; a key stays as it is."""
    return topic.replace("/", ".").replace("+", "*")


class AmqpClient:
    """Connected while the context is entered.

    messages: all that arrived.
    replies: all that came to `DIRECT_REPLY`.
    """

    def __init__(self, port: int, exchange: str = "argo.workflows", **parameters: Any) -> None:
        self._parameters = pika.ConnectionParameters("127.0.0.1", port, **parameters)
        self._exchange = exchange
        self._ready = threading.Event()
        self._over = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="amqp-client")
        self.messages: list[Got] = []
        self.replies: list[Got] = []

    def _run(self) -> None:
        try:
            self._connection = pika.BlockingConnection(self._parameters)
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        except Exception as error:
            self._failure = error
            return
        finally:
            self._ready.set()
        while not self._over:
            self._connection.process_data_events(0.5)
        self._connection.close()

    def do(self, work: Callable[[Any], Any]) -> Any:
        """Run `work(channel)` on the client's thread, and return what it returns."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work(self._channel))
            except BaseException as error:
                future.set_exception(error)
                if self._connection.is_open and not self._channel.is_open:
                    self._channel = self._connection.channel()
                    self._channel.confirm_delivery()

        self._connection.add_callback_threadsafe(run)
        return future.result(scaled(WAIT_S))

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False, **properties: Any) -> None:
        """Publish, and return once the broker confirmed it. `properties` by pika's names; nothing is retained."""
        assert not retain
        self.publish_many(topic, [payload], qos, **properties)

    def publish_many(self, topic: str, payloads: list[bytes], qos: int = 1, **properties: Any) -> None:
        """Publish all, each once the broker confirmed the one before; `exchange` and `key` go before the topic."""
        exchange = properties.pop("exchange", self._exchange)
        key = properties.pop("key", key_of(topic))
        packed = pika.BasicProperties(delivery_mode=2 if qos else 1, **properties)

        def publish(channel: Any) -> None:
            for payload in payloads:
                channel.basic_publish(exchange, key, payload, packed)

        self.do(publish)

    def subscribe(self, *topic_filters: str) -> None:
        """Hear what is published under these from now on."""

        def subscribe(channel: Any) -> None:
            if not self._exchange.startswith("amq."):
                channel.exchange_declare(self._exchange, "topic", durable=True)
            queue = channel.queue_declare("", exclusive=True).method.queue
            for topic_filter in topic_filters:
                channel.queue_bind(queue, self._exchange, key_of(topic_filter))
            channel.basic_consume(queue, self._arrived(self.messages), auto_ack=True)

        self.do(subscribe)

    def listen_for_replies(self) -> None:
        """Hear what is sent to this channel's own reply address."""
        self.do(lambda channel: channel.basic_consume(DIRECT_REPLY, self._arrived(self.replies), auto_ack=True))

    @staticmethod
    def _arrived(into: list[Got]) -> Callable[..., None]:
        def arrived(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            into.append(Got(method.routing_key, body, properties))

        return arrived

    def depth(self, queue: str) -> int:
        """How many messages wait in a queue, not counting those that are unacknowledged."""
        return int(self.do(lambda channel: channel.queue_declare(queue, passive=True)).method.message_count)

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of what arrived."""
        return [message.payload for message in list(self.messages)]

    def on(self, topic: str) -> list[Got]:
        """All that came under one topic."""
        return [message for message in list(self.messages) if message.routing_key == key_of(topic)]

    def __enter__(self) -> AmqpClient:
        self._thread.start()
        if not self._ready.wait(scaled(WAIT_S)):
            self._over = True  # its thread must not outlive the test when it comes back after all
            raise AssertionError("the client is not connected")
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        if self._connection.is_open:
            self._connection.add_callback_threadsafe(lambda: None)
        self._thread.join()
