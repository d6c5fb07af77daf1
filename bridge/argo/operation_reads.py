"""Builds read requests to the Argo Server for clients, and parses the responses. Pure.

Sends nothing; the pipeline decides what a response means for the client. Any thread; `Pages` and `LogFrames` have one
owner each. Source: docs/design/argo-server.md, Reading and Watch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from bridge.argo.client import uid_of
from bridge.argo.errors import Answer, incomplete, stream_error
from bridge.argo.handles import HttpRequest
from bridge.argo.operation_calls import BRIEF_LEFT_OUT
from bridge.argo.options import (
    cluster_template_path,
    segment,
    template_path,
    with_query,
    workflow_page_path,
    workflow_path,
    workflows_path,
)
from bridge.argo.sse import FrameTooLargeError, SseParser

_TEMPLATE_PAGE = 100
# Rows move up when workflows are deleted between two pages; this many deletions skip none.
_OVERLAP = 50
_LOG_OPTIONS = ("container", "tailLines", "sinceSeconds", "timestamps", "previous", "limitBytes", "follow")
# Limits how much a container can write without a line break; the outgoing packet is smaller.
MAX_LOG_FRAME = 2 * 1024 * 1024


def whole_workflow(namespace: str, name: str) -> HttpRequest:
    """Return the request that reads one workflow with everything except ``managedFields``."""
    return HttpRequest(
        "GET", with_query(workflow_path(namespace, name), fields="-metadata.managedFields"), expects=name
    )


def one_template(namespace: str, name: str, *, cluster: bool) -> HttpRequest:
    """Return the request that reads one WorkflowTemplate, or ClusterWorkflowTemplate."""
    path = cluster_template_path(name) if cluster else template_path(namespace, name)
    return HttpRequest("GET", path, expects=name)


def lint(namespace: str, workflow: Mapping[str, Any]) -> HttpRequest:
    """Return the request that makes Argo check a workflow.

    Argo looks for templates in the namespace of the manifest, whatever the path says.
    """
    metadata = workflow.get("metadata")
    placed = {**workflow, "metadata": {**(metadata if isinstance(metadata, dict) else {}), "namespace": namespace}}
    return HttpRequest("POST", workflows_path(namespace) + "/lint", orjson.dumps({"workflow": placed}))


def log(namespace: str, name: str, options: Mapping[str, object]) -> HttpRequest:
    """Return the request that streams a workflow's log.

    ``logOptions.container`` is always set: without any ``logOptions`` the Argo Server crashes
    (docs/design/argo-server.md, Reading).
    """
    asked = {f"logOptions__{key}": _query_text(options[key]) for key in _LOG_OPTIONS if options.get(key)}
    asked.setdefault("logOptions__container", "main")
    asked |= {key: str(options[key]) for key in ("podName", "grep", "selector") if options.get(key)}
    return HttpRequest("GET", with_query(workflow_path(namespace, name, "log"), **asked))


def _query_text(value: object) -> str:
    return "true" if value is True else str(value)


class Pages:
    """Reads a whole list page by page: send `request` while there is one, and pass each response to `took`."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}

    def request(self) -> HttpRequest | None:
        """Return the request for the next page, None after the last."""
        raise NotImplementedError

    def took(self, answer: Answer) -> Answer:
        """Take the OK response to `request`; return it, or another one that says why it is invalid."""
        metadata = (answer.body or {}).get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
            return incomplete("the list has no resourceVersion, so it is incomplete")
        items = [item for item in (answer.body or {}).get("items") or [] if isinstance(item, dict)]
        known = len(self.items)
        self.items.update((uid, item) for item in items if (uid := uid_of(item)))
        self._turn(metadata, len(items), is_new=len(self.items) > known)
        return answer

    def _turn(self, metadata: dict[str, Any], count: int, *, is_new: bool) -> None:
        raise NotImplementedError


class WorkflowPages(Pages):
    """All workflows of a namespace without specs and nodes, from the server's cache."""

    def __init__(self, namespace: str, selector: str) -> None:
        super().__init__()
        self._namespace = namespace
        self._selector = selector
        self._offset: int | None = 0

    def request(self) -> HttpRequest | None:
        """Return the request for the next page, None after the last."""
        if self._offset is None:
            return None
        path = workflow_page_path(self._namespace, self._selector, self._offset, BRIEF_LEFT_OUT)
        return HttpRequest("GET", path)

    def _turn(self, metadata: dict[str, Any], count: int, *, is_new: bool) -> None:
        has_more = bool(metadata.get("continue") or metadata.get("remainingItemCount")) and is_new
        offset = (self._offset or 0) + count
        self._offset = offset - min(_OVERLAP, count - 1) if has_more else None


class TemplatePages(Pages):
    """All WorkflowTemplates of a namespace, or all ClusterWorkflowTemplates; Kubernetes' own list, with its tokens."""

    def __init__(self, namespace: str, selector: str, *, cluster: bool) -> None:
        super().__init__()
        segment(namespace, "namespace")
        self._path = "/api/v1/cluster-workflow-templates" if cluster else template_path(namespace)
        self._selector = selector
        self._token: str | None = ""

    def request(self) -> HttpRequest | None:
        """Return the request for the next page, None after the last."""
        if self._token is None:
            return None
        path = with_query(
            self._path,
            listOptions__labelSelector=self._selector,
            listOptions__continue=self._token,
            listOptions__limit=str(_TEMPLATE_PAGE),
        )
        return HttpRequest("GET", path)

    def _turn(self, metadata: dict[str, Any], count: int, *, is_new: bool) -> None:
        token = metadata.get("continue")
        self._token = token if isinstance(token, str) and token and count and is_new else None


class LogFrames:
    """Splits the stream of a log into lines."""

    def __init__(self) -> None:
        self._parser = SseParser(MAX_LOG_FRAME)
        self.error: Answer | None = None
        """Why the stream ended, if it said so; or that it can no longer be parsed."""

    def feed(self, piece: bytes) -> list[tuple[str, str]]:
        """Return pod and text of each line that `piece` completes."""
        if self.error is not None:
            return []
        try:
            return self._lines(self._parser.feed(piece))
        except FrameTooLargeError:
            self.error = incomplete(f"a log line has more than {MAX_LOG_FRAME} bytes")
            return []

    def close(self) -> list[tuple[str, str]]:
        """Return a final line that was complete but not terminated when the stream ended."""
        return [] if self.error is not None else self._lines(self._parser.close())

    def _lines(self, frames: list[bytes]) -> list[tuple[str, str]]:
        lines = []
        for frame in frames:
            try:
                body = orjson.loads(frame)
            except orjson.JSONDecodeError:
                continue
            result = body.get("result") if isinstance(body, dict) else None
            if isinstance(result, dict):
                # An empty line has no key "content".
                pod, text = result.get("podName"), result.get("content")
                lines.append((pod if isinstance(pod, str) else "", text if isinstance(text, str) else ""))
            elif isinstance(body, dict) and body.get("error") is not None:
                self.error = stream_error(frame)
        return lines
