"""The results of retry and resubmit on a workflow.

Pure: a retry returns the workflow without its failed nodes, a resubmission the manifest of a new workflow. Rights,
storing and informing the controller are done by `verbs_api`. Run on the simulator's loop thread. Source: Argo v4.1
workflow/util/util.go (FormulateRetryWorkflow, FormulateResubmitWorkflow); shapes and texts as recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulator.api.node_selectors import parse_node_selector
from bridge.simulator.controller.nodes import EXECUTABLE, FAILED, Node, ordered_node
from bridge.simulator.http.answers import ApiError, invalid
from bridge.simulator.objects.archive import ARCHIVING_LABEL
from bridge.simulator.objects.objects import LABEL, OWNED_LABELS, ordered_status
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.versions import Release

PREVIOUS_LABEL = f"{LABEL}resubmitted-from-workflow"
_INTERNAL = 13
_HOLDERS = frozenset({"StepGroup", "TaskGroup", "Retry"})
_NOT_INHERITED = frozenset({*OWNED_LABELS, f"{LABEL}phase", f"{LABEL}completed", ARCHIVING_LABEL})


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """The options of a retry.

    Attributes:
        restart_successful: Nodes that match the selector run again even if they succeeded.
        selector: A node field selector, or empty.
        parameters: `NAME=VALUE`, overriding the workflow's own.
    """

    restart_successful: bool = False
    selector: str = ""
    parameters: tuple[str, ...] = ()


def retry(workflow: Object, options: RetryOptions, release: Release, now: str) -> Object:
    """Return the workflow right after a retry, before the controller has looked at it.

    Raises:
        ApiError: 400: it has not failed; 500: a parameter or the selector is malformed.
    """
    phase = workflow["status"].get("phase", "")
    if phase == "Succeeded" and not (options.restart_successful and options.selector):
        raise invalid("To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector")
    if phase not in (*FAILED, "Succeeded"):
        raise invalid(f"Cannot retry a workflow in phase {phase}")
    nodes = workflow["status"].get("nodes", {})
    dropped = _to_drop(workflow["metadata"]["name"], nodes, options, release)
    kept = _without(nodes, dropped, _to_reset(nodes, dropped, release), now)
    spec = {key: value for key, value in workflow["spec"].items() if key != "shutdown"}
    labels = dict(workflow["metadata"].get("labels", {}))
    for label in (f"{LABEL}completed", ARCHIVING_LABEL):
        labels.pop(label, None)
    status = {key: value for key, value in workflow["status"].items() if key not in ("phase", "message")}
    status |= {"startedAt": now, "finishedAt": None, "nodes": kept, "conditions": _reopened(status)}
    if release.retry_sets_phase:
        labels[f"{LABEL}phase"] = status["phase"] = "Running"
    return {
        **workflow,
        "metadata": {**workflow["metadata"], "labels": labels},
        "spec": with_parameters(spec, options.parameters),
        "status": ordered_status(status),
    }


def _reopened(status: Object) -> list[Object]:
    known = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
    known["Completed"] = "False"
    return [{"type": kind, "status": value} for kind, value in known.items()]


def _to_drop(workflow: str, nodes: dict[str, Node], options: RetryOptions, release: Release) -> set[str]:
    """Return the ids of nodes to remove: those to run again, all that follow from them, and the exit handler's."""
    dropped: set[str] = set()
    if options.restart_successful and options.selector:
        matches = parse_node_selector(options.selector)
        dropped = {identifier for identifier, node in nodes.items() if matches(node)}
    attempts = {child: key for key, n in nodes.items() if n["type"] == "Retry" for child in n.get("children", [])}
    kinds = EXECUTABLE if release.retry_resets_suspends else EXECUTABLE - {"Suspend"}
    failed = {
        identifier
        for identifier, node in nodes.items()
        if node["phase"] in FAILED
        and node["type"] in kinds
        and not _led_on(attempts.get(identifier, identifier), nodes)
    }
    dropped |= {below for identifier in dropped | failed for below in (identifier, *_below(identifier, nodes))}
    on_exit = f"{workflow}.onExit"
    return dropped | {identifier for identifier, node in nodes.items() if node["name"].startswith(on_exit)}


def _led_on(identifier: str, nodes: dict[str, Node]) -> bool:
    """Whether something succeeded after a node: its failure was tolerated, or a later attempt succeeded."""
    return any(nodes[below]["phase"] == "Succeeded" for below in _below(identifier, nodes))


def _below(identifier: str, nodes: dict[str, Node]) -> set[str]:
    found: set[str] = set()
    waiting = [identifier]
    while waiting:
        for child in nodes[waiting.pop()].get("children", []):
            if child in nodes and child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _to_reset(nodes: dict[str, Node], dropped: set[str], release: Release) -> set[str]:
    """Return the ids of the groups that contain a removed node, directly or not."""
    holders: dict[str, list[str]] = {}
    for identifier, node in nodes.items():
        if node["type"] in _HOLDERS:
            for child in node.get("children", []):
                holders.setdefault(child, []).append(identifier)
    found: set[str] = set()
    waiting = list(dropped)
    while waiting:
        identifier = waiting.pop()
        node = nodes[identifier]
        for above in (node.get("boundaryID", ""), *holders.get(identifier, [])):
            if above in nodes and above not in found and above not in dropped:
                found.add(above)
                waiting.append(above)
    if release.retry_resets_suspends:
        leaves = {*EXECUTABLE, "Skipped"}
        found |= {i for i, node in nodes.items() if node["phase"] in FAILED and node["type"] not in leaves}
    return found - dropped


def _without(nodes: dict[str, Node], dropped: set[str], reset: set[str], now: str) -> dict[str, Node]:
    kept: dict[str, Node] = {}
    for identifier, node in nodes.items():
        if identifier in dropped:
            continue
        changed = dict(node)
        for links in ("children", "outboundNodes"):
            remaining = [link for link in node.get(links, []) if link not in dropped]
            changed.pop(links, None)
            if remaining:
                changed[links] = remaining
        if identifier in reset:
            changed.pop("message", None)
            changed |= {"phase": "Running", "startedAt": now, "finishedAt": None}
        kept[identifier] = ordered_node(changed)
    return kept


def resubmission(workflow: Object, parameters: tuple[str, ...], *, memoized: bool) -> Object:
    """Return the manifest of a new workflow copied from an old one.

    Args:
        workflow: The old one.
        parameters: `NAME=VALUE`, overriding the workflow's own.
        memoized: It was requested; it is checked but has no effect.

    Raises:
        ApiError: 400: memoized, and it has not failed; 500: a parameter is malformed.
    """
    if memoized and workflow["status"].get("phase") not in FAILED:
        raise invalid("workflow must be Failed/Error to resubmit in memoized mode")
    old = workflow["metadata"]
    labels = {key: value for key, value in old.get("labels", {}).items() if key not in _NOT_INHERITED}
    metadata: Object = {
        "generateName": old.get("generateName") or f"{old['name']}-",
        "labels": {**labels, PREVIOUS_LABEL: old["name"]},
    }
    for key in ("annotations", "ownerReferences"):
        if key in old:
            metadata[key] = old[key]
    spec = {key: value for key, value in workflow["spec"].items() if key != "shutdown"}
    return {"metadata": metadata, "spec": with_parameters(spec, parameters)}


def with_parameters(spec: Object, given: tuple[str, ...]) -> Object:
    """Return a spec with changed values of its arguments: the given ones first, then the others.

    Args:
        spec: A workflow's spec.
        given: `NAME=VALUE` each.

    Raises:
        ApiError: 500: an item is malformed.
    """
    if not given:
        return spec
    parameters: dict[str, Object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ApiError(_INTERNAL, f"expected parameter of the form: NAME=VALUE. Received: {text}")
        parameters[name] = {"name": name, "value": value}
    for parameter in spec["arguments"].get("parameters", []):
        parameters.setdefault(parameter.get("name", ""), parameter)
    return {**spec, "arguments": {"parameters": list(parameters.values()), **_without_parameters(spec["arguments"])}}


def _without_parameters(arguments: Object) -> Object:
    return {key: value for key, value in arguments.items() if key != "parameters"}
