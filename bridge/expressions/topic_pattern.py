"""Topics of mappings: filters of which parts can be captured by name. Pure; any thread."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.core import topic_filter as filters

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as MappingOf

CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REST = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\.\.\.\}")


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """One parsed `topic` of a mapping.

    Attributes:
        text: as written, e.g. ``sensors/{site}/+/{line}-{device}/{rest...}``.
        topic_filter: the filter to subscribe to, e.g. ``sensors/+/+/+/#``.
        levels: name and position (from 0) of each level that is captured as a whole.
        parts: position and expression of each level of which parts are captured.
        rest: name and position of what captures all further levels, or None.
    """

    text: str
    topic_filter: str
    levels: tuple[tuple[str, int], ...] = ()
    parts: tuple[tuple[int, re.Pattern[str]], ...] = ()
    rest: tuple[str, int] | None = None

    @classmethod
    def parse(cls, text: str) -> TopicPattern:
        """Return the pattern of a text without `problem`."""
        wanted: list[str] = []
        levels: list[tuple[str, int]] = []
        parts: list[tuple[int, re.Pattern[str]]] = []
        rest = None
        for position, level in enumerate(text.split("/")):
            if whole := CAPTURE.fullmatch(level):
                levels.append((whole[1], position))
            elif further := _REST.fullmatch(level):
                rest = (further[1], position)
            elif CAPTURE.search(level):
                parts.append((position, _expression(level)))
            wanted.append("#" if rest else "+" if "{" in level else level)
        return cls(text, "/".join(wanted), tuple(levels), tuple(parts), rest)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the captures."""
        in_parts = (name for _, expression in self.parts for name in expression.groupindex)
        return (*(name for name, _ in self.levels), *in_parts, *([self.rest[0]] if self.rest else ()))

    def captured(self, topic: str) -> dict[str, str] | None:
        """Return the values of the captures for a topic that the filter matches; None if a level does not fit.

        Of several captures in one level, each takes as little as it can, but at least one character.
        """
        levels = topic.split("/")
        found = {name: levels[position] for name, position in self.levels}
        for position, expression in self.parts:
            match = expression.fullmatch(levels[position])
            if match is None:
                return None
            found |= match.groupdict()
        if self.rest is not None:
            name, position = self.rest
            found[name] = "/".join(levels[position:])
        return found

    def filled(self, captured: MappingOf[str, str]) -> str:
        """Return the topic that a pattern without wildcards gives for `captured`."""
        return CAPTURE.sub(lambda match: captured[match[1]], self.text)


@dataclass(frozen=True, slots=True)
class TopicPatterns:
    """All topics of a mapping, and those that it leaves out.

    Attributes:
        patterns: the first that fits a topic gives the captures.
        excepted: filters of topics that are not the mapping's.
    """

    patterns: tuple[TopicPattern, ...]
    excepted: tuple[str, ...] = ()
    _is_plain: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_is_plain", len(self.patterns) == 1 and not self.excepted)

    @classmethod
    def parse(cls, texts: Iterable[str], excepted: Iterable[str] = ()) -> TopicPatterns:
        """Return the patterns of texts without `problem`."""
        return cls(tuple(TopicPattern.parse(text) for text in texts), tuple(excepted))

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters to subscribe to."""
        return tuple(pattern.topic_filter for pattern in self.patterns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the captures that every pattern has."""
        first, *others = self.patterns
        return tuple(name for name in first.names if all(name in other.names for other in others))

    def lacking(self, name: str) -> str:
        """Return the first pattern, as written, without the capture `name` although another has it; "" for none."""
        lacks = [pattern.text for pattern in self.patterns if name not in pattern.names]
        return lacks[0] if lacks and len(lacks) < len(self.patterns) else ""

    def captured(self, topic: str) -> dict[str, str] | None:
        """Return the values of the captures for a topic that one of the filters matches; None if it is not ours."""
        if self._is_plain:
            return self.patterns[0].captured(topic)
        if any(filters.matches(one, topic) for one in self.excepted):
            return None
        for pattern in self.patterns:
            if filters.matches(pattern.topic_filter, topic) and (found := pattern.captured(topic)) is not None:
                return found
        return None

    def matches(self, topic: str) -> bool:
        """Whether a topic is the mapping's."""
        return any(filters.matches(one, topic) for one in self.filters) and self.captured(topic) is not None

    def overlaps(self, topic_filter: str) -> bool:
        """Whether a topic that matches `topic_filter` may be the mapping's."""
        if any(filters.covers(one, topic_filter) for one in self.excepted):
            return False
        return any(filters.overlap(one, topic_filter) for one in self.filters)


def problem(text: str) -> str:
    """Return why `text` cannot be a topic of a mapping, or ""."""
    if text.startswith("$share/"):
        return "$share cannot be used in mappings; the bridge's session is the only subscriber"
    levels = text.split("/")
    for position, level in enumerate(levels, 1):
        left = CAPTURE.sub("x", level)
        if _REST.fullmatch(level):
            if position < len(levels):
                return f'"{level}" captures all further levels, so it must be the last one'
        elif "{" in left or "}" in left or "}{" in level:
            return (
                f'"{level}" is not a capture; a capture is {{name}} of letters, digits and _, with text between two of '
                "them"
            )
        elif "{" in level and ("+" in left or "#" in left):
            return f'"{level}" has a capture and a wildcard; use one of them in a level'
    pattern = TopicPattern.parse(text)
    twice = sorted({name for name in pattern.names if pattern.names.count(name) > 1})
    if twice:
        return f"the capture {{{twice[0]}}} is used twice; give each its own name"
    return filters.filter_problem(pattern.topic_filter)


def _expression(level: str) -> re.Pattern[str]:
    pieces = CAPTURE.split(level)  # text and names take turns
    return re.compile(
        "".join(f"(?P<{piece}>.+?)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)), re.DOTALL
    )
