"""Finds the mappings of a configuration that match a topic, and their status topics. Pure.

Evaluates nothing: only the bridge decides whether a mapping triggers for a payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.expressions.topic_pattern import TopicPatterns
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
        topics = TopicPatterns.parse(definition.topic, definition.excepted)
        if definition.connection in (None, connection) and topics.matches(topic):
            found.append(Listening(definition.name, _status_topic(definition, topics.captured(topic) or {})))
    return tuple(found)


def _status_topic(definition: MappingDefinition, captured: Mapping[str, str]) -> str:
    if definition.status is None or definition.status.topic is None:
        return ""
    filled = definition.status.topic
    for name, value in captured.items():
        filled = filled.replace(f"{{{name}}}", value)
    return filled
