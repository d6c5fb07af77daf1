"""The table that finds every mapping of a concrete topic.

Knows nothing about payloads and subscribes to nothing. Thread: a `RouteTable` may be read by any thread; its cache of
whole topics is filled by whoever looks first (single dict operations, and an entry never changes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Mapping as MappingOf

    from bridge.mapping.compiled import Mapping

REMEMBERED_TOPICS = 10_000
LONGEST_REMEMBERED = 256  # characters: limits the memory to megabytes, whatever devices publish


@dataclass(frozen=True, slots=True)
class Match:
    """A mapping that matches a topic, and the values of its captures. `captures` is shared: only read it."""

    mapping: Mapping
    captures: MappingOf[str, str]


@dataclass(slots=True)
class _Branch:
    """One level of the trie: the next levels, and the mappings that end here (by their order)."""

    next: dict[str, _Branch] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)  # patterns that end in "#" here


class RouteTable:
    """Finds the mappings of a topic on one connection, in the order of definition."""

    def __init__(self, mappings: Iterable[Mapping]) -> None:
        self._mappings = tuple(mappings)
        self._root = _Branch()
        self._remembered: dict[str, tuple[Match, ...]] = {}
        for order, mapping in enumerate(self._mappings):
            for topic_filter in mapping.topics.filters:
                self._add(topic_filter, order)

    @property
    def filters(self) -> frozenset[str]:
        """Return the filters to subscribe to, without those that another one covers.

        A broker may send a message once for each subscription that it matches (MQTT 5.0 section 3.3.4), and two
        copies are two events.
        """
        wanted = {topic_filter for mapping in self._mappings for topic_filter in mapping.topics.filters}
        return frozenset(one for one in wanted if not self._is_covered(one))

    def _is_covered(self, topic_filter: str) -> bool:
        """Whether every topic that matches `topic_filter` also matches another filter."""
        reserved = topic_filter.startswith("$")
        branches = [(self._root, True)]  # each with whether it lies on the filter's own way
        for depth, level in enumerate(topic_filter.split("/")):
            if level == "#":
                return any(branch.rest and not is_own for branch, is_own in branches)
            wild = not (reserved and depth == 0)
            if wild and any(branch.rest for branch, _ in branches):
                return True
            exact = [(branch.next[level], is_own) for branch, is_own in branches if level in branch.next]
            broader = [(branch.next["+"], False) for branch, _ in branches if wild and "+" in branch.next]
            branches = [*exact, *(broader if level != "+" else ())]
        return any(branch.rest or (branch.ends and not is_own) for branch, is_own in branches)

    def match(self, topic: str) -> tuple[Match, ...]:
        """Return every mapping that `topic` matches, in the order of definition."""
        found = self._remembered.get(topic)
        if found is None:
            found = self._search(topic)
            if len(topic) <= LONGEST_REMEMBERED:
                if len(self._remembered) >= REMEMBERED_TOPICS:
                    self._remembered.clear()
                self._remembered[topic] = found
        return found

    def _add(self, topic_filter: str, order: int) -> None:
        branch = self._root
        for level in topic_filter.split("/"):
            if level == "#":
                branch.rest.append(order)
                return
            branch = branch.next.setdefault(level, _Branch())
        branch.ends.append(order)

    def _search(self, topic: str) -> tuple[Match, ...]:
        levels = topic.split("/")
        reserved = topic.startswith("$")  # wildcards in the first level do not match it (MQTT 5.0 section 4.7.2)
        found: list[int] = []
        branches = [self._root]
        for depth, level in enumerate(levels):
            wild = not (reserved and depth == 0)
            if wild:
                found.extend(order for branch in branches for order in branch.rest)
            branches = [inner for branch in branches for inner in _inner(branch, level, wild=wild)]
            if not branches:
                break
        # "#" also stands for no further level at all (MQTT 5.0 section 4.7.1.2).
        found.extend(order for branch in branches for order in (*branch.ends, *branch.rest))
        mappings = [self._mappings[order] for order in sorted(set(found))]
        captured = ((mapping, mapping.topics.captured(topic)) for mapping in mappings)
        return tuple(Match(mapping, captures) for mapping, captures in captured if captures is not None)


def _inner(branch: _Branch, level: str, *, wild: bool) -> Iterator[_Branch]:
    exact = branch.next.get(level)
    # A topic name never contains "+"; if it does, a mapping must still not count twice.
    if exact is not None and level != "+":
        yield exact
    if wild and "+" in branch.next:
        yield branch.next["+"]
