"""Parses the properties of an AMQP message into `MessageProperties`, for mappings and requests. Pure.

pika's own parser is not used: it recurses into nested headers until Python's stack overflows, and raises for timestamps
and numbers without a Python value. Either would end the connection, and the message would come again forever.

Nested tables are skipped by their length, at any depth.

Source: AMQP 0-9-1 sections 4.2.5.5 and 4.2.6.1, as RabbitMQ implements them ("AMQP 0-9-1 Complete Reference Guide");
RabbitMQ, "Dead Letter Exchanges" for ``x-death``; CloudEvents 1.0.2, "AMQP Protocol Binding", sections 3.1 and 3.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from bridge.core.clock import rfc3339
from bridge.core.model import Flaw, MessageProperties

CLOUD_EVENTS = ("cloudEvents:", "cloudEvents_")
"""Prefix of the attributes of an event in binary mode; without it they are named as in MQTT."""

_MAX_EXPIRATION_DIGITS = 15

_NUMBERS = {
    b"b": ">b",
    b"B": ">B",
    b"s": ">h",
    b"u": ">H",
    b"U": ">h",
    b"I": ">i",
    b"i": ">I",
    b"l": ">q",
    b"L": ">q",
    b"f": ">f",
    b"d": ">d",
}
_LAST_YEAR_S = 253_402_300_799


class MalformedError(ValueError):
    """The bytes are not valid AMQP; the message says where."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A table, or an array within a table, not parsed: the bytes after its length."""

    is_array: bool
    body: bytes


Value = str | bytes | int | float | bool | None | Decimal | Nested
"""A timestamp is returned as RFC 3339 text."""


class Reader:
    """Takes values from the front of a byte string; raises `MalformedError` where it is too short."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self.at = start

    @property
    def is_done(self) -> bool:
        """Whether everything was read."""
        return self.at >= len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        end = self.at + size
        if end > len(self._data):
            raise MalformedError(f"{size} bytes expected at {self.at}, {len(self._data) - self.at} are there")
        found, self.at = self._data[self.at : end], end
        return found

    def number(self, form: str) -> int:
        """Return the next number; `form` as in `struct`."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def short(self) -> bytes:
        """Return the next short string."""
        return self.take(self.take(1)[0])

    def long(self) -> bytes:
        """Return the next long string, table or array, without its length."""
        return self.take(self.number(">I"))

    def value(self) -> Value:
        """Return the next field value, preceded by its type; `MalformedError` if the type is unknown."""
        kind = self.take(1)
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == b"S":
            return self.long().decode("utf-8", "replace")
        if kind == b"x":
            return self.long()
        if kind in (b"F", b"A"):
            return Nested(kind == b"A", self.long())
        return self._rarer(kind)

    def _rarer(self, kind: bytes) -> Value:
        if kind == b"t":
            return self.take(1) != b"\0"
        if kind == b"V":
            return None
        if kind == b"T":
            seconds = self.number(">Q")
            return rfc3339(seconds) if seconds <= _LAST_YEAR_S else str(seconds)
        if kind == b"D":
            scale = self.take(1)[0]
            return Decimal(self.number(">i")).scaleb(-scale)
        raise MalformedError(f"unknown field type {kind!r} at {self.at - 1}")

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """Yield names and values until the end."""
        while not self.is_done:
            name = self.short().decode("utf-8", "replace")
            yield name, self.value()


def tables_of(value: Value) -> list[dict[str, Value]]:
    """Return the tables of an array, each one level deep; [] for anything else."""
    if not isinstance(value, Nested) or not value.is_array:
        return []
    reader, found = Reader(value.body), []
    while not reader.is_done:
        each = reader.value()
        if isinstance(each, Nested) and not each.is_array:
            found.append(dict(Reader(each.body).pairs()))
    return found


def text_of(value: Value) -> str | None:
    """Return a value as text, or None if it has none (nested ones, bytes that are not UTF-8, nothing)."""
    if value is None or isinstance(value, Nested):
        return None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# Name and form of each property, in the order of a message; the first has the highest flag.
_FIELDS: tuple[tuple[str, Callable[[Reader], bytes]], ...] = (
    ("content_type", Reader.short),
    ("content_encoding", Reader.short),
    ("headers", Reader.long),
    ("delivery_mode", lambda reader: reader.take(1)),
    ("priority", lambda reader: reader.take(1)),
    ("correlation_id", Reader.short),
    ("reply_to", Reader.short),
    ("expiration", Reader.short),
    ("message_id", Reader.short),
    ("timestamp", lambda reader: reader.take(8)),
)


@dataclass(frozen=True, slots=True)
class Death:
    """Why RabbitMQ removed a message from a queue: ``rejected``, ``expired``, ``maxlen`` or ``delivery_limit``.

    `exchange`: that it was published to, "" = the default exchange.
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
    """Return the properties in a content header frame, from the flags on; ``timestamp`` is compared with wall time."""
    found: dict[str, bytes] = {}
    flaw = None
    try:
        _read_fields(header, found)
    except MalformedError as error:
        flaw = Flaw("unreadable-properties", f"the properties of the message cannot be read: {error}")
    headers: dict[str, Value] = {}
    death = None
    try:
        headers = dict(Reader(found.get("headers", b"")).pairs())
        death = _last_death(headers)
    except MalformedError as error:
        flaw = flaw or Flaw("unreadable-headers", f"the headers of the message cannot be read: {error}")
    shared = MessageProperties(
        correlation_data=found.get("correlation_id", b""),
        content_type=_text(found, "content_type"),
        message_expiry_s=_expiry_s(found, death, now_s),
        message_id=_text(found, "message_id"),
        user=_user(headers),
        reply_queue=_text(found, "reply_to"),
    )
    return AmqpProperties(shared, _text(found, "content_encoding").strip().lower(), death, flaw)


def _read_fields(header: bytes, found: dict[str, bytes]) -> None:
    reader = Reader(header)
    flags = word = reader.number(">H")
    while word & 1:  # further words of flags: none is defined
        word = reader.number(">H")
    for place, (name, read) in enumerate(_FIELDS):
        if flags & 1 << 15 - place:
            found[name] = read(reader)


def _text(found: dict[str, bytes], name: str) -> str:
    return found.get(name, b"").decode("utf-8", "replace")


def _last_death(headers: dict[str, Value]) -> Death | None:
    deaths = tables_of(headers.get("x-death"))
    if not deaths:
        return None
    queue, reason, exchange = (text_of(deaths[0].get(name)) or "" for name in ("queue", "reason", "exchange"))
    return Death(queue, reason, exchange)


def _expiry_s(found: dict[str, bytes], death: Death | None, now_s: float) -> float | None:
    if death is not None and death.reason == "expired":
        return 0.0  # the broker removes the expiration from an expired message
    text = found.get("expiration", b"")
    if not text.isdigit() or len(text) > _MAX_EXPIRATION_DIGITS:
        return None
    sent = found.get("timestamp")
    waited_s = 0.0 if sent is None else max(0.0, now_s - int.from_bytes(sent, "big"))
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
    found: dict[str, bytes] = {}
    _read_fields(header, found)
    return _text(found, "message_id")
