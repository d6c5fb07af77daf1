"""A byte stream is cut into the packets that were sent, however the network cut it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.transports.mqtt.packet_reader import PacketReader, ProtocolError


def encode(first: int, body: bytes) -> bytes:
    """One control packet."""
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([first]) + bytes(length) + body


PACKETS = st.lists(
    st.tuples(st.integers(0, 255), st.one_of(st.binary(max_size=300), st.just(b"x" * 20_000))), max_size=12
)


@given(packets=PACKETS, cuts=st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_any_chunking_gives_the_same_packets(packets: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """Whole packets come out in order to the last byte; nothing is lost or left at the end."""
    stream = b"".join(encode(first, body) for first, body in packets)
    reader, found, position, turn = PacketReader(), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        reader.feed(stream[position : position + size])
        position += size
        turn += 1
        found += reader.packets()
    assert found == [encode(first, body) for first, body in packets]
    assert reader.unread_bytes == 0


def test_the_caller_may_stop_at_any_packet_and_go_on_later() -> None:
    """Packets not taken stay for the next call, before what arrives meanwhile."""
    reader = PacketReader()
    reader.feed(encode(0x30, b"1") + encode(0x30, b"2"))
    first = next(iter(reader.packets()))
    reader.feed(encode(0x30, b"3"))
    assert [packet[2:] for packet in [first, *reader.packets()]] == [b"1", b"2", b"3"]


@given(size=st.integers(101, 3000), cut=st.integers(1, 500), behind=st.binary(max_size=50))
def test_an_oversized_publish_is_cut_and_its_rest_skipped(size: int, cut: int, behind: bytes) -> None:
    """A PUBLISH over the limit comes out with the limit's bytes, and the packet after it is intact."""
    reader, found = PacketReader(limit=100), []
    stream = encode(0x32, b"x" * size) + encode(0x40, behind)
    for start in range(0, len(stream), cut):
        reader.feed(stream[start : start + cut])
        found += [(packet[0], len(packet)) for packet in reader.packets()]
        assert reader.unread_bytes <= 100 + cut
    assert found == [(0x32, 100), (0x40, len(behind) + 2)]


@pytest.mark.parametrize(
    ("stream", "limit"),
    [(b"\x30\xff\xff\xff\xff\x01", 1000), (b"\x90\xff\x7f", 100)],
    ids=["length", "oversized suback"],
)
def test_what_is_not_mqtt_is_refused(stream: bytes, limit: int) -> None:
    """A length of five bytes, or a large packet that is no PUBLISH, is a protocol error, not a wait for ever."""
    reader = PacketReader(limit)
    reader.feed(stream)
    with pytest.raises(ProtocolError):
        list(reader.packets())


@given(st.binary(max_size=200))
def test_random_bytes_give_packets_or_a_protocol_error(stream: bytes) -> None:
    """No other exception leaves the reader, whatever arrives."""
    reader = PacketReader(limit=100)
    reader.feed(stream)
    with contextlib.suppress(ProtocolError):
        assert b"".join(reader.packets()) in stream
