"""Replies have exactly the documented keys, and fit where they must go."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import ReplyAddress
from bridge.interface import replies
from bridge.interface.replies import Refusal

ADDRESS = ReplyAddress("plant", "replies/me", b"\x00\xff", '{"n":1180591620717411303424}')


def test_a_success_has_exactly_its_keys() -> None:
    """Status, workflowId, and requestId where the request had one; the code travels beside the body."""
    message = replies.triggered(ReplyAddress("plant", "r"), "boil-1")
    assert json.loads(message.payload) == {"status": "Workflow triggered successfully", "workflowId": "boil-1"}
    assert (message.topic, message.user, message.qos, message.retain) == ("r", (("code", "200"),), 1, False)
    assert json.loads(replies.triggered(ADDRESS, "boil-1").payload).keys() == {"status", "workflowId", "requestId"}


def test_request_id_and_correlation_data_come_back_to_the_letter() -> None:
    """Both are echoed exactly, integers of any size too."""
    message = replies.triggered(ADDRESS, "boil-1")
    assert message.correlation_data == b"\x00\xff"
    assert json.loads(message.payload)["requestId"] == {"n": 2**70}


def test_an_error_has_a_sentence_and_details_where_there_are_any() -> None:
    """No workflowId, and no empty details."""
    plain = replies.refused(ADDRESS, Refusal("forbidden-namespace", "not allowed"))
    assert json.loads(plain.payload) == {"error": "not allowed", "requestId": {"n": 2**70}}
    assert plain.user == (("code", "403"),)
    told = replies.refused(ADDRESS, Refusal("invalid-workflow", "bad", [{"pointer": "/spec"}]))
    assert json.loads(told.payload)["details"] == [{"pointer": "/spec"}]


def test_details_are_bounded_and_the_rest_is_counted() -> None:
    """101 findings are 100 and a count."""
    details = json.loads(replies.refused(ADDRESS, Refusal("x", "y", list(range(250)))).payload)["details"]
    assert details[:100] == list(range(100))
    assert details[100:] == [{"message": "150 more findings are not shown"}]


@pytest.mark.parametrize(("reason", "code"), [("name-taken", 409), ("busy", 503), ("what-else", 400)])
def test_every_reason_has_an_http_like_code(reason: str, code: int) -> None:
    """What is not told otherwise is the sender's fault."""
    assert replies.http_code(reason) == code


@given(st.text(max_size=3000), st.lists(st.text(max_size=50), max_size=20), st.integers(200, 4000))
def test_a_shrunk_error_fits_and_keeps_its_meaning(text: str, details: list[str], limit: int) -> None:
    """An error fits, is JSON, keeps requestId and the beginning of its sentence."""
    payload = replies.refused(ADDRESS, Refusal("x", text, details)).payload
    shrunk = replies.shrink(payload, limit)
    body = json.loads(shrunk)
    assert len(shrunk) <= max(limit, 400)
    assert body["requestId"] == {"n": 2**70}
    assert text.startswith(body["error"].rstrip("…")) or body["error"] == text
    if len(payload) > limit:
        assert body["details"] == {"truncated": True}
    else:
        assert shrunk == payload


def test_a_notice_shrinks_and_a_success_does_not() -> None:
    """A dead-letter notice gives up its longest texts; a success reply keeps exactly its keys."""
    notice = json.dumps({"reason": "x", "message": "m" * 900, "topic": "t" * 900, "payloadSha256": "a" * 64}).encode()
    shrunk = replies.shrink(notice, 400)
    assert len(shrunk) <= 400
    assert json.loads(shrunk)["payloadSha256"] == "a" * 64
    success = replies.triggered(ADDRESS, "boil-1").payload
    assert replies.shrink(success, 10) == success
