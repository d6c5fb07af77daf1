"""Checks on the text of mappings alone: topics, loops, names, reserved keys, namespaces, manifests.

Compiles no expression and ignores `${...}` (`compiler` handles it). Reads the manifests and descriptors that
mappings name, nothing else.
Thread: whichever loads a configuration.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.configfile.kubernetes_yaml import MAX_BYTES, read_manifests
from bridge.configfile.nodes import ListNode, MapNode, ScalarNode, kind_of, quote
from bridge.configfile.problems import Code, Position, Problem, Problems
from bridge.configfile.source import read_regular_file, shown_path
from bridge.core import topic_filter
from bridge.core.nearest import did_you_mean
from bridge.expressions import topic_pattern
from bridge.expressions.topic_pattern import TopicPattern, TopicPatterns
from bridge.interface.options import InterfaceOptions
from bridge.interface.topics import BRIDGE_ROOT, published_problem

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.mapping.definition import MappingDefinition

_RESERVED_ANNOTATION = re.compile(r"argo-bridge/.*")
_RESERVED_LABEL = re.compile(r"(argo-bridge|workflows\.argoproj\.io)/.*")


@dataclass(frozen=True, slots=True)
class MappingContext:
    """The configuration that mappings are checked against.

    Attributes:
        prefix: The interface's prefix, as far as it is known.
        connections: Names of the connections, sound or not.
        namespaces: The allow-list, the default first; empty if unknown (then namespaces are not checked).
        dotless: Names of the connections whose broker writes a slash as a dot, so that topics cannot contain one.
        notices: The topics of `status.notify` in bridge.yaml, with their places.
    """

    prefix: str = InterfaceOptions().prefix
    connections: frozenset[str] = frozenset()
    namespaces: tuple[str, ...] = ()
    dotless: frozenset[str] = frozenset()
    notices: tuple[tuple[str, Position], ...] = ()


def check_definitions(
    definitions: Iterable[MappingDefinition], context: MappingContext, problems: Problems
) -> tuple[MappingDefinition, ...]:
    """Check all mappings of a configuration, individually and against each other.

    Returns the same with default namespace and manifest filled in; use them only if `problems` has no errors.
    """
    given = tuple(definitions)
    _check_names(given, problems)
    routed = [one for one in given if _check_topic(one, context, problems)]
    for definition in given:
        _check_connection(definition, context, problems)
        _check_namespace(definition, context, problems)
        _check_keys(definition, problems)
        _check_status(definition, routed, context, problems)
    return tuple(_completed(one, context, problems) for one in given)


def _error(definition: MappingDefinition, position: Position, code: Code, text: str, problems: Problems) -> None:
    problems.error(position, code, f"{definition.label}: {text}")


def _check_names(definitions: tuple[MappingDefinition, ...], problems: Problems) -> None:
    first: dict[str, Position] = {}
    for definition in definitions:
        where = definition.position("name")
        if definition.name in first:
            text = f"this name is taken at {first[definition.name]}; names must be unique across all files"
            _error(definition, where, Code.DUPLICATE_NAME, text, problems)
        first.setdefault(definition.name, where)


def _check_topic(definition: MappingDefinition, context: MappingContext, problems: Problems) -> bool:
    """Check the topics; returns whether they are filters that can be compared with others."""
    is_sound = True
    is_list = isinstance(definition.node.get("topic"), ListNode)
    for place, text in enumerate(definition.topic):
        where = definition.position("topic", place) if is_list else definition.position("topic")
        why = topic_pattern.problem(text)
        if why:
            _error(definition, where, Code.BAD_TOPIC, f'"topic": {why}', problems)
            is_sound = False
            continue
        for root in (context.prefix, BRIDGE_ROOT):
            if text == root or text.startswith(f"{root}/"):
                reason = f'"topic" lies under {root}, where the bridge itself publishes; listen to another topic'
                _error(definition, where, Code.RESERVED_TOPIC, reason, problems)
        listening = context.dotless & {definition.connection} if definition.connection else context.dotless
        for reason in _dot_problems(TopicPattern.parse(text).topic_filter, listening):
            _error(definition, where, Code.BAD_TOPIC, f'"topic" {reason}, or name another connection', problems)
    for text in definition.excepted:
        if why := topic_filter.filter_problem(text):
            _error(definition, definition.position("except"), Code.BAD_TOPIC, f'"except": {why}', problems)
            is_sound = False
    return is_sound


def _dot_problems(topic_filter_text: str, dotless: frozenset[str]) -> Iterable[str]:
    """Check a topic for characters that a connection cannot carry."""
    found = next((char for char in ".*" if char in topic_filter_text), "")
    if dotless and found:
        yield (
            f'has "{found}", which connection {quote(min(dotless))} cannot carry: on exchange amq.topic / is written '
            f"as a dot and nothing is escaped; use another topic or another exchange"
        )


def _check_connection(definition: MappingDefinition, context: MappingContext, problems: Problems) -> None:
    name = definition.connection
    if name is not None and name not in context.connections:
        text = f'"connection": no connection is named {quote(name)}{did_you_mean(name, context.connections)}'
        _error(definition, definition.position("connection"), Code.UNKNOWN_CONNECTION, text, problems)


def _check_namespace(definition: MappingDefinition, context: MappingContext, problems: Problems) -> None:
    name = definition.workflow.namespace
    if context.namespaces and name and name not in context.namespaces:
        hint = did_you_mean(name, context.namespaces) or "; add it there, or use one of them"
        text = f'"namespace": {quote(name)} is not in argo.namespaces{hint}'
        _error(definition, definition.position("workflow", "namespace"), Code.NAMESPACE_NOT_ALLOWED, text, problems)


def _check_keys(definition: MappingDefinition, problems: Problems) -> None:
    workflow = definition.workflow
    for section, keys, reserved in (
        ("labels", workflow.labels, _RESERVED_LABEL),
        ("annotations", workflow.annotations, _RESERVED_ANNOTATION),
    ):
        for key in keys:
            if reserved.fullmatch(key):
                text = f'"{section}": {quote(key)} can only be set by the bridge and Argo; remove it'
                where = definition.position("workflow", section, key)
                _error(definition, where, Code.RESERVED_KEY, text, problems)


def _check_status(
    definition: MappingDefinition, routed: list[MappingDefinition], context: MappingContext, problems: Problems
) -> None:
    status = definition.status
    if status is None:
        return
    topics: list[tuple[tuple[str | int, ...], str]] = []
    if status.topic is not None:
        topics.append((("status", "topic"), status.topic))
    topics += [(("status", "notify", place, "topic"), notice.topic) for place, notice in enumerate(status.notify)]
    for path, topic in topics:
        key, where = "status.notify" if "notify" in path else "status.topic", definition.position(*path)
        why = topic_pattern.problem(topic) or published_problem(topic_pattern.CAPTURE.sub("x", topic))
        why = why or _capture_problem(definition, topic, key)
        if why:
            _error(definition, where, Code.BAD_TOPIC, f'"{key}": {why}', problems)
            continue
        for code, text in _published_problems(TopicPattern.parse(topic).topic_filter, routed, context):
            _error(definition, where, code, f'"{key}" {text}', problems)


def _capture_problem(definition: MappingDefinition, topic: str, key: str) -> str:
    """Check captures in a topic of `status`; the compiler finds those of `status.topic` that do not exist."""
    if any(topic_pattern.problem(text) for text in definition.topic):
        return ""
    topics, used = TopicPatterns.parse(definition.topic), TopicPattern.parse(topic).names
    several = {pattern.rest[0] for pattern in topics.patterns if pattern.rest is not None}
    for name in used:
        if name in several:
            return f"{{{name}}} captures several levels, and here it would be one"
        if key != "status.topic" and name not in topics.names:
            return f"{{{name}}} is not a capture of the mapping's topic{did_you_mean(name, topics.names)}"
    return ""


def _published_problems(
    topic_filter_text: str, routed: Iterable[MappingDefinition], context: MappingContext
) -> Iterable[tuple[Code, str]]:
    """Check that statuses can be published to the topics of a filter without coming back as readings.

    They are published on every connection, whichever one the mapping listens on.
    """
    for text in _dot_problems(topic_filter_text, context.dotless):
        yield Code.BAD_TOPIC, text
    for root in (context.prefix, BRIDGE_ROOT):
        if topic_filter.overlap(topic_filter_text, f"{root}/#"):
            yield Code.RESERVED_TOPIC, f"can lie under {root}, which is not for mappings"
    for other in routed:
        if TopicPatterns.parse(other.topic, other.excepted).overlaps(topic_filter_text):
            text = f"can match the topic of {other.label}: its own status would start workflows forever"
            yield Code.STATUS_LOOP, text


def check_notices(definitions: Iterable[MappingDefinition], context: MappingContext, problems: Problems) -> None:
    """Check that every connection can carry the topics of `status.notify` in bridge.yaml; no mapping may match them."""
    routed = [one for one in definitions if not any(topic_pattern.problem(text) for text in one.topic)]
    for topic, where in context.notices:
        for code, text in _published_problems(topic, routed, context):
            problems.error(where, code, f"status.notify: {quote(topic)} {text}")


def _completed(definition: MappingDefinition, context: MappingContext, problems: Problems) -> MappingDefinition:
    workflow = definition.workflow
    if not workflow.namespace:
        default = context.namespaces[0] if context.namespaces else ""
        workflow = dataclasses.replace(workflow, namespace=default)
    if workflow.manifest is not None:
        path = definition.path.parent.absolute() / workflow.manifest
        workflow = dataclasses.replace(workflow, manifest=path, manifest_tree=_manifest(definition, path, problems))
    payload = definition.payload
    if payload.descriptor is not None:
        payload = dataclasses.replace(payload, descriptor_set=_descriptor(definition, payload.descriptor, problems))
    return dataclasses.replace(definition, workflow=workflow, payload=payload)


def _descriptor(definition: MappingDefinition, name: Path, problems: Problems) -> bytes | None:
    """Return the content of a mapping's descriptor file."""
    data = read_regular_file(definition.path.parent.absolute() / name, MAX_BYTES)
    if isinstance(data, Problem):
        where = definition.position("payload", "descriptor")
        _error(definition, where, Code.UNREADABLE_FILE, f'"descriptor": {data.message}: {data.position}', problems)
        return None
    return data


def _manifest(definition: MappingDefinition, path: Path, problems: Problems) -> MapNode | None:
    """Return the content of a mapping's manifest file, if it is one Workflow."""
    where = definition.position("workflow", "manifest")
    data = read_regular_file(path, MAX_BYTES)
    if isinstance(data, Problem):
        text = f'"manifest": {data.message}: {data.position}'
        _error(definition, where, Code.UNREADABLE_FILE, text, problems)
        return None
    before = len(problems.found)
    documents = read_manifests(data, shown_path(path), problems)
    if len(problems.found) > before:
        return None
    root = documents[0] if len(documents) == 1 else None
    if not isinstance(root, MapNode):
        what = kind_of(root) if root else f"{len(documents)} documents"
        text = f'"manifest": {shown_path(path)} must contain one Workflow, not {what}'
        _error(definition, where, Code.WRONG_TYPE, text, problems)
        return None
    kind = root.get("kind")
    if not isinstance(kind, ScalarNode) or kind.text != "Workflow":
        text = f'{definition.label}: the manifest must say "kind: Workflow"'
        problems.error(root.position if kind is None else kind.position, Code.BAD_VALUE, text)
        return None
    return root
