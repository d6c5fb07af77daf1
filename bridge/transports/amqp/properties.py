"""Parses the properties of an AMQP message into `MessageProperties`, for mappings and requests. Pure.

pika's own parser is not used: it recurses into nested headers until Python's stack overflows, and raises for timestamps
and numbers without a Python value. Either would end the connection, and the message would come again forever.

Source: AMQP 0-9-1 section 4.2.6.1; RabbitMQ, "Dead Letter Exchanges" for ``x-death``; CloudEvents 1.0.2, "AMQP
Protocol Binding", sections 3.1 and 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.model import Flaw, MessageProperties
from bridge.transports.amqp.fields import MalformedError, Reader, Value, tables_of, text_of

CLOUD_EVENTS = ("cloudEvents:", "cloudEvents_")
"""Prefix of the attributes of an event in binary mode; without it they are named as in MQTT."""

# Flag, name and form of each property, in the order of a message.
_FIELDS = (
    (1 << 15, "content_type", "short"),
    (1 << 14, "content_encoding", "short"),
    (1 << 13, "headers", "table"),
    (1 << 12, "delivery_mode", "octet"),
    (1 << 11, "priority", "octet"),
    (1 << 10, "correlation_id", "short"),
    (1 << 9, "reply_to", "short"),
    (1 << 8, "expiration", "short"),
    (1 << 7, "message_id", "short"),
    (1 << 6, "timestamp", "timestamp"),
)
_MAX_EXPIRATION_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Death:
    """Why RabbitMQ removed a message from a queue: ``rejected``, ``expired``, ``maxlen`` or ``delivery_limit``.

    Attributes:
        queue: its name.
        reason: as above.
        exchange: that it was published to, "" = the default exchange.
    """

    queue: str
    reason: str
    exchange: str


@dataclass(frozen=True, slots=True)
class AmqpProperties:
    """The content of a message's header.

    Attributes:
        shared: for mappings and requests.
        content_encoding: in lower case, or "".
        death: the last one, or None if the message was never dead-lettered.
        flaw: the part that could not be read, or None.
    """

    shared: MessageProperties
    content_encoding: str = ""
    death: Death | None = None
    flaw: Flaw | None = None


def read_properties(header: bytes, now_s: float) -> AmqpProperties:
    """Return the properties of a message.

    Args:
        header: of the content header frame, from the flags on.
        now_s: wall time, seconds; what ``timestamp`` is compared with.
    """
    found: dict[str, bytes | int] = {}
    flaw = None
    try:
        _read_fields(header, found)
    except MalformedError as error:
        flaw = Flaw("unreadable-properties", f"the properties of the message cannot be read: {error}")
    headers: dict[str, Value] = {}
    death = None
    try:
        headers = dict(Reader(_bytes(found, "headers")).pairs())
        death = _last_death(headers)
    except MalformedError as error:
        flaw = flaw or Flaw("unreadable-headers", f"the headers of the message cannot be read: {error}")
    shared = MessageProperties(
        correlation_data=_bytes(found, "correlation_id"),
        content_type=_text(found, "content_type"),
        message_expiry_s=_expiry_s(found, death, now_s),
        message_id=_text(found, "message_id"),
        user=_user(headers),
        reply_queue=_text(found, "reply_to"),
    )
    return AmqpProperties(shared, _text(found, "content_encoding").strip().lower(), death, flaw)


def _read_fields(header: bytes, found: dict[str, bytes | int]) -> None:
    reader = Reader(header)
    flags = word = reader.number(">H")
    while word & 1:  # further words of flags: none is defined
        word = reader.number(">H")
    for flag, name, form in _FIELDS:
        if not flags & flag:
            continue
        if form == "short":
            found[name] = reader.short()
        elif form == "table":
            found[name] = reader.long()
        else:
            found[name] = reader.number(">B" if form == "octet" else ">Q")


def _bytes(found: dict[str, bytes | int], name: str) -> bytes:
    value = found.get(name, b"")
    return value if isinstance(value, bytes) else b""


def _text(found: dict[str, bytes | int], name: str) -> str:
    return _bytes(found, name).decode("utf-8", "replace")


def _last_death(headers: dict[str, Value]) -> Death | None:
    deaths = tables_of(headers.get("x-death"))
    if not deaths:
        return None
    queue, reason, exchange = (text_of(deaths[0].get(name)) or "" for name in ("queue", "reason", "exchange"))
    return Death(queue, reason, exchange)


def _expiry_s(found: dict[str, bytes | int], death: Death | None, now_s: float) -> float | None:
    if death is not None and death.reason == "expired":
        return 0.0  # the broker removes the expiration from an expired message
    text = _bytes(found, "expiration")
    if not text.isdigit() or len(text) > _MAX_EXPIRATION_DIGITS:
        return None
    sent_s = found.get("timestamp")
    waited_s = max(0.0, now_s - sent_s) if isinstance(sent_s, int) else 0.0
    return max(0.0, int(text) / 1000 - waited_s)


def _user(headers: dict[str, Value]) -> tuple[tuple[str, str], ...]:
    plain: list[tuple[str, str]] = []
    events: list[tuple[str, str]] = []
    for name, value in headers.items():
        text = text_of(value)
        if text is None:
            continue
        prefix = next((each for each in CLOUD_EVENTS if name.startswith(each)), "")
        (events if prefix else plain).append((name.removeprefix(prefix), text))
    return (*plain, *events)  # for repeated names the last one counts


def message_id_of(header: bytes) -> str:
    """Return the ``message_id`` of our own message that the broker returned.

    Raises:
        MalformedError: the properties cannot be read.
    """
    found: dict[str, bytes | int] = {}
    _read_fields(header, found)
    return _text(found, "message_id")
