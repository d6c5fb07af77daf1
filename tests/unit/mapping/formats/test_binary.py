"""Promises of CBOR and MessagePack: every value has one meaning, and no bytes cost more than their size allows."""

import datetime
import math
import struct
import sys
import time
from contextlib import suppress

import cbor2
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configfile.problems import Code
from bridge.core.strict_json import MAX_DEPTH
from bridge.mapping.formats.binary import CborDecoder, MsgpackDecoder
from bridge.mapping.formats.decoder import OptionError, PayloadError
from tests.support.machine import scaled

DECODERS = {"cbor": CborDecoder(), "msgpack": MsgpackDecoder()}
WRITERS = {"cbor": cbor2.dumps, "msgpack": msgpack.packb}
BOTH = pytest.mark.parametrize("form", sorted(DECODERS))


def read(form, payload):
    decoder = DECODERS[form]
    return decoder.exact(payload, decoder.decode(payload))


def refused(form, payload):
    with pytest.raises(PayloadError) as caught:
        read(form, payload)
    return caught.value


def tagged(number, value):
    return cbor2.dumps(cbor2.CBORTag(number, value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@BOTH
@given(value=JSON)
def test_what_json_has_is_the_same_here(form, value):
    """A device may change its format without a change of the mapping."""
    payload = WRITERS[form](value)
    assert read(form, payload) == value == DECODERS[form].decode(payload)


@BOTH
@given(payload=st.binary(max_size=60))
def test_no_bytes_raise_anything_else(form, payload):
    """Every payload gives a value that JSON could have, or a `PayloadError`."""
    with suppress(PayloadError):
        check_json(read(form, payload))


@given(
    head=st.sampled_from([b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xc4", b"\xc5", b"\xd8\x1c", b"\xd8\x1d", b"\xd8\x23"]),
    payload=st.binary(max_size=20),
)
def test_no_tag_raises_anything_else(head, payload):
    """Whatever is in it."""
    with suppress(PayloadError):
        check_json(read("cbor", head + payload))
    with suppress(PayloadError):
        check_json(read("cbor", b"\xa1" + head + payload))


def check_json(value):
    assert type(value) in (type(None), bool, int, float, str, list, dict)
    assert not isinstance(value, float) or math.isfinite(value)
    if isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            check_json(inner)
    if isinstance(value, dict):
        assert {*map(type, value)} <= {str}


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (cbor2.dumps(b"\x00\xff"), "AP8="),
        (cbor2.dumps({1: "a", -2: "b", b"\xff": "c"}), {"1": "a", "-2": "b", "/w==": "c"}),
        (cbor2.dumps([math.nan, math.inf, -math.inf, cbor2.undefined]), [None] * 4),
        (cbor2.dumps(2**70), 2**70),
        (cbor2.dumps(-(2**70)), -(2**70)),
        (cbor2.dumps({2**70: 1}), {str(2**70): 1}),
        (tagged(4, [-2, 27315]), 273.15),
        (tagged(5, [-1, 3]), 1.5),
        (tagged(0, "2026-11-30T18:40:12Z"), "2026-11-30T18:40:12Z"),
        (tagged(1, 1363896240.5), 1363896240.5),
        (tagged(37, b"\x01" * 16), "AQEBAQEBAQEBAQEBAQEBAQ=="),
        (tagged(32, "http://a"), "http://a"),
        (tagged(258, [1, 2]), [1, 2]),
        (tagged(55799, {"a": 1}), {"a": 1}),
        (tagged(28, [1]), [1]),
        (tagged(35, "(a+)+$"), "(a+)+$"),
        (b"\x9f\x01\x02\xff", [1, 2]),
        (b"\x7f\x61a\x61b\xff", "ab"),
    ],
)
def test_what_json_does_not_have_has_a_meaning_in_cbor(payload, value):
    """Bytes, keys, numbers, times and tags are what the guide says."""
    found = read("cbor", payload)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (msgpack.packb(b"\x00\xff"), "AP8="),
        (msgpack.packb({1: "a", -2: "b", b"\xff": "c"}), {"1": "a", "-2": "b", "/w==": "c"}),
        (msgpack.packb([math.nan, math.inf]), [None, None]),
        (msgpack.packb(msgpack.Timestamp(30, 500_000_000)), "1970-01-01T00:00:30.500Z"),
        (
            msgpack.packb(datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC), datetime=True),
            "2026-11-30T00:00:00.000Z",
        ),
    ],
)
def test_what_json_does_not_have_has_a_meaning_in_messagepack(payload, value):
    """Bytes, keys, numbers and times are what the guide says."""
    assert read("msgpack", payload) == value


def test_a_condition_sees_whole_numbers_beyond_64_bits_as_doubles():
    """As those of JSON."""
    assert [type(CborDecoder().decode(cbor2.dumps(number))) for number in (2**64 - 1, 2**64)] == [int, float]


@BOTH
def test_several_mappings_decode_a_message_once(form):
    """The same bytes object gives the same value."""
    payload = WRITERS[form]({"a": 1})
    assert DECODERS[form].decode(payload) is DECODERS[form].decode(payload)


@pytest.mark.parametrize(
    ("form", "payload", "code", "words"),
    [
        ("cbor", b"", "invalid-payload", "premature end"),
        ("cbor", b"\x01\x02", "invalid-payload", "more behind"),
        ("cbor", b"\x82\x01", "invalid-payload", "premature end"),
        ("cbor", b"\x61\xff", "invalid-payload", "not CBOR"),
        ("cbor", b"\xf0", "invalid-payload", "CBORSimpleValue"),
        ("cbor", b"\xa2\x01\x02\x01\x03", "duplicate-key", "1"),
        ("cbor", b"\xa2\x01\x02\x61\x31\x03", "duplicate-key", '"1" occurs twice'),
        ("cbor", b"\xa1\x81\x01\x02", "invalid-payload", "a key is a tuple"),
        ("cbor", b"\xa1\xf5\x02", "invalid-payload", "a key is a bool"),
        ("cbor", tagged(2, b"\xff" * 128), "invalid-payload", "beyond a double"),
        ("cbor", tagged(2, b"\xff" * 129), "invalid-payload", "beyond a double"),
        ("cbor", tagged(4, [10**9, 1]), "invalid-payload", "exponent"),
        ("cbor", tagged(4, [400, 1]), "invalid-payload", "beyond a double"),
        ("cbor", tagged(4, ["a", 1]), "invalid-payload", "two whole numbers"),
        ("cbor", tagged(5, 1), "invalid-payload", "two whole numbers"),
        ("msgpack", b"", "invalid-payload", "incomplete"),
        ("msgpack", b"\x01\x02", "invalid-payload", "extra data"),
        ("msgpack", b"\xc1", "invalid-payload", "FormatError"),
        ("msgpack", b"\xa1\xff", "invalid-payload", "utf-8"),
        ("msgpack", b"\xd4\x05\x01", "invalid-payload", "ExtType"),
        ("msgpack", b"\x82\x01\x02\x01\x03", "duplicate-key", '"1" occurs twice'),
        ("msgpack", b"\x81\x91\x01\x02", "invalid-payload", "a key is a list"),
        ("msgpack", b"\xc7\x0c\xff\x00\x00\x00\x00\x7f" + b"\xff" * 7, "invalid-payload", "not MessagePack"),
        ("msgpack", b"\xdd\x00\x00\x40\x01" + b"\x01" * 16_385, "invalid-payload", "max_array_len"),
    ],
)
def test_what_has_no_meaning_is_refused(form, payload, code, words):
    """Nothing is cut off, guessed or dropped."""
    error = refused(form, payload)
    assert error.code == code
    assert words in error.message


@pytest.mark.parametrize(("form", "list_of_one"), [("cbor", b"\x81"), ("msgpack", b"\x91")])
def test_depth_is_bounded(form, list_of_one):
    """The same depth as for JSON, and far below the depth at which Python gives up."""
    read(form, list_of_one * MAX_DEPTH + b"\x01")
    for depth in (MAX_DEPTH + 1, 500, 100_000):
        assert refused(form, list_of_one * depth + b"\x01").code == "invalid-payload"


SIZE = 256 * 1024
INTEGERS_OF_ONE_HASH = [number * (2**61 - 1) for number in range(1, 20_000)]
BOMBS = {
    "lists that promise more": ("cbor", (b"\x9a\x00\x03\xff\xff" * 90).ljust(SIZE, b"\x80")),
    "a list of four billion": ("cbor", b"\x9a\xff\xff\xff\xff"),
    "a text of four billion": ("cbor", b"\x7a\xff\xff\xff\xff"),
    "keys of one hash": (
        "cbor",
        b"\xb9" + struct.pack(">H", 13_000)
        + b"".join(b"\xc2\x4a" + number.to_bytes(10, "big") + b"\x01" for number in INTEGERS_OF_ONE_HASH[:13_000]),
    ),
    "lists in keys": ("cbor", b"\xa1" + b"\x98\xff" + (b"\x81" * 90 + b"\x01") * 255 + b"\x01"),
    "references": (
        "cbor",
        b"\xd9\x01\x00\x9a\x00\x00\xff\xff" + b"\x79\x80\x00" + b"a" * 32_768 + b"\xd8\x19\x00" * 65_534,
    ),
    "a cycle": ("cbor", tagged(28, [cbor2.CBORTag(29, 0)])),
    "tags in tags": ("cbor", b"\xc1" * SIZE),
    "nested lists that promise more": ("msgpack", (b"\xdd\x00\x00\x3f\xff" * 1000).ljust(SIZE, b"\x90")),
    "a map of four billion": ("msgpack", b"\xdf\xff\xff\xff\xff"),
    "keys of 64 bits": (
        "msgpack",
        b"\xde" + struct.pack(">H", 16_000)
        + b"".join(b"\xcf" + struct.pack(">Q", number % 2**64) + b"\x01" for number in INTEGERS_OF_ONE_HASH[:16_000]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_cost_no_more_than_their_size(name):
    """Neither promised lengths nor references nor keys of one hash."""
    form, payload = BOMBS[name]
    began_s = time.process_time()
    with suppress(PayloadError):
        value = read(form, payload)
        assert len(str(value)) < 10 * SIZE
    assert time.process_time() - began_s < scaled(2)


@BOTH
def test_a_library_that_is_missing_is_named(form, monkeypatch):
    """With what to install."""
    module = {"cbor": "cbor2", "msgpack": "msgpack"}[form]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OptionError) as caught:
        type(DECODERS[form])()
    assert caught.value.code is Code.MISSING_LIBRARY
    assert caught.value.key == "format"
    assert module in caught.value.message
    assert "argo-bridge[formats]" in caught.value.message
