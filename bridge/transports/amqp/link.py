"""One attempt to connect to a broker: two network connections, one that consumes and one that publishes.

Two, because during an alarm RabbitMQ stops reading from a connection that publishes: with a single one it would not
read the acknowledgements either, and nothing could be consumed meanwhile. Both live and end together.

Thread: the loop's; `problems` and `is_settled` any. Reports events and executes commands; decides nothing about
sessions or messages.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bridge.core.errors import cut
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.transports.amqp.consumer import CANCELLED, QueueConsumer
from bridge.transports.amqp.options import AmqpOptions, QueueKind
from bridge.transports.amqp.problems import NOT_FOUND, blocked, closed, connect_failed, refused
from bridge.transports.amqp.publisher import AmqpPublisher
from bridge.transports.amqp.steps import Steps
from bridge.transports.amqp.topology import Binding, Topology, WantedBindings
from bridge.transports.amqp.wire import AmqpLoop, RawConnection, parameters
from bridge.transports.broker import Broker
from bridge.transports.outgoing import Outgoing

if TYPE_CHECKING:
    from bridge.transports.amqp.transport import AmqpTransport

_log = logger(__name__)

_tokens = itertools.count(1)
CLOSE_WITHIN_S = 1.0


class AmqpLink:
    """One attempt to connect to the node `broker`. All else that it gets outlives it.

    Args:
        may_consume: whether messages are wanted at once; otherwise after `resume`.
        owner: gets the messages, and learns on its own thread what happened.

    Attributes:
        wanted: the last request to `bind`, None before; `is_settled` refers to this one.
        is_settled: declared, bound, consuming and able to publish, or refused; nothing is pending.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        may_consume: bool,
        options: AmqpOptions,
        loop: AmqpLoop,
        outgoing: Outgoing,
        metrics: Metrics,
        owner: AmqpTransport,
        seldom: SeldomLog,
    ) -> None:
        self._broker = broker
        self._options = options
        self._loop = loop
        self._outgoing = outgoing
        self._metrics = metrics
        self._owner = owner
        self._seldom = seldom
        self._may_consume = may_consume
        self._consuming: RawConnection | None = None
        self._publishing: RawConnection | None = None
        self._topology = Topology(options)
        self._consumers: dict[QueueKind, QueueConsumer] = {}
        self._publisher = AmqpPublisher(options, outgoing, self)
        self._blocked: HealthProblem | None = None
        self._is_busy = False
        self._is_recovering = False
        self._must_declare = False
        self._is_news = True
        self._is_over = False
        self._attempts = 0
        self._retry: object | None = None
        self._verifying: Steps | None = None
        self.wanted: WantedBindings | None = None
        self.is_settled = False

    @property
    def has_exchange(self) -> bool:
        """Whether there is a topic exchange to publish to, as far as known."""
        return self._topology.has_exchange

    @property
    def problems(self) -> tuple[HealthProblem, ...]:
        """Everything that was refused, and an alarm of the broker."""
        blocked_now = self._blocked
        return (*self._topology.problems, *((blocked_now,) if blocked_now is not None else ()))

    # Connecting.

    def open(self) -> None:
        """Connect; `AmqpTransport.declared` or `ended` gets the result."""
        self._consuming = self._connect(self._consuming_opened)

    def _connect(self, opened: Callable[[Any], None]) -> RawConnection | None:
        options, broker = self._options, self._broker
        try:
            return RawConnection(
                parameters(options, broker),
                on_open_callback=opened,
                on_open_error_callback=lambda _, error: self._end(connect_failed(error, options, broker)),
                on_close_callback=lambda _, error: self._end(closed(error, options, broker)),
                custom_ioloop=self._loop.services,
            )
        except OSError as error:  # ssl.SSLError is one
            text = f"the password or TLS files of connection {options.name} cannot be used: {error}"
            self._end(HealthProblem("unreadable-file", text))
            return None

    def _consuming_opened(self, _connection: Any) -> None:
        if not self._is_over:
            self._publishing = self._connect(self._publishing_opened)

    def _publishing_opened(self, connection: Any) -> None:
        if self._is_over:
            return
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(self._unblock)
        self._publisher.open(connection)
        self._declare()

    def _block(self, _connection: Any, frame: Any) -> None:
        # First: whoever sees the problem may rely on it that nothing is taken any more.
        self._publisher.block(is_blocked=True)
        self._blocked = blocked(str(frame.method.reason), self._broker)
        _log.warning("%s", self._blocked.message, extra=fields(connection=self._options.name, code="blocked"))

    def _unblock(self, _connection: Any, _frame: Any) -> None:
        self._blocked = None
        _log.info("the broker accepts messages again", extra=fields(connection=self._options.name))
        self._hold()
        self._is_news = True
        self._settle()

    def _hold(self) -> None:
        self._publisher.block(is_blocked=self._blocked is not None or not self.has_exchange)

    def _end(self, problem: HealthProblem) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.is_settled = False
        self._outgoing.fail_all()
        self._close_connections()
        self._owner.post(functools.partial(self._owner.ended, self, problem))

    def crashed(self, error: Exception) -> None:
        """End this attempt after an unexpected error."""
        self._end(HealthProblem("internal-error", f"unexpected {type(error).__name__}; see the report"))
        self._drop_connections()

    # Declaring, binding and consuming.

    def _declare(self) -> None:
        if self._consuming is None or not self._consuming.is_open:
            return
        if self._is_busy:
            self._must_declare = True
            return
        self._is_busy = True
        # An existing queue is no problem any more, but not bound yet.
        self.is_settled = False
        self._must_declare = False
        self._retry = None
        Steps(self._consuming, self._topology.declarations(), self._declared).run()

    def _declared(self) -> None:
        self._hold()
        had_queues = bool(self._topology.had_queues)
        self._owner.post(functools.partial(self._owner.declared, self, had_queues=had_queues))

    def bind(self, wanted: WantedBindings, stale: Iterable[Binding]) -> None:
        """Bind and unbind, then start missing consumers; `AmqpTransport.settled` learns of the end."""
        if not self._is_over:
            self._is_busy = True
            self._is_news = True
            self.is_settled = False
            self.wanted = wanted
            if self._verifying is not None:
                self._verifying.cancel()
            Steps(self._consuming, self._topology.bindings(wanted, stale), self._consume).run()

    def _consume(self) -> None:
        before = self._topology.problems
        for queue in self._topology.usable_queues() if self._may_consume else ():
            if queue.kind not in self._consumers:
                name = self._topology.names[queue.kind]
                consumer = QueueConsumer(self, self._loop, self._owner, queue.kind, name, next(_tokens))
                self._consumers[queue.kind] = consumer
                consumer.start(self._consuming, self._options.prefetch)
        self._is_busy = False
        self._is_news = self._is_news or self._topology.problems != before
        self._settle()

    def consumer_started(self, consumer: QueueConsumer) -> None:
        """Note that the messages of a queue come."""
        self._attempts = 0
        self._is_news = True
        self._topology.note(f"consumer of {consumer.label}", None)
        self._settle()

    def consumer_ended(self, consumer: QueueConsumer, text: str, code: int) -> None:
        """Note that consuming has ended, with the broker's text and code; ("", 0) if we ended it."""
        label = consumer.label
        if self._consumers.get(consumer.kind) is consumer:
            del self._consumers[consumer.kind]
        if self._is_over or not self._may_consume:
            return
        if not code:
            self._declare()  # resumed before the pause was over
            return
        self._is_news = True
        if code in (CANCELLED, NOT_FOUND):
            # Deleted, or on a node that went away: it is declared again at once; its messages are lost.
            self._attempts += 1
            self._is_recovering = True
            self.is_settled = False
            problem = HealthProblem("consumer-cancelled", f"{label}: {text}; it is declared again")
            delay_s = self._options.backoff.delay_s(self._attempts)
        else:
            problem, delay_s = refused(label, code, text), self._options.retry_s
        _log.warning("%s", problem.message, extra=fields(connection=self._options.name, code=problem.code))
        self._topology.note(f"consumer of {label}", problem)
        self._schedule(delay_s)
        self._settle()

    def _settle(self) -> None:
        if self._is_over or self._is_busy or self._is_recovering:
            return
        if self._must_declare:
            self._declare()
            return
        is_starting = any(not consumer.is_running for consumer in self._consumers.values())
        self.is_settled = self._publisher.is_open and not is_starting
        if not self.is_settled:
            return
        if self._retry is None and (self._topology.problems or not self._options.is_visit):
            self._schedule(self._options.retry_s)
        self._owner.post(functools.partial(self._owner.settled, self, is_news=self._is_news))
        self._is_news = False

    def _schedule(self, delay_s: float) -> None:
        if self._retry is not None:
            self._loop.cancel(self._retry)
        self._retry = self._loop.call_later(delay_s, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self._is_over:
            return
        if self._is_recovering or self._topology.problems or self.wanted is None:
            self._is_recovering = False
            self._declare()
        else:
            # The deletion of an exchange is not reported, nor that it was created again without the bindings.
            self._verifying = Steps(self._consuming, self._topology.verification(self.wanted), self._verified)
            self._verifying.run()

    def _verified(self) -> None:
        self._verifying = None
        if self._topology.problems:
            self._declare()
        else:
            self._settle()

    # What the transport asks for.

    def ack(self, token: int, tag: int) -> None:
        """Acknowledge everything of a consumer up to `tag`."""
        for consumer in self._consumers.values():
            if consumer.token == token:
                consumer.ack(tag)

    def pause(self) -> None:
        """Stop consuming: the broker takes back unacknowledged messages."""
        self._may_consume = False
        for consumer in list(self._consumers.values()):
            consumer.close()

    def resume(self) -> None:
        """Consume again."""
        self._may_consume = True
        self._declare()

    def misrouted(self) -> None:
        """Stop publishing: the bridge's own messages arrived in its request queue."""
        if self.has_exchange:
            text = "messages published for others arrived in the request queue, unless someone else bound it"
            self._topology.misrouted(text)
            self._hold()
            self._is_news = True
            self._settle()

    def pump(self) -> None:
        """Publish the messages handed over."""
        self._publisher.pump()

    def shut(self, closed_all: Callable[[], None]) -> None:
        """End cleanly; `closed_all` is called when every consuming channel is closed."""
        self.pause()

        def look() -> None:
            if self._consumers and not self._is_over:
                self._loop.call_later(0.01, look)
            else:
                self._is_over = True
                self._close_connections()
                closed_all()

        look()

    def _close_connections(self) -> None:
        for connection in self._connections():
            if connection.is_open:
                connection.close()
            elif not connection.is_closed and not connection.is_closing:
                connection.drop(ConnectionAbortedError("the other connection has ended"))
        self._loop.call_later(CLOSE_WITHIN_S, self._drop_connections)

    def _drop_connections(self) -> None:
        for connection in self._connections():
            connection.drop(ConnectionAbortedError("it did not close in time"))

    def _connections(self) -> list[RawConnection]:
        return [each for each in (self._consuming, self._publishing) if each is not None]

    @property
    def is_closed(self) -> bool:
        """Whether both network connections are gone."""
        return all(connection.is_closed for connection in self._connections())

    # The publisher.

    def publisher_opened(self) -> None:
        """Note that messages can be published, again after each end of the channel."""
        self._is_news = True  # messages lost with the channel are published first
        self._settle()

    def reopen_publisher(self, missing: str) -> None:
        """Open the publisher again later; `missing`: why the exchange is, or ""."""
        if not self._is_over:
            self.is_settled = False
            if missing:
                self._topology.lost_exchange(missing)
                self._hold()
                self._declare()
            self._loop.call_later(self._options.backoff.delay_s(1), self._open_publisher)

    def _open_publisher(self) -> None:
        if not self._is_over and self._publishing is not None and self._publishing.is_open:
            self._publisher.open(self._publishing)

    def unroutable(self) -> None:
        """Count a returned message."""
        self._metrics.replies_unsendable.labels("unroutable").inc()

    def say_not_taken(self, topic: str, text: str) -> None:
        """Say why the broker did not take a message to a topic or queue."""
        # One line per minute, whatever the topic: if one is refused, thousands may be.
        keys = fields(action="publish", connection=self._options.name, topic=cut(topic))
        self._seldom.warning("refused", "%s", text, **keys)
