"""Which mappings of a configuration listen to a topic, and where they tell the device. Pure.

Evaluates nothing: whether a mapping fires for a payload is for the bridge to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.core.topic_filter import matches
from bridge.expressions.topic_pattern import TopicPattern
from bridge.mapping.definition import MappingDefinition


@dataclass(frozen=True, slots=True)
class Listening:
    """A mapping that listens to the topic in question.

    Attributes:
        mapping: its name.
        status_topic: where it tells this very device its workflow's status, "" where it does not.
    """

    mapping: str
    status_topic: str = ""


def listening_to(topic: str, connection: str, definitions: Iterable[MappingDefinition]) -> tuple[Listening, ...]:
    """Return the mappings that get what is published to `topic` on `connection`."""
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
