"""Kinds of value that contain others: lists of one kind, one kind or null, maps with free names. Pure; any thread."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bridge.configfile.kinds import INVALID, Kind, Place
from bridge.configfile.nodes import ListNode, MapNode, Node, is_null, quote
from bridge.configfile.problems import Code


@dataclass(frozen=True)
class Nullable(Kind):
    """Another kind, or `null`, which is read as None."""

    kind: Kind

    def read(self, node: Node, place: Place) -> Any:
        """None for null, otherwise what the kind reads."""
        return None if is_null(node) else self.kind.read(node, place)

    def schema(self) -> dict[str, Any]:
        """The kind's, or null."""
        return {"anyOf": [self.kind.schema(), {"type": "null"}]}

    @property
    def words(self) -> str:
        """The kind's, or null."""
        return f"{self.kind.words}, or null"


@dataclass(frozen=True)
class ListOf(Kind):
    """A list of at least `least` items, read as a tuple; `distinct` refuses equal ones."""

    item: Kind
    least: int = 0
    distinct: bool = False

    def read(self, node: Node, place: Place) -> Any:
        """A tuple, or `INVALID` if any item is invalid."""
        if not isinstance(node, ListNode):
            return place.must_be(node, self.words)
        if len(node.items) < self.least:
            return place.refuse(node.position, Code.WRONG_TYPE, f'"{place.key}" needs at least {self.least}')
        values = []
        for item in node.items:
            value = self.item.read(item, place)
            if self.distinct and value is not INVALID and value in values:
                text = f'"{place.key}" names {quote(getattr(item, "text", ""))} twice; remove one'
                value = place.refuse(item.position, Code.DUPLICATE_VALUE, text)
            values.append(value)
        return INVALID if any(value is INVALID for value in values) else tuple(values)

    def schema(self) -> dict[str, Any]:
        """An array."""
        schema: dict[str, Any] = {"type": "array", "items": self.item.schema()}
        if self.least:
            schema["minItems"] = self.least
        if self.distinct:
            schema["uniqueItems"] = True
        return schema

    @property
    def words(self) -> str:
        """The words of its items."""
        return f"a list, each item {self.item.words}"


@dataclass(frozen=True)
class OneOrMore(ListOf):
    """One item, or a list of them, read as a tuple."""

    least: int = 1

    def read(self, node: Node, place: Place) -> Any:
        """A tuple, or `INVALID` if any item is invalid."""
        if isinstance(node, ListNode):
            return super().read(node, place)
        value = self.item.read(node, place)
        return value if value is INVALID else (value,)

    def schema(self) -> dict[str, Any]:
        """An item, or an array."""
        return {"anyOf": [self.item.schema(), super().schema()]}

    @property
    def words(self) -> str:
        """The words of an item."""
        return f"{self.item.words}, or a list of them"


@dataclass(frozen=True)
class MapOf(Kind):
    """A map with names chosen by the operator, read as a read-only mapping.

    Attributes:
        pattern: What a whole name must match; `name_words` says it.
        noun: If set, the values are items that messages name (`connection "plant"`); otherwise plain values.
        least: Minimum number of entries.
    """

    value: Kind
    pattern: str = r"(?s:.+)"
    name_words: str = "text"
    noun: str = ""
    least: int = 0

    def read(self, node: Node, place: Place) -> Any:
        """A mapping in the order of the file, or `INVALID` if any name or value is invalid."""
        if not isinstance(node, MapNode):
            return place.must_be(node, self.words)
        if len(node.entries) < self.least:
            return place.refuse(node.position, Code.WRONG_TYPE, f'"{place.key}" needs at least {self.least}')
        values = {}
        for entry in node.entries:
            if not re.fullmatch(self.pattern, entry.key):
                text = f'in "{place.key}" a name must be {self.name_words}, not {quote(entry.key)}'
                values[entry.key] = place.refuse(entry.key_position, Code.BAD_KEY, text)
                continue
            inner = place.item_named(self.noun, entry.key) if self.noun else place.at(f"{place.key}.{entry.key}")
            values[entry.key] = self.value.read(entry.value, inner)
        return INVALID if any(value is INVALID for value in values.values()) else MappingProxyType(values)

    def schema(self) -> dict[str, Any]:
        """An object with free names."""
        schema: dict[str, Any] = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.pattern})$"},
            "additionalProperties": self.value.schema(),
        }
        if self.pattern.startswith("(?s"):
            del schema["propertyNames"]  # any name; the pattern's flag is Python's own
        return schema | ({"minProperties": self.least} if self.least else {})

    @property
    def words(self) -> str:
        """A map."""
        return f"a map from names to {self.value.words}"
