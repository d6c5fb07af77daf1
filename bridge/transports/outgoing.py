"""Messages passed to `publish` and not confirmed yet. Sends nothing itself; owned by the thread that does the I/O.

Other threads call only `offer`. While the connection is away it accepts nothing: the owners of the values publish them
again once connected, so nothing is kept here to be sent twice.

A message that may have ended the connection (see `suspects`) is sent while nothing else is in flight. The others do not
wait for it: suspects take turns with them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bridge.core.clock import Clock
from bridge.core.model import OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.transports.base import PublishDone, PublishResult
from bridge.transports.suspects import Suspects

WINDOW = 100
MAX_WAITING_SUSPECTS = 2 * WINDOW
CLOSES_WITHIN_S = 5.0
"""If the connection ends this soon after a refusal, with no other answer in between, the refusal is why."""

Handed = tuple[OutgoingMessage, PublishDone]
"""A message, and the callback for its result."""


class Outgoing:
    """A window of messages: waiting to be sent, for the socket (QoS 0), or for PUBACK or confirm.

    `wake` is called, on the publisher's thread, when there is something to send.
    """

    def __init__(self, wake: Callable[[], None], clock: Clock, reports: ErrorReports) -> None:
        """Create it closed."""
        self._wake = wake
        self._clock = clock
        self._reports = reports
        self._suspects = Suspects(clock)
        self._lock = threading.Lock()
        self._window = 0
        self._receive_maximum = 0
        self._refused: deque[Handed] = deque()
        self._queue: deque[Handed] = deque()
        self._waiting: list[tuple[int, Handed]] = []
        self._unwritten: deque[tuple[int, Handed]] = deque()
        self._unconfirmed: dict[int, Handed] = {}
        self._denied: tuple[OutgoingMessage, float] | None = None
        self._is_alone = False
        self._until_turn = WINDOW

    @property
    def count(self) -> int:
        """Messages accepted and not done."""
        return self._unsuspected + len(self._waiting)

    @property
    def _unsuspected(self) -> int:
        return len(self._refused) + len(self._queue) + len(self._unwritten) + len(self._unconfirmed)

    @property
    def is_unanswered(self) -> bool:
        """Whether something was sent that the broker has not answered."""
        return bool(self._unconfirmed)

    @property
    def may_be_to_blame(self) -> bool:
        """Whether a message may be why the broker ended the connection: it is unanswered, or was just denied."""
        return self.is_unanswered or self._just_denied is not None

    @property
    def _just_denied(self) -> OutgoingMessage | None:
        if self._denied is None or self._clock.monotonic_s() - self._denied[1] > CLOSES_WITHIN_S:
            return None
        return self._denied[0]

    def open(self, receive_maximum: int) -> None:
        """Accept up to `WINDOW` messages at a time, of which at most `receive_maximum` may be unconfirmed."""
        self._receive_maximum = receive_maximum
        self._denied = None
        with self._lock:
            self._window = WINDOW

    def close(self) -> None:
        """Accept no more; accepted ones continue."""
        with self._lock:
            self._window = 0

    def offer(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Accept one message, if connected and the window has room; waiting suspects leave the room to the others.

        Thread: any.
        """
        with self._lock:
            if not self._window:
                return False
            ends_alone = self._suspects.ends_alone(message)
            if ends_alone is not None and len(self._waiting) < MAX_WAITING_SUSPECTS:
                self._waiting.append((ends_alone, (message, done)))
            elif ends_alone is not None or self._unsuspected >= self._window:
                return False
            else:
                place = self._refused if self._suspects.is_set_aside(message) else self._queue
                place.append((message, done))
        self._wake()
        return True

    def take(self) -> Handed | None:
        """Return the next message to send, or None; the caller then says what it waits for.

        Also None while the broker's Receive Maximum is used up (MQTT 5.0 section 4.9), and while a suspect is in flight
        alone.
        """
        while self._refused:
            self.report(self._refused.popleft()[1], PublishResult.REFUSED)
        with self._lock:
            return self._next()

    def _next(self) -> Handed | None:
        if self._is_alone or len(self._unconfirmed) >= self._receive_maximum:
            return None
        if self._queue and (self._until_turn > 0 or not self._waiting):
            # The more suspects, the fewer messages go together: each end of the connection then adds only a few.
            if len(self._unconfirmed) >= max(1, WINDOW - len(self._suspects)):
                return None
            self._until_turn -= 1
            return self._queue.popleft()
        if not self._waiting or self._unconfirmed or self._unwritten:
            return None
        self._is_alone, self._until_turn = True, WINDOW
        # The least suspected first: most of them were only present when it happened.
        return self._waiting.pop(min(range(len(self._waiting)), key=lambda place: self._waiting[place][0]))[1]

    def await_written(self, end_bytes: int, handed: Handed) -> None:
        """Note that the message is done once `end_bytes` have been sent on this connection (QoS 0)."""
        self._unwritten.append((end_bytes, handed))

    def await_confirmed(self, packet_id: int, handed: Handed) -> None:
        """Note that the message is done once the broker answers `packet_id` (MQTT: QoS 1; AMQP: the delivery tag)."""
        self._unconfirmed[packet_id] = handed

    def written(self, sent_bytes: int) -> None:
        """Note that `sent_bytes` were sent on this connection so far."""
        while self._unwritten and self._unwritten[0][0] <= sent_bytes:
            self.finish(self._unwritten.popleft()[1], PublishResult.CONFIRMED)

    def answered(self, packet_id: int, result: PublishResult) -> OutgoingMessage | None:
        """Process the broker's answer; returns the message, or None for an unknown packet id."""
        handed = self._unconfirmed.pop(packet_id, None)
        if handed is None:
            return None
        self._denied = None
        self.finish(handed, result)
        return handed[0]

    def denied(self, packet_id: int) -> OutgoingMessage | None:
        """The broker refused the message, and may close the connection on it; returns it as `answered` does."""
        message = self.answered(packet_id, PublishResult.REFUSED)
        if message is not None:
            self._denied = message, self._clock.monotonic_s()
        return message

    def refused(self, packet_id: int) -> None:
        """Process the end of the channel on this message: it is refused, its topic is set aside (see `suspects`)."""
        if packet_id in self._unconfirmed:
            with self._lock:
                self._suspects.set_aside(self._unconfirmed[packet_id][0])
            self.answered(packet_id, PublishResult.REFUSED)

    def finish(self, handed: Handed, result: PublishResult) -> None:
        """Report the result of a message; the caller does so itself if it could not be sent."""
        message, done = handed
        with self._lock:
            self._suspects.acquit(message)
        self._is_alone = self._is_alone and bool(self._unconfirmed or self._unwritten)
        self.report(done, result)

    def fail_all(self, *, is_suspicious: bool = False) -> None:
        """The connection is gone: close, and report every message as not done.

        `is_suspicious`: the broker ended it, possibly because of an unanswered message. A message that did so twice
        while it was alone is reported as `PublishResult.SET_ASIDE`. If the broker has just denied one, that message is
        the cause (docs/design/brokers.md), and its topic is set aside.
        """
        self.close()
        sent = list(self._unconfirmed.values())
        rest = [handed for _, handed in (*self._unwritten, *self._waiting)] + [*self._queue, *self._refused]
        for place in (self._unconfirmed, self._unwritten, self._waiting, self._queue, self._refused):
            place.clear()
        result = PublishResult.LOST
        denied = self._just_denied
        if is_suspicious and denied is not None:
            with self._lock:
                self._suspects.set_aside(denied)
        elif is_suspicious and sent:
            # Those present at the last end must not be present at the next one too.
            self._until_turn = WINDOW if self._is_alone else 0
            with self._lock:
                is_set_aside = self._suspects.accuse([message for message, _ in sent])
            result = PublishResult.SET_ASIDE if is_set_aside else result
        self._is_alone = False
        for _, done in sent:
            self.report(done, result)
        for _, done in rest:
            self.report(done, PublishResult.LOST)

    def report(self, done: PublishDone, result: PublishResult) -> None:
        """Call `done`; never raises."""
        try:
            done(result)
        except Exception as error:  # noqa: BLE001  (a publisher's fault must not end the connection's thread)
            self._reports.unexpected("publish", error)
