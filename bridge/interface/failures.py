"""Finds the node that made a workflow fail, and describes it in a readable sentence. Pure.

Argo's own message is nearly useless (``child 'x-2210537113' failed``, or none for a DAG); the cause is in
``status.nodes`` (docs/design/argo-server.md, Status).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import cut
from bridge.interface.keys import ANY_TEXT, ValueKind, declared, keys_of
from bridge.interface.loose_json import list_at, object_at, text_at

_CHILD = re.compile(r"child '([^']+)' (?:failed|errored)")
_ERRED_CHILD = re.compile(r"step group deemed errored due to child (.+?) error: .*", re.DOTALL)
# Argo's messages about a node that refer to the nodes inside it.
_OF_A_GROUP = re.compile(
    rf"{_CHILD.pattern}|{_ERRED_CHILD.pattern}|No more retries left|Max duration limit exceeded"
    r"|Backoff would exceed max duration limit|retryStrategy\.expression evaluated to false"
    r"|template has failed or errored children and failFast enabled",
    re.DOTALL,
)
_EXIT_TEXT = re.compile(r"^(?:[^\s:]+: )?Error \(exit code \d+\)(?:: )?| \(exit code \d+\)")
_FAILED = frozenset({"Failed", "Error"})
_NOT_RUN = frozenset({"Skipped", "Omitted"})
_MAX_TEXT = 1024

Node = Mapping[str, Any]
_EXIT_CODE = ValueKind("whole number or null", {"type": ["integer", "null"]})


@dataclass(frozen=True, slots=True)
class FailedNode:
    """The node that made a workflow fail: ``details.failedNode`` of a status message.

    Its name is the display name, e.g. ``measure``; the message has at most 1,024 characters.
    """

    name: str = declared(ANY_TEXT, "of the node")
    template: str = declared(ANY_TEXT, "of the node")
    message: str = declared(ANY_TEXT, "Argo's message")
    exit_code: int | None = declared(_EXIT_CODE, "exit code of its main container, null if it had none", None)

    def sentence(self) -> str:
        """Return e.g. ``step "measure" (template probe) failed with exit code 3: sensor away``."""
        template = f" (template {self.template})" if self.template else ""
        code = "" if self.exit_code is None else f" with exit code {self.exit_code}"
        text = self.message if self.exit_code is None else _EXIT_TEXT.sub("", self.message, count=1)
        return f'step "{self.name}"{template} failed{code}' + (f": {text}" if text else "")


FAILED_NODE_KEYS = keys_of(FailedNode)


def from_details(value: object) -> FailedNode | None:
    """Return the node in a ``details.failedNode`` as `body_of` writes it, None for anything else."""
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
        failed: the result of `find_failed_node`.

    Returns:
        The node's sentence, unless the workflow's own message says something of its own (``Stopped with strategy
        'Stop'``, ``invalid spec: ...``).
    """
    if failed is None:
        return own
    useless = not own or _OF_A_GROUP.fullmatch(own) is not None or own == failed.message
    return failed.sentence() if useless else own


def find_failed_node(workflow: Mapping[str, Any]) -> FailedNode | None:
    """Return the node that made a workflow fail; None if it has not failed or its nodes do not tell.

    A failure that the workflow tolerates (``continueOn``, or a task that runs because another has failed) does not
    count. If several nodes failed, the first one counts; among the attempts of a retried step, the last.

    Args:
        workflow: as returned by GET; without templates, a tolerated last task of a DAG cannot be recognised.

    Source: Argo v4.1 workflow/controller, dag.go (assessDAGPhase) and steps.go.
    """
    tree = _Tree(workflow)
    node = tree.start()
    seen: set[int] = set()
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        below = tree.cause_in(node)
        if below is None:
            return _described(node)
        node = below
    return None


class _Tree:
    """The nodes of one workflow, and the search for the one that made another fail."""

    def __init__(self, workflow: Mapping[str, Any]) -> None:
        self._status, self._spec = object_at(workflow, "status"), object_at(workflow, "spec")
        self._name = text_at(object_at(workflow, "metadata"), "name")
        nodes = object_at(self._status, "nodes")
        self._nodes: dict[str, Node] = {key: node for key, node in nodes.items() if isinstance(node, Mapping)}
        self._inside: dict[str, list[Node]] = defaultdict(list)
        for node in self._nodes.values():
            # The result of a hook does not affect its node.
            if not _is_hook(node):
                self._inside[text_at(node, "boundaryID")].append(node)

    def start(self) -> Node | None:
        """Return the root of a failed workflow if it failed, else the exit handler if that failed."""
        if not _has_failed(self._status):
            return None
        root, handler = self._nodes.get(self._name), self._named(f"{self._name}.onExit")
        return next((node for node in (root, handler) if node is not None and _has_failed(node)), None)

    def cause_in(self, node: Node) -> Node | None:
        """Return the node that made `node` fail, or None if it failed by itself."""
        kind = text_at(node, "type")
        blamed = self._blamed(node)
        if blamed is not None:
            return blamed
        if kind == "Retry":
            attempts = [child for child in self._children(node) if _has_failed(child) and not _is_hook(child)]
            return attempts[-1] if attempts else None
        if kind == "TaskGroup":
            return _first(self._children(node))
        inside = self._inside.get(text_at(node, "id"), [])
        if kind == "Steps":
            # A group of steps has no name given by the author, so it is never the result.
            groups = [group for group in inside if text_at(group, "type") == "StepGroup" and _has_failed(group)]
            return _first(child for group in groups for child in self._children(group))
        return self._cause_in_dag(node, inside)

    def _blamed(self, node: Node) -> Node | None:
        """Return the node named in Argo's own text."""
        message = text_at(node, "message")
        by_id, by_name = _CHILD.fullmatch(message), _ERRED_CHILD.fullmatch(message)
        if by_id is not None:
            return self._nodes.get(by_id[1])
        return self._named(by_name[1]) if by_name is not None else None

    def _cause_in_dag(self, dag: Node, inside: list[Node]) -> Node | None:
        """Return the task, or the container of a set, that decided: nothing was run after it failed."""
        holders = (node for node in inside if text_at(node, "type") in ("Retry", "TaskGroup"))
        parts = {id(part) for holder in holders for part in self._children(holder)}
        tasks = {id(node): node for node in inside if id(node) not in parts}
        tolerant = self._tolerant_tasks(dag)
        causes = [task for task in tasks.values() if _has_failed(task) and self._decides(task, tasks, tolerant)]
        return _first(causes) or _first(tasks.values())

    def _decides(self, task: Node, tasks: Mapping[int, Node], tolerant: Mapping[str, Mapping[str, Any]]) -> bool:
        key = "failed" if text_at(task, "phase") == "Failed" else "error"
        waiting, seen = [task], {id(task)}
        while waiting:
            last = waiting.pop()
            followers = self._followers(last, tasks)
            if not followers and object_at(tolerant, text_at(last, "displayName")).get(key) is not True:
                return True
            for follower in followers:
                if text_at(follower, "phase") in _NOT_RUN and id(follower) not in seen:
                    seen.add(id(follower))
                    waiting.append(follower)
        return False

    def _followers(self, task: Node, tasks: Mapping[int, Node]) -> list[Node]:
        """Return the tasks directly after `task`, which are children of the last nodes inside it."""
        found: list[Node] = []
        waiting, seen = [task], {id(task)}
        while waiting:
            for child in self._children(waiting.pop()):
                if id(child) not in seen:
                    seen.add(id(child))
                    (found if id(child) in tasks else waiting).append(child)
        return found

    def _tolerant_tasks(self, dag: Node) -> dict[str, Mapping[str, Any]]:
        """Return ``continueOn`` of the tasks of a DAG, by name."""
        tasks = list_at(object_at(self._template_of(dag), "dag"), "tasks")
        return {text_at(task, "name"): object_at(task, "continueOn") for task in tasks}

    def _template_of(self, node: Node) -> Mapping[str, Any]:
        reference, name = object_at(node, "templateRef"), text_at(node, "templateName")
        place = f"{text_at(node, 'templateScope')}/{name}"
        if reference:
            scope = "cluster" if reference.get("clusterScope") is True else "namespaced"
            place = f"{scope}/{text_at(reference, 'name')}/{text_at(reference, 'template')}"
        stored = object_at(object_at(self._status, "storedTemplates"), place)
        referred = object_at(self._status, "storedWorkflowTemplateSpec")
        own = [*list_at(self._spec, "templates"), *list_at(referred, "templates")]
        return stored or next((template for template in own if text_at(template, "name") == name), {})

    def _children(self, node: Node) -> list[Node]:
        keys = (key for key in list_at(node, "children") if isinstance(key, str))
        return [self._nodes[key] for key in keys if key in self._nodes]

    def _named(self, name: str) -> Node | None:
        return next((node for node in self._nodes.values() if text_at(node, "name") == name), None)


def _has_failed(node: Node) -> bool:
    return text_at(node, "phase") in _FAILED


def _is_hook(node: Node) -> bool:
    return object_at(node, "nodeFlag").get("hooked") is True


def _first(nodes: Iterable[Node]) -> Node | None:
    """Return the one that failed first."""
    failed = (node for node in nodes if _has_failed(node))
    return min(failed, key=lambda node: (text_at(node, "finishedAt") or "~", text_at(node, "name")), default=None)


def _described(node: Node) -> FailedNode:
    code = str(object_at(node, "outputs").get("exitCode") or "")
    return FailedNode(
        name=text_at(node, "displayName") or text_at(node, "name") or text_at(node, "id"),
        template=text_at(node, "templateName") or text_at(object_at(node, "templateRef"), "template"),
        message=cut(text_at(node, "message"), _MAX_TEXT),
        exit_code=int(code) if code.isdecimal() and code.isascii() and len(code) < 10 else None,
    )
