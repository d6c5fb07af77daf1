"""Blobs of the spool: what goes in comes out, and an unknown version is not guessed at."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError, SpoolError
from bridge.core.model import OutgoingMessage, ReplyAddress, WorkflowOrder
from bridge.spool.encoding import (
    decode_event,
    decode_letter,
    decode_message,
    decode_reply,
    encode_event,
    encode_letter,
    encode_message,
    encode_reply,
    reply_of_body,
)
from bridge.spool.new_rows import digest_of
from bridge.spool.records import Asked, NewDeadLetter, NewEvent, OutboxMessage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMED = st.dictionaries(TEXT, TEXT, max_size=3)
ADDRESSES = st.builds(ReplyAddress, TEXT, TEXT, st.binary(max_size=20), TEXT)


@given(ADDRESSES)
def test_a_reply_address_comes_back(address: ReplyAddress) -> None:
    """Correlation data keeps every byte."""
    assert decode_reply(encode_reply(address)) == address


@given(
    st.builds(
        NewEvent,
        id=st.binary(min_size=32, max_size=32),
        lane=TEXT,
        order=st.builds(WorkflowOrder, TEXT, TEXT, st.binary(max_size=20), TEXT, NAMED, NAMED),
        mapping=TEXT,
        topic=TEXT,
        connection=TEXT,
        payload_digest=st.binary(min_size=32, max_size=32),
        content_digest=st.just(b"") | st.binary(min_size=32, max_size=32),
        status_topic=TEXT,
        order_key=TEXT,
        max_age_s=st.none() | st.floats(0, 1e9),
        reply=st.none() | ADDRESSES,
        asked=st.none() | st.builds(Asked, TEXT, TEXT, st.dictionaries(TEXT, TEXT | st.booleans() | NAMED, max_size=3)),
    ),
    st.none() | TEXT,
)
def test_an_event_comes_back(event: NewEvent, note: str | None) -> None:
    """Columns and body together are the whole event, be it a workflow to create or an operation."""
    body = encode_event(event)
    order = event.order
    columns = (1, event.id, digest_of(event), order.namespace, order.name, event.lane, 2, event.order_key or None)
    row = decode_event((*columns, 3.0, 4.0, 5, 6.0, body, note, 7), order.manifest, ())
    assert row.event == event
    assert row.replies == (() if event.reply is None else (event.reply,))
    assert reply_of_body(body) == event.reply
    assert (row.seq, row.not_before_s, row.expires_at_s, row.attempts, row.stored_at_s) == (1, 3.0, 4.0, 5, 6.0)
    assert row.note == (note or "")
    assert row.own_failures == 7


@given(
    st.builds(
        OutgoingMessage,
        TEXT,
        st.binary(max_size=20),
        st.sampled_from([0, 1]),
        st.booleans(),
        st.binary(max_size=20),
        TEXT,
        st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
    )
)
def test_a_message_comes_back(message: OutgoingMessage) -> None:
    """Payload, correlation data and repeated user properties are kept as they are."""
    assert decode_message("plant", *encode_message(OutboxMessage("plant", message))).message == message


@given(st.binary(min_size=1, max_size=50), TEXT, st.binary(max_size=32))
def test_a_dead_letter_comes_back(payload: bytes, text: str, event_id: bytes) -> None:
    """A letter that tells its payload's length and digest is kept to the letter."""
    letter = NewDeadLetter("r", text, text, text, text, payload, 99, b"d" * 32, event_id, 4, ({"a": [text]}, text))
    assert decode_letter(text, "r", *encode_letter(letter)) == letter


def test_text_that_is_not_unicode_is_not_storable() -> None:
    """A lone surrogate is refused before anything is written, under a code of its own."""
    with pytest.raises(PermanentError) as caught:
        encode_reply(ReplyAddress("plant", "\ud800"))
    assert caught.value.code == "not-storable"


def test_an_unknown_encoding_is_not_guessed_at() -> None:
    """A blob of another version is reported as damage, not misread."""
    with pytest.raises(SpoolError) as caught:
        decode_reply(orjson.dumps((2, "other")))
    assert caught.value.code == "corrupt"
