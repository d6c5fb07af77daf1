"""Passes received messages to the receiver, and decides when reading stops. Owned by the transport's thread; no I/O.

Reading stops if the receiver cannot store (its batch is kept and passed in again every second), or if too much is
unacknowledged (receivers that acknowledge later). The transport keeps the connection alive meanwhile. Messages for
which the receiver has no room are also kept and passed in again, while reading continues, because later messages may
have room.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.clock import Clock
from bridge.core.log import fields
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.transports.base import Receiver
from bridge.transports.deliveries import Deliveries
from bridge.transports.intake import BATCH_COUNT, RETRY_S, Batch, Intake, ours
from bridge.transports.mqtt.options import Bounds

BATCH_BYTES = 8 * 1024 * 1024
SLOW_BATCH_COUNT = 2000
_SLOW_BATCH_S = 0.025


class MqttIntake(Intake):
    """Passes messages from the connection to the receiver.

    Args:
        wake: see `Deliveries`.

    Attributes:
        batch_limit: messages to collect before passing them in: `BATCH_COUNT`, or up to `SLOW_BATCH_COUNT` while the
            receiver's commits are slow (then larger batches save commits).
        deliveries: those of the current network connection.
    """

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        *,
        wake: Callable[[], None],
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        super().__init__(name, receiver, "reading", metrics=metrics, reports=reports, clock=clock)
        self._wake = wake
        self._bounds = bounds
        self._is_stuck = False
        self._is_over_bound = False
        self.batch_limit = BATCH_COUNT
        self.deliveries: Deliveries[bytes] = self._new_deliveries()

    def _new_deliveries(self) -> Deliveries[bytes]:
        return Deliveries(self._wake, self._metrics.late_acks.labels(connection=self._name).inc)

    def begin(self) -> None:
        """Forget the deliveries of the last connection: they were not acknowledged, so the broker redelivers them."""
        self.deliveries.end()
        self.deliveries = self._new_deliveries()
        self._held, self._left = [], []
        self.problem = None
        self._is_stuck = False
        self._is_over_bound = False

    def hand_in(self, batch: Batch) -> None:
        """Pass one batch to the receiver; keep what the receiver cannot store."""
        self._received.inc(len(batch))
        self._hand_in(batch)

    def hand_in_left(self) -> None:
        """Pass in the part for which the receiver had no time."""
        batch, self._left = self._left, []
        self._hand_in(batch)

    def _hand_in(self, batch: Batch) -> None:
        started_s = self._clock.monotonic_s()
        left = self._pass_in(batch)
        if left is None:
            return
        if self._is_stuck:
            self._go_on()
        self._is_stuck = False
        if left.no_room:
            self._hold(ours(left.no_room))
        if self._held:
            self._tell(self._no_room())
        else:
            self.problem = None
        self._adapt(len(batch) - len(left.no_time), self._clock.monotonic_s() - started_s)

    def _adapt(self, count: int, took_s: float) -> None:
        if took_s < _SLOW_BATCH_S:
            self.batch_limit = BATCH_COUNT
        elif count >= self.batch_limit:
            self.batch_limit = min(self.batch_limit * 2, SLOW_BATCH_COUNT)

    def _stop(self, batch: Batch, problem: HealthProblem) -> None:
        self._is_stuck = True
        self._hold(batch)
        self._tell(problem)

    def _hold(self, batch: Batch) -> None:
        kept = [delivery for delivery in batch if not delivery.is_acked]
        self.drop_qos0(sum(1 for delivery in kept if not delivery.message.qos))
        if not self._held:
            self._retry_at_s = self._clock.monotonic_s() + RETRY_S
        self._held += [delivery for delivery in kept if delivery.message.qos]

    def drop_qos0(self, count: int) -> None:
        """Count, and log once a minute, that `count` QoS 0 messages were dropped."""
        if not count:
            return
        self._metrics.qos0_dropped.labels(connection=self._name).inc(count)
        text = "dropped %d QoS 0 messages that cannot be stored now"
        self._seldom.warning("qos0", text, count, connection=self._name)

    def is_paused(self) -> bool:
        """Whether nothing more may be read now."""
        if self._is_stuck:
            return True
        if self._left:
            return False  # these were read already
        deliveries, bounds = self.deliveries, self._bounds
        share = 2 if self._is_over_bound else 1
        over = deliveries.count * share > bounds.count or deliveries.size_bytes * share > bounds.size_bytes
        if over != self._is_over_bound:
            self._is_over_bound = over
            self._log.info(
                "%s: %d messages of %d bytes are unacknowledged",
                "reading is paused" if over else "reading continues",
                deliveries.count,
                deliveries.size_bytes,
                extra=fields(connection=self._name),
            )
        return over

    def room(self) -> tuple[int, int]:
        """Return how many messages, and how many bytes, the next batch may have; one over the limit is enough."""
        deliveries, bounds = self.deliveries, self._bounds
        return (
            max(1, min(self.batch_limit, bounds.count + 1 - deliveries.count)),
            max(1, min(BATCH_BYTES, bounds.size_bytes + 1 - deliveries.size_bytes)),
        )

    def retry(self) -> None:
        """Pass in kept messages again after a second."""
        if self.problem is not None and self._clock.monotonic_s() >= self._retry_at_s:
            batch, self._held = [delivery for delivery in self._held if not delivery.is_acked], []
            self._hand_in(batch)

    def next_retry_s(self) -> float:
        """Seconds until `retry` has work; a large number if there is none."""
        return max(0.0, self._retry_at_s - self._clock.monotonic_s()) if self.problem is not None else 3600.0
