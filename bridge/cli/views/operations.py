"""Formats success replies of operations as lines of text. Pure: nothing is printed here.

A reply may come from a bridge of another release, so nothing is assumed except that it is an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.cli.views.plain_text import printable, short, shown_duration, shown_time, table
from bridge.cli.visit.status_message import status_of
from bridge.interface.loose_json import object_at, text_at
from bridge.interface.operations import Operation

MAX_NODES = 200
_WORKFLOW_COLUMNS = ("WORKFLOW", "STATUS", "PROGRESS", "STARTED", "DURATION", "MAPPING", "MESSAGE")
_TEMPLATE_COLUMNS = ("TEMPLATE", "PARAMETERS", "DESCRIPTION")
_NODE_COLUMNS = ("NODE", "TEMPLATE", "STATUS", "DURATION", "MESSAGE")

Body = Mapping[str, Any]


def reply_lines(operation: Operation, body: Body, namespace: str) -> list[str]:
    """Return the lines for a success reply.

    Args:
        operation: the operation.
        body: the reply.
        namespace: the request's namespace.
    """
    views = {
        Operation.GET: _get,
        Operation.LIST: _list,
        Operation.LIST_TEMPLATES: _list_templates,
        Operation.GET_TEMPLATE: _get_template,
    }
    return list(views[operation](body) if operation in views else _done(body, namespace))


def cut_note(body: Body) -> str:
    """Return a note about a reply that was cut or has a next page, otherwise ""."""
    after = body.get("continue")
    if isinstance(after, str) and after:
        return f"there are more: continue with --continue {printable(after)}"
    if object_at(body, "details").get("truncated"):
        return "the reply was cut to fit the largest packet; --json shows what is there"
    return ""


def _done(body: Body, namespace: str) -> Iterator[str]:
    name = text_at(body, "workflowId") or text_at(body, "cron")
    done = printable(text_at(body, "status") or "done")
    yield f"{done}: {namespace}/{printable(name)}" if name else done


def _list(body: Body) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for item in _objects(body.get("workflows")):
        status, details = status_of(item), object_at(item, "details")
        if status is None:
            continue
        times = details.get("startedAt"), details.get("finishedAt")
        names = short(status.ref, 80), short(status.phase), short(status.progress)
        rows.append(
            (*names, shown_time(times[0]), shown_duration(*times), short(status.mapping), short(status.message))
        )
    yield from _table_or(_WORKFLOW_COLUMNS, rows, "no workflows")


def _list_templates(body: Body) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [
        (
            short(text_at(item, "template"), 80),
            short(", ".join(_parameters(item)), 60),
            short(text_at(item, "description")),
        )
        for item in _objects(body.get("templates"))
    ]
    yield from _table_or(_TEMPLATE_COLUMNS, rows, "no templates")


def _table_or(columns: tuple[str, ...], rows: list[tuple[str, ...]], none: str) -> list[str]:
    return table([columns, *rows]) if rows else [none]


def _parameters(item: Body) -> list[str]:
    found = item.get("parameters")
    if isinstance(found, Mapping):
        return [str(name) for name in found]
    return [one if isinstance(one, str) else text_at(one, "name") for one in found] if isinstance(found, list) else []


def _get_template(body: Body) -> Iterator[str]:
    manifest = object_at(body, "manifest")
    spec = object_at(manifest, "spec")
    facts = [
        ("template", text_at(body, "template")),
        ("created", shown_time(object_at(manifest, "metadata").get("creationTimestamp"))),
        ("entrypoint", text_at(spec, "entrypoint")),
    ]
    yield from _facts(facts)
    yield from _assigned("parameters", object_at(spec, "arguments").get("parameters"))
    templates = [short(text_at(item, "name"), 80) for item in _objects(spec.get("templates"))]
    yield from _section("templates", templates)


def _get(body: Body) -> Iterator[str]:
    workflow = object_at(body, "workflow")
    spec, status = object_at(workflow, "spec"), object_at(workflow, "status")
    summary = object_at(body, "workflowStatus")
    begun, ended = status.get("startedAt"), status.get("finishedAt")
    reference = object_at(spec, "workflowTemplateRef")
    facts = [
        ("workflow", text_at(body, "workflowId")),
        ("namespace", text_at(summary, "namespace")),
        ("status", text_at(summary, "status") or text_at(status, "phase")),
        ("progress", text_at(summary, "progress")),
        ("message", text_at(summary, "message") or text_at(status, "message")),
        ("template", text_at(reference, "name")),
        ("created", shown_time(object_at(workflow, "metadata").get("creationTimestamp"))),
        ("started", shown_time(begun)),
        ("finished", shown_time(ended)),
        ("duration", shown_duration(begun, ended)),
        ("uid", text_at(object_at(workflow, "metadata"), "uid")),
    ]
    yield from _facts(facts)
    yield from _assigned("parameters", object_at(spec, "arguments").get("parameters"))
    yield from _assigned("outputs", object_at(status, "outputs").get("parameters"))
    yield from _nodes(object_at(status, "nodes"), text_at(object_at(workflow, "metadata"), "name"))


def _facts(facts: list[tuple[str, str]]) -> Iterator[str]:
    for name, value in facts:
        if value and value != "-":
            yield f"{name + ':':<12}{printable(value)}"


def _assigned(title: str, parameters: object) -> Iterator[str]:
    lines = []
    for one in _objects(parameters):
        value = one.get("value")
        shown = value if isinstance(value, str) else "-" if value is None else json.dumps(value)
        lines.append(f"{short(text_at(one, 'name'))} = {short(shown, 120)}")
    yield from _section(title, lines)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)


def _nodes(nodes: Body, workflow: str) -> Iterator[str]:
    """Return the nodes as a tree, each once, in tree order; of those beyond `MAX_NODES` only the number."""
    objects = {key: node for key, node in nodes.items() if isinstance(node, Mapping)}
    children = {child for node in objects.values() for child in _children(node)}
    roots = [key for key, node in objects.items() if key not in children or text_at(node, "name") == workflow]
    waiting = [(key, 0) for key in reversed(roots)]
    rows: list[tuple[str, ...]] = []
    seen: set[str] = set()
    while waiting:
        key, depth = waiting.pop()
        if key in seen or key not in objects:
            continue
        seen.add(key)
        node = objects[key]
        rows.append(_node_row(node, depth))
        waiting += [(child, depth + 1) for child in reversed(_children(node))]
    if rows:
        yield "nodes:"
        yield from (f"  {line}" for line in table([_NODE_COLUMNS, *rows[:MAX_NODES]]))
    if len(rows) > MAX_NODES:
        yield f"  and {len(rows) - MAX_NODES} more; --json shows them"


def _children(node: Body) -> list[str]:
    found = node.get("children")
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _node_row(node: Body, depth: int) -> tuple[str, ...]:
    name = text_at(node, "displayName") or text_at(node, "name")
    duration = shown_duration(node.get("startedAt"), node.get("finishedAt"))
    template = text_at(node, "templateName") or text_at(node, "type")
    # A deep chain of steps must not push the other columns off the screen.
    return (
        "  " * min(depth, 10) + short(name),
        short(template),
        text_at(node, "phase"),
        duration,
        short(text_at(node, "message"), 80),
    )


def _objects(value: object) -> list[Body]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
