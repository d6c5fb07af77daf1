"""What a read tells: workflows, lists and templates as Argo has them, as far as they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dispatch_fakes import error_answer
from reads_fakes import ReadsBench, listed, workflow

from bridge.interface.operations import Operation


@pytest.fixture
def bench(tmp_path: Path) -> ReadsBench:
    """Reads that nobody has asked for anything."""
    return ReadsBench(tmp_path)


def test_a_workflow_is_told_with_its_last_known_status(bench: ReadsBench) -> None:
    """The object as Argo has it, the five keys of a status message, requestId; then it is acknowledged."""
    delivery = bench.ask(Operation.GET)
    bench.step()
    assert delivery.acks == 0
    bench.answer(workflow("w"))
    assert bench.replies == [
        {
            "status": "Workflow read successfully",
            "workflowId": "w",
            "workflow": workflow("w"),
            "workflowStatus": {
                "namespace": "factory",
                "workflowId": "w",
                "status": "Running",
                "progress": "50%",
                "message": "",
            },
            "requestId": "r",
        }
    ]
    assert (delivery.acks, bench.codes, bench.outbox_calls, bench.reasons()) == (1, ["200"], 1, {})


def test_a_workflow_that_is_too_large_is_told_in_part(bench: ReadsBench) -> None:
    """It fits the packet, and says what is missing."""
    bench.max_bytes = 4096
    bench.ask(Operation.GET)
    bench.step()
    bench.answer(workflow("w", nodes={str(n): {"displayName": "x" * 100} for n in range(100)}))
    (row,) = [row for _, row in bench.spool.real.outbox("plant", 0, 10)]
    assert len(row.message.payload) <= 4096
    (body,) = bench.replies
    assert body["details"] == {"truncated": True, "leftOut": ["status.nodes"]}
    assert body["workflow"]["status"]["phase"] == "Running"


def test_fields_and_uid_are_looked_at_by_the_bridge(bench: ReadsBench) -> None:
    """Only what was asked for, without making the status wrong; another uid is another workflow."""
    bench.ask(Operation.GET, fields="metadata.name", uid="u-w")
    bench.step()
    bench.answer(workflow("w"))
    bench.ask(Operation.GET, uid="other")
    bench.step()
    bench.answer(workflow("w"))
    good, bad = bench.replies
    assert good["workflow"] == {"metadata": {"name": "w"}}
    assert good["workflowStatus"]["status"] == "Running"
    assert "a different uid" in bad["error"]
    assert bench.codes == ["200", "404"]


def test_a_list_goes_on_where_it_ended_whatever_comes_and_goes(bench: ReadsBench) -> None:
    """Newest first, page by page; a new workflow and a deleted one in between skip nobody and double nobody."""
    items = [workflow(f"w{number}", f"2026-11-24T14:00:{number:02}Z") for number in range(5)]
    bench.ask(Operation.LIST, limit=2)
    bench.step()
    bench.answer(listed(*items))
    (first,) = bench.replies
    assert [one["workflowId"] for one in first["workflows"]] == ["w4", "w3"]
    bench.ask(Operation.LIST, limit=2, **{"continue": first["continue"]})
    bench.step()
    bench.answer(listed(workflow("newer", "2026-11-24T15:00:00Z"), *items[:3], items[4]))
    second = bench.replies[1]
    assert [one["workflowId"] for one in second["workflows"]] == ["w2", "w1"]
    bench.ask(Operation.LIST, limit=2, **{"continue": second["continue"]})
    bench.step()
    bench.answer(listed(*items))
    last = bench.replies[2]
    assert [one["workflowId"] for one in last["workflows"]] == ["w0"]
    assert "continue" not in last


def test_a_list_is_filtered_and_fits(bench: ReadsBench) -> None:
    """Phase, prefix and times; cut where the packet is full, with a continue that goes on there."""
    items = [workflow(f"a{n:03}", f"2026-11-24T14:{n // 60:02}:{n % 60:02}Z", message="x" * 200) for n in range(100)]
    items.append(workflow("b", phase="Failed"))
    items.append(workflow("a-failed", phase="Failed", finishedAt="2026-11-24T14:00:00Z"))
    bench.max_bytes = 4096
    seen: list[str] = []
    more: dict[str, Any] = {}
    for _ in range(100):
        bench.ask(Operation.LIST, phase=["Running"], prefix="a", limit=500, **more)
        bench.step()
        bench.answer(listed(*items))
        body = bench.replies[-1]
        seen += [one["workflowId"] for one in body["workflows"]]
        if "continue" not in body:
            break
        more = {"continue": body["continue"]}
        assert body["details"] == {"truncated": True}
    assert seen == [f"a{n:03}" for n in reversed(range(100))]
    assert all(len(row.message.payload) <= 4096 for _, row in bench.spool.real.outbox("plant", 0, 1000))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"createdAfter": 1795528800.0}, ["late"]),
        ({"finishedBefore": 1795528900.0}, ["early"]),
        ({"phase": ["Succeeded"]}, ["early"]),
    ],
)
def test_a_list_is_filtered_by_time(bench: ReadsBench, options: dict[str, Any], names: list[str]) -> None:
    """What has no such time is not meant."""
    early = workflow("early", "2026-11-24T13:00:00Z", phase="Succeeded", finishedAt="2026-11-24T14:01:00Z")
    bench.ask(Operation.LIST, **options)
    bench.step()
    bench.answer(listed(workflow("late", "2026-11-24T14:00:01Z", finishedAt=None), early))
    assert [one["workflowId"] for one in bench.replies[0]["workflows"]] == names


def test_a_list_without_resource_version_is_an_error(bench: ReadsBench) -> None:
    """A server whose mirror is empty does not make the plant look empty."""
    bench.ask(Operation.LIST)
    bench.step()
    bench.answer({"metadata": {}, "items": None})
    assert bench.codes == ["503"]


def test_a_foreign_continue_is_refused(bench: ReadsBench) -> None:
    """By a sentence, without asking Argo."""
    delivery = bench.ask(Operation.LIST, **{"continue": "100"})
    bench.step()
    assert "unknown `continue` value" in bench.replies[0]["error"]
    assert (bench.codes, delivery.acks, bench.exchanges.requests) == (["400"], 1, [])


def test_templates_are_listed_by_name(bench: ReadsBench) -> None:
    """With what somebody who triggers one must know."""
    bench.ask(Operation.LIST_TEMPLATES, prefix="inspect")
    bench.step()
    found = [
        {"metadata": {"name": name, "uid": name}, "spec": {"entrypoint": "m"}}
        for name in ("x", "inspect-b", "inspect-a")
    ]
    bench.answer(listed(*found))
    assert bench.replies[0]["templates"] == [
        {"template": "inspect-a", "entrypoint": "m"},
        {"template": "inspect-b", "entrypoint": "m"},
    ]


def test_a_template_is_told_as_argo_has_it(bench: ReadsBench) -> None:
    """Its manifest, without what only Kubernetes wants to know."""
    bench.ask(Operation.GET_TEMPLATE, "t")
    bench.step()
    bench.answer({"metadata": {"name": "t", "managedFields": [1]}, "spec": {"entrypoint": "m"}})
    assert bench.replies[0]["template"] == "t"
    assert bench.replies[0]["manifest"] == {"metadata": {"name": "t"}, "spec": {"entrypoint": "m"}}


def test_what_a_lint_finds_is_an_invalid_workflow(bench: ReadsBench) -> None:
    """Argo answers 500 with code 2 for it, as for nothing else; other failures stay what they are."""
    for answer in (error_answer(500, 2, "template name 'x' undefined"), error_answer(500, 13, "etcd is away")):
        bench.ask(Operation.LINT, "", workflow={"spec": {}})
        bench.step()
        bench.answer(answer)
    found, failed = bench.replies
    assert found["error"] == "Invalid workflow definition: template name 'x' undefined"
    assert failed["error"] == "etcd is away"
    assert bench.codes == ["400", "503"]
