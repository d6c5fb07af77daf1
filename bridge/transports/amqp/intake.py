"""Passes arrived messages to the receiver, and returns them to the broker while the receiver cannot store.

No message stays unacknowledged for long: RabbitMQ closes a channel that does so for 30 minutes. Messages that the
receiver could not store are returned, and a copy of that batch is passed in again every second. Once it is stored,
consuming continues, and its messages, which come again, are recognised by `DeliveryMemory`. Messages for which the
receiver has no room are also passed in again, while consuming continues, and returned only after `PATIENCE_S`, or if
they are large.

Thread: the transport's. Does no I/O except through the receiver and the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, Message
from bridge.core.report import ErrorReports
from bridge.transports.amqp.messages import Arrival, MessageReader, Read, Skip, unreadable
from bridge.transports.amqp.options import DeliveryMemory
from bridge.transports.amqp.session import AmqpSession
from bridge.transports.base import Receiver
from bridge.transports.intake import RETRY_S, Batch, Intake, ours

PATIENCE_S = 600.0
MAX_HELD_BYTES = 64 * 2**20
GRACE_S = 2.0
"""An acknowledgement received by the broker is on its disk a moment later; only then a repetition is impossible."""
FORGET_EVERY_S = 1.0
"""Forgetting is a commit: one for all that became due within this time, not one per batch."""
UNSEEN_S = 60.0
"""Unacknowledged messages come again before anything else; after a minute without a redelivery none is left."""


class AmqpIntake(Intake):
    """Passes messages from the queues to the receiver.

    Args:
        give_back: asks the link to stop consuming and return unacknowledged messages.
        misrouted: called if the exchange does not use routing keys.
    """

    def __init__(
        self,
        *,
        name: str,
        receiver: Receiver,
        session: AmqpSession,
        reader: MessageReader,
        memory: DeliveryMemory,
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
        give_back: Callable[[], None],
        misrouted: Callable[[], None],
    ) -> None:
        super().__init__(name, receiver, "consuming", metrics=metrics, reports=reports, clock=clock)
        self._session = session
        self._reader = reader
        self._memory = memory
        self._give_back = give_back
        self._misrouted = misrouted
        self._held_since_s = 0.0
        self.is_paused = False
        self._must_begin = True
        self._next_number = 1
        self._settled: deque[tuple[float, list[int]]] = deque()
        self._unseen_at_s = float("inf")

    def begin(self) -> None:
        """Note that consuming begins (again): stored messages that may not be acknowledged may come again."""
        self._must_begin = True
        self._unseen_at_s = float("inf")

    def hand_in(self, arrivals: Sequence[Arrival]) -> None:
        """Pass one batch to the receiver; return it to the broker if the receiver cannot store it."""
        current = [each for each in arrivals if self._session.is_current(each.token)]
        if not current:
            return
        try:
            batch = self._deliveries(current)
        except SpoolError as error:
            self._stop([], self._not_stored(error))
            return
        self._received.inc(len(current))
        if batch:
            self._hand_in(batch)

    def _deliveries(self, arrivals: Sequence[Arrival]) -> Batch:
        now_s = self._clock.wall_s()
        self._prepare()
        found = []
        for arrival in arrivals:
            read = self._read(arrival, now_s)
            delivery = self._session.arrived(self._numbered(read.message), arrival.token, arrival.tag)
            if read.skip is None:
                found.append(delivery)
                continue
            self._metrics.messages_skipped.labels(cause=read.skip.value).inc()
            delivery.ack()
            if read.skip is Skip.MISROUTED:
                self._misrouted()
        return found

    def _read(self, arrival: Arrival, now_s: float) -> Read:
        try:
            return self._reader.read(arrival, now_s)
        except Exception as error:  # noqa: BLE001  (one message's surprise must not be met again for ever)
            self._reports.unexpected("amqp", error, connection=self._name)
            return Read(unreadable(self._name, arrival))

    def _prepare(self) -> None:
        if self._must_begin:
            self._next_number = max(self._next_number, self._memory.begin() + 1)
            self._must_begin = False
            self._unseen_at_s = self._clock.monotonic_s() + UNSEEN_S

    def _numbered(self, message: Message) -> Message:
        number = 0
        if message.dup:
            number = self._memory.number(message)
            self._unseen_at_s = self._clock.monotonic_s() + UNSEEN_S
        if not number:
            number = self._next_number
            self._next_number += 1
        return replace(message, packet_id=number)

    def hand_in_left(self) -> None:
        """Pass in the part for which the receiver had no time; messages of an ended channel come again."""
        batch, self._left = [one for one in self._left if not one.deliveries.is_over], []
        self._hand_in(batch)

    def _hand_in(self, batch: Batch) -> bool:
        """Return whether any of it could be stored."""
        left = self._pass_in(batch)
        return left is not None and self._wait_for_room(ours(left.no_room))

    def _wait_for_room(self, left: Batch) -> bool:
        """Keep messages without room; return whether consuming may continue."""
        now_s = self._clock.monotonic_s()
        if left and not self._held:
            self._held_since_s = self._held_since_s or now_s
            self._retry_at_s = now_s + RETRY_S
        self._held += left
        if self.is_paused and self._left:
            return True  # passed in completely before consuming continues: repetitions must be recognised
        if not self._held:
            if self.is_paused:
                self._go_on()
            self._held_since_s = 0.0
            self.is_paused = False
            self.problem = None
            return True
        problem = self._no_room()
        held_bytes = sum(len(delivery.message.payload) for delivery in self._held)
        if self.is_paused or now_s - self._held_since_s >= PATIENCE_S or held_bytes >= MAX_HELD_BYTES:
            held, self._held = self._held, []
            self._stop(held, problem)
            return False
        self._tell(problem)
        return True

    def _stop(self, batch: Batch, problem: HealthProblem) -> None:
        self._held += [delivery for delivery in batch if not delivery.is_acked]
        self._retry_at_s = self._clock.monotonic_s() + RETRY_S
        if not self.is_paused:
            self._session.ended_all(is_returned=True)
            self._give_back()
        self.is_paused = True
        self._tell(problem)

    def retry(self) -> bool:
        """Pass in kept messages again after a second; True if consuming may continue."""
        if self.problem is None or self._clock.monotonic_s() < self._retry_at_s:
            return False
        was_paused = self.is_paused
        # While consuming, messages of an ended channel come again.
        batch = [one for one in self._held if not one.is_acked and (was_paused or not one.deliveries.is_over)]
        self._held = []
        is_stored = self._hand_in(batch)
        while is_stored and was_paused and self._left:
            batch, self._left = self._left, []
            is_stored = self._hand_in(batch)
        if not is_stored or not was_paused:
            return False
        self.begin()
        return True

    # Forgetting deliveries.

    def settled(self, token: int, tag: int) -> None:
        """Note that the broker has received a consumer's acknowledgements up to `tag`."""
        numbers = self._session.settled(token, tag)
        if numbers:
            self._settled.append((self._clock.monotonic_s() + GRACE_S, numbers))

    def forget_due(self, *, everything: bool = False) -> None:
        """Forget deliveries that cannot come again, and at a clean end those that the broker has received just now.

        If that cannot be written, it is done later.
        """
        now_s = self._clock.monotonic_s()
        numbers: list[int] = []
        if everything or (self._settled and self._settled[0][0] + FORGET_EVERY_S <= now_s):
            while self._settled and (everything or self._settled[0][0] <= now_s):
                numbers += self._settled.popleft()[1]
        try:
            if numbers:
                self._memory.forget(numbers)
            if self._unseen_at_s <= now_s and not self.is_paused:
                self._unseen_at_s = float("inf")
                self._memory.forget_unseen()
        except SpoolError:
            self._settled.appendleft((now_s + GRACE_S, numbers))

    def next_due_s(self) -> float:
        """Seconds until `retry` or `forget_due` have work; a large number if there is none."""
        times = [self._retry_at_s if self.is_paused else self._unseen_at_s]
        if self.problem is not None:
            times.append(self._retry_at_s)
        if self._settled:
            times.append(self._settled[0][0] + FORGET_EVERY_S)
        return min(3600.0, max(0.0, min(times) - self._clock.monotonic_s()))
