"""Walks a workflow's templates: which nodes exist, which run and how they end.

Works like Argo's controller: each walk starts at the entrypoint, adds the nodes that may now start, ends the leaves
whose time has come, and derives the phases above them. It never waits, never writes to the store, and knows nothing
of the workflow as a whole (that is `run`). Owned by the simulator's loop thread. Source: Argo v4.1
workflow/controller (operator.go, steps.go, dag.go); texts as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge.simulator.behaviour import Behaviour
from bridge.simulator.expressions import (
    depends_holds,
    depends_names,
    expand_items,
    holds,
    item_scope,
    item_text,
    substitute,
)
from bridge.simulator.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.store import Lookup, Object

Scope = dict[str, str]
Members = Iterable[tuple[Object, list[Node]]]

_LEAF_TYPES = {"suspend": "Suspend", "http": "HTTP", "plugin": "Plugin"}
_MAX_DEPTH = 60


@dataclass(slots=True)
class Call:
    """One use of a template: by the entrypoint, a step, a task or an exit handler."""

    name: str
    display: str
    template: Object
    template_name: str
    arguments: list[Object]
    scope: Scope
    boundary: str | None = None
    hooked: bool = False
    exiting: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Stopping:
    """Why what runs must end and what starts must fail at once.

    Attributes:
        message: What nodes without a pod say.
        pod_message: What pods say that were running.
        unborn_message: What pods say that were not created any more.
        spares_exit: Nodes of the exit handler run all the same.
    """

    message: str
    pod_message: str
    unborn_message: str
    spares_exit: bool = True


@dataclass(slots=True)
class Leaf:
    """A node that runs: when it ends (None: not by itself) and how."""

    due_s: float | None
    exit_code: int
    call: Call
    scope: Scope
    started_s: float


@dataclass(slots=True)
class _Place:
    """Where the nodes of a step or task belong: what they follow from, their boundary, and how their names begin."""

    parents: list[str]
    boundary: str
    prefix: str


@dataclass(slots=True)
class _Expanded:
    suffix: str
    scope: Scope = field(default_factory=dict)


class TemplateWalker:
    """Executes templates of one workflow.

    Args:
        table: The workflow's nodes, which it changes.
        templates: The workflow's own templates, by name.
        behaviour: How long things take and how they end.
        lookup: `(name, cluster scope)` to a stored template, for `templateRef`.

    Attributes:
        leaves: What runs, by node id.
        outputs: Global output parameters, by name.
        stopping: Set while everything has to end.
        now_s: The controller's clock; set before each walk.
    """

    def __init__(self, table: NodeTable, templates: dict[str, Object], behaviour: Behaviour, lookup: Lookup) -> None:
        self._table = table
        self._templates = templates
        self._behaviour = behaviour
        self._lookup = lookup
        self.leaves: dict[str, Leaf] = {}
        self.outputs: dict[str, str] = {}
        self.stopping: Stopping | None = None
        self.now_s = 0.0

    def forget_ended(self) -> None:
        """Let go of leaves whose nodes have been ended, or taken away, by others."""
        nodes = self._table.nodes
        for identifier in list(self.leaves):
            node = nodes.get(identifier)
            if node is None or node["phase"] in FULFILLED:
                del self.leaves[identifier]

    def stop_leaves(self) -> None:
        """End what runs, if everything has to end."""
        for node in self._table.running_leaves():
            leaf = self.leaves.get(node["id"])
            stopping = self._stopping_for(leaf is not None and leaf.call.exiting)
            if stopping is not None:
                self.leaves.pop(node["id"], None)
                is_pod = node["type"] == "Pod"
                self._fail(node, stopping.pod_message if is_pod else stopping.message)

    def end_due_pods(self) -> None:
        """End the pods whose time has come, and nothing else: what a suspended workflow still does."""
        for identifier in list(self.leaves):
            node = self._table.nodes[identifier]
            if node["type"] == "Pod":
                self._look_at_leaf(node)

    def _stopping_for(self, exiting: bool) -> Stopping | None:
        stopping = self.stopping
        return None if stopping is None or (exiting and stopping.spares_exit) else stopping

    def _fail(self, node: Node, message: str) -> Node:
        synced = self._behaviour.pod_end_fields() if node["type"] == "Pod" else {}
        finished = self._behaviour.timestamp()
        return self._table.update(node, phase="Failed", message=message, finishedAt=finished, **synced)

    def execute(self, call: Call) -> Node:
        """Bring a call's node, and all below it, up to date; adds the node when it is new."""
        node = self._table.find(call.name)
        if node is not None and node["phase"] in FULFILLED:
            return node
        template = call.template
        if not template or call.depth > _MAX_DEPTH:
            reason = "template not found" if not template else "Maximum recursion depth exceeded"
            return self._add(call, "Pod", phase="Error", message=reason, finishedAt=self._behaviour.timestamp())
        inputs, scope = self._bind(call)
        for key, kind, walk in (("steps", "Steps", self._steps), ("dag", "DAG", self._dag)):
            if key in template:
                return walk(call, node or self._add_group(call, kind, inputs), scope)
        return self._start_leaf(call, inputs, scope) if node is None else self._look_at_leaf(node)

    def _look_at_leaf(self, node: Node) -> Node:
        leaf = self.leaves.get(node["id"])
        if leaf is None or leaf.due_s is None or leaf.due_s > self.now_s:
            return node
        return self._end_leaf(node, leaf)

    def _bind(self, call: Call) -> tuple[Object, Scope]:
        """The inputs of a call with their values, and what its template may refer to."""
        declared = call.template["inputs"].get("parameters", [])
        given = {parameter["name"]: parameter for parameter in call.arguments}
        scope = {key: value for key, value in call.scope.items() if key.startswith("workflow.")}
        parameters: list[Object] = []
        for parameter in declared:
            source = given.get(parameter["name"], parameter)
            value = substitute(self._behaviour.parameter_value(source), call.scope)
            parameters.append({**parameter, "value": value})
            scope[f"inputs.parameters.{parameter['name']}"] = value
        return ({"parameters": parameters} if parameters else {}), scope

    def _add(self, call: Call, kind: str, **values: Any) -> Node:
        node = {
            "displayName": call.display,
            "type": kind,
            "templateName": call.template_name,
            "templateScope": f"local/{self._table.workflow}",
            "phase": "Running",
            "startedAt": self._behaviour.timestamp(),
            "finishedAt": None,
            **values,
        }
        if call.boundary is not None:
            node["boundaryID"] = call.boundary
        if call.hooked:
            node["nodeFlag"] = {"hooked": True}
        return self._table.add(call.name, node)

    def _add_group(self, call: Call, kind: str, inputs: Object) -> Node:
        return self._add(call, kind, progress="0/1", **({"inputs": inputs} if inputs else {}))

    def _start_leaf(self, call: Call, inputs: Object, scope: Scope) -> Node:
        kind = next((kind for key, kind in _LEAF_TYPES.items() if key in call.template), "Pod")
        duration_s, exit_code = self._behaviour.plan(call.template, scope, hooked=call.exiting)
        due_s = None if duration_s is None else self.now_s + duration_s
        supplied = self._behaviour.supplied_outputs(call.template) if kind == "Suspend" else {}
        given = {"inputs": inputs} if inputs else {}
        node = self._add(call, kind, progress="0/1", **given, **({"outputs": supplied} if supplied else {}))
        stopping = self._stopping_for(call.exiting)
        if stopping is not None:
            return self._fail(node, stopping.unborn_message if kind == "Pod" else stopping.message)
        self.leaves[node["id"]] = Leaf(due_s, exit_code, call, scope, self.now_s)
        return node

    def _end_leaf(self, node: Node, leaf: Leaf) -> Node:
        del self.leaves[node["id"]]
        values: Object = {
            "phase": "Failed" if leaf.exit_code else "Succeeded",
            "finishedAt": self._behaviour.timestamp(),
        }
        outputs: Object = {}
        if not leaf.exit_code:
            outputs = self._behaviour.outputs(leaf.call.template, leaf.scope, node.get("outputs", {}))
            self.publish(outputs)
        if node["type"] == "Pod":
            outputs["exitCode"] = str(leaf.exit_code)
            memory = max(1, round(2 * (self.now_s - leaf.started_s)))
            values |= {"resourcesDuration": {"cpu": 0, "memory": memory}, "hostNodeName": "simulated-node"}
            values |= self._behaviour.pod_end_fields()
        if leaf.exit_code:
            values["message"] = self._behaviour.failure_message(leaf.exit_code)
        if outputs:
            values["outputs"] = outputs
        return self._table.update(node, **values)

    def publish(self, outputs: Object) -> None:
        """Make global output parameters known to the workflow."""
        for parameter in outputs.get("parameters", []):
            if "globalName" in parameter and "value" in parameter:
                self.outputs[parameter["globalName"]] = parameter["value"]

    def _end_group(self, node: Node, call: Call, scope: Scope, failed: Node | None) -> Node:
        """End a Steps or DAG node whose members have all ended."""
        values: Object = {"phase": "Failed" if failed else "Succeeded", "finishedAt": self._behaviour.timestamp()}
        if failed is not None and node["type"] == "Steps":
            values["message"] = f"child '{failed['id']}' failed"
        outputs = {} if failed else self._behaviour.outputs(call.template, scope)
        if outputs:
            self.publish(outputs)
            values["outputs"] = outputs
        return self._table.update(node, outboundNodes=self._table.outbound(node), **values)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _steps(self, call: Call, node: Node, scope: Scope) -> Node:
        previous = [node["id"]]
        for index, group in enumerate(call.template["steps"]):
            member = self._group_node(f"{call.name}[{index}]", node["id"], f"[{index}]", previous)
            place = _Place([member["id"]], node["id"], f"{call.name}[{index}].")
            children = [self._members(call, step, place, scope) for step in group]
            if not all(_all_ended(nodes) for nodes in children):
                return node
            failed = self._failed_of(zip(group, children, strict=True))
            if member["phase"] not in FULFILLED:
                text = {"message": f"child '{failed['id']}' failed"} if failed else {}
                finished = self._behaviour.timestamp()
                self._table.update(member, phase="Failed" if failed else "Succeeded", finishedAt=finished, **text)
            if failed is not None:
                return self._end_group(node, call, scope, failed)
            self._collect(zip(group, children, strict=True), scope, "steps")
            previous = self._table.outbound(self._table.nodes[member["id"]])
        return self._end_group(node, call, scope, None)

    def _group_node(self, name: str, boundary: str, display: str, previous: list[str]) -> Node:
        member = self._table.find(name)
        if member is not None:
            return member
        member = self._table.add(
            name,
            {
                "displayName": display,
                "type": "StepGroup",
                "templateScope": f"local/{self._table.workflow}",
                "phase": "Running",
                "boundaryID": boundary,
                "startedAt": self._behaviour.timestamp(),
                "finishedAt": None,
                "progress": "0/1",
                "nodeFlag": {},
            },
        )
        for identifier in previous:
            self._table.add_child(self._table.nodes[identifier], member)
        return member

    def _members(self, call: Call, step: Object, place: _Place, scope: Scope) -> list[Node]:
        """Execute a step or task, once or once an item; returns its nodes."""
        nodes: list[Node] = []
        for expanded in self._expansions(step, scope):
            display = f"{step.get('name', '')}{expanded.suffix}"
            inner = Call(
                name=place.prefix + display,
                display=display,
                template=self._template_of(step),
                template_name=step.get("template", ""),
                arguments=step["arguments"].get("parameters", []),
                scope={**scope, **expanded.scope},
                boundary=place.boundary,
                exiting=call.exiting,
                depth=call.depth + 1,
            )
            node = self._call_when(step, inner)
            for parent in place.parents:
                self._table.add_child(self._table.nodes[parent], node)
            nodes.append(node)
        return nodes

    def _call_when(self, step: Object, inner: Call) -> Node:
        if self._table.find(inner.name) is None:
            condition = substitute(step.get("when", ""), inner.scope)
            if not holds(condition):
                message = f"when '{condition}' evaluated false"
                finished = self._behaviour.timestamp()
                return self._add(inner, "Skipped", phase="Skipped", message=message, finishedAt=finished)
        return self.execute(inner)

    def _expansions(self, step: Object, scope: Scope) -> Iterator[_Expanded]:
        source = step.get("withItems")
        if source is None and "withParam" in step:
            source = substitute(step["withParam"], scope)
        if source is None and "withSequence" in step:
            source = self._behaviour.sequence(step["withSequence"], scope)
        items = None if source is None else expand_items(source)
        if items is None:
            yield _Expanded("")
            return
        for index, item in enumerate(items):
            yield _Expanded(f"({index}:{item_text(item)})", item_scope(item))

    def _template_of(self, step: Object) -> Object:
        if "inline" in step:
            return step["inline"]  # type: ignore[no-any-return]  # decoded as a template
        reference = step.get("templateRef")
        if reference is None:
            return self._templates.get(step.get("template", ""), {})
        stored = self._lookup(reference.get("name", ""), bool(reference.get("clusterScope")))
        if stored is None:
            return {}
        templates = stored["spec"].get("templates", [])
        return next((t for t in templates if t.get("name") == reference.get("template")), {})

    def _failed_of(self, members: Members) -> Node | None:
        for step, nodes in members:
            tolerated = step.get("continueOn", {})
            for node in nodes:
                if node["phase"] in FAILED and not tolerated.get("error" if node["phase"] == "Error" else "failed"):
                    return node
        return None

    def _collect(self, members: Members, scope: Scope, kind: str) -> None:
        """Make a step's outputs known to those after it."""
        for step, nodes in members:
            prefix = f"{kind}.{step.get('name', '')}"
            for node in nodes:
                scope[f"{prefix}.status"] = node["phase"]
                scope[f"{prefix}.id"] = node["id"]
                outputs = node.get("outputs", {})
                if "result" in outputs:
                    scope[f"{prefix}.outputs.result"] = outputs["result"]
                if "exitCode" in outputs:
                    scope[f"{prefix}.exitCode"] = outputs["exitCode"]
                for parameter in outputs.get("parameters", []):
                    if "value" in parameter:  # a resume by selector leaves outputs that nobody has set
                        scope[f"{prefix}.outputs.parameters.{parameter['name']}"] = parameter["value"]

    # -- dag -------------------------------------------------------------------------------------------------------

    def _dag(self, call: Call, node: Node, scope: Scope) -> Node:
        tasks = {task.get("name", ""): task for task in call.template["dag"].get("tasks", [])}
        results: dict[str, list[Node]] = {}
        for name in _in_order(tasks):
            task = tasks[name]
            before = _dependencies(task)
            if any(not _all_ended(results.get(dependency)) for dependency in before):
                continue
            parents = [end for dependency in before for end in self._ends_of(results[dependency])]
            place = _Place(parents or [node["id"]], node["id"], f"{call.name}.")
            if self._may_start(task, results):
                results[name] = self._members(call, task, place, scope)
            else:
                results[name] = [self._omit(call, place, task)]
            if _all_ended(results[name]):
                self._collect([(task, results[name])], scope, "tasks")
        if len(results) < len(tasks) or not all(_all_ended(nodes) for nodes in results.values()):
            return self._table.nodes[node["id"]]
        failed = self._failed_of((tasks[name], nodes) for name, nodes in results.items())
        return self._end_group(node, call, scope, failed)

    def _ends_of(self, nodes: Iterable[Node]) -> list[str]:
        return [end for node in nodes for end in self._table.outbound(self._table.nodes[node["id"]])]

    def _may_start(self, task: Object, results: dict[str, list[Node]]) -> bool:
        def ended(name: str, status: str) -> bool:
            phases = [node["phase"] for node in results.get(name, [])]
            if status in ("", "Succeeded"):
                good = {"Succeeded", "Skipped"} if status == "" else {"Succeeded"}
                return all(phase in good for phase in phases)
            if status in ("AnySucceeded", "AllFailed"):
                wanted = "Succeeded" if status == "AnySucceeded" else "Failed"
                return (
                    any(p == wanted for p in phases) if status == "AnySucceeded" else all(p == wanted for p in phases)
                )
            return any(phase == status for phase in phases)

        if "depends" in task:
            return depends_holds(task["depends"], ended)
        return all(ended(name, "") for name in task.get("dependencies", []))

    def _omit(self, call: Call, place: _Place, task: Object) -> Node:
        name = task.get("name", "")
        full = f"{call.name}.{name}"
        existing = self._table.find(full)
        if existing is not None:
            return existing
        inner = Call(full, name, {}, task.get("template", ""), [], {}, place.boundary)
        finished, message = self._behaviour.timestamp(), "omitted: depends condition not met"
        node = self._add(inner, "Skipped", phase="Omitted", message=message, finishedAt=finished)
        for parent in place.parents:
            self._table.add_child(self._table.nodes[parent], node)
        return node


def _all_ended(nodes: list[Node] | None) -> bool:
    """Whether a step or task has ended; None is one that has not started, no nodes is one without items."""
    return nodes is not None and all(node["phase"] in FULFILLED for node in nodes)


def _dependencies(task: Object) -> list[str]:
    return depends_names(task["depends"]) if "depends" in task else task.get("dependencies", [])


def _in_order(tasks: dict[str, Object]) -> list[str]:
    """Task names, each after those it depends on; members of a cycle come last and never start."""
    ordered: list[str] = []
    waiting = list(tasks)
    while waiting:
        ready = [name for name in waiting if all(d in ordered or d not in tasks for d in _dependencies(tasks[name]))]
        if not ready:
            return ordered + waiting
        ordered += ready
        waiting = [name for name in waiting if name not in ready]
    return ordered
