"""A status message always has the five keys, and fits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import Phase, WorkflowRef
from bridge.interface.status import body, percentage, status_document

SEED_KEYS = {"namespace", "workflowId", "status", "progress", "message", "details"}


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        ("1/2", "50%"),
        ("0/0", "0%"),
        ("", "0%"),
        ("3/2", "100%"),
        ("2/3", "66%"),
        ("x/y", "0%"),
        ("77%", "77%"),
        ("101%", "0%"),
        ("5%\n", "0%"),
        ("9" * 5000 + "/1", "0%"),
    ],
)
def test_progress_is_a_percentage(progress: str, shown: str) -> None:
    """Argo's N/M becomes a percentage, which stays one; nonsense, however long, is 0%."""
    assert percentage(progress) == shown


@given(st.text())
def test_any_progress_is_a_percentage(progress: str) -> None:
    """No text raises, and nothing is below 0 or over 100."""
    assert 0 <= int(percentage(progress).removesuffix("%")) <= 100


def test_what_has_no_value_is_left_out_of_details_only() -> None:
    """A workflow without phase is Pending, its message "", and details hold no empty entries."""
    update = status_document(
        WorkflowRef("ns", "w"), Phase.ABSENT, "", "", {"bridge": "b", "mapping": "", "outputs": {}}
    )
    assert json.loads(body(update, 10_000)) == {
        "namespace": "ns",
        "workflowId": "w",
        "status": "Pending",
        "progress": "0%",
        "message": "",
        "details": {"bridge": "b"},
    }


@given(st.text(max_size=5000), st.integers(0, 3000), st.integers(0, 3000), st.integers(400, 3000))
def test_what_does_not_fit_is_cut_and_says_so(message: str, outputs: int, other: int, limit: int) -> None:
    """The body fits, the five keys and details.bridge stay, and details.truncated tells of the cut."""
    details = {"bridge": "plant-1", "uid": "u" * 36, "outputs": {"o": "x" * outputs}, "nodes": "n" * other}
    update = status_document(
        WorkflowRef("factory", "w" * 63), Phase.FAILED, "1/2", message, details | {"odd": "y" * other}
    )
    payload = body(update, limit)
    document = json.loads(payload)
    assert len(payload) <= limit
    assert document.keys() == SEED_KEYS
    assert document["details"]["bridge"] == "plant-1"
    assert ("truncated" in document["details"]) == (len(body(update, 10**6)) > limit)


def test_outputs_go_before_the_message() -> None:
    """Where outputs are what is too large, the message stays whole."""
    update = status_document(WorkflowRef("ns", "w"), Phase.FAILED, "", "m" * 500, {"outputs": "x" * 5000})
    document = json.loads(body(update, 1000))
    assert document["message"] == "m" * 500
    assert document["details"] == {"truncated": True}
