"""The effects of suspend, resume, stop, terminate and set on a workflow.

Pure: each takes a stored workflow and returns the changed one, or the same one if there is nothing to do, or raises
`ApiError`. Rights, storing and informing the controller are done by `verbs_api`. Run on the simulator's loop thread.
Source: Argo v4.1 workflow/util/util.go; texts as recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.simulator.api.node_selectors import parse_node_selector
from bridge.simulator.controller.nodes import FULFILLED, Node, ordered_node
from bridge.simulator.http.answers import ApiError, invalid
from bridge.simulator.objects.objects import LABEL, ordered_status
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.versions import Release

_INTERNAL = 13
_NO_MATCH = "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: "
_WITHOUT_SELECTOR = "'set' currently only targets suspend nodes, use a node field selector to target them"
_NO_OUTPUTS = "cannot set output parameters because node is not expecting any raw parameters"
# Argo tries these verbs five times, whatever the error.
_TRIED_AGAIN = "timed out waiting for the condition: "
_SUSPEND_COMPLETED = f"{_TRIED_AGAIN}cannot suspend completed workflows"


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A change of suspend nodes.

    Attributes:
        phase: Their new phase; empty leaves it.
        message: Their message; empty leaves it.
        outputs: Values of output parameters, by name.
    """

    phase: str = ""
    message: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


def suspend(workflow: Object, release: Release) -> Object:
    """Set `spec.suspend`.

    Raises:
        ApiError: It is completed; 400 or 500, by release.
    """
    if workflow["metadata"].get("labels", {}).get(f"{LABEL}completed") == "true":
        raise ApiError(3 if release.suspend_completed_is_invalid else _INTERNAL, _SUSPEND_COMPLETED)
    if workflow["spec"].get("suspend"):
        return workflow
    return {**workflow, "spec": {**workflow["spec"], "suspend": True}}


def resume(workflow: Object, selector: str, who: str, now: str) -> Object:
    """Clear `spec.suspend` and let suspend nodes succeed.

    Args:
        workflow: The stored workflow.
        selector: Only these nodes, and `spec.suspend` stays; empty for all.
        who: Message for the nodes, empty for none.
        now: Timestamp.

    Raises:
        ApiError: 500: nothing matches the selector, or an output is missing.
    """
    if selector:
        return change_nodes(workflow, selector, NodeChange("Succeeded", who), now)
    nodes = dict(workflow["status"].get("nodes", {}))
    waiting = [node for node in nodes.values() if _waits(node)]
    if not waiting and not workflow["spec"].get("suspend"):
        return workflow
    for node in waiting:
        message = "; ".join(text for text in (node.get("message", ""), who) if text)
        ended = {**node, "phase": "Succeeded", "finishedAt": now, **_with_defaults(node)}
        nodes[node["id"]] = ordered_node({**ended, "message": message} if message else ended)
    spec = {key: value for key, value in workflow["spec"].items() if key != "suspend"}
    changed = {**workflow, "spec": spec}
    return {**changed, "status": {**workflow["status"], "nodes": nodes}} if waiting else changed


def _with_defaults(node: Node) -> Object:
    """Return the outputs of a suspend node that will no longer be supplied."""
    if "outputs" not in node:
        return {}
    parameters = []
    for parameter in node["outputs"].get("parameters", []):
        source = parameter.get("valueFrom", {})
        if "supplied" in source and "default" not in source:
            name = parameter.get("name", "")
            text = f"raw output parameter '{name}' has not been set and does not have a default value"
            raise ApiError(_INTERNAL, f"{_TRIED_AGAIN}{text}")
        ready = "supplied" not in source
        parameters.append(parameter if ready else _with_value(parameter, source["default"]))
    return {"outputs": {**node["outputs"], "parameters": parameters}}


def shut_down(workflow: Object, strategy: str) -> Object:
    """Set `spec.shutdown`; the controller ends running nodes later.

    Raises:
        ApiError: 500: it has ended already.
    """
    if workflow["status"].get("phase") in FULFILLED:
        name, namespace = workflow["metadata"]["name"], workflow["metadata"]["namespace"]
        text = f'cannot shutdown a completed workflow: workflow: "{name}", namespace: "{namespace}"'
        raise ApiError(_INTERNAL, text)
    if workflow["spec"].get("shutdown") == strategy:
        return workflow
    return {**workflow, "spec": {**workflow["spec"], "shutdown": strategy}}


def set_nodes(workflow: Object, selector: str, change: NodeChange, now: str) -> Object:
    """Change suspend nodes.

    Raises:
        ApiError: 400 for a phase that cannot be set, 500 without a selector and for invalid values.
    """
    if change.phase not in ("", "Succeeded", "Failed", "Error"):
        raise invalid(f"{change.phase} is an invalid phase to set to")
    if not selector:
        raise ApiError(_INTERNAL, _WITHOUT_SELECTOR)
    return change_nodes(workflow, selector, change, now)


def change_nodes(workflow: Object, selector: str, change: NodeChange, now: str) -> Object:
    """Change the running suspend nodes that match a selector.

    Raises:
        ApiError: 500: none matches, or it does not expect those outputs.
    """
    matches: Callable[[Node], bool] = parse_node_selector(selector)
    status = workflow["status"]
    nodes = dict(status.get("nodes", {}))
    known = {p["name"]: p for p in status.get("outputs", {}).get("parameters", [])}
    changed = False
    for node in status.get("nodes", {}).values():
        if _waits(node) and matches(node):
            values = _changed_fields(node, change, now)
            changed = changed or bool(values)
            nodes[node["id"]] = ordered_node({**node, **values})
            for parameter in values.get("outputs", {}).get("parameters", []):
                if parameter.get("name") in change.outputs and "globalName" in parameter:
                    known[parameter["globalName"]] = {"name": parameter["globalName"], "value": parameter["value"]}
    if not changed:
        raise ApiError(_INTERNAL, _NO_MATCH + selector)
    outputs = {"outputs": {"parameters": list(known.values())}} if known else {}
    return {**workflow, "status": ordered_status({**status, "nodes": nodes, **outputs})}


def _changed_fields(node: Node, change: NodeChange, now: str) -> Object:
    values: Object = {}
    if change.phase:
        values["phase"] = change.phase
        values["finishedAt"] = now
    if change.message:
        values["message"] = change.message
    if change.outputs:
        values["outputs"] = _supplied(node, change.outputs)
    return values


def _supplied(node: Node, outputs: dict[str, str]) -> Object:
    if "outputs" not in node:
        raise ApiError(_INTERNAL, _NO_OUTPUTS)
    parameters = {p.get("name", ""): p for p in node["outputs"].get("parameters", [])}
    for name, value in outputs.items():
        parameter = parameters.get(name)
        if parameter is None:
            raise ApiError(_INTERNAL, f"node is not expecting output parameter '{name}'")
        if "supplied" not in parameter.get("valueFrom", {}):
            cause = "because it does not use valueFrom.raw or it was already set"
            raise ApiError(_INTERNAL, f"cannot set output parameter '{name}' {cause}")
        parameters[name] = _with_value(parameter, value)
    return {**node["outputs"], "parameters": list(parameters.values())}


def _with_value(parameter: Object, value: str) -> Object:
    rest = {key: item for key, item in parameter.items() if key not in ("name", "value", "valueFrom")}
    return {"name": parameter.get("name", ""), "value": value, **rest}


def _waits(node: Node) -> bool:
    return (node["type"], node["phase"]) == ("Suspend", "Running")
