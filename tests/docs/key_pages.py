"""Derives from declared keys: JSON Schemas for editors, and tables for the documentation. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge.configfile.containers import ListOf, MapOf
from bridge.configfile.fields import ABSENT, REQUIRED, Key, Section
from bridge.configfile.kinds import Kind

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(section: Section, title: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file whose top level is `section`.

    It accepts every file that is valid without the environment. It does not check what only reading can check (bounds
    of durations, topics, relations between keys).
    """
    return {"$schema": _DIALECT, "title": title, "description": section.cls.__doc__, **section.schema()}


def key_table(section: Section) -> str:
    """Return a Markdown table of every key by its path, with kind, default and sentence; `NAME` is a map's name."""
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for path, key in _rows(section, ""):
        meaning = f"{key.doc} {key.not_yet}." if key.not_yet else key.doc
        cells = (f"`{path}`", key.kind.words, _default(key), meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _rows(section: Section, above: str) -> Iterator[tuple[str, Key]]:
    for key in section.keys:
        path = above + key.name
        inner, inner_path = _inner(key.kind, path)
        if inner is None:
            yield path, key
        else:
            yield from _rows(inner, inner_path + ".")


def _inner(kind: Kind, path: str) -> tuple[Section | None, str]:
    if isinstance(kind, MapOf):
        return _inner(kind.value, f"{path}.NAME")
    if isinstance(kind, ListOf):
        return _inner(kind.item, f"{path}[]")
    return (kind, path) if isinstance(kind, Section) else (None, path)


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    if key.default is ABSENT:
        return ""
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    return "" if key.default in ([], {}) else f"`{key.default}`"
