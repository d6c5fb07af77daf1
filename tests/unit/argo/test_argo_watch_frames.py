"""What frames of a watch mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.watch import EndReason, WatchEnd, WatchFrame, read_frame


def error(http_code: int, grpc_code: int, message: str) -> bytes:
    return json.dumps({"error": {"grpc_code": grpc_code, "http_code": http_code, "message": message}}).encode()


def test_a_change_is_read():
    """Type, object, the place to resume from, and its size."""
    workflow = {"metadata": {"name": "a", "resourceVersion": "12"}, "status": {"phase": "Running"}}
    data = json.dumps({"result": {"type": "MODIFIED", "object": workflow}}).encode()
    assert read_frame(data) == WatchFrame("MODIFIED", workflow, "12", len(data))


@pytest.mark.parametrize(
    ("frame", "reason", "code"),
    [
        (error(429, 8, "EOF"), EndReason.EOF, "watch-ended"),
        (error(400, 3, "too old resource version: 1 (266)"), EndReason.EXPIRED, "watch-expired"),
        (error(400, 3, "The resourceVersion for the provided watch is too old."), EndReason.EXPIRED, "watch-expired"),
        (error(400, 3, "unable to parse requirement"), EndReason.UNAVAILABLE, "invalid"),
        (error(401, 16, "Unauthorized"), EndReason.DENIED, "not-authenticated"),
        (error(403, 7, "workflows.argoproj.io is forbidden"), EndReason.DENIED, "not-permitted"),
        (error(500, 13, "unable to decode an event from the watch stream"), EndReason.UNAVAILABLE, "server-error"),
        (error(503, 14, "connection error"), EndReason.UNAVAILABLE, "server-error"),
        (b'{"error":"text"}', EndReason.UNAVAILABLE, "server-error"),
        (b'{"error":{"http_code":200}}', EndReason.UNAVAILABLE, "server-error"),
        (b"{}", EndReason.CUT, "connection-lost"),
        (b"[]", EndReason.UNAVAILABLE, "connection-lost"),
        (b"not json", EndReason.UNAVAILABLE, "connection-lost"),
        (b'{"result":{"type":"ADDED"}}', EndReason.UNAVAILABLE, "connection-lost"),
        (b'{"result":{"object":{}}}', EndReason.UNAVAILABLE, "connection-lost"),
        (b'{"result":{}}', EndReason.UNAVAILABLE, "connection-lost"),
    ],
)
def test_a_frame_that_ends_the_watch_says_how_to_go_on(frame, reason, code):
    """Resume, list again, wait, or get another token: one reason for each end."""
    end = read_frame(frame)
    assert isinstance(end, WatchEnd)
    assert (end.reason, end.answer.code) == (reason, code)


@given(
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda i: st.dictionaries(st.sampled_from(["result", "error", "type", "object", "metadata", "http_code"]), i),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_frame_makes_it_raise(frame):
    """Any bytes are a change or an end."""
    assert isinstance(read_frame(frame), WatchFrame | WatchEnd)
