"""Consumes one queue on its own channel, so that a refused or deleted queue does not affect the others.

Thread: the loop's. Decides nothing about a message: it passes on what arrives, and acknowledges on request.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from pika import exceptions

from bridge.transports.amqp.messages import Arrival, Origin
from bridge.transports.amqp.options import QueueKind
from bridge.transports.amqp.wire import AmqpLoop

if TYPE_CHECKING:
    from bridge.transports.amqp.link import AmqpLink
    from bridge.transports.amqp.transport import AmqpTransport

FENCE_S = 1.0
"""How often the broker is asked whether it has received the acknowledgements."""

CANCELLED = 1
"""Used instead of a reply code: the broker cancelled the consumer, because the queue or its node is gone."""


class QueueConsumer:
    """Consumes one queue, from opening its channel to the end, of which `link` learns; `token` is never reused."""

    def __init__(
        self, link: AmqpLink, loop: AmqpLoop, owner: AmqpTransport, kind: QueueKind, queue: str, token: int
    ) -> None:
        self._link = link
        self._loop = loop
        self._owner = owner
        self._queue = queue
        self.kind = kind
        self.label = f'queue "{queue}"'
        self.token = token
        self._channel: Any = None
        self._prefetch = 0
        self._acked = 0
        self._fenced = 0
        self._is_fence_due = False
        self._is_closing = False
        self._is_over = False
        self.is_running = False

    def start(self, connection: Any, prefetch: int) -> None:
        """Open the channel and consume."""
        self._prefetch = prefetch

        def opened(channel: Any) -> None:
            channel.add_on_cancel_callback(self._cancelled)
            channel.basic_qos(prefetch_count=prefetch, callback=lambda _: consume(channel))

        def consume(channel: Any) -> None:
            self._owner.post(functools.partial(self._owner.began, self.token))
            channel.basic_consume(self._queue, self._arrived, callback=lambda _: running())

        def running() -> None:
            self.is_running = True
            self._link.consumer_started(self)

        self._channel = connection.channel(on_open_callback=opened)
        self._channel.add_on_close_callback(self._closed)

    def _arrived(self, _channel: Any, method: Any, header: bytes, body: bytes) -> None:
        origin = Origin(self.kind, method.exchange, method.routing_key)
        self._owner.post(Arrival(self.token, origin, method.delivery_tag, method.redelivered, header, body))

    def ack(self, tag: int) -> None:
        """Acknowledge everything up to `tag`."""
        if self._channel is None or not self._channel.is_open:
            return
        self._channel.basic_ack(tag, multiple=True)
        self._acked = tag
        if not self._is_fence_due:
            self._is_fence_due = True
            self._loop.call_later(FENCE_S, self._fence)

    def _fence(self) -> None:
        # Acknowledgements have no response. A later request on the channel has one, and so shows that they were
        # received.
        self._is_fence_due = False
        tag = self._acked
        if self._channel is not None and self._channel.is_open and tag > self._fenced:
            self._channel.basic_qos(prefetch_count=self._prefetch, callback=lambda _: self._taken(tag))

    def _taken(self, tag: int) -> None:
        self._fenced = tag
        self._owner.post(functools.partial(self._owner.acknowledged, self.token, tag))

    def close(self) -> None:
        """Stop consuming: the broker takes back unacknowledged messages."""
        self._is_closing = True
        if self._channel is not None and self._channel.is_open:
            self._channel.close()

    def _cancelled(self, _frame: Any) -> None:
        self._finish("the broker cancelled the consumer", CANCELLED)
        self.close()

    def _closed(self, _channel: Any, reason: Exception) -> None:
        if isinstance(reason, exceptions.ChannelClosedByClient) and self._acked > self._fenced:
            self._taken(self._acked)  # close-ok comes after them as well
        if isinstance(reason, exceptions.ChannelClosedByBroker) and not self._is_closing:
            self._finish(reason.reply_text, reason.reply_code)
        else:
            self._finish("", 0)

    def _finish(self, text: str, code: int) -> None:
        self.is_running = False
        if not self._is_over:
            self._is_over = True
            self._link.consumer_ended(self, text, code)
            self._owner.post(functools.partial(self._owner.over, self.token))
