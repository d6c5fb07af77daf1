"""Decodes payloads from bytes to plain Python values (dict, list, str, int, float, bool, None).

JSON is read in two ways: `decode` is fast and serves every message; `exact` is used only for a message that starts a
workflow, keeps integers of any size, and refuses duplicate keys. Raises only `PayloadError`. Thread: any; decoders keep
only the last payload, in one tuple that is replaced as a whole.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
import re
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import orjson

from bridge.configfile.nodes import quote
from bridge.core.errors import PermanentError, cut

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 100
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?P<fraction>\.[0-9]*)?|(?P<bare>\.[0-9]+))(?P<exponent>[eE][+-]?[0-9]{1,4})?")
_LONGEST_NUMBER = 400
_BEYOND_64_BITS = 2.0**63
_LONGEST_SHOWN = 64


class PayloadError(PermanentError):
    """The payload does not match the mapping: ``invalid-payload``, ``duplicate-key``, ``payload-schema``."""

    default_code = "invalid-payload"


class Decoder(Protocol):
    """One payload format.

    Attributes:
        content_type: of its payloads, in the AsyncAPI document.
        means: the meaning of `payload` in expressions, for the documentation.
        refuses: payloads that are refused, for the documentation.
    """

    content_type: ClassVar[str]
    means: ClassVar[str]
    refuses: ClassVar[str]

    def decode(self, payload: bytes) -> Any:
        """Return the value, quickly, or raise `PayloadError`. It is shared between mappings and must not be changed."""

    def exact(self, payload: bytes, decoded: Any) -> Any:  # noqa: ARG002 - some formats need the payload again
        """Return the value for a workflow: `decoded`, as returned by `decode`, if that is exact.

        Raises:
            PayloadError: ``duplicate-key`` or ``invalid-payload``.
        """
        return decoded


class JsonDecoder(Decoder):
    """JSON of any structure, up to `MAX_DEPTH` levels deep. NaN, Infinity and numbers beyond a double are refused."""

    content_type = "application/json"
    means = "the JSON value; any type is allowed at the top level, not only an object"
    refuses = (
        "NaN and Infinity, numbers beyond a double, "
        "invalid UTF-8, more than 100 levels; a duplicate key (only for messages that lead to a workflow)"
    )

    def __init__(self) -> None:
        self._last: tuple[bytes, Any] = (b"null", None)

    def decode(self, payload: bytes) -> Any:
        """Return the value; integers beyond 64 bits are doubles here. See `Decoder`."""
        last = self._last
        if last[0] is payload:  # several mappings of one message decode it once
            return last[1]
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            text = f"decode payload: not JSON: {_oddity(payload) or cut(str(error))}: {_shown(payload)}"
            raise PayloadError(
                f"{text}; set payload.format: text, number or bytes if it is not meant to be JSON"
            ) from error
        if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
            _check_depth(value)
        self._last = (payload, value)
        return value

    def exact(self, payload: bytes, decoded: Any) -> Any:
        """Return the value with integers of any size, if there is no duplicate key. See `Decoder`."""
        if not isinstance(decoded, (dict, list, float)):
            return decoded
        try:
            return _EXACT.decode(payload.decode())
        except ValueError as error:  # an integer longer than Python converts (4,300 digits)
            raise PayloadError(f"decode payload: {cut(str(error))}") from error


class TextDecoder(Decoder):
    """UTF-8 text."""

    content_type = "text/plain"
    means = "the text"
    refuses = "invalid UTF-8"

    def decode(self, payload: bytes) -> str:
        """Return the text. See `Decoder`."""
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            text = f"decode payload: not UTF-8: byte {error.start} is 0x{payload[error.start]:02x}: {_shown(payload)}"
            raise PayloadError(f"{text}; set payload.format: bytes to accept any bytes") from error


class NumberDecoder(Decoder):
    """One decimal number, with optional white space around it: ``21.5``, ``-3``, ``+7``, ``.5``, ``1e3``."""

    content_type = "text/plain"
    means = "the number: `21.5`, `-3`, `+7`, `.5`, `1e3`, with optional white space around it"
    refuses = "anything else"

    def decode(self, payload: bytes) -> int | float:
        """Return the number, as an int if written as one; beyond 64 bits a double. See `Decoder`."""
        text = payload.strip().decode("ascii", "replace") if len(payload) <= _LONGEST_NUMBER else ""
        match = _NUMBER.fullmatch(text)
        if match is None:
            oddity = _oddity(payload)
            text = f"decode payload: not a decimal number{': ' if oddity else ''}{oddity}: {_shown(payload)}"
            raise PayloadError(f"{text}; set payload.format: text to treat it as text")
        value = float(text)
        if math.isinf(value):
            raise PayloadError(f"decode payload: the number is too large: {_shown(payload)}")
        is_whole = match["fraction"] is None and match["bare"] is None and match["exponent"] is None
        return int(text) if is_whole and abs(value) < _BEYOND_64_BITS else value

    def exact(self, payload: bytes, decoded: Any) -> Any:
        """Return the number, as an int of any size if written as one. See `Decoder`."""
        is_whole = isinstance(decoded, float) and payload.strip().lstrip(b"+-").isdigit()
        return int(payload) if is_whole else decoded


class BytesDecoder(Decoder):
    """Any bytes; expressions see them as base64 text (RFC 4648 section 4)."""

    content_type = "application/octet-stream"
    means = "the bytes as base64 text"
    refuses = "nothing"

    def decode(self, payload: bytes) -> str:
        """Return the base64 text. See `Decoder`."""
        return base64.b64encode(payload).decode()


class PayloadFormat(StrEnum):
    """The format of a payload."""

    JSON = "json"
    TEXT = "text"
    NUMBER = "number"
    BYTES = "bytes"


DECODERS: dict[str, type[Decoder]] = {
    PayloadFormat.JSON: JsonDecoder,
    PayloadFormat.TEXT: TextDecoder,
    PayloadFormat.NUMBER: NumberDecoder,
    PayloadFormat.BYTES: BytesDecoder,
}
FORMATS_NOT_YET = ("csv", "cbor", "msgpack", "cloudevents", "sparkplug")
"""Known, but refused with `not-yet`."""


def _oddity(payload: bytes) -> str:
    """Describe invisible bytes that spoil a payload; "" if there are none."""
    if payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16; change the device to send UTF-8"
    if payload.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark (BOM); change the device to leave it out"
    if payload.endswith(b"\0"):
        return "it ends with a NUL byte; change the device to send one byte less"
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start} (0x{payload[error.start]:02x}) is not UTF-8; perhaps the device sends Latin-1"
    return ""


def _shown(payload: bytes) -> str:
    return quote(payload[: 2 * _LONGEST_SHOWN].decode("utf-8", "backslashreplace"), _LONGEST_SHOWN)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _items(outer) if isinstance(inner, (dict, list))]
        if not level:
            return
    raise PayloadError(f"decode payload: nested more than {MAX_DEPTH} levels deep")


def _items(outer: Any) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise PayloadError(f'decode payload: key "{cut(twice, 64)}" occurs twice', code="duplicate-key")
    return unique


_EXACT = json.JSONDecoder(object_pairs_hook=_unique)
