"""Data passed around in the walk over templates: calls, name lookups, and reasons why everything must end.

Holds values and decides nothing. Owned by the simulator's loop thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.nodes import Node, NodeTable
from bridge.simulator.objects.store import Lookup, Object

Scope = dict[str, str]
"""Values for `{{...}}`, by name."""


@dataclass(frozen=True, slots=True)
class Source:
    """The templates that call each other by name.

    Attributes:
        scope: As in nodes: `local/WORKFLOW`, `namespaced/TEMPLATE` or `cluster/TEMPLATE`.
        templates: By name.
        lookup: `(name, cluster scope)` to a stored template, for `templateRef`.
    """

    scope: str
    templates: Mapping[str, Object]
    lookup: Lookup

    def find(self, step: Object) -> tuple[Object, Source]:
        """Return the template that a step, task or hook calls (empty if it does not exist), and its source."""
        if "inline" in step:
            return step["inline"], self
        reference = step.get("templateRef")
        if reference is None:
            return self.templates.get(step.get("template", ""), {}), self
        cluster = bool(reference.get("clusterScope"))
        stored = self.lookup(reference.get("name", ""), cluster) or {"spec": {}}
        templates = {template.get("name", ""): template for template in stored["spec"].get("templates", [])}
        scope = f"{'cluster' if cluster else 'namespaced'}/{reference.get('name', '')}"
        return templates.get(reference.get("template", ""), {}), Source(scope, templates, self.lookup)


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a template: by the entrypoint, a step, a task, an attempt or a hook.

    Attributes:
        name: Full name of its node.
        display: Its display name.
        step: The step, task or hook that names the template.
        source: Source in which the template is looked up.
        arguments: The given parameters.
        scope: Values that they may refer to.
        boundary: Id of the surrounding Steps or DAG node.
        flags: `nodeFlag` of its node.
        exiting: It belongs to an exit handler.
        depth: Number of calls above it.
    """

    name: str
    display: str
    step: Object
    source: Source
    arguments: list[Object]
    scope: Scope
    boundary: str | None = None
    flags: Object = field(default_factory=dict)
    exiting: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Stopping:
    """Why running nodes must end and new ones must fail at once.

    Attributes:
        message: Message of nodes without a pod.
        pod_message: Message of running pods.
        unborn_message: Message of pods that were not created.
        spares_exit: Nodes of the exit handler still run.
    """

    message: str
    pod_message: str
    unborn_message: str
    spares_exit: bool = True


class CallNodes:
    """Adds the nodes of calls to a workflow's table.

    Args:
        table: The workflow's nodes.
        behaviour: For timestamps.
    """

    def __init__(self, table: NodeTable, behaviour: Behaviour) -> None:
        self._table = table
        self._behaviour = behaviour

    def add(self, call: Call, kind: str, **values: Any) -> Node:
        """Add a call's node."""
        node: Node = {
            "displayName": call.display,
            "type": kind,
            "templateScope": call.source.scope,
            "phase": "Running",
            "startedAt": self._behaviour.timestamp(),
            "finishedAt": None,
        }
        if call.step.get("template"):
            node["templateName"] = call.step["template"]
        if "templateRef" in call.step:
            node["templateRef"] = call.step["templateRef"]
        if call.boundary is not None:
            node["boundaryID"] = call.boundary
        if call.flags:
            node["nodeFlag"] = call.flags
        return self._table.add(call.name, {**node, **values})

    def add_unrun(self, call: Call, phase: str, message: str) -> Node:
        """Add the node of a call that is not executed."""
        finished = self._behaviour.timestamp()
        return self.add(call, "Skipped", phase=phase, message=message, finishedAt=finished, nodeFlag={})
