"""The AMQP 0-9-1 transport: one connection to a RabbitMQ broker (see `base` for the contract).

Two threads. ``amqp-NAME-link`` owns the network connections and does only I/O, so that heartbeats continue while a
batch is being stored. ``amqp-NAME`` is the transport's thread: it passes arrived messages to the receiver as one batch,
sends the acknowledgements afterwards, informs the listener, and decides when to reconnect.

It does not deduplicate, decides nothing about a message, and keeps nothing to publish while the broker is away.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable

from bridge.core.clock import Clock, SystemClock
from bridge.core.errors import SpoolError
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.transports.amqp.inbox import Inbox
from bridge.transports.amqp.intake import AmqpIntake
from bridge.transports.amqp.link import AmqpLink
from bridge.transports.amqp.messages import MessageReader
from bridge.transports.amqp.options import AmqpOptions, DeliveryMemory, parse_nodes
from bridge.transports.amqp.session import AmqpSession
from bridge.transports.amqp.topology import Binding, WantedBindings, read_bindings, wanted_bindings
from bridge.transports.amqp.wire import AmqpLoop
from bridge.transports.base import Listener, PublishDone, PublishResult, Receiver, Session
from bridge.transports.intake import BATCH_COUNT
from bridge.transports.mqtt.options import FilterMemory
from bridge.transports.outgoing import Outgoing

_log = logger(__name__)

_STOPPED = HealthProblem("stopped", "the connection was closed by the bridge itself")
_SUBSCRIBING = HealthProblem("subscribing", "connected; queues and bindings are not all declared yet")
_LOOK_S = 0.01


class AmqpTransport(Worker):
    """One AMQP connection (see `base.Transport`)."""

    def __init__(
        self,
        options: AmqpOptions,
        receiver: Receiver,
        listener: Listener,
        metrics: Metrics,
        reports: ErrorReports,
        *,
        clock: Clock | None = None,
        memory: FilterMemory | None = None,
        deliveries: DeliveryMemory | None = None,
    ) -> None:
        """Create it; nothing is opened before `start`. Receiver and listener are called on the transport's thread.

        `memory` has the bindings of earlier runs, `deliveries` those that may come again; None = none.

        Raises:
            ConfigError: a URL cannot be used.
        """
        super().__init__(f"amqp-{options.name}")
        self._options = options
        nodes = parse_nodes(options.url, options.hosts)
        self._nodes = itertools.cycle(nodes)
        self._listener = listener
        self._metrics = metrics
        self._reports = reports
        self._clock = clock or SystemClock()
        self._memory = memory or FilterMemory()
        self._seldom = SeldomLog(_log, self._clock.monotonic_s)
        self._inbox = Inbox()
        self._loop = AmqpLoop(f"amqp-{options.name}-link", self._crashed)
        self._outgoing = Outgoing(lambda: self._loop.call(self._pump), self._clock, reports)
        self._session = AmqpSession(self._inbox.wake, metrics.late_acks.labels(connection=options.name).inc)
        self._reader = MessageReader(options)
        self._intake = AmqpIntake(
            name=self.name,
            receiver=receiver,
            session=self._session,
            reader=self._reader,
            memory=deliveries or DeliveryMemory(),
            metrics=metrics,
            reports=reports,
            clock=self._clock,
            give_back=lambda: self._on_link(AmqpLink.pause),
            misrouted=lambda: self._on_link(AmqpLink.misrouted),
        )
        # For the link, which posts messages and calls: these two, and those under "Reports of the link".
        self.post = self._inbox.put
        self.began = self._session.began
        self.acknowledged = self._intake.settled
        self._wanted = wanted_bindings(options, frozenset(), frozenset())
        self._asked: WantedBindings | None = None
        self._known = read_bindings(self._memory.known)
        self._link: AmqpLink | None = None
        self._is_accepted = False
        self._connect_at_s = 0.0
        self._attempt = 0
        self._problem = HealthProblem("connecting", f"not connected to broker {nodes[0]} yet")
        self._stop_until_s = 0.0

    def __repr__(self) -> str:
        problems = ", ".join(problem.code for problem in self.problems) or "none"
        return f"<AmqpTransport {self.name} broker={self._options.url} ready={self.is_ready} problems={problems}>"

    @property
    def name(self) -> str:
        """The connection's name in bridge.yaml."""
        return self._options.name

    @property
    def problems(self) -> tuple[HealthProblem, ...]:
        """Current problems; () when connected, consuming, and nothing was refused. Thread: any."""
        link = self._link
        if link is None or not self._is_accepted:
            return (self._problem,)
        found = list(link.problems)
        if not found and not self.is_ready:
            found.append(_SUBSCRIBING)
        paused = self._intake.problem
        return tuple(found if paused is None else [*found, paused])

    @property
    def is_ready(self) -> bool:
        """Connected, the exchange exists, and every queue, binding and consumer is active or refused. Thread: any."""
        link = self._link
        # In this order: a link that was asked for what is wanted now has not settled with what was wanted before.
        is_current = self._is_accepted and link is not None and link.wanted is self._wanted and link.is_settled
        # A visit reports a missing exchange in its own words.
        return is_current and link is not None and (link.has_exchange or self._options.is_visit)

    @property
    def max_publish_bytes(self) -> int:
        """The largest payload that may be passed to `publish`; AMQP brokers do not announce a limit. Thread: any."""
        return self._options.max_publish_bytes

    def start(self) -> None:
        """Start the threads; returns at once. A broker that is away is no error."""
        self._loop.start()
        super().start()

    @property
    def thread_names(self) -> list[str]:
        """Names of the threads, each of which must run as long as the bridge does."""
        return super().thread_names + self._loop.thread_names

    def subscribe(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Set the bindings: bind new ones, unbind those of earlier runs that are no longer wanted. Thread: any.

        AMQP retains no messages: only a visit binds `retained`, to see messages published from now on.
        """
        self._wanted = wanted_bindings(self._options, filters, retained)
        self._inbox.wake()

    def publish(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Hand one message to the broker, if it can take one now. Thread: any; `done` is called on the link's.

        A message that would clear a retained topic is not sent: AMQP retains none, and an empty message would only
        confuse.
        """
        if self._stop.is_set():
            return False
        if message.retain and not message.payload:
            is_ready = self.is_ready
            if is_ready:
                self._loop.call(functools.partial(self._outgoing.report, done, PublishResult.CONFIRMED))
            return is_ready
        return self._outgoing.offer(message, done)

    def stop(self, deadline_s: float) -> list[str]:
        """Disconnect cleanly after everything passed to `publish` was sent; returns the names of late threads."""
        until_s = self._clock.monotonic_s() + deadline_s
        self._stop_until_s = until_s - deadline_s * 0.2
        late = super().stop(deadline_s)
        return late + self._loop.stop(max(0.1, until_s - self._clock.monotonic_s()))

    def _interrupt(self) -> None:
        self._inbox.close()

    def run(self) -> None:
        """Connect, again and again, until it is stopped."""
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001  (a fault of ours ends this connection, never the thread)
                self._loop.call(functools.partial(self._crashed, error))
        self._shut()

    def _turn(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._link is None and now_s >= self._connect_at_s:
            self._connect()
        if self._is_accepted and self._asked is not self._wanted:
            self._bind()
        timeout_s = self._intake.next_due_s()
        if self._link is None:
            timeout_s = min(timeout_s, max(0.0, self._connect_at_s - now_s))
        if self._intake.has_left:
            self._intake.hand_in_left()
        elif isinstance(item := self._inbox.take(BATCH_COUNT, timeout_s), list):
            self._intake.hand_in(item)
        elif item is not None:
            item()
        self._acknowledge()
        if self._intake.retry():
            self._on_link(AmqpLink.resume)
        self._intake.forget_due()

    def _acknowledge(self) -> None:
        for token, tag in self._session.take_acknowledgements():
            self._on_link(functools.partial(AmqpLink.ack, token=token, tag=tag))

    def _on_link(self, work: Callable[[AmqpLink], object]) -> None:
        link = self._link
        if link is not None:
            self._loop.call(functools.partial(work, link))

    def _connect(self) -> None:
        self._attempt += 1
        self._link = AmqpLink(
            next(self._nodes),
            may_consume=not self._intake.is_paused,
            options=self._options,
            loop=self._loop,
            outgoing=self._outgoing,
            metrics=self._metrics,
            owner=self,
            seldom=self._seldom,
        )
        self._asked = None
        self._loop.call(self._link.open)

    # Reports of the link, called on the transport's thread.

    def over(self, token: int) -> None:
        """Note that a consumer has ended."""
        self._session.ended(token)
        self._intake.begin()

    def declared(self, link: AmqpLink, *, had_queues: bool) -> None:
        """Note that exchange and queues exist, or were refused; `had_queues`: they existed before, with messages."""
        if self._link is not link:
            return
        if not self._is_accepted:
            self._is_accepted = True
            session = Session.RESUMED if had_queues else Session.NEW
            self._metrics.connects.labels(connection=self.name).inc()
            self._metrics.connected.labels(connection=self.name).set(1)
            _log.info("connected, queues %s", session.value, extra=fields(connection=self.name))
            self._listener.connected(self.name, session)
        self._bind()

    def _bind(self) -> None:
        wanted = self._asked = self._wanted
        self._reader.expect(wanted.request_filters, wanted.event_filters)
        stale = self._known - wanted.bindings.keys()
        self._remember(self._known | wanted.bindings.keys())
        self._on_link(functools.partial(AmqpLink.bind, wanted=wanted, stale=stale))

    def _remember(self, bindings: frozenset[Binding]) -> None:
        if self._options.is_visit or bindings == self._known:
            return
        try:
            self._memory.changed(frozenset(binding.text() for binding in bindings))
        except SpoolError as error:
            _log.warning("cannot remember bindings: %s", error, extra=fields(connection=self.name))
        self._known = bindings

    def settled(self, link: AmqpLink, *, is_news: bool) -> None:
        """Note that bindings and consumers are as wanted, or were refused; `is_news`: something changed."""
        if self._link is not link:
            return
        self._attempt = 0
        if is_news and not self._options.is_visit:
            for problem in link.problems:
                keys = fields(connection=self.name, code=problem.code)
                self._seldom.warning(problem.message, "%s", problem.message, level=logging.ERROR, **keys)
        if not self.is_ready or self._asked is None:
            return
        self._remember(frozenset(self._asked.bindings))
        if is_news:
            self._listener.ready(self.name)

    def ended(self, link: AmqpLink, problem: HealthProblem) -> None:
        """Note that the connection has ended, or could not be made."""
        if self._link is not link:
            return
        delay_s = self._options.backoff.delay_s(max(1, self._attempt))
        was_accepted, self._is_accepted = self._is_accepted, False
        self._problem = problem
        self._link = None
        self._connect_at_s = self._clock.monotonic_s() + delay_s
        self._session.ended_all()
        self._intake.begin()
        if was_accepted:
            self._metrics.connected.labels(connection=self.name).set(0)
            self._metrics.disconnects.labels(connection=self.name, reason=problem.code).inc()
        if not self._stop.is_set():
            keys = fields(connection=self.name, code=problem.code, attempt=self._attempt, delay_s=delay_s)
            self._seldom.warning(problem.message, "%s", problem.message, **keys)
        self._listener.disconnected(self.name, problem)

    # The end.

    def _shut(self) -> None:
        """Send what was handed over, return unacknowledged messages, and close."""
        waited = threading.Event()
        while self._is_accepted and self._outgoing.count and self._clock.monotonic_s() < self._stop_until_s:
            waited.wait(_LOOK_S)
        link = self._link
        if link is not None:
            self._acknowledge()
            shut = threading.Event()
            self._loop.call(functools.partial(link.shut, shut.set))
            while not (shut.is_set() and link.is_closed) and self._clock.monotonic_s() < self._stop_until_s:
                waited.wait(_LOOK_S)
            if not link.is_closed:
                self._loop.call(functools.partial(link.crashed, ConnectionAbortedError("stopped")))
                waited.wait(_LOOK_S)
        self._link = None  # what its thread still reports of it is of no interest
        self._forget_taken()
        self._outgoing.fail_all()
        if self._is_accepted:
            self._metrics.connected.labels(connection=self.name).set(0)
        self._is_accepted = False
        self._problem = _STOPPED
        self._listener.disconnected(self.name, _STOPPED)

    def _forget_taken(self) -> None:
        while (item := self._inbox.take(BATCH_COUNT, 0.0)) is not None:
            if not isinstance(item, list):
                item()
        self._intake.forget_due(everything=True)

    # The link's thread.

    def _pump(self) -> None:
        link = self._link
        if link is not None:
            link.pump()

    def _crashed(self, error: Exception) -> None:
        self._reports.unexpected("amqp", error, connection=self.name)
        link = self._link
        if link is not None:
            link.crashed(error)
