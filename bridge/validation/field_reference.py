"""Parses Argo's field reference (``docs/fields.md`` of a release) into types and fields, exactly as written.

Knows the grammar of the document but not its mistakes; those are in `corrections`. An unknown kind of line stops the
parsing, because a field overlooked here would be refused later.

Thread: the command's main thread; pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bridge.core.errors import PermanentError

ARGO = "argo"
KUBERNETES = "k8s"

_TITLES = {"Field Reference": ARGO, "External Fields": KUBERNETES}
_ROW = re.compile(r"^\|(~~)?`([^`]+)`(?:~~)?\|(?:~~)?(.*?)(?:~~)?\|(.*)\|$")
_TABLE_HEAD = re.compile(r"^\| *Field Name *\| *Field Type *\| *Description *\|$")
_TABLE_RULE = re.compile(r"^\|[:-]+\|[:-]+\|[:-]+\|$")
_EXAMPLE = re.compile(r"^(<details( markdown)?>|</details>|<summary>.*</summary>|- \[.*)$")
_FIELD_NAME = re.compile(r"^[a-z][A-Za-z0-9]*$")

# Every notation of the reference, code marks and links stripped; nothing else exists in 3.5 to 4.1.
_WORD = r"[A-Za-z][A-Za-z0-9]*"
_NOTATION = re.compile(
    rf"^(?:{_WORD}|Array<{_WORD}>|Array<Array<{_WORD}>>|Map<{_WORD},{_WORD}>)$",
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class ReferenceField:
    """One row: `notation` is the type without marks and spaces, as ``Array<Parameter>`` or ``Map<string,string>``."""

    name: str
    notation: str
    description: str


@dataclass(frozen=True, slots=True)
class ReferenceType:
    """One ``## Name``: `fields` is None for a type without a table."""

    section: str
    name: str
    fields: tuple[ReferenceField, ...] | None

    def field(self, name: str) -> ReferenceField | None:
        """Return the field with that name, or None."""
        return next((one for one in self.fields or () if one.name == name), None)


@dataclass(frozen=True, slots=True)
class FieldReference:
    """All types of one release, in document order; a name may occur once in each section."""

    types: tuple[ReferenceType, ...]

    def find(self, name: str, section: str) -> ReferenceType | None:
        """Resolve a link from `section`: its own types first, then the other section's (``HTTPHeader`` is in both)."""
        named = [one for one in self.types if one.name == name]
        return next((one for one in named if one.section == section), named[0] if named else None)


@dataclass(slots=True)
class _OpenType:
    section: str
    name: str
    fields: list[ReferenceField] = field(default_factory=list)
    has_table: bool = False

    def close(self) -> ReferenceType:
        return ReferenceType(self.section, self.name, tuple(self.fields) if self.has_table else None)


@dataclass(slots=True)
class ReferenceBuilder:
    """Collects the parsed document, with one call per heading, table or row. Owner: the parser."""

    section: str = ""
    _types: list[_OpenType] = field(default_factory=list)

    def title(self, text: str) -> None:
        """A top heading, which begins a section."""
        if text not in _TITLES:
            raise _bad(f'unknown heading "{text}"')
        self.section = _TITLES[text]

    def type(self, name: str) -> None:
        """The heading of a type."""
        if not self.section:
            raise _bad(f'type "{name}" stands before the heading "Field Reference"')
        if any(one.name == name and one.section == self.section for one in self._types):
            raise _bad(f'type "{name}" is defined twice in one section')
        self._types.append(_OpenType(self.section, name))

    def table(self) -> None:
        """The header of the current type's table."""
        if not self._types or self._types[-1].has_table:
            raise _bad("a table of fields without a type of its own")
        self._types[-1].has_table = True

    def row(self, name: str, notation: str, description: str) -> None:
        """One field of the current type; `notation` still has its markup."""
        if not self._types or not self._types[-1].has_table:
            raise _bad(f'field "{name}" stands outside a table')
        current = self._types[-1]
        plain = _LINK.sub(r"\1", notation).replace("`", "").replace(" ", "").replace("~~", "")
        if not _FIELD_NAME.match(name):
            raise _bad(f'type "{current.name}": "{name}" is not a field name')
        if not _NOTATION.match(plain):
            raise _bad(f'field "{current.name}.{name}": unknown notation "{notation}"')
        if any(one.name == name for one in current.fields):
            raise _bad(f'field "{current.name}.{name}" is defined twice')
        current.fields.append(ReferenceField(name, plain, description.strip()))

    def close(self) -> FieldReference:
        """Return the whole reference; `PermanentError` (``bad-reference``) if there are no types at all."""
        if not self._types:
            raise _bad("there is no type in it; is this Argo's field reference?")
        return FieldReference(tuple(one.close() for one in self._types))


def parse_markdown(text: str) -> FieldReference:
    """Read ``fields.md``.

    Raises:
        PermanentError: code ``bad-reference``, with the line; the document has an unknown kind of line, so the release
            needs a review.
    """
    builder = ReferenceBuilder()
    for number, line in _lines(text):
        try:
            _read_line(line, builder)
        except PermanentError as error:
            raise _bad(f"line {number}: {error.message.removeprefix(_PREFIX)}") from error
    return builder.close()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def _read_line(line: str, builder: ReferenceBuilder) -> None:
    if row := _ROW.match(line):
        builder.row(row[2], row[3], row[4])
    elif line.startswith("## "):
        builder.type(line[3:].strip())
    elif line.startswith("# "):
        builder.title(line[2:].strip())
    elif _TABLE_HEAD.match(line):
        builder.table()
    elif line.startswith(("|", "#")) and line != "### Fields" and not _TABLE_RULE.match(line):
        raise _bad(f'cannot read "{line[:80]}"')
    elif not builder.section and not _EXAMPLE.match(line):
        raise _bad('text before the heading "Field Reference"')


_PREFIX = "read field reference: "


def _bad(message: str) -> PermanentError:
    return PermanentError(_PREFIX + message, code="bad-reference")
