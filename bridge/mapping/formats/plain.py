"""JSON, text, numbers and bytes.

JSON is read in two ways: `decode` is fast and serves every message; `exact` is used only for a message that starts a
workflow, keeps integers of any size, and refuses duplicate keys. Raises only `PayloadError`. Thread: any (see
`decoder`).
"""

from __future__ import annotations

import base64
import codecs
import json
import math
import re
from collections import Counter
from typing import Any

import orjson

from bridge.core.errors import cut
from bridge.core.model import NO_PROPERTIES, MessageProperties
from bridge.core.strict_json import MAX_DEPTH, is_deeper
from bridge.mapping.formats.decoder import (
    NO_OPTIONS,
    Decoder,
    DecoderOptions,
    PayloadError,
    shown,
    trimmed,
)

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?P<fraction>\.[0-9]*)?|(?P<bare>\.[0-9]+))(?P<exponent>[eE][+-]?[0-9]{1,4})?")
LONGEST_NUMBER = 400
BEYOND_64_BITS = 2.0**63


class JsonDecoder(Decoder):
    """JSON of any structure, up to `MAX_DEPTH` levels deep. NaN, Infinity and numbers beyond a double are refused."""

    content_type = "application/json"
    means = "the JSON value; any type is allowed at the top level, not only an object"
    refuses = (
        "NaN and Infinity, numbers beyond a double, "
        "invalid UTF-8, more than 100 levels; a duplicate key (only for messages that lead to a workflow)"
    )
    keys = frozenset({"charset"})

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        self._last: tuple[bytes, Any] = (b"null", None)

    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the value; integers beyond 64 bits are doubles here. See `Decoder`."""
        last = self._last
        if last[0] is payload:  # several mappings of one message decode it once
            return last[1]
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError:
            value = _tolerant_json(payload)
        if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
            raise PayloadError(f"decode payload: nested more than {MAX_DEPTH} levels deep")
        self._last = (payload, value)
        return value

    def exact(self, payload: bytes, decoded: Any, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the value with integers of any size, if there is no duplicate key. See `Decoder`."""
        return exact_json(payload) if isinstance(decoded, (dict, list, float)) else decoded


class TextDecoder(Decoder):
    """UTF-8 text."""

    content_type = "text/plain"
    means = "the text"
    refuses = "invalid UTF-8"
    keys = frozenset({"charset"})

    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> str:
        """Return the text. See `Decoder`."""
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            text = f"decode payload: not UTF-8: byte {error.start} is 0x{payload[error.start]:02x}: {shown(payload)}"
            raise PayloadError(f"{text}; set payload.charset, or payload.format: bytes to accept any bytes") from error


class NumberDecoder(Decoder):
    """One decimal number, with optional white space around it: ``21.5``, ``-3``, ``+7``, ``.5``, ``1e3``."""

    content_type = "text/plain"
    means = "the number: `21.5`, `-3`, `+7`, `.5`, `1e3`, with optional white space around it"
    refuses = "anything else"
    keys = frozenset({"charset"})

    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> int | float:
        """Return the number, as an int if written as one; beyond 64 bits a double. See `Decoder`."""
        text = trimmed(payload).strip().decode("ascii", "replace") if len(payload) <= LONGEST_NUMBER else ""
        match = _NUMBER.fullmatch(text)
        if match is None:
            oddity = _oddity(payload)
            text = f"decode payload: not a decimal number{': ' if oddity else ''}{oddity}: {shown(payload)}"
            raise PayloadError(f"{text}; set payload.format: text to treat it as text")
        value = float(text)
        if math.isinf(value):
            raise PayloadError(f"decode payload: the number is too large: {shown(payload)}")
        is_whole = match["fraction"] is None and match["bare"] is None and match["exponent"] is None
        return int(text) if is_whole and abs(value) < BEYOND_64_BITS else value

    def exact(self, payload: bytes, decoded: Any, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the number, as an int of any size if written as one. See `Decoder`."""
        text = trimmed(payload).strip()
        return int(text) if isinstance(decoded, float) and text.lstrip(b"+-").isdigit() else decoded


class BytesDecoder(Decoder):
    """Any bytes; expressions see them as base64 text (RFC 4648 section 4)."""

    content_type = "application/octet-stream"
    means = "the bytes as base64 text"
    refuses = "nothing"

    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> str:
        """Return the base64 text. See `Decoder`."""
        return base64.b64encode(payload).decode()


def exact_json(payload: bytes) -> Any:
    """Return the value of JSON that `JsonDecoder` takes, with integers of any size.

    Raises:
        PayloadError: ``duplicate-key``, or ``invalid-payload`` for an integer of more than 4,300 digits.
    """
    try:
        return _EXACT.decode(trimmed(payload).decode())
    except ValueError as error:
        raise PayloadError(f"decode payload: {cut(str(error))}") from error


def _tolerant_json(payload: bytes) -> Any:
    try:
        return orjson.loads(trimmed(payload))
    except orjson.JSONDecodeError as error:
        text = f"decode payload: not JSON: {_oddity(payload) or cut(str(error))}: {shown(payload)}"
        raise PayloadError(
            f"{text}; set payload.format: text, number or bytes if it is not meant to be JSON"
        ) from error


def _oddity(payload: bytes) -> str:
    """Describe invisible bytes that spoil a payload; "" if there are none."""
    if payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16; set payload.charset: utf-16"
    if payload.endswith(b"\0\0"):
        return "it ends with several NUL bytes; change the device to send the text alone"
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        place = f"byte {error.start} (0x{payload[error.start]:02x})"
        return f"{place} is not UTF-8; perhaps the device sends Latin-1: set payload.charset: latin-1"
    return ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise PayloadError(f'decode payload: key "{cut(twice, 64)}" occurs twice', code="duplicate-key")
    return unique


_EXACT = json.JSONDecoder(object_pairs_hook=_unique)
