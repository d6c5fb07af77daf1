"""PUBLISH packets are read and written as paho, which is older and slower, does it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.core.model import NO_PROPERTIES, Message, MessageProperties, OutgoingMessage
from bridge.transports.mqtt.packet_reader import PacketReader, ProtocolError
from bridge.transports.mqtt.publish_packet import encode_publish, parse_puback, parse_publish
from tests.support.scripted_broker import publish

TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0+#"), max_size=30)
TOPIC = TEXT.filter(lambda topic: topic != "")


def parse(packet: bytes, *, has_properties: bool = False) -> Message:
    """Parse one packet."""
    reader = PacketReader()
    reader.feed(packet)
    (whole,) = reader.packets()
    return parse_publish(whole, "plant", has_properties=has_properties)


@given(topic=TOPIC, payload=st.binary(max_size=300), packet_id=st.integers(0, 65_535), flags=st.integers(0, 3))
def test_a_packet_of_3_1_1_is_read_whole(topic: str, payload: bytes, packet_id: int, flags: int) -> None:
    """Topic, payload, QoS, packet id, RETAIN and DUP are those of the packet."""
    retain, dup = bool(flags & 1), bool(flags & 2)
    first = 0x30 | (0x02 if packet_id else 0) | (0x01 if retain else 0) | (0x08 if dup else 0)
    message = parse(publish(topic, payload, packet_id, first=first))
    assert (message.connection, message.topic, message.payload) == ("plant", topic, payload)
    assert (message.qos, message.packet_id, message.retain, message.dup) == (bool(packet_id), packet_id, retain, dup)
    assert message.properties is NO_PROPERTIES


@given(
    response_topic=TOPIC,
    correlation_data=st.binary(min_size=1, max_size=60),
    content_type=TOPIC,
    expiry_s=st.integers(1, 2**32 - 1),
    user=st.lists(st.tuples(TEXT, TEXT), max_size=4),
    subscription=st.none() | st.integers(1, 268_435_455),
)
def test_properties_are_read_as_paho_writes_them(
    response_topic: str,
    correlation_data: bytes,
    content_type: str,
    expiry_s: int,
    user: list[tuple[str, str]],
    subscription: int | None,
) -> None:
    """Each property of MQTT 5.0 section 3.3.2.3 comes out; those that mean nothing to us are skipped."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = response_topic
    properties.CorrelationData = correlation_data
    properties.ContentType = content_type
    properties.MessageExpiryInterval = expiry_s
    properties.PayloadFormatIndicator = 1
    if user:
        properties.UserProperty = user
    if subscription is not None:
        properties.SubscriptionIdentifier = subscription
    found = parse(publish("t", b"payload", 7, properties=properties.pack()), has_properties=True)
    expected = MessageProperties(response_topic, correlation_data, content_type, float(expiry_s), "", tuple(user))
    assert found.properties == expected
    assert found.payload == b"payload"


def test_qos_2_is_handed_in_as_1() -> None:
    """Nobody behind the transport has to know a third quality of service."""
    assert parse(publish("t", b"x", 9, first=0x34)).qos == 1


@pytest.mark.parametrize("topic", [b"", b"\xff\xfe", b"a\0b", b"a/+", b"#"])
def test_a_topic_that_is_none_is_told_and_not_an_error(topic: bytes) -> None:
    """Closing would have the broker send the message again for ever; so it is marked, with its packet id."""
    found = parse(publish(topic, b"x", 5))
    assert (found.topic, found.packet_id) == ("", 5)


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\x00",
        b"\x30\x01\x00",
        b"\x30\x02\x00\x05",
        b"\x32\x03\x00\x01a",
        b"\x32\x05\x00\x01a\x00\x00",
        b"\x36\x05\x00\x01a\x00\x01",
    ],
    ids=["empty", "half a length", "topic too long", "no packet id", "packet id 0", "QoS 3"],
)
def test_a_malformed_packet_is_a_protocol_error(packet: bytes) -> None:
    """What ends before its parts do, packet id 0 and QoS 3 are refused."""
    with pytest.raises(ProtocolError):
        parse(packet)


@pytest.mark.parametrize(
    "properties",
    [b"", b"\x05", b"\x02\x7f\x00", b"\x03\x09\x00\x09", b"\x80\x80\x80\x80\x01", b"\x04\x08\x00\x01\xff", b"\x01\x02"],
)
def test_malformed_properties_are_a_protocol_error(properties: bytes) -> None:
    """Missing, unknown, too long, or not UTF-8: refused."""
    with pytest.raises(ProtocolError):
        parse(publish("t", b"", 1, properties=properties), has_properties=True)


@given(body=st.binary(min_size=0, max_size=120), first=st.integers(0x30, 0x3F), has_properties=st.booleans())
def test_random_packets_give_a_message_or_a_protocol_error(body: bytes, first: int, has_properties: bool) -> None:
    """No other exception leaves the parser, and the payload is the end of the packet."""
    packet = bytes([first, len(body)]) + body
    with contextlib.suppress(ProtocolError):
        found = parse(packet, has_properties=has_properties)
        assert body.endswith(found.payload)


@given(
    body=st.binary(min_size=0, max_size=60),
    behind=st.binary(min_size=1, max_size=60),
    flags=st.integers(0, 15),
    has_properties=st.booleans(),
)
def test_what_follows_a_packet_does_not_change_it(body: bytes, behind: bytes, flags: int, has_properties: bool) -> None:
    """The same packet alone and with other bytes behind it is read alike: nothing beyond its end is looked at."""

    def outcome(tail: bytes) -> Message | None:
        reader = PacketReader()
        reader.feed(bytes([0x30 | flags, len(body)]) + body + tail)
        packet = next(iter(reader.packets()))
        try:
            return parse_publish(packet, "plant", has_properties=has_properties)
        except ProtocolError:
            return None

    assert outcome(b"") == outcome(behind)


OUTGOING = st.builds(
    OutgoingMessage,
    topic=TOPIC,
    payload=st.binary(max_size=300),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    correlation_data=st.binary(max_size=60),
    content_type=TEXT,
    user=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
)


@given(OUTGOING, st.integers(1, 65_535), st.booleans())
def test_what_is_written_is_the_packet_that_paho_writes(
    message: OutgoingMessage, packet_id: int, has_properties: bool
) -> None:
    """Byte for byte, properties in the same order."""
    packet = encode_publish(message, packet_id, has_properties=has_properties)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5 if has_properties else MQTTv311)
    properties = Properties(PacketTypes.PUBLISH)
    if message.content_type:
        properties.ContentType = message.content_type
    if message.correlation_data:
        properties.CorrelationData = message.correlation_data
    if message.user:
        properties.UserProperty = list(message.user)
    written = bytearray()
    client._sock = object()
    client._packet_queue = lambda _command, whole, *_: written.extend(whole)
    client._send_publish(
        packet_id, message.topic.encode(), message.payload, message.qos, message.retain, properties=properties
    )
    client._sock = None
    assert packet == bytes(written)
    assert parse(packet, has_properties=has_properties).payload == message.payload


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (OutgoingMessage("", b""), "at least one character"),
        (OutgoingMessage("a/+", b""), "wildcards"),
        (OutgoingMessage("a\0b", b""), "NUL"),
        (OutgoingMessage("a\ud800", b""), "UTF-8"),
        (OutgoingMessage("t" * 65_536, b""), "65535"),
        (OutgoingMessage("t", b"", user=(("code", "x" * 65_536),)), "too long"),
        (OutgoingMessage("t", b"", content_type="\ud800"), "surrogates"),
        (OutgoingMessage("t", bytes(268_435_455)), "too many"),
    ],
)
def test_what_cannot_be_a_packet_is_refused_with_the_reason(message: OutgoingMessage, told: str) -> None:
    """One message is refused; nothing of it is written."""
    with pytest.raises(ValueError, match=told):
        encode_publish(message, 1, has_properties=True)


@given(st.integers(1, 65_535), st.none() | st.integers(0, 255), st.none() | st.text(max_size=80))
def test_an_answer_to_a_publish_is_read_in_each_form(packet_id: int, code: int | None, reason: str | None) -> None:
    """Without a reason code it is success (MQTT 5.0 section 3.4.2.1); properties do not matter."""
    rest = packet_id.to_bytes(2, "big")
    if code is not None:
        rest += bytes([code])
        if reason is not None:
            properties = b"\x1f" + len(reason.encode()).to_bytes(2, "big") + reason.encode()
            size = len(properties)
            rest += (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + properties
    size = len(rest)
    packet = b"\x40" + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + rest
    assert parse_puback(packet) == (packet_id, code or 0)


@pytest.mark.parametrize("packet", [b"\x40\x00", b"\x40\x01\x00", b"\x40\x02\x00\x00", b"\x40\x03\x00\x00\x10"])
def test_a_malformed_answer_is_a_protocol_error(packet: bytes) -> None:
    """It has a packet id, which is never 0."""
    with pytest.raises(ProtocolError):
        parse_puback(packet)
