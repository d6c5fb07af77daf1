"""Executes one step or task: once or once per item, with its `when`, its exit hook and its outputs.

It does not know the order of steps or tasks (`step_groups` and `task_graphs` do). Owned by the simulator's loop thread.
Source: Argo v4.1 workflow/controller (steps.go, dag.go, exit_handler.go); texts as recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.calls import Call, CallNodes, Scope, Source
from bridge.simulator.controller.expansion import item_scope, item_suffix, items_of
from bridge.simulator.controller.expressions import holds, substitute
from bridge.simulator.controller.leaves import Leaves
from bridge.simulator.controller.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.objects.store import Object

FAIL_FAST = "template has failed or errored children and failFast enabled"
_COMPLETED = frozenset({"Succeeded", "Failed", "Error"})
_COUNTED = frozenset({"Pod", "HTTP", "Plugin", "Suspend", "Steps", "DAG"})


@dataclass(frozen=True, slots=True)
class Group:
    """A Steps or DAG node whose members are executed.

    Attributes:
        call: The call that it came from.
        template: Its template.
        source: Source in which its members look up their templates.
        node: The node at the start of this walk.
        scope: Values for its members; their outputs are added.
    """

    call: Call
    template: Object
    source: Source
    node: Node
    scope: Scope


@dataclass(frozen=True, slots=True)
class Parents:
    """Parents of the nodes of a step or task: the nodes they follow from, and the prefix of their names."""

    parents: list[str]
    prefix: str


class Members:
    """Executes steps and tasks of one workflow.

    Args:
        table: The workflow's nodes, which it changes.
        added: Adds nodes.
        leaves: The running nodes, and whether all must end.
        behaviour: For timestamps.
        execute: Updates a call's node and everything below it.
    """

    def __init__(
        self,
        table: NodeTable,
        added: CallNodes,
        leaves: Leaves,
        behaviour: Behaviour,
        execute: Callable[[Call], Node],
    ) -> None:
        self._table = table
        self._added = added
        self._leaves = leaves
        self._behaviour = behaviour
        self._execute = execute

    def call_of(self, group: Group, step: Object, place: Parents, suffix: str = "") -> Call:
        """Return the call of a step or task; for an item if `suffix` names one."""
        display = f"{step.get('name', '')}{suffix}"
        return Call(
            name=place.prefix + display,
            display=display,
            step=step,
            source=group.source,
            arguments=step["arguments"].get("parameters", []),
            scope=group.scope,
            boundary=group.node["id"],
            exiting=group.call.exiting,
            depth=group.call.depth + 1,
        )

    def run(self, group: Group, step: Object, place: Parents) -> list[Node] | None:
        """Update the nodes of a step or task; None while some are still to come."""
        items = items_of(step, group.scope)
        if items is None:
            return self._run_one(group, self.call_of(group, step, place), place)
        if not items:
            return [self.skip(group, step, place, "Skipped", "Skipped, empty params")]
        nodes: list[Node] | None = []
        for index, item in enumerate(items):
            call = self.call_of(group, step, place, item_suffix(index, item))
            found = self._run_one(group, replace(call, scope={**group.scope, **item_scope(item)}), place)
            nodes = None if nodes is None or found is None else nodes + found
        return nodes

    def _run_one(self, group: Group, call: Call, place: Parents) -> list[Node] | None:
        node = self._table.find(call.name)
        if node is None:
            condition = substitute(call.step.get("when", ""), call.scope)
            if not holds(condition):
                node = self._added.add_unrun(call, "Skipped", f"when '{condition}' evaluated false")
            elif not self._may_start(group):
                return None
        node = node if node is not None and node["phase"] in FULFILLED else self._execute(call)
        self._connect(place, node)
        if node["phase"] in _COMPLETED and not self._exit_hook_has_ended(call, node):
            return None
        return [self._table.nodes[node["id"]]] if node["phase"] in FULFILLED else None

    def _may_start(self, group: Group) -> bool:
        """Whether another member may start, given the template's `failFast` and `parallelism`."""
        inside = [n for n in self._table.inside(group.node["id"]) if n["type"] in _COUNTED]
        active = sum(node["phase"] not in FULFILLED for node in inside)
        if group.template.get("failFast") and any(node["phase"] in FAILED for node in inside):
            if not active:
                self._fail_fast(group.node["id"])
            return False
        limit: int = group.template.get("parallelism", 0)
        return limit < 1 or active < limit

    def _fail_fast(self, boundary: str) -> None:
        finished = self._behaviour.timestamp()
        groups = [n for n in self._table.inside(boundary) if n["type"] == "StepGroup" and n["phase"] not in FULFILLED]
        for node in (*groups, self._table.nodes[boundary]):
            self._table.update(node, phase="Failed", message=FAIL_FAST, finishedAt=finished)

    def _exit_hook_has_ended(self, call: Call, node: Node) -> bool:
        hook = call.step.get("hooks", {}).get("exit")
        if hook is None and call.step.get("onExit"):
            hook = {"template": call.step["onExit"], "arguments": {}}
        if hook is None or self._leaves.stopping_for(exiting=True) is not None:
            return True
        scope = dict(call.scope)
        for kind in ("steps", "tasks"):
            note_outputs(scope, f"{kind}.{call.step.get('name', '')}", node)
        inner = replace(
            call,
            name=f"{node['name']}.onExit",
            display=f"{node['displayName']}.onExit",
            step=hook,
            arguments=hook["arguments"].get("parameters", []),
            scope=scope,
            flags={"hooked": True},
            exiting=True,
        )
        found = self._execute(inner)
        self._table.add_child(node, found)
        return found["phase"] in FULFILLED

    def _connect(self, place: Parents, node: Node) -> None:
        for parent in place.parents:
            self._table.add_child(self._table.nodes[parent], node)

    def skip(self, group: Group, step: Object, place: Parents, phase: str, message: str) -> Node:
        """Return the node of a step or task that is not executed."""
        call = self.call_of(group, step, place)
        node = self._table.find(call.name) or self._added.add_unrun(call, phase, message)
        self._connect(place, node)
        return node


def tolerates(step: Object, phase: str) -> bool:
    """Whether a workflow continues after a step or task that ended like this (`continueOn`)."""
    key = {"Failed": "failed", "Error": "error"}.get(phase, "")
    return bool(step.get("continueOn", {}).get(key))


def note_outputs(scope: Scope, prefix: str, node: Node, items: list[Node] | None = None) -> None:
    """Publish the outputs of a step or task to those after it, as `PREFIX.outputs...`.

    Args:
        scope: The values to which they are added.
        prefix: E.g. `steps.NAME`.
        node: Of the step or task.
        items: The nodes of a step that ran once per item: their outputs are published as lists.
    """
    scope[f"{prefix}.status"] = node["phase"]
    scope[f"{prefix}.id"] = node["id"]
    if items is not None:
        _note_lists(scope, prefix, items)
        return
    outputs = node.get("outputs", {})
    if "result" in outputs:
        scope[f"{prefix}.outputs.result"] = outputs["result"]
    if "exitCode" in outputs:
        scope[f"{prefix}.exitCode"] = outputs["exitCode"]
    for name, value in _values(node).items():
        scope[f"{prefix}.outputs.parameters.{name}"] = value


def _note_lists(scope: Scope, prefix: str, items: list[Node]) -> None:
    found = [_values(node) for node in items if node["type"] != "Skipped"]
    results = [node["outputs"]["result"] for node in items if "result" in node.get("outputs", {})]
    scope[f"{prefix}.outputs.result"] = orjson.dumps(results).decode()
    scope[f"{prefix}.outputs.parameters"] = orjson.dumps(found).decode()
    for name in {name for values in found for name in values}:
        values = [values[name] for values in found if name in values]
        scope[f"{prefix}.outputs.parameters.{name}"] = orjson.dumps(values).decode()


def _values(node: Node) -> Scope:
    """Return output parameters by name; a resume with a selector may leave some without a value."""
    parameters = node.get("outputs", {}).get("parameters", [])
    return {parameter["name"]: parameter["value"] for parameter in parameters if "value" in parameter}
