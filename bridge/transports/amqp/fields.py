"""Parses AMQP field tables, one level deep: nested ones are skipped by their length, at any depth. Pure.

Source: AMQP 0-9-1 section 4.2.5.5 as implemented by RabbitMQ ("AMQP 0-9-1 Complete Reference Guide", field types).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from bridge.core.clock import rfc3339

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
    """A table or an array within a table, not parsed.

    Attributes:
        is_array: otherwise it is a table.
        body: the bytes after its length.
    """

    is_array: bool
    body: bytes


Value = str | bytes | int | float | bool | None | Decimal | Nested
"""A timestamp is returned as RFC 3339 text."""


class Reader:
    """Takes values from the front of a byte string.

    Args:
        data: the bytes.
        start: where to begin.
    """

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self.at = start

    @property
    def is_done(self) -> bool:
        """Whether everything was read."""
        return self.at >= len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes.

        Raises:
            MalformedError: there are fewer.
        """
        end = self.at + size
        if end > len(self._data):
            raise MalformedError(f"{size} bytes expected at {self.at}, {len(self._data) - self.at} are there")
        found, self.at = self._data[self.at : end], end
        return found

    def number(self, form: str) -> int:
        """Return the next integer; `form` as in `struct`."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def short(self) -> bytes:
        """Return the next short string."""
        return self.take(self.take(1)[0])

    def long(self) -> bytes:
        """Return the next long string, table or array, without its length."""
        return self.take(self.number(">I"))

    def value(self) -> Value:
        """Return the next field value, preceded by its type.

        Raises:
            MalformedError: its type is unknown, or it is truncated.
        """
        kind = self.take(1)
        if kind in _NUMBERS:
            value: int | float = struct.unpack(_NUMBERS[kind], self.take(struct.calcsize(_NUMBERS[kind])))[0]
            return value
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
    """Return the tables of an array, each one level deep; [] for anything else.

    Raises:
        MalformedError: it is truncated.
    """
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
