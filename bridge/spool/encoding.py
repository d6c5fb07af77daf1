"""Converts records to the blobs of the spool's rows and back.

Versioned: the first element gives the format of the rest.

Bytes inside JSON are written as Latin-1 text: one character per byte, without loss. No I/O.

Thread: any; ingest encodes before it takes the writer's lock.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import orjson

from bridge.core.errors import PermanentError, SpoolError
from bridge.core.model import NO_PROPERTIES, MessageProperties, OutgoingMessage, ReplyAddress, WorkflowOrder
from bridge.spool.records import Asked, NewDeadLetter, NewEvent, OutboxMessage, WaitingEvent
from bridge.spool.sqlite_errors import CORRUPT_HINT

VERSION = 1
_Given = ParamSpec("_Given")
_Read = TypeVar("_Read")
DEAD_PAYLOAD_BYTES = 65_536
DEAD_PROPERTIES_CHARACTERS = 16_384


def _dump(verb: str, value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise PermanentError(f"cannot {verb}: {error}", code="not-storable") from error


def _load(blob: bytes) -> list[Any]:
    value: list[Any] = orjson.loads(blob)
    if value[0] != VERSION:
        raise ValueError(f"its encoding {value[0]} is unknown")
    return value


def _reads_rows(decode: Callable[_Given, _Read]) -> Callable[_Given, _Read]:
    """Report a blob that differs from what was written, for example through bit rot, as damage."""

    @functools.wraps(decode)
    def checked(*values: _Given.args, **named: _Given.kwargs) -> _Read:
        try:
            return decode(*values, **named)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SpoolError(f"cannot read a spool row: {error}", code="corrupt", hint=CORRUPT_HINT) from error

    return checked


def json_list(numbers: Iterable[int]) -> dict[str, str]:
    """Return the parameter of a statement with ``:seqs``."""
    return {"seqs": orjson.dumps(list(numbers)).decode("ascii")}


def encode_reply(reply: ReplyAddress) -> bytes:
    """Return a row's ``address``."""
    return _dump("store a reply address", (VERSION, _reply_list(reply)))


@_reads_rows
def decode_reply(blob: bytes) -> ReplyAddress:
    """Return the input of `encode_reply`."""
    return _reply_of(_load(blob)[1])


def _reply_list(reply: ReplyAddress) -> tuple[str, ...]:
    parts = (reply.connection, reply.topic, reply.correlation_data.decode("latin-1"), reply.request_id)
    if reply.refused:
        return (*parts, reply.queue, reply.refused)
    return (*parts, reply.queue) if reply.queue else parts


def _reply_of(parts: list[str]) -> ReplyAddress:
    connection, topic, correlation, request_id, *rest = parts
    return ReplyAddress(connection, topic, correlation.encode("latin-1"), request_id, *rest)


def encode_event(event: NewEvent) -> bytes:
    """Return the body of a waiting row: everything without its own column.

    Raises:
        PermanentError: ``not-storable``, e.g. text that is not Unicode.
    """
    order = event.order
    reply = None if event.reply is None else _reply_list(event.reply)
    return _dump(
        "store an event",
        (
            VERSION,
            event.mapping,
            event.topic,
            event.connection,
            event.status_topic,
            event.max_age_s,
            order.base,
            order.parameters,
            order.annotations,
            reply,
            *(() if event.asked is None else (_asked_list(event.asked),)),
        ),
    )


def _asked_list(asked: Asked) -> tuple[object, ...]:
    return asked.operation, asked.name, asked.options


@_reads_rows
def reply_of_body(body: bytes) -> ReplyAddress | None:
    """Return the reply address stored with the event."""
    parts = _load(body)[9]
    return None if parts is None else _reply_of(parts)


@_reads_rows
def unanswered(body: bytes) -> tuple[bytes, float | None]:
    """Return `body` without its reply address, and the event's max-age: the parts kept of a failed event."""
    parts = _load(body)
    return _dump("keep a dead event", (*parts[:9], None, *parts[10:])), parts[5]


@_reads_rows
def decode_event(row: tuple[Any, ...], manifest: bytes, extra: tuple[ReplyAddress, ...]) -> WaitingEvent:
    """Return the event in a row of ``ready_rows``, with its manifest and the reply addresses attached later."""
    seq, identity, digest, namespace, name, lane, _, order_key, *times, attempts, stored, body, note, own = row
    _, mapping, topic, connection, status_topic, max_age_s, base, parameters, annotations, parts, *asked = _load(body)
    reply = None if parts is None else _reply_of(parts)
    event = NewEvent(
        identity,
        lane,
        WorkflowOrder(namespace, base, manifest, name, parameters, annotations),
        mapping,
        topic,
        connection,
        digest[:32],
        status_topic,
        order_key or "",
        max_age_s,
        reply,
        Asked(*asked[0]) if asked else None,
        digest[32:],
    )
    replies = extra if reply is None else (reply, *extra)
    not_before_s, expires_at_s = times
    size = len(body) + len(manifest)
    return WaitingEvent(seq, event, replies, attempts, not_before_s or 0.0, expires_at_s, stored, note or "", size, own)


def encode_message(row: OutboxMessage) -> tuple[bytes, bytes]:
    """Return ``(head, payload)`` of an outbox row.

    Raises:
        PermanentError: ``not-storable``.
    """
    sent = row.message
    correlation = sent.correlation_data.decode("latin-1")
    queue = (sent.queue,) if sent.queue else ()
    head = (VERSION, sent.topic, sent.qos, sent.retain, correlation, sent.content_type, sent.user, *queue)
    return _dump("store an outgoing message", head), sent.payload


@_reads_rows
def decode_message(connection: str, head: bytes, payload: bytes) -> OutboxMessage:
    """Return the input of `encode_message`."""
    _, topic, qos, retain, correlation, content_type, user, *queue = _load(head)
    pairs = tuple((name, value) for name, value in user)
    message = OutgoingMessage(topic, payload, qos, retain, correlation.encode("latin-1"), content_type, pairs, *queue)
    return OutboxMessage(connection, message)


def encode_letter(letter: NewDeadLetter) -> tuple[bytes, bytes]:
    """Return ``(head, payload)`` of a dead letter; the payload is cut to 64 KiB, with its full length and digest.

    The reply address is not kept (its sender has the reply), nor are properties of more than 16 KiB.

    Raises:
        PermanentError: ``not-storable``.
    """
    payload = letter.payload[:DEAD_PAYLOAD_BYTES]
    digest = letter.payload_digest or (hashlib.sha256(letter.payload).digest() if letter.payload else b"")
    head = (
        VERSION,
        letter.message,
        letter.topic,
        letter.connection,
        letter.payload_bytes or len(letter.payload),
        digest.hex(),
        letter.event_id.hex(),
        letter.attempts,
        letter.details,
        _properties_list(letter.properties),
    )
    return _dump("store a dead letter", head), payload


@_reads_rows
def decode_letter(mapping: str, reason: str, head: bytes, payload: bytes) -> NewDeadLetter:
    """Return the input of `encode_letter`."""
    _, message, topic, connection, payload_bytes, digest, event_id, attempts, details, *rest = _load(head)
    return NewDeadLetter(
        reason,
        message,
        topic,
        connection,
        mapping,
        payload,
        payload_bytes,
        bytes.fromhex(digest),
        bytes.fromhex(event_id),
        attempts,
        tuple(details),
        _properties_of(rest[0]) if rest else NO_PROPERTIES,
    )


def _properties_list(properties: MessageProperties | None) -> tuple[object, ...] | None:
    if properties is None:
        return None
    kept = (properties.content_type, properties.message_id, properties.message_expiry_s, properties.user)
    size = len(properties.content_type) + len(properties.message_id)
    size += sum(len(name) + len(value) for name, value in properties.user)
    return kept if size <= DEAD_PROPERTIES_CHARACTERS else None


def _properties_of(parts: list[Any] | None) -> MessageProperties | None:
    if parts is None:
        return None
    content_type, message_id, expiry_s, user = parts
    pairs = tuple((name, value) for name, value in user)
    return MessageProperties(content_type=content_type, message_id=message_id, message_expiry_s=expiry_s, user=pairs)
