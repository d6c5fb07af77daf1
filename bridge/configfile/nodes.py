"""The tree of a configuration file: plain values with their positions.

Frozen, so trees can be shared between mappings and threads. Does not parse (`source` does) and knows no keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.configfile.problems import Position


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value. `text` is as written, without quotes; `value` its meaning (core schema of YAML 1.2)."""

    position: Position
    value: str | int | float | bool | None
    text: str

    @property
    def size(self) -> int:
        """Number of nodes in this tree, including itself."""
        return 1


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list. `size` counts its nodes including itself, and each alias every time it is used."""

    position: Position
    items: tuple[Node, ...] = ()
    size: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a map with its value. Keys are always text, as written."""

    key: str
    key_position: Position
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """A map with its entries in file order, without duplicate keys. `size` as for `ListNode`."""

    position: Position
    entries: tuple[Entry, ...] = ()
    size: int = 1

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, key: str) -> Node | None:
        """The value of a key, or None if the key is absent."""
        entry = self.entry(key)
        return None if entry is None else entry.value


Node = ScalarNode | ListNode | MapNode


def plain(node: Node) -> Any:
    """Return the tree as dicts, lists and scalars, newly built on each call."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node.entries}


def node_of(data: Any, position: Position | None = None) -> Node:
    """Return the tree of plain data (dicts, lists, scalars), with every node at `position`; the reverse of `plain`."""
    where = position or Position("")
    if isinstance(data, dict):
        return MapNode(where, tuple(Entry(str(name), where, node_of(value, where)) for name, value in data.items()))
    if isinstance(data, list | tuple):
        return ListNode(where, tuple(node_of(item, where) for item in data))
    if isinstance(data, bool):
        return ScalarNode(where, data, "true" if data else "false")
    return ScalarNode(where, data, "" if data is None else str(data))


def is_null(node: Node) -> bool:
    """Whether the value is YAML's null (`null`, `~`, or nothing after the colon)."""
    return isinstance(node, ScalarNode) and node.value is None


def describe(node: Node) -> str:
    """Describe a value, for "must be X, not ...": `a list`, `"forever"`, `nothing`."""
    return quote(node.text) if isinstance(node, ScalarNode) and node.value is not None else kind_of(node)


def kind_of(node: Node) -> str:
    """Describe a value's kind without quoting it: the file may contain the wrong thing, such as a password."""
    if isinstance(node, MapNode):
        return "a map"
    if isinstance(node, ListNode):
        return "a list"
    return "nothing" if node.value is None else "a single value"


def quote(text: str, limit: int = 80) -> str:
    """Return text in double quotes on one line, cut to `limit` characters, with unprintable characters escaped."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return '"' + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown) + '"'


def locate(node: Node, *path: str | int) -> Position:
    """Return the position of the value at `path` (keys and indices from 0), or of its nearest existing ancestor."""
    for step in path:
        child: Node | None = None
        if isinstance(node, MapNode) and isinstance(step, str):
            child = node.get(step)
        elif isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
            child = node.items[step]
        if child is None:
            break
        node = child
    return node.position


def with_value(root: MapNode, path: tuple[str, ...], value: Node) -> MapNode:
    """Return the map with `value` at `path` (at least one key); missing or null maps on the way are created.

    If something other than a map is on the way, nothing is changed: reading it reports the problem.
    """
    step, rest = path[0], path[1:]
    old = root.entry(step)
    inner: Node = MapNode(value.position) if old is None or is_null(old.value) else old.value
    if not rest:
        inner = value
    elif isinstance(inner, MapNode):
        inner = with_value(inner, rest, value)
    entry = Entry(step, value.position if old is None else old.key_position, inner)
    others = tuple(entry if other.key == step else other for other in root.entries)
    return MapNode(root.position, others if old is not None else (*others, entry), root.size + value.size)
