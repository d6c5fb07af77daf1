"""Placeholders for parts that need each other: each is built before the other, and filled in afterwards.

Thread: filled by the main thread before any other starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.transports.base import ConnectionProblem, Delivery, Left, Receiver, Session


class ConnectionHandler(Protocol):
    """Handles the life of every connection."""

    def on_connected(self, connection: str, session: Session) -> None:
        """The broker accepted us."""

    def on_ready(self, connection: str) -> None:
        """Every SUBACK arrived."""

    def on_disconnected(self, connection: str, problem: ConnectionProblem) -> None:
        """The connection is gone."""


class ListenerSlot:
    """The `Listener` of every transport.

    Attributes:
        handler: informed of everything; set before a transport starts.
        sessions: each broker's last statement about its session.
    """

    handler: ConnectionHandler

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def connected(self, connection: str, session: Session) -> None:
        """See `Listener`."""
        self.sessions[connection] = session
        self.handler.on_connected(connection, session)

    def ready(self, connection: str) -> None:
        """See `Listener`."""
        self.handler.on_ready(connection)

    def disconnected(self, connection: str, problem: ConnectionProblem) -> None:
        """See `Listener`."""
        self.handler.on_disconnected(connection, problem)


class ReceiverSlot:
    """The `Receiver` of every transport.

    Attributes:
        receiver: receives the batches; set before a transport starts.
    """

    receiver: Receiver

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """See `Receiver`."""
        return self.receiver.receive(batch, waiting)
