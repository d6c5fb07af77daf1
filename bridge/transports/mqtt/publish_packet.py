"""Parses and writes PUBLISH packets, the only kind that comes in large numbers. Pure; runs on the transport's thread.

paho takes 15 to 60 us for one (its `MQTTMessage`, properties and locks); this takes about 3.

Source: MQTT 5.0 section 3.3, MQTT 3.1.1 section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core import topic_filter
from bridge.core.model import NO_PROPERTIES, Message, MessageProperties, OutgoingMessage
from bridge.transports.mqtt.packet_reader import PUBLISH, ProtocolError

_PAYLOAD_FORMAT = 0x01
_MESSAGE_EXPIRY = 0x02
_CONTENT_TYPE = 0x03
_RESPONSE_TOPIC = 0x08
_CORRELATION_DATA = 0x09
_SUBSCRIPTION_IDENTIFIER = 0x0B
_TOPIC_ALIAS = 0x23
_USER_PROPERTY = 0x26
_MAX_VARIABLE_INTEGER = 268_435_455


def parse_publish(data: bytes, connection: str, *, has_properties: bool) -> Message:
    """Parse one PUBLISH packet; QoS 2 is treated as 1.

    Args:
        data: the packet.
        connection: name of the connection, for the message.
        has_properties: True for MQTT 5.0.

    Returns:
        the message; with topic "" when its topic is no topic name: then it is to be acknowledged and skipped. (A broker
        lets none through. One that does must not make us close: it would send it again.)

    Raises:
        ProtocolError: the packet is malformed.
    """
    first, end = data[0], len(data)
    qos = (first >> 1) & 3
    position = 2
    while data[position - 1] >= 0x80:
        position += 1
    topic_start = position + 2
    position = topic_start + (data[position] << 8 | data[position + 1]) if topic_start <= end else end + 1
    raw_topic = data[topic_start:position]
    packet_id = 0
    if qos:
        packet_id = int.from_bytes(data[position : position + 2], "big")
        position += 2
    if position > end or qos == 3 or (qos and not packet_id):
        raise ProtocolError("a malformed PUBLISH")
    properties = NO_PROPERTIES
    if has_properties:
        properties, position = _properties(data, position, end)
    return Message(
        connection,
        _topic(raw_topic),
        data[position:],
        1 if qos else 0,
        first & 1 == 1,
        first & 8 == 8,
        packet_id,
        properties,
    )


def encode_publish(message: OutgoingMessage, packet_id: int, *, has_properties: bool) -> bytes:
    """Return a PUBLISH packet, without DUP: what is lost with a connection is a new message on the next one.

    Args:
        message: what is sent.
        packet_id: 1 to 65535; unused at QoS 0.
        has_properties: True for MQTT 5.0.

    Raises:
        ValueError: not a topic name, text that is not Unicode, or something too long for a packet.
    """
    problem = topic_filter.name_problem(message.topic)
    if problem:
        raise ValueError(problem)
    properties = b""
    if has_properties:
        written = b"".join(_written_properties(message))
        properties = _written_integer(len(written)) + written
    identifier = packet_id.to_bytes(2, "big") if message.qos else b""
    rest = b"".join((_written_binary(message.topic.encode()), identifier, properties, message.payload))
    return bytes((PUBLISH | message.qos << 1 | message.retain,)) + _written_integer(len(rest)) + rest


def _written_properties(message: OutgoingMessage) -> Iterator[bytes]:
    if message.content_type:
        yield b"\x03" + _written_binary(message.content_type.encode())
    if message.correlation_data:
        yield b"\x09" + _written_binary(message.correlation_data)
    for name, value in message.user:
        yield b"\x26" + _written_binary(name.encode()) + _written_binary(value.encode())


def _written_binary(data: bytes) -> bytes:
    if len(data) > 65_535:
        raise ValueError(f"a text of {len(data)} bytes is too long for an MQTT packet")
    return len(data).to_bytes(2, "big") + data


def _written_integer(value: int) -> bytes:
    """Return a variable byte integer (MQTT 5.0 section 1.5.5)."""
    if value > _MAX_VARIABLE_INTEGER:
        raise ValueError(f"{value} bytes are too many for an MQTT packet")
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def parse_puback(data: bytes) -> tuple[int, int]:
    """Return packet id and reason code of a PUBACK; 0 is success (MQTT 5.0 section 3.4.2).

    Raises:
        ProtocolError: the packet is malformed.
    """
    length, position = _variable_integer(data, 1)
    packet_id = int.from_bytes(data[position : position + 2], "big")
    if length < 2 or not packet_id:
        raise ProtocolError("a malformed PUBACK")
    return packet_id, data[position + 2] if length > 2 else 0


def _topic(raw: bytes) -> str:
    if b"\0" in raw or b"+" in raw or b"#" in raw:
        return ""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return ""


def _properties(data: bytes, position: int, limit: int) -> tuple[MessageProperties, int]:
    """Return the properties that start at `position`, and the offset after them."""
    try:
        if data[position] == 0 and position < limit:
            return NO_PROPERTIES, position + 1
        length, position = _variable_integer(data, position)
        end = position + length
        if end > limit:
            raise ProtocolError("PUBLISH properties exceed the packet")
        return _property_values(data, position, end), end
    except (IndexError, UnicodeDecodeError) as error:
        raise ProtocolError(f"malformed PUBLISH properties: {error}") from error


def _property_values(data: bytes, position: int, end: int) -> MessageProperties:
    content_type, response_topic, correlation_data = "", "", b""
    expiry_s: float | None = None
    user: list[tuple[str, str]] = []
    while position < end:
        kind = data[position]
        position += 1
        if kind == _USER_PROPERTY:
            name, position = _binary(data, position, end)
            value, position = _binary(data, position, end)
            user.append((name.decode(), value.decode()))
        elif kind == _CORRELATION_DATA:
            correlation_data, position = _binary(data, position, end)
        elif kind == _RESPONSE_TOPIC:
            raw, position = _binary(data, position, end)
            response_topic = raw.decode()
        elif kind == _CONTENT_TYPE:
            raw, position = _binary(data, position, end)
            content_type = raw.decode()
        elif kind == _MESSAGE_EXPIRY:
            expiry_s = float(int.from_bytes(data[position : position + 4], "big"))
            position += 4
        else:
            position = _skip_property(kind, data, position)
    if position != end:
        raise ProtocolError("a PUBLISH property exceeds the properties")
    return MessageProperties(response_topic, correlation_data, content_type, expiry_s, "", tuple(user))


def _skip_property(kind: int, data: bytes, position: int) -> int:
    if kind == _PAYLOAD_FORMAT:
        return position + 1
    if kind == _SUBSCRIPTION_IDENTIFIER:
        return _variable_integer(data, position)[1]
    if kind == _TOPIC_ALIAS:
        return position + 2  # we announce no Topic Alias Maximum; the topic is then empty and the message is skipped
    raise ProtocolError(f"PUBLISH property 0x{kind:02x} does not exist")


def _variable_integer(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 21:
            raise ProtocolError("a variable byte integer of more than four bytes")


def _binary(data: bytes, position: int, end: int) -> tuple[bytes, int]:
    start = position + 2
    behind = start + (data[position] << 8 | data[position + 1])
    if behind > end:
        raise ProtocolError("a PUBLISH property exceeds the properties")
    return data[start:behind], behind
