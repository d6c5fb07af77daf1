"""The keys of `status` in bridge.yaml. Frozen; any thread."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.configfile.containers import ListOf
from bridge.configfile.fields import Section, declare, section
from bridge.configfile.kinds import Duration, Kind, Place
from bridge.configfile.nodes import MapNode, Node, ScalarNode, quote
from bridge.configfile.problems import Code
from bridge.core.nearest import did_you_mean
from bridge.interface.status import Notice


class ScopeKind(StrEnum):
    """Which workflows the bridge follows: those it made, all of its namespaces, or those with a label."""

    BRIDGE = "bridge"
    NAMESPACE = "namespace"
    SELECTOR = "selector"


@dataclass(frozen=True, slots=True)
class StatusScope:
    """Which workflows are followed; `selector` is a Kubernetes label selector with `SELECTOR`, else ""."""

    kind: ScopeKind
    selector: str = ""


@dataclass(frozen=True)
class StatusScopeKind(Kind):
    """`bridge`, `namespace`, or a map with the one key `selector`."""

    words = 'bridge, namespace or {selector: "app=x"}'

    def read(self, node: Node, place: Place) -> Any:
        """A `StatusScope`."""
        if isinstance(node, ScalarNode) and node.text in (ScopeKind.BRIDGE, ScopeKind.NAMESPACE):
            return StatusScope(ScopeKind(node.text))
        if not isinstance(node, MapNode):
            shown = ""
            if isinstance(node, ScalarNode) and node.value is not None:
                shown = quote(node.text) + did_you_mean(node.text, ["bridge", "namespace"])
            return place.must_be(node, self.words, shown)
        for entry in node.entries:
            if entry.key != "selector":
                text = f"unknown key {quote(entry.key)}{did_you_mean(entry.key, ['selector'])}"
                return place.inside().refuse(entry.key_position, Code.UNKNOWN_KEY, text)
        selector = node.get("selector")
        if not isinstance(selector, ScalarNode) or not selector.text.strip():
            return place.must_be(node if selector is None else selector, 'a map with "selector", a label selector')
        return StatusScope(ScopeKind.SELECTOR, selector.text)

    def schema(self) -> dict[str, Any]:
        """One of the words, or the map."""
        selector = {"selector": {"type": "string", "minLength": 1, "description": "A Kubernetes label selector."}}
        mapped = {"type": "object", "properties": selector, "required": ["selector"], "additionalProperties": False}
        return {"anyOf": [{"enum": ["bridge", "namespace"]}, mapped]}


@section
class StatusOptions:
    """Which workflows are followed, and who else is told."""

    scope: StatusScope = declare(
        StatusScopeKind(),
        "Which workflows to follow: those of this bridge, of its namespaces, or those with a label.",
        default="bridge",
    )
    external_keep_s: float = declare(
        Duration("1m"),
        "How long a status from another system is kept for a workflow that Argo does not know.",
        default="24h",
    )
    notify: tuple[Notice, ...] = declare(
        ListOf(Section(Notice)), "Topics notified when a followed workflow finishes.", default=[]
    )
