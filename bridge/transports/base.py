"""The contract between the bridge and a message broker, implemented for MQTT and AMQP.

A transport owns one connection and a thread that passes received messages to the `Receiver` as one batch, and
acknowledges them; over AMQP a second thread does the I/O. Any thread may publish.

Limits: a transport decides nothing about a message, does not deduplicate, and queues nothing while the broker is away
(`publish` returns False, and the owner of the value tries again after `Listener.connected`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bridge.core.model import HealthProblem, Message, OutgoingMessage


class Delivery(Protocol):
    """One message and the right to acknowledge it."""

    @property
    def message(self) -> Message:
        """The message."""

    def ack(self) -> None:
        """Acknowledge; call it after the commit. Thread: any.

        Belongs to the network connection on which the message came: after a reconnect it only counts (packet ids are
        reused; a late acknowledgement would acknowledge another message, docs/design/brokers.md). Acknowledgements are
        sent in order of arrival (MQTT 5.0 section 4.6), in one write per batch. No effect at QoS 0.
        """


@dataclass(frozen=True, slots=True)
class Left:
    """The messages that a receiver has neither stored nor passed on.

    Attributes:
        no_room: no room for these now, though there is for others: the transport continues to read, and passes them in
            again after a pause (QoS 0 is dropped and counted).
        no_time: the unprocessed end of the batch, because the time for one batch is limited: the transport passes it in
            at once, before anything else, but after sending the acknowledgements.
    """

    no_room: Sequence[Delivery] = ()
    no_time: Sequence[Delivery] = ()


NOTHING_LEFT = Left()


class Receiver(Protocol):
    """Receives messages from a transport. Implemented by the pipeline's ingest."""

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """Handle one batch, in order of arrival; returns when it is stored and acknowledged, or passed on.

        Never raises because of a message. Raises `SpoolError` if nothing can be stored: the transport keeps the batch,
        stops reading, keeps the connection alive, and passes the batch in again after a pause (its QoS 0 messages are
        dropped and counted).

        Messages returned by an earlier call and not passed in now are `waiting`: they come before `batch`. Returns what
        of the batch is to be handed in again. Thread: the transport's.
        """


class Session(Enum):
    """Whether the broker kept the session while we were away: session present of CONNACK; over AMQP, the queues."""

    NEW = "new"
    RESUMED = "resumed"


class Listener(Protocol):
    """Informed about the life of a connection; all calls come on the transport's thread and must return at once."""

    def connected(self, connection: str, session: Session) -> None:
        """The broker accepted us; `session` NEW means that it kept nothing. Called before any message is passed in."""

    def ready(self, connection: str) -> None:
        """Every filter is subscribed (bound) or refused; called after each (re)connect and each change of filters."""

    def disconnected(self, connection: str, problem: HealthProblem) -> None:
        """The connection ended, or could not be made."""


class PublishResult(Enum):
    """The result of a publish; truthy if the broker has the message.

    CONFIRMED: PUBACK or confirm arrived (QoS 0: written to the socket). REFUSED: the broker rejected it, or accepts
    none of that size; sending it again is pointless and against MQTT 5.0 section 4.4. LOST: the connection ended before
    the response, so it may have been accepted. SET_ASIDE: the broker ended the connection each time this message was
    sent alone; it must be reported and not sent again.
    """

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    LOST = "lost"
    SET_ASIDE = "set-aside"

    def __bool__(self) -> bool:
        """Whether it was confirmed."""
        return self is PublishResult.CONFIRMED


PublishDone = Callable[[PublishResult], None]
SetAside = Callable[[str, OutgoingMessage], None]
"""Told of a message on which a broker ends its connection: (connection, message). Comes on the transport's thread."""


class Transport(Protocol):
    """One connection to one broker. Call `start` once, `subscribe` at any time (before `start` too), `stop` once."""

    @property
    def name(self) -> str:
        """The connection's name in bridge.yaml."""

    @property
    def problems(self) -> tuple[HealthProblem, ...]:
        """Current problems; () when connected, subscribed, and nothing was refused."""

    @property
    def is_ready(self) -> bool:
        """Connected, and every filter is subscribed (bound) or refused."""

    @property
    def max_publish_bytes(self) -> int:
        """The largest payload that may be passed to `publish` now (broker's Maximum Packet Size, or max-publish)."""

    def start(self) -> None:
        """Start the thread; returns at once. A broker that is away is no error."""

    def subscribe(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Set the subscriptions: subscribe new ones, unsubscribe those that the session has and that are not wanted.

        All at QoS 1: `filters` for live messages (MQTT 5.0: Retain Handling 2), `retained` with retained messages
        delivered (Retain Handling 0). Thread: any.
        """

    def publish(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Hand one message to the broker, if it can take one now; its payload fits `max_publish_bytes`. Thread: any.

        `done` is called once with the result, on the thread that does the I/O; it must return at once. Returns False
        when not connected or the window is full: nothing was taken, `done` is not called.
        """

    @property
    def thread_names(self) -> list[str]:
        """Names of its threads, each of which must run as long as the bridge does."""

    def stop(self, deadline_s: float) -> list[str]:
        """Disconnect cleanly after everything passed to `publish` was sent; returns the names of late threads.

        MQTT: with a DISCONNECT, so the last will is not sent; publish ``offline`` first.
        """
