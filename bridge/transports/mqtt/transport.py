"""The MQTT transport: one connection to one broker, maintained by one thread (see `base` for the contract).

The thread polls the socket and a wake-up, reads available data, passes it to the receiver as one batch, and then writes
all acknowledgements at once. Nothing is delayed: a batch is whatever has arrived. While a batch is being stored nothing
is read, so the number of unacknowledged messages is limited by construction.

It does not deduplicate, decides nothing about a message, and keeps nothing to publish while the broker is away.
"""

from __future__ import annotations

import select

from bridge.core.clock import Clock, SystemClock
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.transports.base import Listener, PublishDone, Receiver
from bridge.transports.broker import MQTT_PORTS, parse_broker
from bridge.transports.mqtt.conversation import Conversation, Stop
from bridge.transports.mqtt.dial import Dialler
from bridge.transports.mqtt.intake import MqttIntake
from bridge.transports.mqtt.link import Link
from bridge.transports.mqtt.options import FilterMemory, MqttOptions
from bridge.transports.mqtt.problems import LinkLost, packet_limit, probably_taken_over
from bridge.transports.mqtt.subscriptions import Subscriptions
from bridge.transports.outgoing import Outgoing
from bridge.transports.wakeup import Wakeup

_log = logger(__name__)

SETTLED_S = 10.0  # a connection that lives longer is stable: it was not ended by a rival, and backoff starts over
QUICK_CLOSES = 5
"""So many successive connections, closed soon and not because of something we sent, indicate a rival."""
MIN_PACKET_BYTES = 256  # no status and hardly any reply is smaller
PACKET_MARGIN_BYTES = 1024  # topic and properties, within the broker's Maximum Packet Size
_STOPPED = HealthProblem("stopped", "the connection was closed by the bridge itself")
# A message published before the broker knows the subscription is not delivered.
_SUBSCRIBING = HealthProblem("subscribing", "connected; the broker has not answered every subscription yet")


class MqttTransport(Worker):
    """One MQTT connection (see `base.Transport`)."""

    def __init__(
        self,
        options: MqttOptions,
        receiver: Receiver,
        listener: Listener,
        metrics: Metrics,
        reports: ErrorReports,
        *,
        clock: Clock | None = None,
        memory: FilterMemory | None = None,
    ) -> None:
        """Create it; nothing is opened before `start`. Receiver and listener are called on the transport's thread.

        `memory` has the subscriptions of earlier runs; None = none.

        Raises:
            ConfigError: the URL cannot be used.
        """
        super().__init__(f"mqtt-{options.name}")
        self._options = options
        self._broker = parse_broker(options.url, MQTT_PORTS)
        self._listener = listener
        self._metrics = metrics
        self._reports = reports
        self._clock = clock or SystemClock()
        self._wakeup = Wakeup()
        self._dialler = Dialler(self._wakeup)
        self._seldom = SeldomLog(_log, self._clock.monotonic_s)
        self._intake = MqttIntake(
            options.name,
            receiver,
            wake=self._wakeup.wake,
            metrics=metrics,
            reports=reports,
            clock=self._clock,
            bounds=options.bounds,
        )
        self._outgoing = Outgoing(self._wakeup.wake, self._clock, reports)
        own_filters = options.topics.own_filters if options.topics else frozenset()
        self._subscriptions = Subscriptions(memory or FilterMemory(), own_filters)
        self._conversation: Conversation | None = None
        self._problem = HealthProblem("connecting", f"not connected to broker {self._broker} yet")
        self._rival: HealthProblem | None = None
        self._ending: Stop | None = None
        self._attempt = 0
        self._takeovers = 0
        self._quick_closes = 0

    def __repr__(self) -> str:
        problems = ", ".join(problem.code for problem in self.problems) or "none"
        return f"<MqttTransport {self.name} broker={self._broker} ready={self.is_ready} problems={problems}>"

    @property
    def name(self) -> str:
        """The connection's name in bridge.yaml."""
        return self._options.name

    @property
    def problems(self) -> tuple[HealthProblem, ...]:
        """Current problems; () when connected, subscribed, and nothing was refused. Thread: any."""
        conversation, rival = self._conversation, self._rival
        accepted_at_s = conversation.accepted_at_s if conversation is not None else None
        if conversation is None or accepted_at_s is None:
            return (self._problem,)
        found = [*self._subscriptions.problems, *conversation.probe.problems]
        limit = conversation.connack.maximum_packet_bytes if conversation.connack else None
        if limit is not None and limit < MIN_PACKET_BYTES:
            found.append(packet_limit(self._broker, limit))
        if not conversation.is_ready:
            found.append(_SUBSCRIBING)
        if self._intake.problem is not None:
            found.append(self._intake.problem)
        # Two clients that take the session from each other both connect fine each time: trust a connection only after a
        # while.
        if rival is not None and self._clock.monotonic_s() - accepted_at_s < SETTLED_S:
            found.append(rival)
        return tuple(found)

    @property
    def is_ready(self) -> bool:
        """Connected, and every SUBACK was read. Thread: any."""
        conversation = self._conversation
        return conversation is not None and conversation.is_ready

    @property
    def max_publish_bytes(self) -> int:
        """The largest payload that may be passed to `publish` now. Thread: any."""
        conversation = self._conversation
        connack = conversation.connack if conversation is not None else None
        limit = connack.maximum_packet_bytes if connack is not None else None
        if limit is None:
            return self._options.max_publish_bytes
        return min(self._options.max_publish_bytes, limit - min(PACKET_MARGIN_BYTES, limit // 2))

    def subscribe(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Set the subscriptions (see `base.Transport`). Thread: any.

        By 3.1.1 retained messages come for `filters` too, with `Message.retain`.
        """
        self._subscriptions.want(filters, retained)
        self._wakeup.wake()

    def publish(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Hand one message to the broker, if it can take one now (see `base.Transport.publish`). Thread: any."""
        return self._ending is None and self._outgoing.offer(message, done)

    def stop(self, deadline_s: float) -> list[str]:
        """Disconnect cleanly after everything passed to `publish` was sent; returns the thread's name if it is late.

        The broker gets a DISCONNECT, so it drops the will.
        """
        now_s = self._clock.monotonic_s()
        self._ending = Stop(now_s + deadline_s * 0.7, now_s + deadline_s * 0.9)
        if self._thread.ident is None:
            self._wakeup.close()
            return []
        return super().stop(deadline_s)

    def _interrupt(self) -> None:
        self._dialler.abort()

    def run(self) -> None:
        """Connect, again and again, until it is stopped."""
        try:
            while self._ending is None:
                self._sleep(self._connect_once())
        finally:
            self._outgoing.fail_all()
            self._wakeup.close()

    def _sleep(self, delay_s: float) -> None:
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        end_s = self._clock.monotonic_s() + delay_s
        while self._ending is None and (left_s := end_s - self._clock.monotonic_s()) > 0:
            if poll.poll(int(left_s * 1000) + 1):
                self._wakeup.clear()

    def _connect_once(self) -> float:
        """Connect, run until the connection ends, and return the seconds to wait before the next one."""
        self._attempt += 1
        link = Link(self._options, self._broker)
        conversation = Conversation(
            link,
            options=self._options,
            intake=self._intake,
            outgoing=self._outgoing,
            subscriptions=self._subscriptions,
            wakeup=self._wakeup,
            listener=self._listener,
            metrics=self._metrics,
            clock=self._clock,
            seldom=self._seldom,
        )
        try:
            self._intake.begin()
            link.open(self._dialler)
            self._conversation = conversation
            conversation.run(lambda: self._ending)
            lost = LinkLost(_STOPPED)
        except LinkLost as error:
            lost = error
        except Exception as error:  # noqa: BLE001  (a fault of ours ends this connection, never the thread)
            self._reports.unexpected("mqtt", error, connection=self.name)
            lost = LinkLost(HealthProblem("internal-error", f"unexpected {type(error).__name__}; see the report"))
        finally:
            link.close()
        return self._end(conversation, lost)

    def _end(self, conversation: Conversation, lost: LinkLost) -> float:
        accepted_at_s = conversation.accepted_at_s
        if self._ending is not None and accepted_at_s is None:
            lost = LinkLost(_STOPPED)  # the attempt was interrupted: not the broker's fault
        lived_s = None if accepted_at_s is None else self._clock.monotonic_s() - accepted_at_s
        problem, delay_s = self._judge(lost, lived_s)
        self._problem = problem
        self._conversation = None
        self._intake.begin()
        if accepted_at_s is not None:
            self._metrics.connected.labels(connection=self.name).set(0)
            self._metrics.disconnects.labels(connection=self.name, reason=problem.code).inc()
        if self._ending is None:
            keys = fields(connection=self.name, code=problem.code, attempt=self._attempt, delay_s=round(delay_s, 3))
            self._seldom.warning(problem.message, "%s", problem.message, **keys)
        self._outgoing.fail_all(is_suspicious=lost.is_suspicious)
        self._subscriptions.ended(is_suspicious=lost.is_suspicious)
        self._tell(problem)
        return delay_s

    def _tell(self, problem: HealthProblem) -> None:
        try:
            self._listener.disconnected(self.name, problem)
        except Exception as error:  # noqa: BLE001  (the listener's fault must not end the thread)
            self._reports.unexpected("mqtt", error, connection=self.name)

    def _judge(self, lost: LinkLost, lived_s: float | None) -> tuple[HealthProblem, float]:
        """Return the problem to show and the seconds to wait; counts signs of a rival."""
        if lived_s is not None and lived_s >= SETTLED_S:
            self._attempt, self._takeovers, self._quick_closes = 1, 0, 0
            self._rival = None
        problem = lost.problem
        if self._is_rivals_work(lost, lived_s):
            self._quick_closes += 1
            if self._quick_closes >= QUICK_CLOSES:
                problem = probably_taken_over(self._options)
        elif lost.is_suspicious and self._outgoing.may_be_to_blame:
            self._attempt = 1  # what the broker does not accept is set aside after few such ends: no reason to wait
        if problem.code != "taken-over":
            return problem, self._options.backoff.delay_s(self._attempt)
        self._rival = problem
        self._takeovers += 1
        return problem, self._options.taken_over_backoff.delay_s(self._takeovers)

    def _is_rivals_work(self, lost: LinkLost, lived_s: float | None) -> bool:
        """Whether another client may have taken over the session.

        3.1.1 has no DISCONNECT from the broker, and Mosquitto 2.0.11 sends none in 5.0 either: the only sign of a rival
        is that the connection is closed soon after each connect. A restarting broker does that too, but is away in
        between; a broker that rejects one of our packets does too, but then that packet is unanswered or refused.
        """
        if lived_s is None:
            self._quick_closes = 0
            return False
        subscriptions = self._subscriptions
        if not subscriptions.is_settled or subscriptions.is_asking or self._outgoing.may_be_to_blame:
            return False
        return lived_s < SETTLED_S and lost.by_peer and lost.is_suspicious
