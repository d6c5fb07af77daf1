"""Reads a workflow's nodes: the failed one, whether it waits at a Suspend node, and the list for ``details.nodes``.

Pure.

Nodes are large, so lists and watches leave them out; they are read by GET, for the few states that need them. Source:
docs/design/argo-server.md, Status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import cut
from bridge.core.model import Phase
from bridge.interface.failures import FailedNode, find_failed_node
from bridge.interface.loose_json import object_at, text_at
from bridge.interface.status import percentage
from bridge.status.seen.sources import Workflow

MAX_NODES = 100
MAX_TEXT = 256
_FIRST = {"Failed": 0, "Error": 0, "Running": 1, "Pending": 2}


@dataclass(frozen=True, slots=True)
class NodeDetail:
    """The result of one GET about a workflow's nodes.

    Attributes:
        version: resourceVersion of that state, "" if it is only what an earlier process had published.
        progress: Argo's ``N/M`` at that time; ``N%`` if it is only what had been published.
        is_failed: the run had failed, so `failed` is known, even if it is None.
        waits: whether a Suspend node was running.
        nodes: JSON-ready, () if not requested.
        is_cut: whether there were more than `MAX_NODES`.
    """

    version: str
    started_at: str
    progress: str
    is_failed: bool
    failed: FailedNode | None
    waits: bool
    nodes: tuple[Mapping[str, object], ...] = ()
    is_cut: bool = False

    def tells_failure_of(self, started_at: str) -> bool:
        """Whether it tells why the run that began at `started_at` failed."""
        return self.is_failed and self.started_at == started_at

    def tells_waiting_of(self, started_at: str, progress: str) -> bool:
        """Whether the same nodes still wait: nodes that end or begin change the progress."""
        return self.started_at == started_at and self.progress in (progress, percentage(progress))


def read_nodes(workflow: Workflow, *, listed: bool) -> NodeDetail:
    """Return what the nodes of a GET's `workflow` tell; `listed`: with the list of nodes."""
    status = object_at(workflow, "status")
    nodes = [node for node in object_at(status, "nodes").values() if isinstance(node, Mapping)]
    is_failed = text_at(status, "phase") in (Phase.FAILED.value, Phase.ERROR.value)
    return NodeDetail(
        version=text_at(object_at(workflow, "metadata"), "resourceVersion"),
        started_at=text_at(status, "startedAt"),
        progress=text_at(status, "progress"),
        is_failed=is_failed,
        failed=find_failed_node(workflow),
        waits=any(text_at(node, "type") == "Suspend" and text_at(node, "phase") == "Running" for node in nodes),
        nodes=_listed(nodes) if listed else (),
        is_cut=listed and len(nodes) > MAX_NODES,
    )


def _listed(nodes: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, object], ...]:
    """Return at most `MAX_NODES`: failed ones, then running ones, then the others, each in order of their start."""
    ordered = sorted(nodes, key=lambda node: (text_at(node, "startedAt") or "~", text_at(node, "name")))
    kept = sorted(ordered, key=lambda node: _FIRST.get(text_at(node, "phase"), 3))[:MAX_NODES]
    chosen = {id(node) for node in kept}
    return tuple(_shown(node) for node in ordered if id(node) in chosen)


def _shown(node: Mapping[str, Any]) -> Mapping[str, object]:
    texts = {
        "name": text_at(node, "displayName") or text_at(node, "name"),
        "type": text_at(node, "type"),
        "template": text_at(node, "templateName") or text_at(object_at(node, "templateRef"), "template"),
        "phase": text_at(node, "phase"),
        "message": cut(text_at(node, "message"), MAX_TEXT),
        "startedAt": text_at(node, "startedAt"),
        "finishedAt": text_at(node, "finishedAt"),
    }
    return {key: text for key, text in texts.items() if text}
