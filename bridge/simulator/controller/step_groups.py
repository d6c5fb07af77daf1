"""Walks a template of steps, one group of parallel steps after the other. It never waits.

Owned by the simulator's loop thread. Source: Argo v4.1 workflow/controller/steps.go; texts as recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.members import Group, Members, Parents, note_outputs, tolerates
from bridge.simulator.controller.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.objects.store import Object


@dataclass(frozen=True, slots=True)
class GroupEnd:
    """The end of a Steps or DAG node.

    Attributes:
        phase: Succeeded, Failed or Error.
        message: The reason, where Argo gives one.
        outbound: Ids of the nodes that others follow from.
    """

    phase: str
    outbound: list[str]
    message: str = ""


class StepGroups:
    """Executes templates of steps of one workflow.

    Args:
        table: The workflow's nodes, which it changes.
        members: Executes one step.
        behaviour: For timestamps.
    """

    def __init__(self, table: NodeTable, members: Members, behaviour: Behaviour) -> None:
        self._table = table
        self._members = members
        self._behaviour = behaviour

    def walk(self, steps: Group) -> GroupEnd | None:
        """Update all groups; None while there is more to do."""
        previous = [steps.node["id"]]
        for index, group in enumerate(steps.template["steps"]):
            name = f"{steps.call.name}[{index}]"
            member = self._group_node(steps, name, f"[{index}]", previous)
            place = Parents([member["id"]], f"{name}.")
            found = [self._members.run(steps, step, place) for step in group]
            children = [nodes for nodes in found if nodes is not None]
            if len(children) < len(found):
                return None
            ended = self._end_group(member, list(zip(group, children, strict=True)))
            previous = self._table.outbound(ended)
            if ended["phase"] in FAILED:
                return GroupEnd("Failed", previous, ended["message"])
            for step, nodes in zip(group, children, strict=True):
                is_one = self._table.find(f"{place.prefix}{step.get('name', '')}") is not None
                note_outputs(steps.scope, f"steps.{step.get('name', '')}", nodes[0], None if is_one else nodes)
        return GroupEnd("Succeeded", previous)

    def _end_group(self, member: Node, children: list[tuple[Object, list[Node]]]) -> Node:
        if member["phase"] in FULFILLED:
            return self._table.nodes[member["id"]]
        values: Object = {"phase": "Succeeded", "finishedAt": self._behaviour.timestamp()}
        failed = (
            node
            for step, nodes in children
            for node in nodes
            if node["phase"] in FAILED and not tolerates(step, node["phase"])
        )
        for node in failed:
            values |= {"phase": "Failed", "message": f"child '{node['id']}' failed"}
            break
        return self._table.update(member, **values)

    def _group_node(self, steps: Group, name: str, display: str, previous: list[str]) -> Node:
        member = self._table.find(name)
        if member is not None:
            return member
        member = self._table.add(
            name,
            {
                "displayName": display,
                "type": "StepGroup",
                "templateScope": steps.source.scope,
                "phase": "Running",
                "boundaryID": steps.node["id"],
                "startedAt": self._behaviour.timestamp(),
                "finishedAt": None,
                "progress": "0/1",
                "nodeFlag": {},
            },
        )
        for identifier in previous:
            self._table.add_child(self._table.nodes[identifier], member)
        return member
