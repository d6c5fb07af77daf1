"""Publishes on a channel in confirm mode, and reports the result for each message.

If the broker refuses a message by closing the channel (no right to its topic, too large), all unconfirmed messages are
affected. So they become suspects (see `suspects`): a message that is alone when the channel is closed is refused, the
others are lost and come again from their owners. A missing exchange is no message's fault.

Thread: the loop's. It keeps nothing while there is no channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pika
from pika import exceptions

from bridge.core.errors import cut
from bridge.core.model import OutgoingMessage
from bridge.interface.reply_addresses import DIRECT_REPLY
from bridge.transports.amqp.addresses import Addresses, key_problem
from bridge.transports.amqp.options import AmqpOptions
from bridge.transports.amqp.problems import CONNECTION_FORCED, NOT_FOUND
from bridge.transports.amqp.properties import MalformedError, message_id_of
from bridge.transports.base import PublishResult
from bridge.transports.outgoing import WINDOW, Handed, Outgoing

if TYPE_CHECKING:
    from bridge.transports.amqp.link import AmqpLink

_MAX_SHORT_BYTES = 255
_PERSISTENT, _TRANSIENT = 2, 1


class AmqpPublisher:
    """Publishes on one network connection, while `is_open`; `link` learns what becomes of channel and messages."""

    def __init__(self, options: AmqpOptions, outgoing: Outgoing, link: AmqpLink) -> None:
        self._options = options
        self._addresses = Addresses(options.exchange)
        self._outgoing = outgoing
        self._link = link
        self._channel: Any = None
        self._topics: dict[int, str] = {}
        self._returned: set[int] = set()
        self._next_tag = 1
        self._is_blocked = False
        self.is_open = False

    def open(self, connection: Any) -> None:
        """Open the channel."""
        self._topics.clear()
        self._returned.clear()
        self._next_tag = 1

        def ready(channel: Any) -> None:
            channel.add_on_return_callback(self._came_back)
            channel.confirm_delivery(self._answered, callback=lambda _: selected())

        def selected() -> None:
            self.is_open = True
            self._resize()
            self._link.publisher_opened()

        self._channel = connection.channel(on_open_callback=ready)
        self._channel.add_on_close_callback(self._closed)

    def block(self, *, is_blocked: bool) -> None:
        """Note that the broker accepts no messages for now, or accepts them again."""
        self._is_blocked = is_blocked
        self._resize()

    def _resize(self) -> None:
        if not self.is_open or self._is_blocked:
            self._outgoing.close()
        else:
            self._outgoing.open(WINDOW)
            self.pump()

    def pump(self) -> None:
        """Publish the messages that may be sent now."""
        while self.is_open and not self._is_blocked and (taken := self._outgoing.take()) is not None:
            self._publish(taken)

    def _publish(self, handed: Handed) -> None:
        message, _ = handed
        key = message.queue or self._addresses.key_of(message.topic)
        problem = key_problem(key) or _properties_problem(message)
        if problem:
            self._link.say_not_taken(message.topic, f"cannot publish: {problem}")
            self._outgoing.finish(handed, PublishResult.REFUSED)
            return
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._topics[tag] = message.queue or message.topic
        self._outgoing.await_confirmed(tag, handed)
        # A direct reply address is not a queue, so `mandatory` would always fail.
        is_mandatory = bool(message.queue) and not message.queue.startswith(DIRECT_REPLY)
        properties = pika.BasicProperties(
            content_type=message.content_type or None,
            correlation_id=message.correlation_data or None,
            delivery_mode=_PERSISTENT if message.qos else _TRANSIENT,
            headers=dict(message.user) or None,
            # Identifies a message that is returned: a returned message has no delivery tag.
            message_id=str(tag) if is_mandatory else None,
            app_id="argo-bridge",
        )
        exchange = "" if message.queue else self._options.exchange
        self._channel.basic_publish(exchange, key, message.payload, properties, mandatory=is_mandatory)

    def _came_back(self, _channel: Any, method: Any, header: bytes, _body: bytes) -> None:
        try:
            tag = int(message_id_of(header))
        except (ValueError, MalformedError):
            return
        self._returned.add(tag)
        self._link.unroutable()
        text = f"a reply was returned: {cut(method.reply_text)}; the sender's queue does not exist"
        self._link.say_not_taken(self._topics.get(tag, ""), text)

    def _answered(self, answer: Any) -> None:
        method = answer.method
        last = method.delivery_tag
        for tag in [each for each in self._topics if each == last or (method.multiple and each < last)]:
            self._ended(tag, method)
        self.pump()

    def _ended(self, tag: int, method: Any) -> None:
        topic = self._topics.pop(tag)
        result = PublishResult.CONFIRMED
        if tag in self._returned:
            self._returned.discard(tag)
            result = PublishResult.REFUSED
        elif method.NAME == "Basic.Nack":
            result = PublishResult.REFUSED
            self._link.say_not_taken(topic, "the broker rejected a message: a bound queue is full")
        self._outgoing.answered(tag, result)

    def _closed(self, _channel: Any, reason: Exception) -> None:
        self.is_open = False
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            self._closed_by_broker(reason.reply_code, reason.reply_text)
            return
        is_ended = isinstance(reason, exceptions.ConnectionClosedByBroker) and reason.reply_code != CONNECTION_FORCED
        is_suspicious = is_ended or isinstance(reason, exceptions.StreamLostError)
        if is_suspicious and len(self._topics) == 1:
            (topic,) = self._topics.values()
            self._link.say_not_taken(
                topic, f"the broker closed the connection while this message was being sent: {cut(str(reason))}"
            )
        self._outgoing.fail_all(is_suspicious=is_suspicious)

    def _closed_by_broker(self, code: int, text: str) -> None:
        is_missing = code == NOT_FOUND
        if not is_missing and len(self._topics) == 1:
            ((tag, topic),) = self._topics.items()
            self._link.say_not_taken(
                topic, f"the broker refused a message: {cut(text)}; its topic is tried again later"
            )
            self._outgoing.refused(tag)
        self._outgoing.fail_all(is_suspicious=not is_missing)
        self._link.reopen_publisher(text if is_missing else "")


def _properties_problem(message: OutgoingMessage) -> str:
    if len(message.correlation_data) > _MAX_SHORT_BYTES:
        return f"its correlation data has {len(message.correlation_data)} bytes, AMQP's maximum is {_MAX_SHORT_BYTES}"
    shorts = (message.content_type, *(name for name, _ in message.user))
    if any(len(each.encode("utf-8", "surrogatepass")) > _MAX_SHORT_BYTES for each in shorts):
        return f"its content type, or the name of a header, has more than {_MAX_SHORT_BYTES} bytes"
    return ""
