"""Promises of compressed payloads: they are what was compressed, and a bomb costs no more than its limit."""

import gzip
import sys
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from bridge.configfile.problems import Code
from bridge.mapping.formats.decoder import DecoderOptions, OptionError, PayloadError
from bridge.mapping.formats.prepared import MAX_INFLATED_BYTES, Encoding
from bridge.mapping.payloads import PayloadFormat, make_decoder

WRITERS = {Encoding.GZIP: gzip.compress, Encoding.DEFLATE: zlib.compress, Encoding.ZSTD: zstd.compress}
ALL = pytest.mark.parametrize("encoding", list(Encoding))


def decoder_of(encoding, form="json", charset="utf-8"):
    return make_decoder(PayloadFormat(form), DecoderOptions(charset=charset), encoding)


def refused(encoding, payload):
    with pytest.raises(PayloadError) as caught:
        decoder_of(encoding, "text").decode(payload)
    assert caught.value.code == "invalid-payload"
    return caught.value.message


@ALL
@given(text=st.text(max_size=200))
def test_what_was_compressed_is_read(encoding, text):
    """In any format."""
    assert decoder_of(encoding, "text").decode(WRITERS[encoding](text.encode())) == text


@ALL
def test_a_compressed_message_is_decompressed_once(encoding):
    """Also for its exact value, and before its character set is looked at."""
    payload = WRITERS[encoding]('{"größe": 18446744073709551616}'.encode("utf-16"))
    decoder = decoder_of(encoding, charset="utf-16")
    decoded = decoder.decode(payload)
    assert decoder.decode(payload) is decoded
    assert decoder.exact(payload, decoded) == {"größe": 2**64}


@ALL
@given(payload=st.binary(max_size=60), kept=st.integers(0, 40))
def test_no_bytes_raise_anything_else(encoding, payload, kept):
    """Noise, and a beginning that is right."""
    begun = WRITERS[encoding](b'{"a": 1}' * 3)[:kept]
    for given_ in (payload, begun + payload):
        with suppress(PayloadError):
            decoder_of(encoding, "bytes").decode(given_)


@ALL
def test_a_bomb_is_refused_before_it_takes_memory(encoding):
    """Ten million bytes of some kilobytes need no more memory than the limit allows; exactly the limit is read."""
    bomb, largest = (WRITERS[encoding](b" " * size) for size in (100_000_000, MAX_INFLATED_BYTES))
    assert len(bomb) < 100_000
    decoder = decoder_of(encoding, "text")
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match="more than 1024 KiB when decompressed"):
            decoder.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_INFLATED_BYTES
    finally:
        tracemalloc.stop()
    assert len(decoder_of(encoding, "text").decode(largest)) == MAX_INFLATED_BYTES


@ALL
def test_what_is_not_one_whole_stream_is_refused(encoding):
    """A part, two of them, and something else."""
    whole = WRITERS[encoding](b"payload")
    assert f"not {encoding}" in refused(encoding, b"payload")
    for end in range(len(whole)):
        refused(encoding, whole[:end])
    assert "not complete" in refused(encoding, whole[:-1])
    assert "more behind" in refused(encoding, whole + whole)
    assert "more behind" in refused(encoding, whole + b"\0")


def test_a_frame_that_asks_for_much_memory_is_refused():
    """Its window is as large as the frame says, before the first byte is there."""
    large = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    assert "too much memory" in refused(Encoding.ZSTD, large.compress(b"x") + large.flush())


def test_a_library_that_is_missing_is_named(monkeypatch):
    """At the key that asks for it."""
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(OptionError) as caught:
        decoder_of(Encoding.ZSTD)
    assert (caught.value.key, caught.value.code) == ("encoding", Code.MISSING_LIBRARY)
