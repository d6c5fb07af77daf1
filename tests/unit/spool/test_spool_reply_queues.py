"""The reply queue of an AMQP request survives the spool, and rows without one read as they always did."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import OutgoingMessage, ReplyAddress
from bridge.spool.encoding import decode_message, decode_reply, encode_message, encode_reply
from bridge.spool.records import OutboxMessage

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)


@given(TEXT, st.binary(max_size=5))
def test_an_address_comes_back(queue: str, correlation: bytes) -> None:
    """With its queue, or without."""
    address = ReplyAddress("office", "t", correlation, "7", queue)
    assert decode_reply(encode_reply(address)) == address


@given(TEXT, TEXT)
def test_a_message_comes_back(queue: str, value: str) -> None:
    """Likewise."""
    row = OutboxMessage("office", OutgoingMessage("t", b"{}", user=(("code", value),), queue=queue))
    assert decode_message("office", *encode_message(row)) == row


def test_rows_of_before_are_read() -> None:
    """A spool that knew no queues."""
    assert decode_reply(orjson.dumps([1, ["plant", "t", "c", "7"]])) == ReplyAddress("plant", "t", b"c", "7")
    head = orjson.dumps([1, "t", 1, False, "c", "text/plain", [["code", "200"]]])
    assert decode_message("plant", head, b"x").message.queue == ""
