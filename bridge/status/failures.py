"""Finds the node that made a workflow fail, and says it in a sentence that a person understands. Pure.

Argo's own message is nearly useless (``child 'x-2210537113' failed``); the reason is in ``status.nodes``
(docs/design/argo-server.md, Status).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import cut
from bridge.interface.loose_json import list_at, object_at, text_at

_CHILD = re.compile(r"child '([^']+)' (?:failed|errored)")
_EXIT_TEXT = re.compile(r"^(?:[^\s:]+: )?Error \(exit code \d+\)(?:: )?| \(exit code \d+\)")
_FAILED = frozenset({"Failed", "Error"})
_GROUPS = frozenset({"StepGroup", "TaskGroup"})
_MAX_TEXT = 1024

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FailedNode:
    """The node that a failure began with.

    Attributes:
        name: its display name, e.g. ``measure``.
        template: the template that it ran, or "".
        message: Argo's text, at most 1,024 characters.
        exit_code: of its main container, or None.
    """

    name: str
    template: str
    message: str
    exit_code: int | None

    def details(self) -> dict[str, object]:
        """Return ``details.failedNode`` of a status message."""
        return {"name": self.name, "template": self.template, "message": self.message, "exitCode": self.exit_code}

    def sentence(self) -> str:
        """Return e.g. ``step "measure" (template probe) failed with exit code 3: sensor away``."""
        template = f" (template {self.template})" if self.template else ""
        code = "" if self.exit_code is None else f" with exit code {self.exit_code}"
        text = self.message if self.exit_code is None else _EXIT_TEXT.sub("", self.message, count=1)
        return f'step "{self.name}"{template} failed{code}' + (f": {text}" if text else "")


def from_details(value: object) -> FailedNode | None:
    """Return the node of a ``details.failedNode`` as `FailedNode.details` writes it, None for anything else."""
    name = text_at(value, "name")
    if not isinstance(value, Mapping) or not name:
        return None
    code = value.get("exitCode")
    return FailedNode(
        name, text_at(value, "template"), text_at(value, "message"), code if isinstance(code, int) else None
    )


def message_for(own: str, failed: FailedNode | None) -> str:
    """Return the message of a failed workflow.

    Args:
        own: the workflow's own message.
        failed: what `find_failed_node` found.

    Returns:
        The node's sentence, unless the workflow's own message says something of its own (``Stopped with strategy
        'Stop'``, ``invalid spec: ...``).
    """
    if failed is None:
        return own
    useless = not own or _CHILD.fullmatch(own) is not None or own == failed.message
    return failed.sentence() if useless else own


def find_failed_node(workflow: Mapping[str, Any]) -> FailedNode | None:
    """Return the node that a failed workflow failed by, None when its nodes do not tell.

    It follows Argo's own chain of blame (``child 'ID' failed``, from the workflow down); where there is none (a
    DAG), the child that failed first; among the attempts of a retried step, the last.
    """
    status = object_at(workflow, "status")
    nodes = {key: node for key, node in object_at(status, "nodes").items() if isinstance(node, Mapping)}
    node = _blamed(status, nodes) or nodes.get(text_at(object_at(workflow, "metadata"), "name"))
    seen: set[int] = set()
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        below = _blamed(node, nodes) or _failed_child(node, nodes)
        if below is None:
            return _described(node) if _has_failed(node) else None
        node = below
    return None


def _has_failed(node: Node) -> bool:
    return text_at(node, "phase") in _FAILED


def _blamed(node: Node, nodes: Mapping[str, Node]) -> Node | None:
    found = _CHILD.search(text_at(node, "message"))
    return nodes.get(found[1]) if found else None


def _children(node: Node) -> list[str]:
    return [child for child in list_at(node, "children") if isinstance(child, str)]


def _failed_child(node: Node, nodes: Mapping[str, Node]) -> Node | None:
    if text_at(node, "type") == "Retry":
        failed = [nodes[child] for child in _children(node) if child in nodes and _has_failed(nodes[child])]
        return failed[-1] if failed else None
    place = text_at(node, "id")
    inside = {
        key: other
        for key, other in nodes.items()
        if place
        and text_at(other, "boundaryID") == place
        and _has_failed(other)
        and text_at(other, "type") not in _GROUPS
    }
    retried = {child for other in inside.values() if text_at(other, "type") == "Retry" for child in _children(other)}
    causes = [other for key, other in inside.items() if key not in retried]
    return min(causes, key=lambda other: (text_at(other, "finishedAt") or "~", text_at(other, "name")), default=None)


def _described(node: Node) -> FailedNode:
    code = str(object_at(node, "outputs").get("exitCode") or "")
    return FailedNode(
        name=text_at(node, "displayName") or text_at(node, "name") or text_at(node, "id"),
        template=text_at(node, "templateName") or text_at(object_at(node, "templateRef"), "template"),
        message=cut(text_at(node, "message"), _MAX_TEXT),
        exit_code=int(code) if code.isdecimal() and code.isascii() and len(code) < 10 else None,
    )
