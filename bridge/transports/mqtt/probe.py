"""Tests once per connection whether the broker delivers messages, with a message to a topic of the bridge's own.

A broker may grant a subscription but deliver nothing: Mosquitto checks the right to read at each delivery. The
connection then looks healthy while nothing is received. Any delivery proves the opposite. A refused probe proves
nothing; it is only logged.

Thread: the transport's; `problems` is read by any.
"""

from __future__ import annotations

from bridge.core import topic_filter
from bridge.core.clock import Clock
from bridge.core.log import fields, logger
from bridge.core.model import HealthProblem, OutgoingMessage
from bridge.transports.base import PublishResult
from bridge.transports.mqtt.options import MqttOptions
from bridge.transports.outgoing import Outgoing

_log = logger(__name__)

WITHIN_S = 10.0
"""Maximum time for the delivery, after the broker confirmed the message."""


class Probe:
    """The probe of one network connection.

    Attributes:
        topic: its topic; "" for a client that is not a bridge, which has no probe.
        problems: `deaf`, or empty.
    """

    def __init__(self, options: MqttOptions, outgoing: Outgoing, clock: Clock) -> None:
        self._connection = options.name
        self.topic = options.topics.probe if options.topics else ""
        self._outgoing = outgoing
        self._clock = clock
        self._is_sent = False
        self._is_heard = False
        self._due_s: float | None = None
        self.problems: tuple[HealthProblem, ...] = ()

    def next_check_s(self, now_s: float) -> float:
        """Return the seconds until `check` may have something to report; infinity for never."""
        return float("inf") if self._due_s is None else max(0.0, self._due_s - now_s)

    def check(self, now_s: float) -> None:
        """Report that the probe is overdue, once it is."""
        if self._due_s is None or now_s < self._due_s:
            return
        self._due_s = None
        text = (
            f'the broker accepts a message on "{self.topic}" and does not deliver it: the bridge may hear '
            "nothing; let it read and write this topic, and read what the mappings listen to"
        )
        self.problems = (HealthProblem("deaf", text),)
        _log.error("%s", text, extra=fields(action="probe", connection=self._connection, code="deaf"))

    def subscribed(self, granted: frozenset[str]) -> None:
        """Note the granted filters; publishes the probe if they include its topic."""
        if self._is_sent or self._is_heard or not any(topic_filter.matches(each, self.topic) for each in granted):
            return
        # If it cannot be sent now, that is not the broker's fault: the next connection has its own probe.
        self._is_sent = self._outgoing.offer(OutgoingMessage(self.topic, b"probe"), self._published)

    def heard(self) -> None:
        """Note that something was delivered, the probe or any other message."""
        self._is_heard, self._due_s, self.problems = True, None, ()

    def _published(self, result: PublishResult) -> None:
        if result is PublishResult.CONFIRMED:
            self._due_s = None if self._is_heard else self._clock.monotonic_s() + WITHIN_S
        elif result is not PublishResult.LOST:
            keys = fields(action="probe", connection=self._connection, topic=self.topic)
            _log.info("cannot check whether messages are delivered: the broker does not accept the probe", extra=keys)
