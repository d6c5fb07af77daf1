"""The running nodes of a workflow: pods, suspends and the like, from start to end.

It never waits and does not decide what starts. Owned by the simulator's loop thread. Source: Argo v4.1
workflow/controller/operator.go; texts as recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.calls import Call, CallNodes, Scope, Stopping
from bridge.simulator.controller.nodes import FULFILLED, Node, NodeTable
from bridge.simulator.objects.store import Object

_LEAF_TYPES = {"suspend": "Suspend", "http": "HTTP", "plugin": "Plugin"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A running node: when it ends (None: not by itself) and how."""

    due_s: float | None
    exit_code: int
    template: Object
    scope: Scope
    exiting: bool
    started_s: float


class Leaves:
    """The running nodes of one workflow.

    Args:
        table: The workflow's nodes, which it changes.
        added: Adds nodes.
        behaviour: How long things take and how they end.

    Attributes:
        running: By node id.
        outputs: Global output parameters, by name.
        stopping: Set while everything must end.
        now_s: The controller's clock; set before each walk.
    """

    def __init__(self, table: NodeTable, added: CallNodes, behaviour: Behaviour) -> None:
        self._table = table
        self._added = added
        self._behaviour = behaviour
        self.running: dict[str, Leaf] = {}
        self.outputs: dict[str, str] = {}
        self.stopping: Stopping | None = None
        self.now_s = 0.0

    def forget_ended(self) -> None:
        """Drop leaves whose nodes were ended or removed by others."""
        nodes = self._table.nodes
        for identifier in list(self.running):
            node = nodes.get(identifier)
            if node is None or node["phase"] in FULFILLED:
                del self.running[identifier]

    def stop(self) -> None:
        """End running nodes if everything must end."""
        for node in self._table.running_leaves():
            leaf = self.running.get(node["id"])
            stopping = self.stopping_for(leaf is not None and leaf.exiting)
            if stopping is not None:
                self.running.pop(node["id"], None)
                self._fail(node, stopping.pod_message if node["type"] == "Pod" else stopping.message)

    def end_due_pods(self) -> None:
        """End only the pods that are due: a suspended workflow still does this."""
        for identifier in list(self.running):
            node = self._table.nodes[identifier]
            if node["type"] == "Pod":
                self.look_at(node)

    def stopping_for(self, exiting: bool) -> Stopping | None:
        """Return why a node must end, or None if it may run."""
        stopping = self.stopping
        return None if stopping is None or (exiting and stopping.spares_exit) else stopping

    def _fail(self, node: Node, message: str) -> Node:
        synced = self._behaviour.pod_end_fields() if node["type"] == "Pod" else {}
        finished = self._behaviour.timestamp()
        return self._table.update(node, phase="Failed", message=message, finishedAt=finished, **synced)

    def start(self, call: Call, template: Object, inputs: Object, scope: Scope) -> Node:
        """Add the node of a call that runs."""
        kind = next((kind for key, kind in _LEAF_TYPES.items() if key in template), "Pod")
        duration_s, exit_code = self._behaviour.plan(template, scope, hooked=call.exiting)
        due_s = None if duration_s is None else self.now_s + duration_s
        supplied = self._behaviour.supplied_outputs(template) if kind == "Suspend" else {}
        values = inputs | ({"outputs": supplied} if supplied else {})
        node = self._added.add(call, kind, progress="0/1", **values)
        stopping = self.stopping_for(call.exiting)
        if stopping is not None:
            return self._fail(node, stopping.unborn_message if kind == "Pod" else stopping.message)
        self.running[node["id"]] = Leaf(due_s, exit_code, template, scope, call.exiting, self.now_s)
        return node

    def look_at(self, node: Node) -> Node:
        """End a node if it is due."""
        leaf = self.running.get(node["id"])
        if leaf is None or leaf.due_s is None or leaf.due_s > self.now_s:
            return node
        return self._end(node, leaf)

    def _end(self, node: Node, leaf: Leaf) -> Node:
        del self.running[node["id"]]
        values: Object = {
            "phase": "Failed" if leaf.exit_code else "Succeeded",
            "finishedAt": self._behaviour.timestamp(),
        }
        outputs: Object = {}
        if not leaf.exit_code:
            outputs = self._behaviour.outputs(leaf.template, leaf.scope, node.get("outputs", {}))
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
        """Publish global output parameters to the workflow."""
        for parameter in outputs.get("parameters", []):
            if "globalName" in parameter and "value" in parameter:
                self.outputs[parameter["globalName"]] = parameter["value"]
