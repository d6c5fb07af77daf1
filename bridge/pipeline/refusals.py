"""Turns a refusal into all that promise 3 asks for: a dead letter, its notice, a reply, a log line and a counter.

Thread: any. Keeps only what was logged lately.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import orjson

from bridge.core.clock import Clock, rfc3339
from bridge.core.errors import cut
from bridge.core.foreign import well_formed
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import Message, MessageProperties, OutgoingMessage, ReplyAddress
from bridge.interface import replies
from bridge.interface.replies import Refusal
from bridge.interface.topics import Topics
from bridge.spool.records import NewDeadLetter, NewRows, OutboxMessage

_log = logger(__name__)


class Refusals:
    """Builds refusals, and counts and logs each one once.

    Args:
        topics: the bridge's.
        metrics: where ``dead_letters`` is counted.
        clock: for times shown and for log lines that come seldom.
    """

    def __init__(self, topics: Topics, metrics: Metrics, clock: Clock) -> None:
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._seldom = SeldomLog(_log, clock.monotonic_s)

    def of_message(
        self, message: Message, refusal: Refusal, *, mapping: str = "", reply: ReplyAddress | None = None
    ) -> NewRows:
        """Return the dead letter of a message that never became an event, with its notice and reply."""
        letter = NewDeadLetter(
            reason=refusal.reason,
            message=refusal.message,
            topic=message.topic,
            connection=message.connection,
            mapping=mapping,
            payload=message.payload,
            payload_bytes=len(message.payload),
            payload_digest=hashlib.sha256(message.payload).digest(),
            details=tuple(refusal.details),
            properties=_for_replay(message.properties),
        )
        return self.of_letter(letter, (reply,) if reply else ())

    def of_letter(self, letter: NewDeadLetter, addresses: tuple[ReplyAddress, ...]) -> NewRows:
        """Return a dead letter, made fit to be stored, with its notice and its reply to each of `addresses`."""
        # What made the message unusable must not make its dead letter unusable.
        letter = replace(
            letter,
            message=cut(well_formed(letter.message), replies.MAX_SENTENCE),
            topic=well_formed(letter.topic),
            details=replies.bounded(letter.details),
        )
        self._metrics.dead_letters.labels(letter.reason).inc()
        self._say(letter)
        refusal = Refusal(letter.reason, letter.message, letter.details)
        outbox = [OutboxMessage(letter.connection, self._notice(letter))]
        outbox += [OutboxMessage(address.connection, replies.refused(address, refusal)) for address in addresses]
        self._metrics.replies.labels(str(replies.http_code(letter.reason))).inc(len(addresses))
        return NewRows(outbox=outbox, dead_letters=[letter])

    def of_read(self, message: Message, refusal: Refusal, address: ReplyAddress) -> NewRows:
        """Return the reply to a request that reads and cannot be answered now.

        Nothing of it is kept: its sender waits for the reply and can ask again, and whoever asks in vain must not fill
        the dead letters.
        """
        refusal = replace(refusal, message=cut(well_formed(refusal.message), replies.MAX_SENTENCE))
        keys = fields(action="reads", code=refusal.reason, topic=message.topic, connection=message.connection)
        self._warn(f"read {refusal.reason} {message.topic}", "could not answer a read", refusal.message, keys)
        if not address.topic:
            return NewRows()
        self._metrics.replies.labels(str(replies.http_code(refusal.reason))).inc()
        return NewRows(outbox=[OutboxMessage(address.connection, replies.refused(address, refusal))])

    def _say(self, letter: NewDeadLetter) -> None:
        keys = fields(
            action="dead-letter",
            code=letter.reason,
            topic=letter.topic,
            mapping=letter.mapping,
            connection=letter.connection,
        )
        self._warn(f"{letter.reason} {letter.mapping} {letter.topic}", "refused a message", letter.message, keys)

    def _warn(self, key: str, what: str, why: str, keys: dict[str, Any]) -> None:
        if not self._seldom.warning(key, "%s: %s", what, why, **keys):
            self._metrics.log_suppressed.labels(keys["action"]).inc()

    def _notice(self, letter: NewDeadLetter) -> OutgoingMessage:
        body: dict[str, object] = {
            "reason": letter.reason,
            "message": letter.message,
            "topic": letter.topic,
            "connection": letter.connection,
            "time": rfc3339(self._clock.wall_s()),
            "attempts": letter.attempts,
            "payloadBytes": letter.payload_bytes,
            "payloadSha256": letter.payload_digest.hex(),
        }
        if letter.mapping:
            body["mapping"] = letter.mapping
        if letter.event_id:
            body["eventId"] = letter.event_id.hex()
        if letter.details:
            body["details"] = letter.details
        return OutgoingMessage(
            topic=self._topics.dead_letter, payload=orjson.dumps(body, default=str), content_type=replies.CONTENT_TYPE
        )


def _for_replay(properties: MessageProperties) -> MessageProperties:
    """Return what of `properties` a replay needs; its reply is sent already."""
    return MessageProperties(
        content_type=well_formed(properties.content_type),
        message_expiry_s=properties.message_expiry_s,
        message_id=well_formed(properties.message_id),
        user=tuple((well_formed(name), well_formed(value)) for name, value in properties.user),
    )
