"""Reads are asked for as Argo wants them, and lists are read to their end whatever moves meanwhile."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.errors import classify
from bridge.argo.operation_reads import (
    MAX_LOG_FRAME,
    LogFrames,
    Pages,
    TemplatePages,
    WorkflowPages,
    lint,
    log,
    one_template,
    whole_workflow,
)


def query(path: str) -> dict[str, str]:
    """The query of a path."""
    return dict(parse_qsl(urlsplit(path).query))


def page(items: list[str], **metadata: Any) -> Any:
    """The answer with these uids."""
    found = [{"metadata": {"uid": uid, "name": uid}} for uid in items] or None
    return classify(200, {}, orjson.dumps({"metadata": {"resourceVersion": "7"} | metadata, "items": found}), 0.0)


@pytest.mark.parametrize("options", [{}, {"tailLines": 0}, {"follow": False}, {"grep": "x"}])
def test_a_log_is_never_asked_for_without_a_log_option(options: dict[str, object]) -> None:
    """Without any the Argo Server crashes (issue 13585), whatever else was asked."""
    assert query(log("ns", "w", options).path)["logOptions.container"] == "main"


def test_log_options_are_written_as_argo_reads_them() -> None:
    """Those of kube with their prefix, those of Argo without; false and absent ones are left out."""
    options = {
        "container": "wait",
        "tailLines": 5,
        "follow": True,
        "timestamps": True,
        "previous": False,
        "podName": "p",
        "grep": "a&b",
        "selector": "x=y",
    }
    request = log("ns", "w", options)
    assert request.path.startswith("/api/v1/workflows/ns/w/log?")
    assert query(request.path) == {
        "logOptions.container": "wait",
        "logOptions.tailLines": "5",
        "logOptions.follow": "true",
        "logOptions.timestamps": "true",
        "podName": "p",
        "grep": "a&b",
        "selector": "x=y",
    }


def test_a_lint_looks_in_the_namespace_that_was_asked() -> None:
    """Argo takes the namespace of the manifest, so it is put there; nothing else changes."""
    request = lint("ns", {"metadata": {"name": "w"}, "spec": {"entrypoint": "m"}})
    assert (request.method, request.path) == ("POST", "/api/v1/workflows/ns/lint")
    assert orjson.loads(request.body or b"") == {
        "workflow": {"metadata": {"name": "w", "namespace": "ns"}, "spec": {"entrypoint": "m"}}
    }
    assert orjson.loads(lint("ns", {"metadata": None}).body or b"")["workflow"]["metadata"] == {"namespace": "ns"}


def test_one_object_is_read_by_its_own_path() -> None:
    """Templates of the namespace or of the cluster; each answer must have the name that was asked for."""
    assert whole_workflow("ns", "w").expects == "w"
    assert one_template("ns", "t", cluster=False).path == "/api/v1/workflow-templates/ns/t"
    assert one_template("ns", "t", cluster=True).path == "/api/v1/cluster-workflow-templates/t"


def read_all(pages: Pages, answers: list[Any]) -> list[str]:
    """The queries of all requests, each answered by the next of `answers`."""
    asked = []
    for answer in answers:
        request = pages.request()
        assert request is not None
        asked.append(request.path)
        assert pages.took(answer).ok
    assert pages.request() is None
    return asked


def test_workflows_are_read_to_the_end_with_an_overlap() -> None:
    """The offset goes back a little, so that rows that moved up are not passed over; what came twice counts once."""
    pages = WorkflowPages("ns", "line=3")
    full = [f"u{number}" for number in range(500)]
    asked = read_all(pages, [page(full, remainingItemCount=10), page([*full[450:], "new"])])
    first, second = (query(path) for path in asked)
    assert first["listOptions.labelSelector"] == "line=3"
    assert first["listOptions.fieldSelector"] == "ext.showRemainingItemCount=true"
    assert "listOptions.continue" not in first
    assert second["listOptions.continue"] == "450"
    assert len(pages.items) == 501


def test_a_server_that_gives_the_same_page_for_ever_is_believed_once() -> None:
    """A page without anything new is the last one, whatever it says."""
    pages = WorkflowPages("ns", "")
    assert len(read_all(pages, [page(["a"], **{"continue": "1"}), page(["a"], **{"continue": "2"})])) == 2


def test_templates_are_read_by_kubes_own_tokens() -> None:
    """A limit, and the token of the page before, as it is."""
    asked = read_all(TemplatePages("ns", "a=b", cluster=False), [page(["a"], **{"continue": "t/="}), page(["b"])])
    assert [query(path).get("listOptions.continue") for path in asked] == [None, "t/="]
    assert {query(path)["listOptions.labelSelector"] for path in asked} == {"a=b"}
    (path,) = read_all(TemplatePages("ns", "", cluster=True), [page([])])
    assert urlsplit(path).path == "/api/v1/cluster-workflow-templates"


def test_a_list_without_resource_version_is_no_answer() -> None:
    """A server whose mirror is empty says nothing about what there is."""
    for body in ({"metadata": {}, "items": None}, {"items": []}, {"metadata": 7}):
        answer = WorkflowPages("ns", "").took(classify(200, {}, orjson.dumps(body), 0.0))
        assert (answer.ok, answer.code) == (False, "incomplete-list")


def frame(**result: str) -> bytes:
    """One line as the server frames it."""
    return b"data: " + orjson.dumps({"result": result}) + b" \n\n\n"


@given(st.lists(st.integers(0, 200), max_size=6))
def test_lines_come_out_however_the_stream_is_cut(cuts: list[int]) -> None:
    """Pod and text of each; an empty line has no content; comments and garbage are nothing."""
    stream = b":\n" + frame(content="eins", podName="p") + frame(podName="p") + b"data: {x \n\n" + frame(content="zwei")
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    frames = LogFrames()
    lines = [
        line for start, end in itertools.pairwise(places) for line in frames.feed(stream[start:end])
    ] + frames.close()
    assert lines == [("p", "eins"), ("p", ""), ("", "zwei")]
    assert frames.error is None


def test_a_stream_may_end_with_an_error_or_with_too_much() -> None:
    """What it said is kept as an answer; a frame that never ends is given up."""
    frames = LogFrames()
    assert frames.feed(b'data: {"error":{"http_code":403,"grpc_code":7,"message":"forbidden"}}') == []
    assert frames.close() == []
    assert frames.error is not None
    assert frames.error.code == "not-permitted"
    endless = LogFrames()
    assert endless.feed(b"data: " + b"x" * (MAX_LOG_FRAME + 1)) == []
    assert endless.error is not None
    assert endless.feed(frame(content="a")) == []
