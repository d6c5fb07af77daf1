"""Passes received messages to the receiver, and decides when reading stops. Owned by the transport's thread; no I/O.

Reading stops if the receiver cannot store (its batch is kept and passed in again every second), or if too much is
unacknowledged (receivers that acknowledge later). The transport keeps the connection alive meanwhile. Messages for
which the receiver has no room are also kept and passed in again, while reading continues, because later messages may
have room.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.transports.base import Delivery, Receiver
from bridge.transports.mqtt.options import Bounds
from bridge.transports.mqtt.session import DeliverySession, MqttDelivery

_log = logger(__name__)

BATCH_BYTES = 8 * 1024 * 1024
BATCH_COUNT = 500
SLOW_BATCH_COUNT = 2000
_SLOW_BATCH_S = 0.025
_RETRY_S = 1.0


class Intake:
    """Passes messages from the connection to the receiver.

    Attributes:
        batch_limit: messages to collect before passing them in: `BATCH_COUNT`, or up to `SLOW_BATCH_COUNT` while the
            receiver's commits are slow (then larger batches save commits).
        problem: why reading stopped, or what waits for room; None while everything is stored.
    """

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        session: DeliverySession,
        *,
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        self._name = name
        self._receiver = receiver
        self._session = session
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        self._bounds = bounds
        self._seldom = SeldomLog(_log, clock.monotonic_s)
        self._held: list[MqttDelivery] = []
        self._left: list[MqttDelivery] = []
        self._retry_at_s = 0.0
        self._is_stuck = False
        self._is_over_bound = False
        self._received = metrics.messages_received.labels(connection=name)
        self.batch_limit = BATCH_COUNT
        self.problem: HealthProblem | None = None

    def hand_in(self, batch: list[MqttDelivery]) -> None:
        """Pass one batch to the receiver; keep what the receiver cannot store."""
        self._received.inc(len(batch))
        self._hand_in(batch)

    @property
    def has_left(self) -> bool:
        """Whether the receiver had no time for a part of a batch."""
        return bool(self._left)

    def hand_in_left(self) -> None:
        """Pass in the part for which the receiver had no time."""
        batch, self._left = self._left, []
        self._hand_in(batch)

    def _hand_in(self, batch: list[MqttDelivery]) -> None:
        started_s = self._clock.monotonic_s()
        try:
            left = self._receiver.receive(batch, self._held)
        except SpoolError as error:
            self._stop_reading(batch, HealthProblem(error.code, f"reading is paused: {error}"))
        except Exception as error:  # noqa: BLE001  (a receiver's fault must not end the thread, nor lose the batch)
            if self.problem is None or self.problem.code != "internal-error":  # else it fails again each second
                self._reports.unexpected("receive", error, connection=self._name)
            self._stop_reading(batch, HealthProblem("internal-error", f"reading is paused: {type(error).__name__}"))
        else:
            self._left = [*_ours(left.no_time), *self._left]
            self._go_on(_ours(left.no_room))
            self._adapt(len(batch) - len(left.no_time), self._clock.monotonic_s() - started_s)

    def _go_on(self, left: list[MqttDelivery]) -> None:
        if self._is_stuck:
            _log.info("reading continues", extra=fields(connection=self._name))
        self._is_stuck = False
        if left:
            self._hold(left)
        if self._held:
            text = f"{len(self._held)} messages wait: the spool has no room for them"
            self._tell(HealthProblem("spool-full", text))
        else:
            self.problem = None

    def _adapt(self, count: int, took_s: float) -> None:
        if took_s < _SLOW_BATCH_S:
            self.batch_limit = BATCH_COUNT
        elif count >= self.batch_limit:
            self.batch_limit = min(self.batch_limit * 2, SLOW_BATCH_COUNT)

    def _stop_reading(self, batch: Sequence[MqttDelivery], problem: HealthProblem) -> None:
        self._is_stuck = True
        self._hold(batch)
        self._tell(problem)

    def _hold(self, batch: Sequence[MqttDelivery]) -> None:
        kept = [delivery for delivery in batch if not delivery.is_acked]
        self.drop_qos0(sum(1 for delivery in kept if not delivery.message.qos))
        if not self._held:
            self._retry_at_s = self._clock.monotonic_s() + _RETRY_S
        self._held += [delivery for delivery in kept if delivery.message.qos]

    def _tell(self, problem: HealthProblem) -> None:
        self.problem = problem
        self._seldom.warning("held", "%s", problem.message, connection=self._name, code=problem.code)

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
        session, bounds = self._session, self._bounds
        share = 2 if self._is_over_bound else 1
        over = session.count * share > bounds.count or session.size_bytes * share > bounds.size_bytes
        if over != self._is_over_bound:
            self._is_over_bound = over
            _log.info(
                "%s: %d messages of %d bytes are unacknowledged",
                "reading is paused" if over else "reading continues",
                session.count,
                session.size_bytes,
                extra=fields(connection=self._name),
            )
        return over

    def room(self) -> tuple[int, int]:
        """Return how many messages, and how many bytes, the next batch may have; one over the limit is enough."""
        session, bounds = self._session, self._bounds
        return (
            max(1, min(self.batch_limit, bounds.count + 1 - session.count)),
            max(1, min(BATCH_BYTES, bounds.size_bytes + 1 - session.size_bytes)),
        )

    def retry(self) -> None:
        """Pass in kept messages again after a second."""
        if self.problem is not None and self._clock.monotonic_s() >= self._retry_at_s:
            batch, self._held = [delivery for delivery in self._held if not delivery.is_acked], []
            self._hand_in(batch)

    def next_retry_s(self) -> float:
        """Seconds until `retry` has work; a large number if there is none."""
        return max(0.0, self._retry_at_s - self._clock.monotonic_s()) if self.problem is not None else 3600.0

    def connection_lost(self) -> None:
        """Forget the kept batch: its messages were not acknowledged, so the broker redelivers them."""
        self._held, self._left = [], []
        self.problem = None
        self._is_stuck = False
        self._is_over_bound = False


def _ours(deliveries: Sequence[Delivery]) -> list[MqttDelivery]:
    return [delivery for delivery in deliveries if isinstance(delivery, MqttDelivery)]
