"""Walks a DAG template: each task runs once its dependencies have ended. It never waits.

Owned by the simulator's loop thread. Source: Argo v4.1 workflow/controller/dag.go and common/ancestry.go; texts as
recorded.
"""

from __future__ import annotations

from collections import deque

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.calls import CallNodes
from bridge.simulator.controller.expansion import items_of
from bridge.simulator.controller.expressions import depends_holds, depends_names, substitute
from bridge.simulator.controller.members import Group, Members, Parents, note_outputs, tolerates
from bridge.simulator.controller.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.controller.step_groups import GroupEnd
from bridge.simulator.objects.store import Object

_OMITTED = "omitted: depends condition not met"
_PHASES = {"Errored": "Error"}
_COMPLETED = frozenset({"Succeeded", *FAILED})


class TaskGraphs:
    """Executes DAG templates of one workflow.

    Args:
        table: The workflow's nodes, which it changes.
        added: Adds nodes.
        members: Executes one task.
        behaviour: For timestamps.
    """

    def __init__(self, table: NodeTable, added: CallNodes, members: Members, behaviour: Behaviour) -> None:
        self._table = table
        self._added = added
        self._members = members
        self._behaviour = behaviour

    def walk(self, dag: Group) -> GroupEnd | None:
        """Update all tasks; None while there is more to do."""
        tasks = {task.get("name", ""): task for task in dag.template["dag"].get("tasks", [])}
        targets = _targets(substitute(dag.template["dag"].get("target", ""), dag.scope), tasks)
        wanted = _with_all_before(targets, tasks)
        ended: dict[str, Node] = {}
        for name in wanted:
            before = _dependencies(tasks[name])
            if all(dependency in ended for dependency in before):
                node = self._run(dag, tasks, name, [ended[dependency] for dependency in before])
                if node is not None:
                    ended[name] = node
                    items = self._table.children(node) if node["type"] == "TaskGroup" else None
                    note_outputs(dag.scope, f"tasks.{name}", node, items)
        if len(ended) < len(wanted):
            return None
        outbound = [end for name in targets for end in self._table.outbound(ended[name])]
        return GroupEnd(self._phase(dag.node["id"], {ended[name]["id"]: tasks[name] for name in targets}), outbound)

    def _run(self, dag: Group, tasks: dict[str, Object], name: str, before: list[Node]) -> Node | None:
        """Update one task; returns its node once it has ended."""
        task = tasks[name]
        parents = [end for node in before for end in self._table.outbound(node)] or [dag.node["id"]]
        place = Parents(parents, f"{dag.call.name}.")
        if self._table.find(place.prefix + name) is None and not self._may_start(task, tasks, before):
            return self._members.skip(dag, task, place, "Omitted", _OMITTED)
        if items_of(task, dag.scope):
            return self._run_group(dag, task, place)
        nodes = self._members.run(dag, task, place)
        return nodes[0] if nodes else None

    def _run_group(self, dag: Group, task: Object, place: Parents) -> Node | None:
        """Update a task that runs once per item: its nodes are children of a node that stands for the task."""
        call = self._members.call_of(dag, task, place)
        group = self._table.find(call.name) or self._added.add(call, "TaskGroup", progress="0/1", nodeFlag={})
        for parent in place.parents:
            self._table.add_child(self._table.nodes[parent], group)
        nodes = self._members.run(dag, task, Parents([group["id"]], place.prefix))
        if nodes is None:
            return None
        if group["phase"] not in FULFILLED:
            failed = [node["phase"] for node in nodes if node["phase"] in FAILED]
            phase, finished = (failed[-1] if failed else "Succeeded"), self._behaviour.timestamp()
            self._table.update(group, phase=phase, finishedAt=finished)
        return self._table.nodes[group["id"]]

    def _may_start(self, task: Object, tasks: dict[str, Object], before: list[Node]) -> bool:
        nodes = dict(zip(_dependencies(task), before, strict=True))

        def ended(name: str, status: str) -> bool:
            if status == "":
                phase = nodes[name]["phase"]
                return phase in ("Succeeded", "Skipped") or tolerates(tasks[name], phase)
            if status in ("AnySucceeded", "AllFailed"):
                items = [item["phase"] for item in self._table.children(nodes[name])]
                is_group = nodes[name]["type"] == "TaskGroup"
                return is_group and ("Succeeded" in items if status == "AnySucceeded" else set(items) == {"Failed"})
            return bool(nodes[name]["phase"] == _PHASES.get(status, status))

        if "depends" in task:
            return depends_holds(task["depends"], ended)
        return all(ended(name, "") for name in task.get("dependencies", []))

    def _phase(self, boundary: str, targets: dict[str, Object]) -> str:
        """Return how a DAG ends: as its first failed target; tasks that did not run count like those before them."""
        found = dict.fromkeys(targets, "")
        waiting = deque([(boundary, "Succeeded")])
        seen = set(waiting)
        while waiting:
            identifier, branch = waiting.popleft()
            node = self._table.nodes[identifier]
            branch = node["phase"] if node["phase"] in _COMPLETED else branch
            if identifier in found and found[identifier] not in FAILED:
                found[identifier] = branch
            for follower in [(child["id"], branch) for child in self._table.children(node)]:
                if follower not in seen:
                    seen.add(follower)
                    waiting.append(follower)
        failed = [phase for key, phase in found.items() if phase in FAILED and not tolerates(targets[key], phase)]
        return failed[0] if failed else "Succeeded"


def _targets(named: str, tasks: dict[str, Object]) -> list[str]:
    """Return the tasks that determine the result: the named targets, otherwise those that no other task depends on."""
    if named:
        return [name for name in named.split() if name in tasks]
    needed = {name for task in tasks.values() for name in _dependencies(task)}
    return sorted(name for name in tasks if name not in needed)


def _with_all_before(targets: list[str], tasks: dict[str, Object]) -> list[str]:
    """Return some tasks and all their dependencies, each after its dependencies; members of a cycle come last."""
    wanted: set[str] = set()
    waiting = list(targets)
    while waiting:
        name = waiting.pop()
        if name not in wanted and name in tasks:
            wanted.add(name)
            waiting += _dependencies(tasks[name])
    ordered: dict[str, None] = {}
    while ready := [
        n for n in tasks if n in wanted - ordered.keys() and ordered.keys() >= set(_dependencies(tasks[n]))
    ]:
        ordered |= dict.fromkeys(ready)
    return [*ordered, *(wanted - ordered.keys())]


def _dependencies(task: Object) -> list[str]:
    return depends_names(task["depends"]) if "depends" in task else task.get("dependencies", [])
