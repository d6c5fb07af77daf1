"""Runs the templates of a workflow: decides which nodes exist, which run and how they end.

Works like Argo's controller: each pass starts at the entrypoint, adds the nodes that may now start, ends the leaves
that are due, and derives the phases above them. It never waits, never writes to the store, and does not know the
workflow as a whole (`run` does). Owned by the simulator's loop thread. Source: Argo v4.1
workflow/controller/operator.go; texts as recorded.
"""

from __future__ import annotations

from dataclasses import replace

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.calls import Call, CallNodes, Scope
from bridge.simulator.controller.expressions import substitute
from bridge.simulator.controller.leaves import Leaves
from bridge.simulator.controller.members import Group, Members
from bridge.simulator.controller.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.controller.step_groups import GroupEnd, StepGroups
from bridge.simulator.controller.task_graphs import TaskGraphs
from bridge.simulator.objects.store import Object

_DISPLAY_NAME = "workflows.argoproj.io/display-name"
_MAX_DEPTH = 60
_MAX_RETRIES = 100  # without a limit, something that always fails would be tried forever


class TemplateRuns:
    """Executes templates of one workflow.

    Args:
        table: The workflow's nodes, which it changes.
        behaviour: How long things take and how they end.
        retry_strategy: For templates that have none; or None.

    Attributes:
        leaves: What runs.
    """

    def __init__(self, table: NodeTable, behaviour: Behaviour, retry_strategy: Object | None) -> None:
        self._table = table
        self._behaviour = behaviour
        self._retry_strategy = retry_strategy
        self._added = CallNodes(table, behaviour)
        self.leaves = Leaves(table, self._added, behaviour)
        members = Members(table, self._added, self.leaves, behaviour, self.execute)
        self._steps = StepGroups(table, members, behaviour)
        self._graphs = TaskGraphs(table, self._added, members, behaviour)

    def execute(self, call: Call) -> Node:
        """Update a call's node and everything below it; adds the node if it is new."""
        node = self._table.find(call.name)
        if node is not None and node["phase"] in FULFILLED:
            return node
        template, source = call.source.find(call.step)
        if not template or call.depth > _MAX_DEPTH:
            reason = "template not found" if not template else "Maximum recursion depth exceeded"
            return self._added.add(call, "Pod", phase="Error", message=reason, finishedAt=self._behaviour.timestamp())
        inputs, scope = self._bind(call, template)
        is_attempt = "retried" in call.flags
        display = template.get("annotations", {}).get(_DISPLAY_NAME)
        if display and not is_attempt:
            call = replace(call, display=substitute(display, scope))
        strategy = template.get("retryStrategy", self._retry_strategy)
        if strategy is not None and not is_attempt:
            return self._attempts(call, strategy, node or self._added.add(call, "Retry", progress="0/1", **inputs))
        for key, kind, walk in (("steps", "Steps", self._steps.walk), ("dag", "DAG", self._graphs.walk)):
            if key in template:
                node = node or self._added.add(call, kind, progress="0/1", **inputs)
                group = Group(call, template, source, node, scope)
                return self._end_group(group, walk(group))
        if node is None:
            return self.leaves.start(call, template, inputs, scope)
        return self.leaves.look_at(node)

    def _bind(self, call: Call, template: Object) -> tuple[Object, Scope]:
        """Return the inputs of a call with their values, and the values its template may refer to."""
        declared = template["inputs"].get("parameters", [])
        given = {parameter["name"]: parameter for parameter in call.arguments}
        scope = {key: value for key, value in call.scope.items() if key.startswith("workflow.") or key == "retries"}
        parameters: list[Object] = []
        for parameter in declared:
            source = given.get(parameter["name"], parameter)
            value = substitute(self._behaviour.parameter_value(source), call.scope)
            parameters.append({**parameter, "value": value})
            scope[f"inputs.parameters.{parameter['name']}"] = value
        return ({"inputs": {"parameters": parameters}} if parameters else {}), scope

    def _end_group(self, group: Group, ended: GroupEnd | None) -> Node:
        """End a Steps or DAG node whose members have all ended."""
        node = self._table.nodes[group.node["id"]]
        if ended is None or node["phase"] in FULFILLED:
            return node
        values: Object = {"phase": ended.phase, "finishedAt": self._behaviour.timestamp()}
        if ended.message:
            values["message"] = ended.message
        outputs = self._behaviour.outputs(group.template, group.scope) if ended.phase == "Succeeded" else {}
        if outputs:
            self.leaves.publish(outputs)
            values["outputs"] = outputs
        return self._table.update(node, outboundNodes=ended.outbound, **values)

    # -- attempts --------------------------------------------------------------------------------------------------

    def _attempts(self, call: Call, strategy: Object, node: Node) -> Node:
        """Update the node of a retried call: it ends like its last attempt."""
        attempts = self._table.children(node)
        last = attempts[-1] if attempts else None
        number = len(attempts) - 1
        if last is None or last["phase"] in FULFILLED:
            reason = "" if last is None else self._reason_to_end(call, strategy, last, len(attempts))
            if reason is not None and last is not None:
                return self._end_attempts(node, last, reason)
            number += 1
        attempt = replace(
            call,
            name=f"{call.name}({number})",
            display=f"{call.display}({number})",
            scope={**call.scope, "retries": str(number)},
            flags={**call.flags, "retried": True},
        )
        made = self.execute(attempt)
        self._table.add_child(node, made)
        ended = made["phase"] in FULFILLED
        return self._attempts(call, strategy, self._table.nodes[node["id"]]) if ended else self._table.nodes[node["id"]]

    def _reason_to_end(self, call: Call, strategy: Object, last: Node, count: int) -> str | None:
        """Return the message of a retried node if there is no further attempt; None if there is one."""
        if last["phase"] not in FAILED:
            return ""
        stopping = self.leaves.stopping_for(call.exiting)
        if stopping is not None:
            return stopping.message
        policy = str(strategy.get("retryPolicy", "")) or ("Always" if strategy.get("expression") else "OnFailure")
        wanted = {"Always": FAILED, "OnError": {"Error"}, "OnFailure": {"Failed"}}.get(policy, frozenset())
        if last["phase"] not in wanted:
            return str(last.get("message", ""))
        limit = substitute(str(strategy.get("limit", "")), call.scope)
        return "No more retries left" if count > (int(limit) if limit.isdecimal() else _MAX_RETRIES) else None

    def _end_attempts(self, node: Node, last: Node, reason: str) -> Node:
        values: Object = {"phase": last["phase"], "finishedAt": self._behaviour.timestamp()}
        if reason:
            values["message"] = reason
        if "outputs" in last:
            values["outputs"] = last["outputs"]
        return self._table.update(node, **values)
