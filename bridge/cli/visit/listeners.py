"""Finds the mappings of a configuration that match a topic, and their status topics. Pure.

Evaluates nothing: only the bridge decides whether a mapping triggers for a payload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.core.topic_filter import matches
from bridge.expressions.topic_pattern import TopicPattern
from bridge.mapping.definition import MappingDefinition


@dataclass(frozen=True, slots=True)
class Listening:
    """A mapping that matches the topic, and its status topic for this device, or ""."""

    mapping: str
    status_topic: str = ""


def listening_to(topic: str, connection: str, definitions: Iterable[MappingDefinition]) -> tuple[Listening, ...]:
    """Return the mappings that receive messages on `topic` on `connection`."""
    found = []
    for definition in definitions:
        pattern = TopicPattern.parse(definition.topic)
        if definition.connection in (None, connection) and matches(pattern.topic_filter, topic):
            found.append(Listening(definition.name, _status_topic(definition, pattern, topic)))
    return tuple(found)


def _status_topic(definition: MappingDefinition, pattern: TopicPattern, topic: str) -> str:
    if definition.status is None or definition.status.topic is None:
        return ""
    levels = topic.split("/")
    filled = definition.status.topic
    for name, position in pattern.captures:
        filled = filled.replace(f"{{{name}}}", levels[position])
    return filled
