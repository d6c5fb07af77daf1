"""Whatever a message's properties hold, they are read or refused, and never an exception."""

from __future__ import annotations

import struct
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.transports.amqp.properties import MalformedError, Reader, message_id_of, read_properties, text_of

NOW_S = 1_800_000_000.0


def header(**properties: Any) -> bytes:
    """Properties as pika writes them."""
    return b"".join(pika.BasicProperties(**properties).encode())


def nested(levels: int) -> bytes:
    """A header table nested so deep, written by hand: pika's own writing would run out of stack."""
    value = b"V"
    for _ in range(levels):
        table = b"\1a" + value
        value = b"F" + struct.pack(">I", len(table)) + table
    table = b"\4deep" + value + b"\4textS\0\0\0\2ok"
    return struct.pack(">H", 1 << 13) + struct.pack(">I", len(table)) + table


def test_properties_are_read() -> None:
    """Each of those that the bridge uses."""
    found = read_properties(
        header(
            content_type="text/plain",
            content_encoding="GZIP ",
            headers={"text": "t", "number": -5, "flag": True, "bytes": b"b", "none": None, "list": [1], "table": {}},
            correlation_id=b"\xff\0",
            reply_to="answers",
            message_id="m-1",
            priority=3,
            delivery_mode=2,
        ),
        NOW_S,
    )
    assert (found.content_encoding, found.death, found.flaw) == ("gzip", None, None)
    shared = found.shared
    assert (shared.content_type, shared.correlation_data, shared.message_id) == ("text/plain", b"\xff\0", "m-1")
    assert (shared.reply_queue, shared.response_topic) == ("answers", "")
    assert shared.user == (("text", "t"), ("number", "-5"), ("flag", "true"), ("bytes", "b"))


@pytest.mark.parametrize("levels", [1, 50, 20_000])
def test_depth_harms_nobody(levels: int) -> None:
    """What is nested is passed over by its length."""
    found = read_properties(nested(levels), NOW_S)
    assert found.flaw is None
    assert found.shared.user == (("text", "ok"),)


@given(st.binary(max_size=200))
def test_any_bytes_are_properties_or_a_flaw(data: bytes) -> None:
    """A message that cannot be read is refused, not met again for ever."""
    found = read_properties(data, NOW_S)
    assert found.flaw is None or found.flaw.code in ("unreadable-properties", "unreadable-headers")


@given(st.binary(min_size=1, max_size=60))
def test_any_header_table_is_headers_or_a_flaw(table: bytes) -> None:
    """And what stands behind it is read all the same: the sender gets its answer."""
    flags = struct.pack(">H", 1 << 13 | 1 << 9)
    found = read_properties(flags + struct.pack(">I", len(table)) + table + b"\7answers", NOW_S)
    assert found.shared.reply_queue == "answers"
    assert all(isinstance(text, str) for pair in found.shared.user for text in pair)


def test_an_unknown_field_type_is_named() -> None:
    """With its place."""
    table = b"\1a?"
    found = read_properties(struct.pack(">HI", 1 << 13, len(table)) + table, NOW_S)
    assert found.flaw is not None
    assert found.flaw.code == "unreadable-headers"
    assert "b'?'" in found.flaw.message


@pytest.mark.parametrize(
    ("properties", "left_s"),
    [
        ({}, None),
        ({"expiration": "1500"}, 1.5),
        ({"expiration": "60000", "timestamp": int(NOW_S) - 20}, 40.0),
        ({"expiration": "60000", "timestamp": int(NOW_S) - 100}, 0.0),
        ({"expiration": "60000", "timestamp": int(NOW_S) + 100}, 60.0),  # a clock that is ahead prolongs nothing
        ({"expiration": "soon"}, None),
        ({"headers": {"x-death": [{"queue": "q", "reason": "expired"}]}}, 0.0),
        ({"headers": {"x-death": [{"queue": "q", "reason": "delivery_limit"}]}}, None),
    ],
)
def test_expiration_counts_from_the_timestamp(properties: dict[str, Any], left_s: float | None) -> None:
    """What RabbitMQ took out because its time was over has none left."""
    assert read_properties(header(**properties), NOW_S).shared.message_expiry_s == left_s


def test_the_last_death_is_told() -> None:
    """RabbitMQ writes the newest first."""
    deaths = [{"queue": "second", "reason": "delivery_limit"}, {"queue": "first", "reason": "expired"}]
    death = read_properties(header(headers={"x-death": deaths}), NOW_S).death
    assert death is not None
    assert (death.queue, death.reason) == ("second", "delivery_limit")
    assert read_properties(header(headers={"x-death": "forged"}), NOW_S).death is None


def test_cloud_events_are_named_as_over_mqtt() -> None:
    """Either prefix is dropped, and an attribute goes before a header of its name."""
    headers = {"cloudEvents:id": "1", "cloudEvents_source": "/s", "id": "other"}
    assert dict(read_properties(header(headers=headers), NOW_S).shared.user) == {"id": "1", "source": "/s"}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"T" + struct.pack(">Q", 0), "1970-01-01T00:00:00.000Z"),
        (b"T" + struct.pack(">Q", 2**63), str(2**63)),
        (b"d" + struct.pack(">d", float("nan")), "nan"),
        (b"d" + struct.pack(">d", 1.5), "1.5"),
        (b"D\2" + struct.pack(">i", 1234), "12.34"),
        (b"x\0\0\0\1\xff", None),
        (b"V", None),
    ],
)
def test_every_type_is_text_or_left_out(field: bytes, text: str | None) -> None:
    """Values that Python has no date or number for are no exception."""
    assert text_of(Reader(field).value()) == text


def test_the_id_of_a_returned_message_is_found() -> None:
    """As it was published."""
    assert message_id_of(header(message_id="17", headers={"code": "200"}, app_id="argo-bridge")) == "17"
    with pytest.raises(MalformedError):
        message_id_of(b"\x80")
