"""CBOR (RFC 8949) and MessagePack, decoded by libraries, as values that JSON could have too.

No value costs more memory or time than the payload's size allows: of CBOR's tags none but numbers is given a meaning,
so that nothing refers to other parts, is a pattern or has a huge exponent. Raises only `PayloadError`. Thread: any (see
`decoder`).
"""

from __future__ import annotations

import abc
import base64
import io
import math
from typing import TYPE_CHECKING, Any

from bridge.core.clock import rfc3339
from bridge.core.errors import cut
from bridge.core.model import MessageProperties
from bridge.core.strict_json import MAX_DEPTH
from bridge.mapping.formats.decoder import NO_OPTIONS, DecoderOptions, OnceDecoder, PayloadError, library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LONGEST_LIST = 16_384
_LARGE = 64 * 1024
_MAX_EXPONENT = 400
_REFUSED_VALUES = (
    f"whatever is not complete or has more behind it, invalid UTF-8, more than {MAX_DEPTH} levels, numbers beyond a "
    "double, a duplicate key, keys that are neither text nor whole numbers nor bytes"
)


class BinaryDecoder(OnceDecoder):
    """What both have in common."""

    def _read(self, payload: bytes, properties: MessageProperties, *, exact: bool) -> Any:
        return _plain(self._load(payload), exact=exact)

    @abc.abstractmethod
    def _load(self, payload: bytes) -> Any:
        """Return the library's value, or raise `PayloadError`."""


class CborDecoder(BinaryDecoder):
    """CBOR: one data item."""

    content_type = "application/cbor"
    means = (
        "the value. Byte strings are base64 text, undefined is null, and so are NaN and infinite numbers. Keys that "
        "are whole numbers are text: `payload['1']`. Tags: large integers and decimal fractions are numbers, any other "
        "tag is ignored (a time is the text or the number of seconds that it is made of: `timestamp(payload.at)`)"
    )
    refuses = f"{_REFUSED_VALUES}, keys other than text or bytes in more than 64 KiB, other simple values"

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        self._library = library("cbor2")

    def _load(self, payload: bytes) -> Any:
        cbor2 = self._library
        decoder = cbor2.CBORDecoder(
            io.BytesIO(payload),
            semantic_decoders=_TAGS,
            max_depth=MAX_DEPTH,
            allow_duplicate_keys=False,
            # Lists and maps may be keys, and many with one hash take time quadratic in their number.
            strict_hashable_types=len(payload) > _LARGE,
        )
        try:
            value = decoder.decode()
        except (cbor2.CBORDecodeError, ValueError, OverflowError) as error:
            if isinstance(error.__cause__, PayloadError):
                raise error.__cause__ from error
            code = "duplicate-key" if "Duplicate map key" in str(error) else "invalid-payload"
            raise PayloadError(f"decode payload: not CBOR: {cut(str(error))}", code=code) from error
        try:
            decoder.read(1)
        except cbor2.CBORDecodeEOF:
            return value
        raise PayloadError("decode payload: there is more behind the first CBOR item")


class MsgpackDecoder(BinaryDecoder):
    """MessagePack: one value."""

    content_type = "application/vnd.msgpack"
    means = (
        "the value. Binary data is base64 text, NaN and infinite numbers are null, timestamps are text: "
        "`timestamp(payload.at)`. Keys that are whole numbers are text: `payload['1']`"
    )
    refuses = f"{_REFUSED_VALUES}, a list or map of more than {_LONGEST_LIST:,} elements, extension types"

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        self._library = library("msgpack")

    def _load(self, payload: bytes) -> Any:
        try:
            return self._library.unpackb(
                payload,
                timestamp=3,
                strict_map_key=False,
                object_pairs_hook=_unique,
                # Room for all elements is made at each of a thousand levels before the first is read.
                max_array_len=_LONGEST_LIST,
                max_map_len=_LONGEST_LIST,
            )
        except (ValueError, OverflowError) as error:
            text = cut(str(error)) or type(error).__name__
            raise PayloadError(f"decode payload: not MessagePack: {text}") from error


def _plain(value: Any, *, exact: bool, depth: int = 0) -> Any:
    """Return a value of the libraries as one that JSON could have."""
    kind = type(value)
    if kind is list or kind is dict:
        if depth >= MAX_DEPTH:
            raise PayloadError(f"decode payload: nested more than {MAX_DEPTH} levels deep")
        if kind is list:
            return [_plain(inner, exact=exact, depth=depth + 1) for inner in value]
        return {key: _plain(inner, exact=exact, depth=depth + 1) for key, inner in _unique(value.items()).items()}
    if kind is int:
        return value if exact or -(2**63) <= value < 2**64 else float(value)
    plain = _PLAIN.get(kind.__name__)
    if plain is None:
        raise PayloadError(f"decode payload: it has a value of type {kind.__name__}, which no expression can use")
    return plain(value)


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "str": lambda value: value,
    "bool": lambda value: value,
    "NoneType": lambda _: None,
    "UndefinedType": lambda _: None,  # of cbor2
    "float": lambda value: value if math.isfinite(value) else None,
    "bytes": lambda value: base64.b64encode(value).decode(),
    "datetime": lambda value: rfc3339(value.timestamp()),
}


def _unique(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a map with keys of text; libraries may read them as numbers or bytes."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = _key(key)
        if name in found:
            raise PayloadError(f'decode payload: key "{cut(name, 64)}" occurs twice', code="duplicate-key")
        found[name] = value
    return found


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return base64.b64encode(key).decode()
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise PayloadError(f"decode payload: a key is a {type(key).__name__}; it must be text, a whole number or bytes")


def _integer(content: Any) -> int:
    if not isinstance(content, bytes) or len(content) > 128:
        raise PayloadError("decode payload: a large integer is no byte string, or is beyond a double")
    number = int.from_bytes(content, "big")
    _within_double(number)
    return number


def _fraction(content: Any, base: int) -> float:
    """Return mantissa * base ** exponent (RFC 8949 section 3.4.4)."""
    if not isinstance(content, (list, tuple)) or [type(part) for part in content] != [int, int]:
        raise PayloadError("decode payload: a fraction has not two whole numbers")
    exponent, mantissa = content
    if abs(exponent) > _MAX_EXPONENT:
        raise PayloadError("decode payload: the exponent of a fraction is too large")
    number = float(f"{mantissa}e{exponent}") if base == 10 else mantissa * 2.0**exponent
    return _within_double(number)


def _within_double(number: float) -> float:
    try:
        if math.isfinite(float(number)):
            return number
    except OverflowError:
        pass
    raise PayloadError("decode payload: a number is beyond a double")


class _Tags(dict[int, "Callable[[Any, bool], Any]"]):
    """What each tag makes of its content, and whether that is part of a key."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        return _content


def _content(content: Any, _is_key: bool) -> Any:
    return content


_TAGS = _Tags(
    {
        # Hashes of integers can be foreseen, those of text cannot.
        2: lambda content, is_key: str(_integer(content)) if is_key else _integer(content),
        3: lambda content, is_key: str(-1 - _integer(content)) if is_key else -1 - _integer(content),
        4: lambda content, _: _fraction(content, 10),
        5: lambda content, _: _fraction(content, 2),
    }
)
