"""Passes received messages to the receiver, and keeps what it cannot take: what MQTT and AMQP have in common.

Owned by the transport's thread; no I/O except through the receiver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.transports.base import Delivery, Left, Receiver
from bridge.transports.deliveries import BrokerDelivery

BATCH_COUNT = 500
RETRY_S = 1.0

Batch = list[BrokerDelivery[Any]]


class Intake:
    """Passes messages from a connection to the receiver.

    Args:
        activity: what stops while the receiver cannot store: "reading", "consuming".

    Attributes:
        problem: why it stopped, or what waits for room; None while everything is stored.
    """

    def __init__(
        self, name: str, receiver: Receiver, activity: str, *, metrics: Metrics, reports: ErrorReports, clock: Clock
    ) -> None:
        self._name = name
        self._receiver = receiver
        self._activity = activity
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        self._log = logger(type(self).__module__)
        self._seldom = SeldomLog(self._log, clock.monotonic_s)
        self._held: Batch = []
        self._left: Batch = []
        self._retry_at_s = 0.0
        self._received = metrics.messages_received.labels(connection=name)
        self.problem: HealthProblem | None = None

    @property
    def has_left(self) -> bool:
        """Whether the receiver had no time for a part of a batch."""
        return bool(self._left)

    def _pass_in(self, batch: Batch) -> Left | None:
        """Pass in one batch, and keep what there was no time for; None if nothing could be stored (see `_stop`)."""
        try:
            self._prepare()
            left = self._receiver.receive(batch, self._held)
        except SpoolError as error:
            self._stop(batch, self._not_stored(error))
            return None
        except Exception as error:  # noqa: BLE001  (a receiver's fault must not end the thread, nor lose the batch)
            if self.problem is None or self.problem.code != "internal-error":  # else it fails again each second
                self._reports.unexpected("receive", error, connection=self._name)
            text = f"{self._activity} is paused: {type(error).__name__}"
            self._stop(batch, HealthProblem("internal-error", text))
            return None
        self._left = [*ours(left.no_time), *self._left]
        return left

    def _prepare(self) -> None:
        """Do what must be done before a batch is passed in; may fail like the receiver."""

    def _stop(self, batch: Batch, problem: HealthProblem) -> None:
        """Keep a batch that could not be stored, and take no more."""
        raise NotImplementedError

    def _go_on(self) -> None:
        self._log.info("%s continues", self._activity, extra=fields(connection=self._name))

    def _not_stored(self, error: SpoolError) -> HealthProblem:
        return HealthProblem(error.code, f"{self._activity} is paused: {error}")

    def _no_room(self) -> HealthProblem:
        return HealthProblem("spool-full", f"{len(self._held)} messages wait: the spool has no room for them")

    def _tell(self, problem: HealthProblem) -> None:
        self.problem = problem
        self._seldom.warning("held", "%s", problem.message, connection=self._name, code=problem.code)


def ours(deliveries: Sequence[Delivery]) -> Batch:
    """Return deliveries that a receiver returned, by their own type."""
    return [delivery for delivery in deliveries if isinstance(delivery, BrokerDelivery)]
