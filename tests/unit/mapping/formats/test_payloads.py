"""Promises of payload decoding: exact where it counts, and a clear refusal for everything else."""

import base64
import encodings.aliases
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.strict_json import MAX_DEPTH
from bridge.mapping.formats.decoder import DecoderOptions, OptionError, PayloadError
from bridge.mapping.payloads import DECODERS, PayloadFormat, make_decoder


def read(form, payload):
    decoder = DECODERS[form]()
    return decoder.exact(payload, decoder.decode(payload))


def refused(form, payload):
    with pytest.raises(PayloadError) as caught:
        read(form, payload)
    return caught.value


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b"\xff",
        b'"\\ud800"',
        b"\xef\xbb\xbf",
        b"1\0\0",
        b"\x001",
        b"{'a': 1}",
        b"1 2",
    ],
)
def test_what_is_no_json_is_refused(payload):
    """Neither NaN nor a lone surrogate nor a second NUL slips through."""
    assert refused("json", payload).code == "invalid-payload"


@pytest.mark.parametrize("payload", [b"1", b"null", b'"x"', b"[1]", b"true", b'{"a":{"b":[]}}'])
def test_any_json_value_may_stand_at_the_top(payload):
    """A reading need not be an object."""
    assert read("json", payload) == json.loads(payload)


def test_integers_of_any_size_are_exact():
    """A serial number beyond 64 bits is not rounded."""
    assert read("json", b'{"serial": 123456789012345678901234567890}') == {"serial": 123456789012345678901234567890}
    assert read("json", b"18446744073709551616") == 18446744073709551616


def test_a_key_that_is_there_twice_is_refused_for_what_fires_only():
    """Two readers of such JSON disagree, so no workflow is made of it; the filter does not pay for the check."""
    payload = b'{"a": {"b": 1, "c": 2, "b": 3}}'
    assert DECODERS["json"]().decode(payload) == {"a": {"b": 3, "c": 2}}
    error = refused("json", payload)
    assert error.code == "duplicate-key"
    assert '"b"' in error.message


def test_depth_is_bounded():
    """Deep nesting is refused before anything recursive sees it, and many siblings are not depth."""
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert read("json", deep) == json.loads(deep)
    assert "nested more than" in refused("json", b"[" + deep + b"]").message
    assert "nested more than" in refused("json", b'{"a":' * 500 + b"1" + b"}" * 500).message
    flat = b"[" + b",".join([b"{}"] * 500) + b"]"
    assert len(read("json", flat)) == 500


def test_several_mappings_decode_a_message_once():
    """The same bytes object gives the same value; equal bytes of another message are read anew."""
    decoder = DECODERS["json"]()
    payload = b'{"a": 1}'
    assert decoder.decode(payload) is decoder.decode(payload)
    assert decoder.decode(b'{"b": 2}') == {"b": 2}
    assert decoder.decode(payload) == {"a": 1}


@pytest.mark.parametrize(
    ("payload", "number"),
    [
        (b"21.5", 21.5),
        (b" -3\r\n", -3),
        (b"+7", 7),
        (b".5", 0.5),
        (b"5.", 5.0),
        (b"1e3", 1000.0),
        (b"007", 7),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_numbers_are_read_as_devices_write_them(payload, number):
    """A whole number stays an int, of any size."""
    value = read("number", payload)
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize(
    "payload", [b"", b" ", b"nan", b"inf", b"1e999", b"9" * 400, b"0x10", b"1_000", b"12,5", b"1 2", b"\xff", b"\xb2"]
)
def test_what_is_no_number_is_refused(payload):
    """What Python's float() would take beyond plain decimals is refused too."""
    assert refused("number", payload).code == "invalid-payload"


@pytest.mark.parametrize(
    ("form", "payload", "words"),
    [
        ("json", b'{"a": 1}\0\0', ["ends with several NUL", r'1}\x00\x00"']),
        ("json", '{"a": "größe"}'.encode("latin-1"), ["byte 9 (0xf6)", "charset: latin-1", r"gr\xf6\xdfe"]),
        ("json", '{"a": 1}'.encode("utf-16"), ["UTF-16", "payload.charset: utf-16"]),
        ("json", b"OPEN", ['"OPEN"', "payload.format: text"]),
        (
            "text",
            "größe".encode("latin-1"),
            ["byte 2 is 0xf6", r"gr\xf6\xdfe", "payload.charset", "payload.format: bytes"],
        ),
        ("number", b"21,5", ['"21,5"', "payload.format: text"]),
        ("number", b"21.5\0\0", ["NUL", r'"21.5\x00\x00"']),
        ("number", b"1e999", ['"1e999"', "too large"]),
        ("number", "\u202e5.12".encode(), [r"\u202e5.12"]),
        ("number", b"\n\x1b[31m", [r"\n\x1b[31m"]),
        ("json", b"x" * 10_000, ['xxx..."']),
    ],
)
def test_what_cannot_be_read_is_shown_and_says_what_to_set(form, payload, words):
    """The message has the beginning of the payload, harmless to a terminal, and the way out."""
    message = refused(form, payload).message
    assert [word for word in words if word not in message] == []
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("after", [b"", b"\0", b"\n", b"\r\n", b"\n\0", b"\0\n", b"\0\r\n"])
def test_what_devices_add_is_tolerated_where_it_means_nothing(before, after):
    """A byte order mark, a NUL and a newline change no number and no JSON; in text and bytes they are content."""
    for form, text, value in (
        ("json", b'{"n": 18446744073709551616}', {"n": 2**64}),
        ("json", b"18446744073709551616", 2**64),
        ("number", b"18446744073709551616", 2**64),
        ("number", b"21.5", 21.5),
    ):
        assert read(form, before + text + after) == value
    assert read("text", before + b"a" + after) == (before + b"a" + after).decode()
    assert read("bytes", before + b"a" + after) == base64.b64encode(before + b"a" + after).decode()


def in_charset(form, charset):
    return make_decoder(PayloadFormat(form), DecoderOptions(charset=charset))


@pytest.mark.parametrize("charset", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_other_character_sets_are_read(charset):
    """Any text codec of Python, also for exact values; a byte order mark of UTF-16 is no content."""
    payload = '{"größe": 18446744073709551616}'.encode(charset)
    decoder = in_charset("json", charset)
    decoded = decoder.decode(payload)
    assert decoder.exact(payload, decoded) == {"größe": 2**64}
    assert decoder.decode(payload) is decoded, "several mappings decode a message once"
    assert in_charset("text", charset).decode("größe\0".encode(charset)) == "größe\0"
    assert in_charset("number", charset).decode("21.5\0".encode(charset)) == 21.5


def test_utf8_costs_nothing():
    """However it is written, the default has no step before the format."""
    assert {type(in_charset("json", name)) for name in ("utf-8", "UTF8", "utf_8")} == {type(DECODERS["json"]())}


def test_what_is_not_in_the_character_set_is_refused():
    """The message names the character set and shows the payload."""
    with pytest.raises(PayloadError, match=r'not ascii: "gr\\xf6'):
        in_charset("text", "ascii").decode("größe".encode("latin-1"))
    with pytest.raises(PayloadError, match="not utf-7"):
        in_charset("text", "utf-7").decode(b"+2AA-")  # a lone surrogate


CHARSETS = sorted(set(encodings.aliases.aliases.values()) | {"utf_8_sig", "punycode", "idna", "undefined"})


@given(payload=st.binary(max_size=40), charset=st.sampled_from(CHARSETS), form=st.sampled_from(["json", "text"]))
def test_every_codec_is_refused_at_load_or_safe(payload, charset, form):
    """Whatever Python calls a codec, and whatever it meets."""
    with suppress(PayloadError, OptionError):
        in_charset(form, charset).decode(payload)


@pytest.mark.parametrize(
    "charset", ["hex", "zlib", "rot13", "punycode", "idna", "unicode_escape", "undefined", "latinn", "x\0"]
)
def test_what_is_no_character_set_is_refused_at_load(charset):
    """Codecs from bytes to bytes, notations, and names that nothing has."""
    with pytest.raises(OptionError) as caught:
        in_charset("text", charset)
    assert caught.value.key == "charset"


def test_text_is_utf8():
    """Text passes as it is, and broken UTF-8 does not."""
    assert read("text", "größe\0".encode()) == "größe\0"
    assert "byte 1" in refused("text", b"a\xff").message


def test_bytes_are_base64_text():
    """Any bytes pass."""
    assert read("bytes", b"\x00\xff") == "AP8="


@given(
    form=st.sampled_from(["json", "text", "number", "bytes"]),
    payload=st.binary(max_size=60) | st.text('[]{}:,"\\u0123456789.eE+-na ', max_size=30).map(str.encode),
)
def test_no_bytes_raise_anything_else(form, payload):
    """Every payload gives a value or a `PayloadError`."""
    with suppress(PayloadError):
        read(form, payload)
