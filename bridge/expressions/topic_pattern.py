"""Topics of mappings: filters whose levels can be captured by name. Pure; any thread."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """The parsed `topic` of a mapping.

    Attributes:
        text: as written, e.g. ``sensors/{site}/+/state``.
        topic_filter: the filter to subscribe to, e.g. ``sensors/+/+/state``.
        captures: name and position (from 0) of each captured level.
    """

    text: str
    topic_filter: str
    captures: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, text: str) -> TopicPattern:
        """Return the pattern; `text` was checked when the file was read (`{x}` is always a whole level)."""
        levels: list[str] = []
        captures: list[tuple[str, int]] = []
        for position, level in enumerate(text.split("/")):
            capture = _CAPTURE.fullmatch(level)
            levels.append("+" if capture else level)
            if capture:
                captures.append((capture[1], position))
        return cls(text, "/".join(levels), tuple(captures))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the captures, in the order of the levels."""
        return tuple(name for name, _ in self.captures)

    def captured(self, topic: str) -> dict[str, str]:
        """Return the values of the captures for a matching topic."""
        levels = topic.split("/")
        return {name: levels[position] for name, position in self.captures}

    def filled(self, captured: MappingOf[str, str]) -> str:
        """Return the topic that a pattern without wildcards gives for `captured`."""
        levels = self.text.split("/")
        for name, position in self.captures:
            levels[position] = captured[name]
        return "/".join(levels)
