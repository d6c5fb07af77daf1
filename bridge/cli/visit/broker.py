"""A short connection to a broker with its own client id, for commands that look at a running bridge from outside.

It decides nothing about a message. Its session ends with the connection (session expiry 0; AMQP: its own queue), and it
never has a will. AMQP has no retained messages, so there the connection remembers the last status of each workflow, and
returns it on a later subscription to that topic.

Threads: the transport's own puts messages into a queue; the command's main thread takes them out.
"""

from __future__ import annotations

import dataclasses
import queue
import secrets
import tempfile
import threading
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Self

from bridge.core.clock import SystemClock
from bridge.core.errors import PermanentError, TransientError
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, Message, OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.core.topic_filter import matches
from bridge.interface.topics import ONLINE
from bridge.transports.amqp.options import AmqpOptions
from bridge.transports.base import NOTHING_LEFT, Delivery, Left, Listener, PublishResult, Receiver, Session, Transport
from bridge.transports.mqtt.options import MqttOptions
from bridge.transports.mqtt.transport import MqttTransport

STOP_WITHIN_S = 2.0
MAX_PUBLISH_BYTES = 15 * 1024 * 1024  # it must be possible to send what the bridge would refuse
LOOK_S = 0.5


class Presence(Enum):
    """Whether the bridge accepts messages, as far as its broker can tell."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


VisitOptions = MqttOptions | AmqpOptions

_NOT_THERE = frozenset({"not-declared", "not-consumed"})


def visitor_options(options: VisitOptions, purpose: str) -> VisitOptions:
    """Return options for a short connection to the broker in `options`: its address, user and TLS, but not its session.

    `purpose` begins the client id; the rest is random, so that commands never disconnect each other.
    """
    if isinstance(options, AmqpOptions):
        return dataclasses.replace(
            options,
            bridge_id=purpose,
            is_visit=True,
            awaited_queue=options.request_queue,
            max_publish_bytes=MAX_PUBLISH_BYTES,
            retry_s=LOOK_S,
        )
    return dataclasses.replace(
        options,
        client_id=f"{purpose}-{secrets.token_hex(6)}",
        will=False,
        session_expiry_s=0,
        max_publish_bytes=MAX_PUBLISH_BYTES,
    )


class BrokerVisit:
    """One connection, from entering the context to leaving it.

    The bridge's availability topic is "" if it does not matter. `connections` counts how often the broker accepted the
    connection; more than once after an outage.
    """

    def __init__(self, options: VisitOptions, availability: str = "") -> None:
        self._availability = availability
        self._said: bytes | None = None
        self._is_amqp = isinstance(options, AmqpOptions)
        self._arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._kept_filters = frozenset({f"{options.prefix}/status/+/+"} if isinstance(options, AmqpOptions) else ())
        self._lock = threading.Lock()
        self._wanted: frozenset[str] = frozenset()
        self._kept: dict[str, Message] = {}
        self._news = threading.Event()
        self._problem: HealthProblem | None = None
        self.connections = 0
        self._transport = _transport(options, self, self)
        self.subscribe()

    def __enter__(self) -> Self:
        """Begin to connect; `await_ready` reports the result."""
        self._transport.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect cleanly, after sending everything handed to the broker."""
        self._transport.stop(STOP_WITHIN_S)

    @property
    def problem(self) -> HealthProblem | None:
        """Why there is no connection now, or None."""
        return self._problem

    def subscribe(self, live: frozenset[str] = frozenset(), retained: frozenset[str] = frozenset()) -> None:
        """Set the subscriptions; see `Transport.subscribe`."""
        with self._lock:
            self._wanted = live | retained
            for topic in [topic for topic in self._kept if self._wants(topic)]:
                self._arrived.put(self._kept.pop(topic))
        self._transport.subscribe(live | self._kept_filters, retained | ({self._availability} - {""}))

    def _wants(self, topic: str) -> bool:
        return not self._kept_filters or any(matches(wanted, topic) for wanted in self._wanted)

    def await_ready(self, timeout_s: float) -> None:
        """Return once the broker has accepted the connection and every subscription.

        Raises:
            TransientError: it did not; the code is that of the connection's problem, ``unreachable`` after `timeout_s`.
            PermanentError: ``filter-refused``: this user may not read what the command needs.
        """
        until_s = time.monotonic() + timeout_s
        while not self._transport.is_ready:
            if self._problem is not None:
                raise TransientError(self._problem.message, code=self._problem.code)
            if time.monotonic() >= until_s:
                raise TransientError("connect: the broker did not answer in time", code="unreachable")
            self.await_news(until_s - time.monotonic())
        for problem in self._transport.problems:
            # A user who may not read the availability topic can still send requests.
            if problem.code == "filter-refused" and f'"{self._availability}"' not in problem.message:
                raise PermanentError(problem.message, code=problem.code)

    def await_news(self, timeout_s: float) -> None:
        """Return when something may have changed, at the latest after `timeout_s` or a moment."""
        self._news.wait(max(0.0, min(timeout_s, LOOK_S)))
        self._news.clear()

    @property
    def presence(self) -> Presence:
        """Whether the bridge is online: over MQTT by its availability topic, over AMQP by its queue's consumers."""
        if self._is_amqp:
            return Presence.OFFLINE if self.absence else Presence.ONLINE
        said = {None: Presence.UNKNOWN, ONLINE: Presence.ONLINE}
        return said.get(self._said, Presence.OFFLINE)

    @property
    def absence(self) -> str:
        """Return why the bridge seems to be away; over AMQP "" if it is not."""
        if self._is_amqp:
            return next((problem.message for problem in self._transport.problems if problem.code in _NOT_THERE), "")
        if self._said is None:
            return f"the bridge has not reported on {self._availability} that it is online"
        return f"the bridge is offline, according to {self._availability}"

    def publish(self, message: OutgoingMessage, timeout_s: float) -> None:
        """Return once the broker has acknowledged `message`.

        Raises:
            PermanentError: ``payload-too-large`` for this broker.
            TransientError: ``not-acknowledged``: refused, or the connection ended first; it may have been accepted.
        """
        limit_bytes = self._transport.max_publish_bytes
        if len(message.payload) > limit_bytes:
            text = f"publish: {len(message.payload)} bytes exceed the limit of {limit_bytes}"
            raise PermanentError(text, code="payload-too-large")
        outcome: queue.SimpleQueue[PublishResult] = queue.SimpleQueue()
        try:
            taken = self._transport.publish(message, outcome.put)
            is_done = taken and bool(outcome.get(timeout=max(0.0, timeout_s)))
        except queue.Empty:
            is_done = False
        if not is_done:
            cause = self._problem.message if self._problem else "the broker may forbid this topic"
            text = f'publish to "{message.topic}": the broker did not acknowledge it: {cause}'
            raise TransientError(text, code="not-acknowledged")

    def offer(self, topic: str, payload: bytes) -> bool:
        """Hand one message to the broker without waiting; False if the broker cannot accept one now. Thread: any."""
        return self._transport.publish(OutgoingMessage(topic, payload), _nothing)

    def next(self, timeout_s: float) -> Message | None:
        """Return the next message, or None if none came within `timeout_s`."""
        try:
            return self._arrived.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    # Called by the transport, on its thread.

    def receive(
        self,
        batch: Sequence[Delivery],
        waiting: Sequence[Delivery] = (),  # noqa: ARG002 - the receiver's signature
    ) -> Left:
        """Sort the messages: availability, wanted ones, and AMQP's last status of each workflow."""
        for delivery in batch:
            message = delivery.message
            if message.topic == self._availability:
                self._said = message.payload or None
                self._news.set()
                delivery.ack()
                continue
            with self._lock:
                if self._wants(message.topic):
                    self._arrived.put(message)
                else:
                    self._kept[message.topic] = message
            delivery.ack()
        return NOTHING_LEFT

    def connected(self, connection: str, session: Session) -> None:  # noqa: ARG002 - the listener's signature
        """Note that the broker accepted us."""
        self._problem = None
        self.connections += 1

    def ready(self, connection: str) -> None:  # noqa: ARG002 - the listener's signature
        """Note that every subscription was answered."""
        self._news.set()

    def disconnected(self, connection: str, problem: HealthProblem) -> None:  # noqa: ARG002 - likewise
        """Note why the connection ended, or could not be made."""
        self._problem = problem
        self._news.set()


def _transport(options: VisitOptions, receiver: Receiver, listener: Listener) -> Transport:
    metrics = Metrics()
    reports = ErrorReports(Path(tempfile.gettempdir()), metrics, SystemClock())
    if isinstance(options, MqttOptions):
        return MqttTransport(options, receiver, listener, metrics, reports)
    # pika is loaded only if a connection needs it.
    from bridge.transports.amqp.transport import AmqpTransport

    return AmqpTransport(options, receiver, listener, metrics, reports)


def _nothing(_result: PublishResult) -> None:
    """Ignore the fate of an offered message."""
