"""Publishes numbered events over AMQP without a pause, of every kind that a bridge takes, and counts the answers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from types import TracebackType
from typing import Any

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

from tests.support.bridge_files import TEMPLATE
from tests.support.publisher import trigger_body
from tests.support.transport_ends import wait_until

EXCHANGE = "argo.workflows"
ANSWERS = "argo-bridge.test.replies"
KINDS = 5


class AmqpPublisher:
    """A thread that publishes while the context is entered, each event once the broker confirmed the one before.

    Its events are for `publisher.MAPPINGS`.

    Kinds, by turns: a mapped event with ``event-id``, one without a name, one with a message id, a trigger message
    with ``eventId`` and one without. What ends without a confirmation is published again only if it names itself.

    confirmed: numbers of the events that the broker confirmed.
    unsure: numbers of those that it may have taken.
    replies: by the request's number, how often.
    """

    def __init__(self, port: int, rate_per_s: float = 80.0) -> None:
        self._port = port
        self._pause_s = 1.0 / rate_per_s
        self._stop = threading.Event()
        self._is_over = threading.Event()
        self._may_publish = threading.Event()
        self._may_publish.set()
        self._is_idle = threading.Event()
        self._number = 0
        self._channel: Any = None
        self.confirmed: set[int] = set()
        self.unsure: set[int] = set()
        self.requests: set[int] = set()
        self.replies: Counter[int] = Counter()
        self.bodies: dict[int, dict[str, Any]] = {}
        self._thread = threading.Thread(target=self._run, name="publisher")

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._may_publish.is_set():
                self._is_idle.set()
                self._may_publish.wait(0.05)
                continue
            self._is_idle.clear()
            self._number += 1
            self._publish(self._number)
            self._stop.wait(self._pause_s)

    def _publish(self, number: int) -> None:
        key, body, properties = _event(number)
        if "submit" in body:
            self.requests.add(number)
        # As a sender does that missed the confirmation.
        copies = 2 if number % (KINDS * 2) == 0 else 1
        while not self._is_over.is_set():
            try:
                channel = self._open()
                for _ in range(copies):
                    channel.basic_publish(EXCHANGE, key, json.dumps(body).encode(), properties, mandatory=True)
            except UnroutableError:
                self._is_over.wait(0.02)  # it was taken by nobody: the queue is being made again
                continue
            except (AMQPError, OSError) as error:
                self._channel = self._channel if isinstance(error, NackError) else None
                if number % KINDS in (1, 4):
                    self.unsure.add(number)
                    return
                continue
            self.confirmed.add(number)
            return

    def _open(self) -> Any:
        while self._channel is None:
            try:
                connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self._port))
                self._channel = connection.channel()
                self._channel.confirm_delivery()
                self._channel.queue_declare(ANSWERS, durable=True, arguments={"x-queue-type": "quorum"})
            except (AMQPError, OSError):
                self._channel = None
                if self._is_over.wait(0.1):  # the broker is away, and nobody waits for it any more
                    raise
        return self._channel

    def pause(self) -> None:
        """Publish nothing until `resume`; returns once nothing is under way."""
        self._is_idle.clear()
        self._may_publish.clear()
        assert self._is_idle.wait(60)

    def resume(self) -> None:
        """Publish again."""
        self._may_publish.set()

    def finish(self) -> None:
        """Publish no more, and return once the last was confirmed."""
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive()

    def await_replies(self, within_s: float) -> None:
        """Return once every confirmed request was answered."""
        wanted = self.requests & self.confirmed

        def answered() -> bool:
            while True:
                try:
                    method, _, body = self._open().basic_get(ANSWERS)
                    if body is not None:
                        self._channel.basic_ack(method.delivery_tag)
                except (AMQPError, OSError):  # a slow machine: the broker gave up on its own queue
                    self._channel = None
                    return False
                if body is None:
                    return wanted <= set(self.replies)
                reply = json.loads(body)
                self.replies[int(reply["requestId"])] += 1
                self.bodies[int(reply["requestId"])] = reply

        wait_until(answered, "a reply to every request", within_s)

    def __enter__(self) -> AmqpPublisher:
        self._open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._is_over.set()
        self._may_publish.set()
        self._thread.join(90)
        if self._channel is not None and self._channel.connection.is_open:
            self._channel.connection.close()


def _event(number: int) -> tuple[str, dict[str, Any], pika.BasicProperties]:
    device, kind = f"d{number % 7}", number % KINDS
    if kind == 0:
        return f"sensors.{device}.counted", {"n": number}, pika.BasicProperties(delivery_mode=2)
    if kind == 1:
        return f"sensors.{device}.plain", {"n": number}, pika.BasicProperties(delivery_mode=2)
    if kind == 2:
        return f"sensors.{device}.plain", {"n": number}, pika.BasicProperties(delivery_mode=2, message_id=f"m{number}")
    body = trigger_body(number, TEMPLATE)
    if kind == 3:
        body["eventId"] = f"event-{number}"
    properties = pika.BasicProperties(delivery_mode=2, reply_to=ANSWERS, correlation_id=str(number))
    return "argo.workflows.trigger", body, properties
