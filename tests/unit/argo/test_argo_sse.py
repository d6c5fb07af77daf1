"""Frames out of a stream, however it was cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.sse import FrameTooLargeError, SseParser

FRAMES = [b'{"result":{"type":"ADDED"}}', b'{"a":"x\\ny"}', b"{}", '{"ä":"€"}'.encode()]


def parse(chunks: list[bytes]) -> list[bytes]:
    parser = SseParser()
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return frames + parser.close()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(marks)]


events = st.lists(
    st.sampled_from(FRAMES).map(lambda frame: (b"data: " + frame + b" \n\n\n", [frame]))
    | st.just((b":\n", []))
    | st.just((b": keepalive\n\n", []))
    | st.just((b"event: x\nid: 7\nretry: 1\n\n", []))
    | st.just((b"data:" + FRAMES[0] + b"\n\n", [FRAMES[0]]))
    | st.just((b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}'])),
    max_size=8,
)


@given(events, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_chunking_and_line_ending_gives_the_same_frames(parts, ending, places):
    """Frames come whole and in order, wherever the network cut the stream."""
    stream = b"".join(raw for raw, _ in parts).replace(b"\n", ending)
    wanted = [frame for _, frames in parts for frame in frames]
    assert parse(cut(stream, places)) == wanted


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_make_it_raise(chunks):
    """Garbage gives frames or none, the same ones whole or in pieces, and never an exception."""
    assert parse(chunks) == parse([b"".join(chunks)])


def test_a_frame_is_given_as_soon_as_it_is_whole():
    """Not only when the next one arrives."""
    parser = SseParser()
    assert parser.feed(b'data: {"a":1} \n') == []
    assert parser.feed(b"\n") == [b'{"a":1}']
    assert parser.feed(b"\n:\n") == []


def test_an_unterminated_error_frame_counts_at_the_end():
    """Argo's last frame lacks its final line breaks in either framing."""
    assert parse([b'data: {"error":{}} \n\n']) == [b'{"error":{}}']
    assert parse([b'data: {"error":{}}']) == [b'{"error":{}}']
    assert parse([b'{"result":{}}\n{"error":{}}']) == [b'{"result":{}}', b'{"error":{}}']


def test_a_byte_order_mark_is_no_part_of_a_frame():
    """Some proxies add one."""
    assert parse([b"\xef\xbb\xbfdata: {}\n\n"]) == [b"{}"]


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 50, b"data: xxxxxxxxxx\n", b"x" * 50, b":" + b"x" * 50])
def test_a_frame_beyond_the_bound_ends_the_stream(chunk):
    """Memory is bounded whether it is one endless line, endless data lines, or an endless comment."""
    parser = SseParser(max_frame_bytes=200)

    def feed_for_ever() -> None:
        for _ in range(100):
            parser.feed(chunk)

    with pytest.raises(FrameTooLargeError):
        feed_for_ever()


def test_the_bound_is_for_one_frame_not_for_the_stream():
    """A watch lives for days."""
    parser = SseParser(max_frame_bytes=200)
    for _ in range(1000):
        assert parser.feed(b"data: " + b"x" * 150 + b"\n\n:\n") == [b"x" * 150]
