"""Building blocks of the interface's JSON Schemas. Pure; any thread.

They use only what JSON Schema draft 2020-12 and draft-07 have in common, because AsyncAPI supports only the latter:
named schemas are references to ``#/$defs/NAME``, and nothing is placed beside a ``$ref``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = "#/$defs/"


def ref(name: str) -> Schema:
    """Return a reference to the named schema."""
    return {"$ref": DEFINITIONS + name}


def text(meaning: str, **more: Any) -> Schema:
    """Return the schema of a text."""
    return {"description": meaning, "type": "string", **more}


def fixed(value: str, meaning: str = "") -> Schema:
    """Return the schema of a key that always has the same text."""
    return ({"description": meaning} if meaning else {}) | {"type": "string", "const": value}


def closed(properties: Mapping[str, Schema], required: Iterable[str], meaning: str = "", **more: Any) -> Schema:
    """Return the schema of an object with only these keys."""
    described = {"description": meaning} if meaning else {}
    needed = list(required)
    return {
        **described,
        "type": "object",
        "properties": dict(properties),
        **({"required": needed} if needed else {}),
        "additionalProperties": False,
        **more,
    }


def open_object(properties: Mapping[str, Schema], required: Iterable[str], meaning: str = "") -> Schema:
    """Return the schema of an object that may have further keys."""
    return {key: value for key, value in closed(properties, required, meaning).items() if key != "additionalProperties"}


def references(schema: Any) -> set[str]:
    """Return the names that a schema refers to, at any depth."""
    if isinstance(schema, dict):
        here = schema.get("$ref")
        own = {here.removeprefix(DEFINITIONS)} if isinstance(here, str) else set()
        return own.union(*(references(value) for value in schema.values()))
    return set().union(*(references(value) for value in schema)) if isinstance(schema, list) else set()


def relocated(schema: Any, old: str, new: str) -> Any:
    """Return a schema in which references that began with `old` begin with `new`."""
    if isinstance(schema, dict):
        return {
            key: new + value.removeprefix(old)
            if key == "$ref" and isinstance(value, str) and value.startswith(old)
            else relocated(value, old, new)
            for key, value in schema.items()
        }
    return [relocated(value, old, new) for value in schema] if isinstance(schema, list | tuple) else schema
