"""The node table of one running workflow: ids, children, phases and progress, as in Argo's `status.nodes`.

Holds nodes and answers questions about them; it does not decide what runs next (`run` does). Nodes are replaced, never
changed, because events share them. Owned by the simulator's loop thread. Source: Argo v4.1
workflow/progress/updater.go, workflow_types.go (NodeID).
"""

from __future__ import annotations

from typing import Any

from bridge.simulator.objects.schema import NODE_ORDER

Node = dict[str, Any]

FULFILLED = frozenset({"Succeeded", "Failed", "Error", "Skipped", "Omitted"})
FAILED = frozenset({"Failed", "Error"})
EXECUTABLE = frozenset({"Pod", "HTTP", "Plugin", "Container", "Suspend"})
_RANK = {name: i for i, name in enumerate(NODE_ORDER)}


def node_id(workflow: str, name: str) -> str:
    """Return the id of the node with a full name: the workflow's name for the root, else with the name's hash."""
    return workflow if name == workflow else f"{workflow}-{name_hash(name)}"


def name_hash(name: str) -> int:
    """FNV-1a hash, 32 bit, of a node's full name."""
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def ordered_node(node: Node) -> Node:
    """A node with its fields in the order in which Argo prints them."""
    return {key: node[key] for key in sorted(node, key=_RANK.__getitem__)}


class NodeTable:
    """Nodes of one workflow.

    Args:
        workflow: Name of the workflow.

    Attributes:
        workflow: Its name.
        nodes: By id.
        changed: Set by every change; the owner clears it.
    """

    def __init__(self, workflow: str) -> None:
        self.workflow = workflow
        self.nodes: dict[str, Node] = {}
        self.changed = False

    def load(self, nodes: dict[str, Node]) -> None:
        """Load the nodes of a status; one under an id that is not its own (a client wrote it) is left out."""
        self.nodes = {identifier: node for identifier, node in nodes.items() if node["id"] == identifier}

    def find(self, name: str) -> Node | None:
        """The node with a full name (`wf[0].step`), or None."""
        return self.nodes.get(node_id(self.workflow, name))

    def add(self, name: str, values: Node) -> Node:
        """Add a node; `id`, `name` and `displayName` come from its full name unless given."""
        identifier = node_id(self.workflow, name)
        node = {"id": identifier, "name": name, "displayName": name, **values}
        return self._set(identifier, node)

    def update(self, node: Node, **values: Any) -> Node:
        """Replace a node by one with changed values; no effect if nothing changes."""
        current = self.nodes[node["id"]]
        if all(current.get(key) == value for key, value in values.items()):
            return current
        if values.keys() <= current.keys():  # the order stays as it is
            self.changed = True
            updated = self.nodes[node["id"]] = {**current, **values}
            return updated
        return self._set(node["id"], {**current, **values})

    def add_child(self, parent: Node, child: Node) -> None:
        """Note that one node follows from another."""
        current = self.nodes[parent["id"]]
        children = current.get("children", [])
        if child["id"] not in children:
            self._set(parent["id"], {**current, "children": [*children, child["id"]]})

    def _set(self, identifier: str, node: Node) -> Node:
        self.changed = True
        self.nodes[identifier] = ordered_node(node)
        return self.nodes[identifier]

    def running_leaves(self) -> list[Node]:
        """Return executable nodes that have not ended."""
        return [n for n in self.nodes.values() if n["type"] in EXECUTABLE and n["phase"] not in FULFILLED]

    def outbound(self, node: Node) -> list[str]:
        """Return the ids of the nodes at which an ended node's work ends: itself, or the last nodes inside it."""
        children = self.children(node)
        if node["type"] == "Retry" and children:
            return [children[-1]["id"]]
        if node["type"] in ("Steps", "DAG"):
            ends = [self.nodes[end] for end in node.get("outboundNodes", []) if end in self.nodes]
        else:
            ends = children if node["type"] in ("StepGroup", "TaskGroup") else []
        return [end for one in ends for end in self.outbound(one)] or [node["id"]]

    def children(self, node: Node) -> list[Node]:
        """Return the nodes that follow from a node; ids made up by a client are ignored."""
        return [self.nodes[child] for child in node.get("children", []) if child in self.nodes]

    def inside(self, identifier: str) -> list[Node]:
        """Nodes that belong to a Steps or DAG node."""
        return [n for n in self.nodes.values() if n.get("boundaryID") == identifier]

    def progress(self) -> str:
        """The workflow's `N/M`: leaves that succeeded, leaves that exist."""
        leaves = [node for node in self.nodes.values() if node["type"] in EXECUTABLE]
        return f"{sum(node['phase'] == 'Succeeded' for node in leaves)}/{len(leaves)}"

    def refresh_progress(self) -> None:
        """Set `progress` of every node: a leaf's own, or the sum of everything that follows from a group."""
        for node in list(self.nodes.values()):
            done, total = self._sum(node["id"], set())
            if node["type"] in EXECUTABLE:
                done, total = int(node["phase"] == "Succeeded"), 1
            if total or "progress" in node:
                self.update(node, progress=f"{done}/{total}")

    def _sum(self, identifier: str, visited: set[str]) -> tuple[int, int]:
        node = self.nodes.get(identifier)
        if node is None or identifier in visited:
            return 0, 0
        visited.add(identifier)
        leaf = node["type"] in EXECUTABLE
        done, total = int(leaf and node["phase"] == "Succeeded"), int(leaf)
        for child in node.get("children", []):
            more_done, more_total = self._sum(child, visited)
            done, total = done + more_done, total + more_total
        return done, total

    def refresh_durations(self) -> dict[str, int] | None:
        """Set `resourcesDuration` of nodes above pods; returns the workflow's, or None if no pod has run."""
        pods = [node for node in self.nodes.values() if "resourcesDuration" in node and node["type"] == "Pod"]
        if not pods:
            return None
        for node in list(self.nodes.values()):
            if node["type"] != "Pod":
                found = self._pods_below(node["id"], set())
                if found:
                    self.update(node, resourcesDuration=_total(found))
        return _total(pods)

    def _pods_below(self, identifier: str, visited: set[str]) -> list[Node]:
        node = self.nodes.get(identifier)
        if node is None or identifier in visited:
            return []
        visited.add(identifier)
        own = [node] if node["type"] == "Pod" and "resourcesDuration" in node else []
        return own + [pod for child in node.get("children", []) for pod in self._pods_below(child, visited)]


def _total(pods: list[Node]) -> dict[str, int]:
    return {resource: sum(pod["resourcesDuration"].get(resource, 0) for pod in pods) for resource in ("cpu", "memory")}
