"""The two ends of a transport in tests: a receiver and a listener that remember, and waits with a deadline."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.core.clock import SystemClock
from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, Message
from bridge.core.report import ErrorReports
from bridge.transports.base import NOTHING_LEFT, Delivery, Left, PublishResult, Session
from tests.support.machine import scaled

WAIT_S = 15.0


def wait_until(condition: Callable[[], object], what: str, within_s: float = WAIT_S, every_s: float = 0.005) -> None:
    """Return once `condition` holds; fail with `what` after `within_s` seconds, or more where the machine is slow.

    `every_s` is the pause between two looks: longer where looking takes time from what is waited for.
    """
    deadline_s = time.monotonic() + scaled(within_s)
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {scaled(within_s):.0f} s: {what}")
        pause.wait(every_s)


class RecordingReceiver:
    """Keeps every delivery; acknowledges at once unless told otherwise.

    Attributes:
        deliveries: all, in order of arrival.
        batches: the size of each batch.
        acks: whether to acknowledge within `receive`.
        fails: while True, `receive` raises SpoolError.
    """

    def __init__(self, *, acks: bool = True) -> None:
        self.acks = acks
        self.fails = False
        self.refused = 0
        self.deliveries: list[Delivery] = []
        self.batches: list[int] = []

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """See `base.Receiver`."""
        if self.fails:
            self.refused += 1
            raise SpoolError("store events: disk full")
        self.batches.append(len(batch))
        self.deliveries += batch
        if self.acks:
            for delivery in batch:
                delivery.ack()
        return NOTHING_LEFT

    @property
    def messages(self) -> list[Message]:
        """What was delivered."""
        return [delivery.message for delivery in list(self.deliveries)]

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of what was delivered."""
        return [message.payload for message in self.messages]


class RecordingListener:
    """Keeps every event: ("connected", session), ("ready",), ("disconnected", problem code)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def connected(self, connection: str, session: Session) -> None:
        """See `base.Listener`."""
        self.events.append(("connected", session.value))

    def ready(self, connection: str) -> None:
        """See `base.Listener`."""
        self.events.append(("ready",))

    def disconnected(self, connection: str, problem: HealthProblem) -> None:
        """See `base.Listener`."""
        self.events.append(("disconnected", problem.code))

    def count(self, *event: str) -> int:
        """How often `event` happened."""
        return self.events.count(event)

    @property
    def sessions(self) -> list[str]:
        """What the broker said about the session, a connection each."""
        return [event[1] for event in self.events if event[0] == "connected"]


class Outcomes:
    """A `done` callback that remembers what it was told."""

    def __init__(self) -> None:
        self.results: list[PublishResult] = []

    def __call__(self, result: PublishResult) -> None:
        self.results.append(result)


def reports_of(metrics: Metrics | None = None) -> ErrorReports:
    """Reports that count in `metrics`; their files are of no interest."""
    return ErrorReports(Path(tempfile.gettempdir()) / "argo-bridge-tests", metrics or Metrics(), SystemClock())
