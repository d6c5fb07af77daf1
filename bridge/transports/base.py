"""The contract between the bridge and a message broker, spoken by MQTT and AMQP alike.

A transport owns one connection and a thread that hands what was read to the `Receiver` as one batch, and has it
acknowledged; over AMQP a second thread does the I/O. Publishing may be asked for from any thread.

What a transport never does: it decides nothing about a message, dedupes nothing, and queues nothing while the
broker is away (`publish` says False, and the owner of the value tries again after `Listener.connected`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bridge.core.model import Message, OutgoingMessage


class Delivery(Protocol):
    """One message and the right to acknowledge it."""

    @property
    def message(self) -> Message:
        """What arrived."""

    def ack(self) -> None:
        """Acknowledge; call it after the commit.

        Belongs to the network connection that the message came on: after a reconnect it does nothing but count
        (packet ids are reused; a late acknowledgement would acknowledge another message, docs/design/brokers.md). Acks
        leave in order of arrival (MQTT 5.0 section 4.6), joined into one write a batch. A no-op at QoS 0.

        Thread: any.
        """


@dataclass(frozen=True, slots=True)
class Left:
    """What a receiver has neither stored nor handed on.

    Attributes:
        no_room: there is no room for these now, though there is for others: the transport reads on, and hands them in
            again after a pause (QoS 0 is dropped and counted).
        no_time: the end of the batch, which was not looked at, because the time for one batch is limited: the transport
            hands it in at once, before anything else, but after its acknowledgements have left.
    """

    no_room: Sequence[Delivery] = ()
    no_time: Sequence[Delivery] = ()


NOTHING_LEFT = Left()


class Receiver(Protocol):
    """Takes what a transport read. Implemented by the pipeline's ingest."""

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """Handle one batch, in order of arrival; returns when it is stored and acknowledged, or handed on.

        Never raises for a message. Raises `SpoolError` when nothing can be stored: the transport keeps the batch,
        stops reading, keeps the link alive, and hands the batch in again after a pause (QoS 0 of it is dropped and
        counted).

        Args:
            batch: what arrived, or what is handed in again.
            waiting: what an earlier call returned and is not handed in now: it goes before `batch`.

        Returns:
            What of it is to be handed in again.

        Thread: the transport's.
        """


class Session(Enum):
    """What the broker kept for us while we were away: session present of CONNACK; over AMQP, the queues."""

    NEW = "new"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class ConnectionProblem:
    """Why a connection is not as it should be, for readiness and the ``state`` topic.

    Attributes:
        code: kebab-case: ``unreachable``, ``not-authorized``, ``taken-over``, ``filter-refused``, ``tls-failed``, ...
        message: a sentence that names the broker, the reason and what to do.
    """

    code: str
    message: str


class Listener(Protocol):
    """Told about the life of a connection; all calls come on the transport's thread and must return at once."""

    def connected(self, connection: str, session: Session) -> None:
        """The broker accepted us; `session` NEW means that it kept nothing. Called before any message is handed in."""

    def ready(self, connection: str) -> None:
        """Every filter was subscribed (bound) or refused; called after each (re)connect and each change of filters."""

    def disconnected(self, connection: str, problem: ConnectionProblem) -> None:
        """The connection is gone, or could not be made."""


class PublishResult(Enum):
    """How a publish ended; truthy when the broker has the message.

    CONFIRMED: PUBACK or confirm arrived (QoS 0: written to the socket). REFUSED: the broker answered that it will not
    take it, or it can take none of that size; sending it again is pointless and against MQTT 5.0 section 4.4. LOST:
    the connection ended before the answer, so that it may have been taken. SET_ASIDE: the broker ended the connection
    each time when this message was sent alone; it is to be told of and not sent again.
    """

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    LOST = "lost"
    SET_ASIDE = "set-aside"

    def __bool__(self) -> bool:
        """Whether it was confirmed."""
        return self is PublishResult.CONFIRMED


PublishDone = Callable[[PublishResult], None]


class Transport(Protocol):
    """One connection to one broker.

    Life: `start` once, `subscribe` at any time (before `start` too), `stop` once.
    """

    @property
    def name(self) -> str:
        """The connection's name in bridge.yaml."""

    @property
    def problems(self) -> tuple[ConnectionProblem, ...]:
        """What is wrong now; () when connected, subscribed, and nothing was refused."""

    @property
    def is_ready(self) -> bool:
        """Connected, and every filter was subscribed (bound) or refused."""

    @property
    def max_publish_bytes(self) -> int:
        """The largest payload that may be handed to `publish` now (broker's Maximum Packet Size, or max-publish)."""

    def start(self) -> None:
        """Start the thread; returns at once. A broker that is away is no error."""

    def subscribe(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Make these the subscriptions: subscribe what is new, unsubscribe what the session has and these lack.

        Args:
            filters: subscribed at QoS 1 for live messages (MQTT 5.0: Retain Handling 2).
            retained: subscribed at QoS 1 with retained messages delivered (Retain Handling 0).

        Thread: any.
        """

    def publish(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Hand one message to the broker, if it can take one now.

        Args:
            message: its topic has no wildcards; its payload fits `max_publish_bytes`.
            done: called once with how it ended, on the thread that does the I/O; it must return at once.

        Returns:
            False when not connected or the window is full: nothing was taken, `done` is not called.

        Thread: any.
        """

    def stop(self, deadline_s: float) -> bool:
        """Disconnect cleanly after what was handed to `publish` went out; True if the thread ended in time.

        MQTT: a clean DISCONNECT, so the last will is not sent; publish ``offline`` before.
        """
