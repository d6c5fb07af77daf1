"""What another system may send to PREFIX/status, and what is said of everything else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.interface.status_updates import INVALID_UPDATE, external_update, is_from_bridge

SEED: dict[str, Any] = {
    "namespace": "example-namespace",
    "workflowId": "example-workflow-id",
    "status": "Running",
    "progress": "50%",
    "message": "Workflow is halfway through execution",
}


def test_the_seeds_update_is_read() -> None:
    """The interface description's own example, to the letter."""
    update = external_update(SEED)
    assert (update.namespace, update.workflow_id) == ("example-namespace", "example-workflow-id")
    assert (update.status, update.progress, update.message) == ("Running", "50%", SEED["message"])


def test_only_the_workflow_and_its_status_must_be_there() -> None:
    """Whatever else is missing reads as empty."""
    update = external_update({"workflowId": "a", "status": "Error"})
    assert (update.namespace, update.progress, update.message, update.details) == ("", "", "", {})


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"workflowId": None}, "/workflowId", "workflowId must be a non-empty text, found null"),
        ({"workflowId": "a/b"}, "/workflowId", '"a/b" cannot be the name of a workflow'),
        ({"workflowId": "+"}, "/workflowId", "cannot be the name of a workflow"),
        ({"status": "Runing"}, "/status", 'found "Runing"; did you mean "Running"?'),
        ({"status": ""}, "/status", "found an empty text"),
        ({"namespace": 7}, "/namespace", "found a number"),
        ({"progress": "101%"}, "/progress", 'from 0% to 100%, found "101%"'),
        ({"progress": "half"}, "/progress", 'found "half"'),
        ({"progress": 50}, "/progress", "found a number"),
        ({"message": 5}, "/message", "message must be a text"),
        ({"details": []}, "/details", "details must be an object"),
        ({"progres": "5%"}, "/progres", 'did you mean "progress"?'),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], pointer: str, words: str) -> None:
    """The sentence is the seed's; the detail names the key and what is wrong with it."""
    with pytest.raises(PermanentError) as caught:
        external_update(SEED | change)
    assert caught.value.message == INVALID_UPDATE == "Invalid status update format"
    (detail,) = caught.value.details
    assert detail["pointer"] == pointer
    assert words in detail["message"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One answer, every finding."""
    with pytest.raises(PermanentError) as caught:
        external_update({"progress": 1, "other": 2})
    assert [detail["pointer"] for detail in caught.value.details] == ["/other", "/workflowId", "/status", "/progress"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (orjson.dumps(SEED | {"details": {"bridge": "plant-2"}}), True),
        (orjson.dumps(SEED | {"details": {"bridge": ""}}), True),
        (orjson.dumps(SEED | {"message": "bridge"}), False),
        (orjson.dumps(SEED | {"details": "bridge"}), False),
        (b'{"details": {"bridge"', False),
        (b"", False),
    ],
)
def test_what_a_bridge_says_is_told_from_the_rest(payload: bytes, expected: bool) -> None:
    """Only details.bridge makes a message a bridge's own, whatever else holds that word."""
    assert is_from_bridge(payload) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*SEED, "details", "requestId", "x"]), JSON | st.sampled_from(["a", "1%"])))
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    """No JSON object makes it raise anything but a refusal with details."""
    try:
        name = external_update(body).workflow_id
    except PermanentError as error:
        name = "" if error.details else "/"
    assert "/" not in name


@given(st.binary(max_size=50) | st.sampled_from([b'{"details":{"bridge":', b'["bridge"]', b'"bridge"']))
def test_no_bytes_raise(payload: bytes) -> None:
    """Whatever comes on the stream, looking at it never raises."""
    is_from_bridge(payload)
