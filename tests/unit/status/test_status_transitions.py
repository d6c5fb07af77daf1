"""Transitions: which states are worth a message, and what it says."""

from __future__ import annotations

import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from status_fakes import NS, failed_nodes, workflow

from bridge.core.model import Phase
from bridge.status.decided.nodes import NodeDetail, read_nodes
from bridge.status.decided.transitions import Observed, Statement, is_newer, observe, transition, update_of


def see(**status: object) -> Observed:
    seen = observe(workflow(**status))
    assert seen is not None
    return seen


def say(seen: Observed, last: bytes = b"", detail: NodeDetail | None = None) -> Statement | None:
    return transition(last, seen.ref, update_of(seen, detail, "plant-1"))


def read(statement: Statement | None) -> dict[str, object]:
    assert statement is not None
    return orjson.loads(statement.document)


@pytest.mark.parametrize("name", ["../#", "a+b", "a/b", "", "A", "a" * 300])
def test_what_cannot_be_the_name_of_a_workflow_is_none(name: str) -> None:
    """Its topic could not be published, and would be tried for ever."""
    assert observe(workflow(name=name), NS) is None


def test_a_workflow_that_no_controller_has_seen_is_pending() -> None:
    """A fresh workflow without phase reads Pending and 0%, with all five keys and who says so."""
    assert read(say(see())) == {
        "namespace": NS,
        "workflowId": "boil-1",
        "status": "Pending",
        "progress": "0%",
        "message": "",
        "details": {"bridge": "plant-1", "uid": "u1", "mapping": "boiler"},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "Succeeded", "progress": "1/2", "message": "m"},
        {"phase": "Running", "progress": "2/2", "message": "m"},
        {"phase": "Running", "progress": "1/2", "message": "other"},
        {"phase": "Running", "progress": "1/2", "message": "m", "spec": {"suspend": True}},
        {"phase": "Running", "progress": "1/2", "message": "m", "spec": {"shutdown": "Stop"}},
    ],
)
def test_each_change_of_what_is_said_is_a_message(change: dict[str, object]) -> None:
    """A change of phase, progress, message, suspension or shutdown gives exactly one message."""
    first = say(see(phase="Running", progress="1/2", message="m"))
    assert first is not None
    second = say(see(**change), first.digest)
    assert second is not None
    assert say(see(**change), second.digest) is None


def test_what_changes_nothing_that_is_said_is_no_message() -> None:
    """A new resourceVersion, a label of the archive, or 2/4 after 1/2 says nothing new."""
    first = say(see(phase="Running", progress="1/2"))
    assert first is not None
    same = see(version=9, phase="Running", progress="2/4", labels={"workflows.argoproj.io/phase": "Failed"})
    assert say(same, first.digest) is None


def test_a_retry_is_pending_whatever_the_stale_label_says() -> None:
    """Right after a retry the phase is absent while the label still says Failed: the message says Pending."""
    failed = say(see(phase="Failed", startedAt="2026-11-24T14:00:01Z"))
    assert failed is not None
    retried = see(startedAt="2026-11-24T14:05:00Z", labels={"workflows.argoproj.io/phase": "Failed"})
    assert read(say(retried, failed.digest))["status"] == "Pending"


def test_a_second_failure_of_another_run_is_told_again() -> None:
    """(uid, startedAt) is a run: the same end of a later run is another message."""
    first = say(see(phase="Failed", message="m", startedAt="2026-11-24T14:00:01Z"))
    assert first is not None
    assert say(see(phase="Failed", message="m", startedAt="2026-11-24T14:05:00Z"), first.digest) is not None


def test_outputs_come_with_the_end_only() -> None:
    """Global outputs are in the last message as name and value, and in none before."""
    outputs = {"parameters": [{"name": "level", "value": "7"}, {"broken": 1}], "artifacts": []}
    assert "outputs" not in read(say(see(phase="Running", outputs=outputs)))["details"]
    assert read(say(see(phase="Succeeded", outputs=outputs)))["details"]["outputs"] == {"level": "7"}


def test_a_failure_names_its_step() -> None:
    """The message of a failed workflow names step, template and exit code; the details hold them apart."""
    status = {"phase": "Failed", "message": "child 'boil-1-2' failed"}
    detail = read_nodes(workflow(nodes=failed_nodes(), **status), listed=False)
    message = read(say(see(**status), detail=detail))
    assert message["message"] == 'step "measure" (template probe) failed with exit code 3'
    assert message["details"]["failedNode"] == {
        "name": "measure",
        "template": "probe",
        "message": "main: Error (exit code 3)",
        "exitCode": 3,
    }


def test_a_failed_node_is_not_told_of_a_running_workflow() -> None:
    """What made an earlier run fail is gone once the workflow runs again."""
    detail = read_nodes(workflow(nodes=failed_nodes(), phase="Failed"), listed=False)
    assert detail.failed is not None
    assert read(say(see(phase="Running"), detail=detail))["message"] == ""


def test_a_message_longer_than_the_limit_is_cut_and_says_so() -> None:
    """A payload never exceeds its limit: outputs go first, and details.truncated tells."""
    outputs = {"parameters": [{"name": "log", "value": "x" * 5000}]}
    statement = say(see(phase="Succeeded", progress="1/2", outputs=outputs))
    assert statement is not None
    payload = statement.payload(1000)
    cut = orjson.loads(payload)
    assert len(payload) <= 1000
    assert cut["details"]["truncated"] is True
    assert (cut["status"], cut["progress"]) == ("Succeeded", "50%")
    assert statement.payload(10_000) == statement.document


def test_what_is_kept_of_a_message_is_small() -> None:
    """A message with large outputs is kept compressed, a small one in no more bytes than it has."""
    large = {"parameters": [{"name": "log", "value": "a line of a log\n" * 1000}]}
    kept = say(see(phase="Succeeded", outputs=large))
    assert kept is not None
    assert len(kept.packed) < 1000 < kept.size == len(kept.document)
    small = say(see(phase="Succeeded"))
    assert small is not None
    assert sys.getsizeof(small.packed) < small.size + 64


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [("10", "9", True), ("9", "10", False), ("9", "9", False), ("b", "a", True), ("a", "a", False), ("1", "", True)],
)
def test_versions_are_ordered_as_numbers(version: str, than: str, expected: bool) -> None:
    """Resource versions compare as numbers; what is no number is newer unless equal."""
    assert is_newer(version, than) is expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "metadata": _JSON | st.fixed_dictionaries({"name": st.just("n"), "uid": st.just("u"), "labels": _JSON}),
            "spec": _JSON,
            "status": _JSON
            | st.fixed_dictionaries({"phase": _JSON, "outputs": _JSON, "nodes": _JSON, "message": _JSON}),
        },
    )
)
def test_nothing_that_a_server_sends_raises(answer: dict[str, object]) -> None:
    """Whatever JSON stands in a workflow's place, it is read or passed over."""
    seen = observe(answer, NS)
    read_nodes(answer, listed=True)
    if seen is not None:
        assert isinstance(seen.phase, Phase)
        assert say(seen) is not None
