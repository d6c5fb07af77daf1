"""Requests that change something are written as Argo wants them, and a resubmission copies what Argo copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from bridge.argo.manifests import Manifests
from bridge.argo.marks import Marks, is_archived_only
from bridge.argo.operation_calls import (
    CronSubmission,
    change,
    look_at,
    resubmission,
    source_of,
    submit_cron,
)
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowOrder
from bridge.interface.operations import Operation

MARKS = Marks("plant-1", b"\1" * 32, topic="argo/workflows/x", connection="plant")
ORDER = WorkflowOrder("ns", "old", b"{}", "old-new", {"a": "2"})


def body_of(operation: Operation, options: dict[str, object]) -> Any:
    """The body that Argo gets."""
    return orjson.loads(change(operation, "ns", "w", options).body or b"null")


@pytest.mark.parametrize(
    ("operation", "options", "body"),
    [
        (
            Operation.STOP,
            {"nodeFieldSelector": "id=x", "message": "no"},
            {"nodeFieldSelector": "id=x", "message": "no"},
        ),
        (Operation.TERMINATE, {}, {}),
        (Operation.SUSPEND, {}, {}),
        (Operation.RESUME, {"nodeFieldSelector": "id=x"}, {"nodeFieldSelector": "id=x"}),
        (Operation.RETRY, {"restartSuccessful": False}, {}),
        (
            Operation.RETRY,
            {"restartSuccessful": True, "parameters": {"a": "b=c"}},
            {"restartSuccessful": True, "parameters": ["a=b=c"]},
        ),
        (
            Operation.SET,
            {"nodeFieldSelector": "id=x", "phase": "Failed", "outputParameters": {"k": "é"}},
            {"nodeFieldSelector": "id=x", "phase": "Failed", "outputParameters": '{"k":"é"}'},
        ),
    ],
)
def test_options_are_written_as_argo_reads_them(operation: Operation, options: dict[str, object], body: object) -> None:
    """PUT on the verb's path, answered with that workflow."""
    request = change(operation, "ns", "w", options)
    assert (request.method, request.path, request.expects) == ("PUT", f"/api/v1/workflows/ns/w/{operation.value}", "w")
    assert body_of(operation, options) == body


def test_each_object_has_its_path() -> None:
    """DELETE with force as a query; CronWorkflows by their own route."""
    assert change(Operation.DELETE, "ns", "w", {"force": False}).path == "/api/v1/workflows/ns/w"
    forced = change(Operation.DELETE, "ns", "w", {"force": True})
    assert (forced.method, forced.path, forced.body) == ("DELETE", "/api/v1/workflows/ns/w?force=true", None)
    assert change(Operation.SUSPEND_CRON, "ns", "c", {}).path == "/api/v1/cron-workflows/ns/c/suspend"
    assert change(Operation.RESUME_CRON, "ns", "c", {}).path == "/api/v1/cron-workflows/ns/c/resume"
    for request in (look_at("ns", "w"), source_of("ns", "w")):
        assert (request.method, request.expects) == ("GET", "w")
        (fields,) = parse_qs(urlsplit(request.path).query)["fields"]
        assert fields.startswith("-")
        assert "metadata.managedFields" in fields


@pytest.mark.parametrize("name", ["..", "a/b", "a:stop", "@latest", "", "a?x", "A"])
def test_no_name_reaches_another_route(name: str) -> None:
    """What kube would never accept as a name is refused before it stands in a path."""
    for operation in (Operation.STOP, Operation.DELETE, Operation.SUSPEND_CRON):
        with pytest.raises(PermanentError, match="not a Kubernetes name"):
            change(operation, "ns", name, {})
    with pytest.raises(PermanentError, match="not a Kubernetes name"):
        submit_cron(CronSubmission("ns", name, "w", {}), MARKS)


def test_a_cron_is_submitted_under_a_fixed_name_with_our_marks() -> None:
    """Labels and annotations are one text each; what that text cannot hold is left out, the event never is."""
    options: dict[str, object] = {"parameters": {"a": "1,2"}, "entrypoint": "main", "serviceAccount": "sa"}
    request = submit_cron(CronSubmission("ns", "c", "c-new", options), MARKS)
    assert (request.method, request.path, request.expects) == ("POST", "/api/v1/workflows/ns/submit", "c-new")
    assert orjson.loads(request.body or b"") == {
        "resourceKind": "CronWorkflow",
        "resourceName": "c",
        "submitOptions": {
            "name": "c-new",
            "entryPoint": "main",
            "serviceAccount": "sa",
            "parameters": ["a=1,2"],
            "labels": "argo-bridge/bridge=plant-1",
            "annotations": (
                f"argo-bridge/event={'01' * 32},argo-bridge/topic=argo/workflows/x,argo-bridge/connection=plant"
            ),
        },
    }
    odd = submit_cron(CronSubmission("ns", "c", "n", {}), Marks("p", b"\1" * 32, topic="a,b=c"))
    assert orjson.loads(odd.body or b"")["submitOptions"]["annotations"] == f"argo-bridge/event={'01' * 32}"


def test_a_resubmission_copies_what_argo_copies() -> None:
    """Labels but those of the old run, annotations but the bridge's own, owners, the spec without its end."""
    old = {
        "metadata": {
            "name": "old",
            "generateName": "ol-",
            "uid": "u",
            "labels": {
                "mine": "1",
                "argo-bridge/bridge": "other",
                "workflows.argoproj.io/creator": "c",
                "workflows.argoproj.io/creator-email": "c",
                "workflows.argoproj.io/phase": "Failed",
                "workflows.argoproj.io/completed": "true",
                "workflows.argoproj.io/workflow-archiving-status": "Archived",
                "workflows.argoproj.io/workflow-template": "t",
            },
            "annotations": {"note": "ü", "argo-bridge/event": "00", "argo-bridge/status-topic": "a/b"},
            "ownerReferences": [{"kind": "CronWorkflow", "name": "c"}],
        },
        "spec": {
            "entrypoint": "main",
            "shutdown": "Stop",
            "activeDeadlineSeconds": 0,
            "arguments": {"parameters": [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}]},
        },
        "status": {"phase": "Failed"},
    }
    body = Manifests().create_body(resubmission(old, ORDER), MARKS)
    new = json.loads(body)["workflow"]
    assert new["metadata"] == {
        "name": "old-new",
        "namespace": "ns",
        "labels": {
            "mine": "1",
            "workflows.argoproj.io/workflow-template": "t",
            "workflows.argoproj.io/resubmitted-from-workflow": "old",
            "argo-bridge/bridge": "plant-1",
        },
        "annotations": {
            "note": "ü",
            "argo-bridge/event": "01" * 32,
            "argo-bridge/topic": "argo/workflows/x",
            "argo-bridge/connection": "plant",
        },
        "ownerReferences": [{"kind": "CronWorkflow", "name": "c"}],
    }
    assert new["spec"] == {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "a", "value": "2"}, {"name": "b", "value": "1"}]},
    }
    assert "status" not in new


@pytest.mark.parametrize("release", ["v3.5.15", "v3.6.19", "v3.7.18", "v4.0.10", "v4.1.2"])
def test_a_resubmission_is_the_one_that_argo_made(release: str) -> None:
    """Held against recorded resubmissions: the same labels, annotations and spec as Argo's own, but for our marks."""
    recorded = json.loads((Path(__file__).parent / "recorded_resubmissions.json").read_text())[release]
    ours = json.loads(Manifests().create_body(resubmission(recorded["old"], ORDER), MARKS))["workflow"]
    for group in ("labels", "annotations"):
        kept = {key: value for key, value in ours["metadata"][group].items() if not key.startswith("argo-bridge/")}
        assert kept == recorded["new"]["metadata"].get(group, {})
    spec = dict(ours["spec"], arguments={})
    assert spec == recorded["new"]["spec"]


def test_what_has_no_spec_is_not_copied() -> None:
    """Somebody else's JSON is a refusal, not half a workflow."""
    for source in ({}, {"metadata": {}}, {"metadata": {}, "spec": []}):
        with pytest.raises(PermanentError, match="no metadata or no spec"):
            resubmission(source, ORDER)


def test_the_archive_says_what_is_gone() -> None:
    """Persisted: only the archive has it; Archived: it is in both."""
    label = "workflows.argoproj.io/workflow-archiving-status"
    assert is_archived_only({"metadata": {"labels": {label: "Persisted"}}})
    for workflow in ({"metadata": {"labels": {label: "Archived"}}}, {"metadata": {}}, {}, {"metadata": []}):
        assert not is_archived_only(workflow)
