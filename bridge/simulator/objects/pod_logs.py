"""The output of simulated containers: lines derived from a workflow's nodes and templates.

A container prints the output of its `echo` commands, otherwise one made-up line. Nothing is stored: the lines follow
from the stored workflow. Pure; run on the simulator's loop thread. Source: Argo v4.1 util/logs/workflow-logger.go,
workflow/util/pod_name.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.simulator.controller.expressions import substitute
from bridge.simulator.controller.nodes import Node, name_hash
from bridge.simulator.http.answers import ApiError
from bridge.simulator.objects.store import Object

_MAX_PREFIX = 253 - 10 - 1
_SEPARATOR = re.compile(r"\n|;|&&")
_ECHO = re.compile(r"^\s*echo\s+(?:-[neE]+\s+)?(.*?)\s*$", re.DOTALL)
_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The requested lines.

    Attributes:
        pod: Only this pod's; empty for all.
        container: Empty for `main`; others print nothing here.
        grep: Only lines that match; None for all.
        tail_lines: Number of last lines of each pod; None for all.
        limit_bytes: Maximum bytes of each pod; None for all.
        timestamps: Begin each line with its time.
        previous: The output of an earlier container in the same pod: there is none.
    """

    pod: str = ""
    container: str = ""
    grep: re.Pattern[str] | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    previous: bool = False


@dataclass(frozen=True, slots=True)
class PodLogLine:
    """One line.

    Attributes:
        content: Without its newline.
        pod: Name of the pod.
    """

    content: str
    pod: str

    def as_json(self) -> Object:
        """Return the line as the API prints it; an empty one has no `content`."""
        return {"content": self.content, "podName": self.pod} if self.content else {"podName": self.pod}


def compile_grep(text: str) -> re.Pattern[str] | None:
    """Compile the expression of a `grep`; None if it is empty.

    Raises:
        ApiError: 500 with the beginning of Go's text.
    """
    if not text:
        return None
    try:
        return re.compile(text)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:  # warnings may be errors in tests
        raise ApiError(_UNKNOWN, f"error parsing regexp: {error}: `{text}`") from error


def pod_name(workflow: str, node: Node) -> str:
    """Return the name of a node's pod (format v2).

    Args:
        workflow: Name of the workflow.
        node: A node of type Pod.
    """
    if node["name"] == workflow:
        return workflow
    prefix = workflow
    if node.get("templateName"):
        prefix = f"{workflow}-{node['templateName']}"
    return f"{prefix[:_MAX_PREFIX]}-{name_hash(node['name'])}"


def lines_of(workflow: Object, query: LogQuery) -> list[PodLogLine]:
    """Return the lines that a workflow's pods have printed, in the order in which the pods started.

    Args:
        workflow: The stored workflow.
        query: Which lines.
    """
    if query.previous or query.container not in ("", "main"):
        return []
    nodes = workflow["status"].get("nodes", {})
    pods = [node for node in nodes.values() if node["type"] == "Pod"]
    pods.sort(key=lambda node: (node.get("startedAt") or "", node["name"]))
    templates, scope = _templates_of(workflow), _scope_of(workflow)
    lines: list[PodLogLine] = []
    for node in pods:
        name = pod_name(workflow["metadata"]["name"], node)
        if query.pod in ("", name):
            printed = _printed(node, templates.get(node.get("templateName", "")), scope)
            lines += [PodLogLine(text, name) for text in _chosen(printed, node.get("startedAt") or "", query)]
    return lines


def _chosen(printed: list[str], started: str, query: LogQuery) -> list[str]:
    lines = printed
    if query.tail_lines is not None:
        lines = lines[-query.tail_lines :] if query.tail_lines > 0 else []
    if query.timestamps:
        stamp = started.removesuffix("Z") + ".000000000Z"
        lines = [f"{stamp} {line}" for line in lines]
    if query.limit_bytes is not None:
        cut = "\n".join(lines).encode()[: query.limit_bytes].decode("utf-8", "ignore")
        lines = cut.split("\n") if cut else []
    return [line for line in lines if query.grep is None or query.grep.search(line)]


def _printed(node: Node, template: Object | None, scope: dict[str, str]) -> list[str]:
    if template is None:
        return [f"simulated output of {node.get('displayName', '')}"]
    own = dict(scope)
    for parameter in node.get("inputs", {}).get("parameters", []):
        own[f"inputs.parameters.{parameter['name']}"] = parameter.get("value", "")
    container = template.get("container") or template.get("script") or {}
    words = [substitute(word, own) for word in (*container.get("command", []), *container.get("args", []))]
    if words[:1] == ["echo"]:
        return " ".join(words[1:]).split("\n")
    script = "\n".join([*words, substitute(container.get("source", ""), own)])
    echoed = [match[1] for piece in _SEPARATOR.split(script) if (match := _ECHO.match(piece))]
    return [_unquoted(text) for text in echoed] or [f"simulated output of {template.get('name', '')}"]


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _templates_of(workflow: Object) -> dict[str, Object]:
    spec = workflow["status"].get("storedWorkflowTemplateSpec") or workflow["spec"]
    return {template.get("name", ""): template for template in spec.get("templates", [])}


def _scope_of(workflow: Object) -> dict[str, str]:
    metadata = workflow["metadata"]
    spec = workflow["status"].get("storedWorkflowTemplateSpec") or workflow["spec"]
    scope = {f"workflow.{key}": metadata[key] for key in ("name", "namespace", "uid")}
    for parameter in spec["arguments"].get("parameters", []):
        scope[f"workflow.parameters.{parameter['name']}"] = str(parameter.get("value", ""))
    return scope
