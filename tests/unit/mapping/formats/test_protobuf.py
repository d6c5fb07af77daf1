"""Promises of Protocol Buffers: every field has one meaning, and a descriptor that does not fit is told at load."""

import math
import struct
import sys

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from bridge.configfile.problems import Code
from bridge.mapping.formats.decoder import DecoderOptions, OptionError, PayloadError
from bridge.mapping.formats.protobuf import MAX_VALUES, ProtobufDecoder
from tests.support.descriptors import descriptor_set, field, reading

GOOGLE = ".google.protobuf."


def all_kinds():
    entry = descriptor_pb2.DescriptorProto(
        name="ByKeyEntry", field=[field("key", 1, "bool"), field("value", 2, ".plant.Wide")]
    )
    entry.options.map_entry = True
    made = descriptor_pb2.DescriptorProto(name="All", nested_type=[entry])
    made.field.extend(
        [
            field("whole", 1, "int64"),
            field("single", 2, "float"),
            field("double", 3, "double"),
            field("raw", 4, "bytes"),
            field("state", 5, "enum .plant.Reading.State"),
            field("maybe", 6, "int32", optional=True),
            field("inner", 7, ".plant.All"),
            field("many", 8, "int32", repeated=True),
            field("by_key", 9, ".plant.All.ByKeyEntry", repeated=True),
            field("at", 10, f"{GOOGLE}Timestamp"),
            field("during", 11, f"{GOOGLE}Duration"),
            field("free", 12, f"{GOOGLE}Struct"),
            field("wrapped", 13, f"{GOOGLE}Int64Value"),
            field("large", 14, "uint64"),
            field("wide", 15, ".plant.Wide", repeated=True),
        ]
    )
    made.oneof_decl.add(name="_maybe")
    return made


WIDE = descriptor_pb2.DescriptorProto(
    name="Wide", field=[field(f"f{number}", number, "int32") for number in range(1, 151)]
)
SET = descriptor_set(reading(), all_kinds(), WIDE)
ALL = ProtobufDecoder(DecoderOptions(descriptor=SET, message="plant.All"))
MESSAGE = ALL._class


def read(message):
    payload = message if isinstance(message, bytes) else message.SerializeToString()
    return ALL.exact(payload, ALL.decode(payload))


def test_fields_that_are_not_set_have_their_default_or_are_missing():
    """A zero is not sent, and a condition on it must not be an error."""
    assert read(b"") == {
        "whole": 0, "single": 0.0, "double": 0.0, "raw": "", "state": "OFF", "many": [], "by_key": {}, "large": 0,
        "wide": [],
    }  # fmt: skip
    assert read(MESSAGE(maybe=0))["maybe"] == 0


def test_every_kind_of_field_has_its_value():
    """What JSON does not have is what the guide says."""
    message = MESSAGE(whole=-(2**63), single=21.1, double=0.1, raw=b"\x00\xff", state=1, many=[1, 2], large=2**64 - 1)
    message.inner.inner.whole = 5
    message.at.seconds, message.at.nanos = 30, 500_000_000
    message.during.seconds, message.during.nanos = -1, -500_000_000
    message.free["a"] = {"b": [1, None, True, "x"]}
    message.wrapped.value = 7
    message.by_key[True].f1 = 3
    found = read(message)
    assert {name: found[name] for name in ("whole", "single", "double", "raw", "state", "many", "large")} == {
        "whole": -(2**63), "single": 21.1, "double": 0.1, "raw": "AP8=", "state": "ON", "many": [1, 2],
        "large": 2**64 - 1,
    }  # fmt: skip
    assert found["inner"]["inner"]["whole"] == 5
    assert (found["at"], found["during"], found["wrapped"]) == ("1970-01-01T00:00:30.500Z", "-1.5s", 7)
    assert found["free"] == {"a": {"b": [1.0, None, True, "x"]}}
    assert found["by_key"]["true"]["f1"] == 3


def test_numbers_that_are_not_finite_are_null_and_unknown_enums_are_numbers():
    """As in the other formats."""
    found = read(MESSAGE(single=math.nan, double=math.inf, state=9))
    assert (found["single"], found["double"], found["state"]) == (None, None, 9)


@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_single_precision_is_as_short_as_it_can_be_and_exact(number):
    """The text of a value reads back as the same number of single precision."""
    assert struct.pack("<f", read(MESSAGE(single=number))["single"]) == struct.pack("<f", number)


@given(payload=st.binary(max_size=60), kept=st.integers(0, 40))
def test_no_bytes_raise_anything_else(payload, kept):
    """Noise, and a beginning that is right."""
    message = MESSAGE(whole=5, raw=b"abc", many=[1, 2])
    message.at.seconds = 2**40
    message.free["a"] = [1.5]
    for given_ in (payload, message.SerializeToString()[:kept] + payload):
        try:
            assert isinstance(read(given_), dict)
        except PayloadError as error:
            assert error.code == "invalid-payload"  # noqa: PT017 - either outcome is right


def nested(depth):
    payload = b""
    for _ in range(depth):
        size = len(payload)
        head = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
        payload = b"\x3a" + head + payload
    return payload


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff", "not a message plant.All"),
        (nested(150), "not a message plant.All"),
        (b"\x52\x0a\x08" + b"\xff" * 8 + b"\x7f", "Timestamp outside"),
        (b"\x7a\x00" * 1000, f"more than {MAX_VALUES} values"),
        (b"\x42\xa0\x8d\x06" + b"\x00" * 100_000, f"more than {MAX_VALUES} values"),
    ],
    ids=["noise", "depth", "time", "wide messages of two bytes", "many numbers"],
)
def test_what_has_no_meaning_or_too_many_values_is_refused(payload, words):
    """A message of some bytes cannot become gigabytes of defaults."""
    with pytest.raises(PayloadError, match=words):
        read(payload)
    read(nested(50))


def test_many_empty_messages_take_little_memory():
    """Each takes two bytes of a payload, and room for all its fields in the library."""
    bomb = b"\x7a\x00" * 128 * 1024
    with pytest.raises(PayloadError, match="over 106666 bytes"):
        read(bomb)
    narrow = ProtobufDecoder(DecoderOptions(descriptor=SET, message="plant.Reading"))
    assert narrow.decode(b"\x0a\x80\x80\x40" + b"a" * 2**20)["device"] == "a" * 2**20


@pytest.mark.parametrize(
    ("descriptor", "message", "key", "code", "words"),
    [
        (SET, "", "message", Code.MISSING_KEY, "is required"),
        (None, "plant.All", "descriptor", Code.MISSING_KEY, "is required"),
        (SET, "plant.Readng", "message", Code.BAD_VALUE, 'did you mean "plant.Reading"?'),
        (SET, "x", "message", Code.BAD_VALUE, "it has google.protobuf.Timestamp"),
        (b"", "plant.All", "message", Code.BAD_VALUE, "it has none"),
        (b"syntax = 'proto3';", "plant.All", "descriptor", Code.BAD_VALUE, "--include_imports"),
        (descriptor_set(reading(), imports=False), "plant.Reading", "descriptor", Code.BAD_VALUE, "--include_imports"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_told_at_load(descriptor, message, key, code, words):
    """At its key, with a proposal."""
    with pytest.raises(OptionError) as caught:
        ProtobufDecoder(DecoderOptions(descriptor=descriptor, message=message))
    assert (caught.value.key, caught.value.code) == (key, code)
    assert words in caught.value.message


@given(noise=st.binary(max_size=40))
def test_no_descriptor_raises_anything_else(noise):
    """Whatever is in the file."""
    for data in (noise, SET[: len(noise) * 40] + noise):
        with pytest.raises(OptionError):
            ProtobufDecoder(DecoderOptions(descriptor=data, message="plant.Nothing"))


def test_a_library_that_is_missing_is_named(monkeypatch):
    """As for other formats."""
    monkeypatch.setitem(sys.modules, "google.protobuf.descriptor_pb2", None)
    with pytest.raises(OptionError) as caught:
        ProtobufDecoder(DecoderOptions(descriptor=SET, message="plant.All"))
    assert (caught.value.key, caught.value.code) == ("format", Code.MISSING_LIBRARY)
