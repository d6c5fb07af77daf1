"""Node field selectors, as used by the verbs on workflows: `displayName=approve,phase!=Failed`.

Compiles a selector to a predicate on nodes; each verb decides which kinds of nodes it considers. Pure; run on the
simulator's loop thread. Source: k8s.io/apimachinery pkg/fields; Argo v4.1 workflow/util (SelectorMatchesNode).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bridge.simulator.controller.nodes import Node
from bridge.simulator.http.answers import ApiError

_TERM = re.compile(r"^(.*?)(!=|==|=)(.*)$", re.DOTALL)
_UNKNOWN = 2


def parse_node_selector(text: str) -> Callable[[Node], bool]:
    """Compile a selector.

    Args:
        text: Comma-separated terms; all must hold. A missing field counts as an empty string.

    Raises:
        ApiError: 500 with the server's text, which includes Kubernetes' text.
    """
    terms: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        match = _TERM.match(part)
        if match is None:
            raise ApiError(_UNKNOWN, f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append((match[1], match[2] != "!=", match[3]))

    def matches(node: Node) -> bool:
        fields = _fields_of(node)
        return all((fields.get(key, "") == value) == equal for key, equal, value in terms)

    return matches


def _fields_of(node: Node) -> dict[str, str]:
    reference = node.get("templateRef") or {}
    fields = {
        "displayName": node.get("displayName", ""),
        "templateName": reference.get("template", "") if reference else node.get("templateName", ""),
        "phase": node["phase"],
        "name": node["name"],
        "id": node["id"],
        "templateRef.name": reference.get("name", ""),
        "templateRef.template": reference.get("template", ""),
    }
    for parameter in node.get("inputs", {}).get("parameters", []):
        fields[f"inputs.parameters.{parameter.get('name', '')}.value"] = str(parameter.get("value", ""))
    return fields
