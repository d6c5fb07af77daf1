"""Declares keys: a section is a frozen dataclass whose attributes are `declare(...)` with kind, sentence and default.

Reading (`Section`), JSON Schema and the tables of the documentation all come from this declaration. The key has the
attribute's name, with `-` for `_` and without the unit of seconds and bytes: `keep_done_s` is `keep-done`. Pure; any
thread.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

from bridge.configfile.kinds import INVALID, Duration, Kind, Place, Size
from bridge.configfile.nodes import MapNode, Node, is_null, node_of, quote
from bridge.configfile.problems import Code, Problems
from bridge.core.nearest import Proposals, nearest, proposal

if TYPE_CHECKING:
    from collections.abc import Iterator

_T = TypeVar("_T")
_METADATA = "bridge.configfile.key"
REQUIRED: Any = object()
ABSENT: Any = None


@dataclass(frozen=True)
class Key:
    """One declared key.

    Attributes:
        doc: One sentence: what it is for, and the meaning of its absence.
        default: The value if the key is absent, as plain data; `REQUIRED`, or `ABSENT` for None.
        hint: Appended to the message for a missing required key: where else its value could come from.
        not_yet: Why a known key is refused, or "".
        name: The key in the file; "" in a declaration means it is derived from the attribute's name.
        attribute: Name of the attribute; "" in a declaration.
    """

    kind: Kind
    doc: str
    default: Any = REQUIRED
    hint: str = ""
    not_yet: str = ""
    name: str = ""
    attribute: str = ""


def declare(kind: Kind, doc: str, *, default: Any = REQUIRED, hint: str = "", not_yet: str = "", name: str = "") -> Any:
    """Declare a key of a section; the arguments are those of `Key`."""
    declared = Key(kind, doc, default, hint, not_yet, name)
    if default is REQUIRED:
        return dataclasses.field(metadata={_METADATA: declared})
    value = _default_of(declared)
    return dataclasses.field(default_factory=lambda: value, metadata={_METADATA: declared})


def _default_of(declared: Key) -> Any:
    """Return the value of an absent key, read by the key's own kind, so that defaults are written as in a file."""
    if declared.default is ABSENT:
        return None
    problems = Problems()
    value = declared.kind.read(node_of(declared.default), Place(problems))
    if value is INVALID:
        told = "; ".join(problem.message for problem in problems.in_order())
        raise ValueError(f"declare key: its default is refused: {told}")
    return value


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(declare, dataclasses.field))
def section(cls: type[_T]) -> type[_T]:
    """Make a class a section: a frozen dataclass, built by keyword."""
    return dataclass(frozen=True, kw_only=True)(cls)


def keys_of(cls: type[Any]) -> Iterator[Key]:
    """The declared keys of a section, in their order."""
    for attribute in dataclasses.fields(cls):
        declared = attribute.metadata.get(_METADATA)
        if isinstance(declared, Key):
            name = declared.name or _key_name(attribute.name, declared.kind)
            yield dataclasses.replace(declared, name=name, attribute=attribute.name)


def _key_name(attribute: str, kind: Kind) -> str:
    unit = {Duration: "_s", Size: "_bytes"}.get(type(kind), "")
    return attribute.removesuffix(unit).replace("_", "-")


@dataclass(frozen=True)
class Section(Kind):
    """A map with declared keys, read as an instance of `cls`, a class made by `section`.

    `exactly_one`: keys of which exactly one is required.
    """

    words = "a map of keys"

    cls: type[Any]
    exactly_one: tuple[str, ...] = ()

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The declared keys."""
        return tuple(keys_of(self.cls))

    def read(self, node: Node, place: Place) -> Any:
        """An instance of `cls`, or `INVALID` if any key is invalid or unknown."""
        if is_null(node):
            node = MapNode(node.position)
        if not isinstance(node, MapNode):
            return place.must_be(node, self.words)
        values, is_sound = self.read_keys(node, place.inside())
        return self.cls(**values) if is_sound else INVALID

    def knows_any_of(self, node: MapNode) -> bool:
        """Whether a map has a key of this section, or a similar one; if not, it is something else altogether."""
        names = [one.name for one in self.keys]
        proposals = Proposals()
        return any(entry.key in names or proposals.nearest(entry.key, names) for entry in node.entries)

    def salvage(self, node: Node) -> Any:
        """Return the usable part of a section that `read` refused: invalid values count as absent.

        No problems are recorded. Only for checking the rest of the section. `INVALID` if a required key is unusable.
        """
        if not isinstance(node, MapNode):
            return INVALID
        values, _ = self.read_keys(node, Place(Problems()))
        for declared in self.keys:
            if values[declared.attribute] is INVALID:
                values[declared.attribute] = _salvaged(declared, node.get(declared.name))
        return INVALID if any(value is INVALID for value in values.values()) else self.cls(**values)

    def read_keys(self, node: MapNode, place: Place) -> tuple[dict[str, Any], bool]:
        """Read each key separately, so that valid keys can be checked further.

        Returns:
            Each attribute's value or `INVALID`, and whether the section can be built from them.
        """
        meant = _refuse_unknown(node, [one.name for one in self.keys], place)
        is_sound = self._has_one_of(node, place, meant) and not meant
        values = {one.attribute: _value(one, node, place, meant) for one in self.keys}
        return values, is_sound and not any(value is INVALID for value in values.values())

    def _has_one_of(self, node: MapNode, place: Place, meant: set[str]) -> bool:
        present = [entry for entry in node.entries if entry.key in self.exactly_one]
        names = ", ".join(self.exactly_one)
        if self.exactly_one and not present and not meant.intersection(self.exactly_one):
            place.refuse(node.position, Code.MISSING_KEY, f"one of the keys {names} is required")
        for entry in present[1:]:
            text = f'"{entry.key}" cannot be combined with "{present[0].key}"; keep one of {names}'
            place.refuse(entry.key_position, Code.CONFLICTING_KEYS, text)
        return not self.exactly_one or len(present) == 1

    def schema(self) -> dict[str, Any]:
        """An object that accepts only the declared keys."""
        schema: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {one.name: _key_schema(one) for one in self.keys},
        }
        required = [one.name for one in self.keys if one.default is REQUIRED and not one.hint]
        if not required and not self.exactly_one:
            schema["type"] = ["object", "null"]
        if required:
            schema["required"] = required
        if self.exactly_one:
            schema["oneOf"] = [{"required": [name]} for name in self.exactly_one]
        return schema


def _refuse_unknown(node: MapNode, names: list[str], place: Place) -> set[str]:
    """Refuse the unknown keys; returns the keys that were probably meant ("" if none is similar).

    A misspelt key is not also reported as missing.
    """
    meant = set()
    for entry in node.entries:
        if entry.key in names:
            continue
        near = nearest(entry.key, names)
        place.refuse(entry.key_position, Code.UNKNOWN_KEY, f"unknown key {quote(entry.key)}{proposal(near)}")
        meant.add(near)
    return meant


def _value(declared: Key, node: MapNode, place: Place, meant: set[str]) -> Any:
    entry = node.entry(declared.name)
    if entry is None and declared.default is REQUIRED:
        if declared.name in meant:
            return INVALID
        hint = f"; {declared.hint}" if declared.hint else ""
        return place.refuse(node.position, Code.MISSING_KEY, f'the key "{declared.name}" is missing{hint}')
    if entry is None:
        return _default_of(declared)
    value = declared.kind.read(entry.value, place.at(declared.name))
    if declared.not_yet:
        return place.refuse(entry.key_position, Code.NOT_YET, declared.not_yet)
    return value


def _salvaged(declared: Key, node: Node | None) -> Any:
    if isinstance(declared.kind, Section) and node is not None and not declared.not_yet:
        return declared.kind.salvage(node)
    return INVALID if declared.default is REQUIRED else _default_of(declared)


def _key_schema(declared: Key) -> dict[str, Any]:
    if declared.not_yet:
        return {"description": f"{declared.doc} {declared.not_yet}.", "not": {}}
    schema = declared.kind.schema()
    if declared.default is not REQUIRED and declared.default is not ABSENT and declared.default != {}:
        schema = schema | {"default": declared.default}
    return {"description": declared.doc, **schema}
