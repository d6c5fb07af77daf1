"""Protocol Buffers, decoded by Google's library with a descriptor file, as values that JSON could have too.

Reads no file. Raises only `PayloadError`. Thread: any (see `decoder`).
"""

from __future__ import annotations

import base64
import math
import struct
from typing import TYPE_CHECKING, Any

from bridge.configfile.nodes import quote
from bridge.configfile.problems import Code
from bridge.core.clock import rfc3339
from bridge.core.errors import cut
from bridge.core.nearest import did_you_mean
from bridge.mapping.formats.decoder import (
    NO_OPTIONS,
    DecoderOptions,
    OnceDecoder,
    OptionError,
    PayloadError,
    library,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.core.model import MessageProperties

MAX_VALUES = 100_000
_MAX_FIELDS = 8_000_000
"""Fields for which the library makes room, at up to 16 bytes each: all fields of a message, even if it is empty."""
_GOOGLE = "google.protobuf."


class ProtobufDecoder(OnceDecoder):
    """A message whose type is in a descriptor file."""

    content_type = "application/x-protobuf"
    means = (
        "the message as a map, with the names of the `.proto` file. A field that is not set has its default value, or "
        "is missing if it is a message, `optional` or in a `oneof`. Enums are their names, bytes are base64 text, NaN "
        "and infinite numbers are null, keys of maps are text. `Timestamp` and `Duration` are text, for `timestamp()` "
        "and `duration()`; wrappers and `Struct` are their values"
    )
    refuses = (
        f"what is no such message, more than 100 levels, more than {MAX_VALUES:,} values; more than "
        "16,000,000 bytes divided by the number of fields of its largest inner message"
    )
    keys = frozenset({"descriptor", "message"})

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        if not options.message:
            raise OptionError(
                "message", "is required with protobuf: a message's name, as package.Name", Code.MISSING_KEY
            )
        if options.descriptor is None:
            raise OptionError("descriptor", "is required with protobuf: the file of a descriptor set", Code.MISSING_KEY)
        self._class = _message_class(options.descriptor, options.message)
        self._longest = 2 * _MAX_FIELDS // max(1, _widest(self._class.DESCRIPTOR))  # an inner message takes two bytes
        self._failure: type[Exception] = library("google.protobuf.message").DecodeError

    def _read(self, payload: bytes, properties: MessageProperties, *, exact: bool) -> Any:
        if len(payload) > self._longest:
            raise PayloadError(f"decode payload: over {self._longest} bytes, the limit for messages of so many fields")
        try:
            message = self._class.FromString(payload)
        except self._failure as error:
            name = self._options.message
            raise PayloadError(f"decode payload: not a message {name}: {cut(str(error))}") from error
        return _Conversion().of_message(message)


def _message_class(descriptor_set: bytes, name: str) -> Any:
    try:
        files = library("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(descriptor_set).file
        pool = library("google.protobuf.descriptor_pool").DescriptorPool()
        for file in files:
            pool.Add(file)
    except OptionError:
        raise
    except Exception as error:  # whatever the library raises about a file
        text = "is no complete descriptor set; make it with: protoc --include_imports --descriptor_set_out=FILE"
        raise OptionError("descriptor", f"{text} ({cut(str(error), 128)})") from error
    try:
        found = pool.FindMessageTypeByName(name)
    except KeyError as error:
        known = [full for file in files for full in _names(file.package, file.message_type)]
        hint = did_you_mean(name, known) or f"; it has {', '.join(known[:5]) or 'none'}"
        raise OptionError("message", f"is {quote(name)}, which is not in the descriptor file{hint}") from error
    return library("google.protobuf.message_factory").GetMessageClass(found)


def _widest(root: Any) -> int:
    """Return the number of fields of the largest message that can be within a message."""
    found: dict[str, int] = {}
    pending = [root]
    while pending:
        for field in pending.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in found:
                found[inner.full_name] = len(inner.fields)
                pending.append(inner)
    return max(found.values(), default=0)


def _names(package: str, messages: Iterable[Any]) -> Iterator[str]:
    for message in messages:
        if not message.options.map_entry:
            name = f"{package}.{message.name}" if package else message.name
            yield name
            yield from _names(name, message.nested_type)


class _Conversion:
    """The conversion of one message; counts values, because a message of two bytes can have many fields."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def of_message(self, message: Any) -> Any:
        name = message.DESCRIPTOR.full_name
        if name.startswith(_GOOGLE):
            special = _SPECIAL.get(name.removeprefix(_GOOGLE))
            if special is not None:
                return special(self, message)
        fields = message.DESCRIPTOR.fields
        return {
            field.name: self._field(field, getattr(message, field.name))
            for field in fields
            if not field.has_presence or message.HasField(field.name)
        }

    def _field(self, field: Any, value: Any) -> Any:
        self._count(1)
        if not field.is_repeated:
            return self._one(field, value)
        self._count(len(value))
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            inner = kind.fields_by_name["value"]
            return {_key(key): self._one(inner, value[key]) for key in value}
        return [self._one(field, item) for item in value]

    def _one(self, field: Any, value: Any) -> Any:
        if field.message_type is not None:
            return self.of_message(value)
        if field.enum_type is not None:
            named = field.enum_type.values_by_number.get(value)
            return value if named is None else named.name
        if isinstance(value, float):
            return _number(value, is_single=field.type == field.TYPE_FLOAT)
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    def of_struct(self, message: Any) -> Any:
        self._count(len(message.fields))
        return {key: self.of_value(message.fields[key]) for key in message.fields}

    def of_list(self, message: Any) -> Any:
        self._count(len(message.values))
        return [self.of_value(value) for value in message.values]

    def of_value(self, message: Any) -> Any:
        kind = message.WhichOneof("kind")
        if kind == "struct_value":
            return self.of_struct(message.struct_value)
        if kind == "list_value":
            return self.of_list(message.list_value)
        if kind == "number_value":
            return _number(message.number_value)
        return getattr(message, kind) if kind in ("string_value", "bool_value") else None

    def of_wrapper(self, message: Any) -> Any:
        return self._field(message.DESCRIPTOR.fields_by_name["value"], message.value)

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise PayloadError(f"decode payload: more than {MAX_VALUES} values")


def _number(value: float, *, is_single: bool = False) -> float | None:
    """Return a finite number; a single-precision one with as few digits as it has, so that 21.1 is not 21.10000038."""
    if not math.isfinite(value):
        return None
    if not is_single:
        return value
    packed = struct.pack("<f", value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) < 3.4e38 and struct.pack("<f", short) == packed:
            return short
    return value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _timestamp(_: _Conversion, message: Any) -> str:
    try:
        return rfc3339(message.seconds + message.nanos / 1e9)
    except (ValueError, OverflowError, OSError) as error:
        raise PayloadError("decode payload: a Timestamp outside of the years 1 to 9999") from error


def _duration(_: _Conversion, message: Any) -> str:
    nanos = message.seconds * 10**9 + message.nanos
    whole, part = divmod(abs(nanos), 10**9)
    return f"{'-' if nanos < 0 else ''}{whole}{f'.{part:09}'.rstrip('0').rstrip('.')}s"


# Source: Protocol Buffers, "ProtoJSON Format": the well-known types with a form of their own.
_SPECIAL: dict[str, Any] = {
    "Timestamp": _timestamp,
    "Duration": _duration,
    "Struct": _Conversion.of_struct,
    "ListValue": _Conversion.of_list,
    "Value": _Conversion.of_value,
    **{
        f"{kind}Value": _Conversion.of_wrapper
        for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    },
}
