"""Explains why a schema refuses a manifest: jsonschema finds the errors, this module names, locates and suggests.

Runs only after the fast validator has refused, and is imported only then. It never decides; `validator` does.

Thread: any; pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from bridge.core.nearest import Proposals, proposal
from bridge.validation import corrections
from bridge.validation.finding import MAX_FINDINGS, Finding, FindingCode, Path, describe, listed
from bridge.validation.generator import Schema, entry_point

Elsewhere = Callable[[str, str], tuple[str, ...]]
"""(type, field) -> the other releases that have the field."""

_TYPE_WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
}
_PATTERN_WORDS = {
    corrections.QUANTITY: "a quantity such as 500m, 2 or 1Gi",
    corrections.TIMESTAMP: "a time such as 2026-01-31T12:00:00Z",
}
_MAX_MISPLACED = 3


def _pattern(_: Any, pattern: str, instance: object, __: Any) -> Iterator[ValidationError]:
    # In JSON Schema, `$` is the end of the text; in Python it also matches before a final line break.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"does not match {pattern}")


_Explainer = validators.extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # untyped upstream


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One jsonschema error: the failing keyword, its value, the schema that contains it, and the refused value."""

    path: Path
    keyword: str
    asked: Any
    schema: dict[str, Any]
    instance: Any


def _refusal(error: ValidationError) -> _Refusal:
    schema = error.schema if isinstance(error.schema, dict) else {}
    return _Refusal(tuple(error.absolute_path), str(error.validator), error.validator_value, schema, error.instance)


class Explainer:
    """Explains refusals by one schema. Immutable once built, so any thread may call it."""

    def __init__(self, schema: Schema, version: str, elsewhere: Elsewhere) -> None:
        self._schema = schema
        self._version = version
        self._elsewhere = elsewhere

    def explain(self, manifest: object, kind: str, proposals: Proposals) -> list[Finding]:
        """Return the errors of `manifest` against the schema's type `kind`, unsorted, at most `MAX_FINDINGS`."""
        explainer = _Explainer(entry_point(self._schema, kind))
        try:
            refusals = [_refusal(error) for error in islice(explainer.iter_errors(manifest), MAX_FINDINGS)]
        except RecursionError:
            return [Finding((), FindingCode.TOO_DEEP, "the manifest nests too deeply to be explained")]
        every = (one for refusal in refusals for one in self._findings(refusal, kind, proposals))
        return list(islice(every, MAX_FINDINGS))

    def _findings(self, refusal: _Refusal, kind: str, proposals: Proposals) -> Iterator[Finding]:
        if refusal.keyword == "additionalProperties":
            for name in refusal.instance:
                if name not in refusal.schema["properties"]:
                    yield self._unknown_field(str(name), refusal, kind, proposals)
        elif refusal.keyword == "required":
            for name in refusal.asked:
                if name not in refusal.instance:
                    yield _missing(name, refusal.path)
        elif refusal.keyword == "type":
            yield _wrong_type(refusal)
        else:
            yield _bad_value(refusal, proposals)

    def _unknown_field(self, name: str, refusal: _Refusal, kind: str, proposals: Proposals) -> Finding:
        known: Schema = refusal.schema["properties"]
        path = refusal.path
        type_name = str(refusal.schema.get("title", ""))
        near = proposals.nearest(name, known)
        releases = () if proposals.spent else self._elsewhere(type_name, name)
        parts = [f"unknown field {describe(name)}"]
        if releases:
            parts.append(f"it is in Argo {listed(releases, 'and')}, not in {self._version}")
        elif not proposals.spent and (homes := self._homes(name, known, path, kind)):
            parts.append(f"it is a field of {listed(homes)}")
        expected = f'"{near}"' if near else f"a field of {type_name}"
        message = "; ".join(parts) + proposal(near)
        return Finding((*path, name), FindingCode.UNKNOWN_FIELD, message, describe(name), expected, near, releases)

    def _homes(self, name: str, siblings: Schema, path: Path, kind: str) -> list[str]:
        """Return where a misplaced field belongs: in a sibling's value or further up, as text."""
        below = [f'"{key}"' for key, one in siblings.items() if name in self._properties(one)]
        above = [
            f"the {type_name} above it"
            for type_name in self._types_above(path, kind)
            if name in self._fields(type_name)
        ]
        return [*below[:_MAX_MISPLACED], *above[:1]]

    def _types_above(self, path: Path, kind: str) -> list[str]:
        """Return the types of the objects around `path`, innermost first."""
        current: Schema = {"$ref": f"#/$defs/{kind}"}
        types: list[str] = []
        for step in path:
            name = str(current.get("$ref", "")).rpartition("/")[2]
            definition = self._schema["$defs"].get(name, current)
            if name:
                types.append(name)
            if isinstance(step, int):
                current = definition.get("items", {})
            else:
                inner = definition.get("properties", {}).get(step) or definition.get("additionalProperties")
                current = inner if isinstance(inner, dict) else {}
        return types[::-1]

    def _properties(self, one: Schema) -> Schema:
        return self._fields(str(one.get("$ref", "")).rpartition("/")[2])

    def _fields(self, type_name: str) -> Schema:
        found: Schema = self._schema["$defs"].get(type_name, {}).get("properties", {})
        return found


def _missing(name: str, path: Path) -> Finding:
    return Finding(path, FindingCode.MISSING_FIELD, f'the field "{name}" is missing', "", f'"{name}"', name)


def _wrong_type(refusal: _Refusal) -> Finding:
    found = describe(refusal.instance)
    types = [one for one in refusal.asked if one != "null"]
    expected = listed([_TYPE_WORDS[one] for one in types])
    message = f"must be {expected}, not {found}"
    if "number" in types and "boolean" in types:
        message += "; Argo would make it an empty string: write it as JSON text"
    return Finding(refusal.path, FindingCode.WRONG_TYPE, message, found, expected)


def _bad_value(refusal: _Refusal, proposals: Proposals) -> Finding:
    found, expected, near = describe(refusal.instance), _expected(refusal), ""
    code = FindingCode.BAD_VALUE
    if refusal.keyword == "anyOf":
        values = _enum(refusal)
        if isinstance(refusal.instance, str):
            near = proposals.nearest(refusal.instance, values)
        else:
            code = FindingCode.WRONG_TYPE
    return Finding(refusal.path, code, f"must be {expected}, not {found}{proposal(near)}", found, expected, near)


def _enum(refusal: _Refusal) -> list[str]:
    """Return the values worth listing: null and "" are equivalent to an absent field."""
    return [one for one in refusal.asked[0]["enum"] if one]


def _expected(refusal: _Refusal) -> str:
    if refusal.keyword == "anyOf":
        return "one of " + listed([f'"{one}"' for one in _enum(refusal)])
    if refusal.keyword == "const":
        return f'"{refusal.asked}"'
    if refusal.keyword == "pattern":
        return _PATTERN_WORDS.get(refusal.asked, "base64 text")
    if refusal.keyword in ("minimum", "maximum"):
        return f"an integer from {refusal.schema['minimum']} to {refusal.schema['maximum']}"
    return "a map with exactly one key, the plugin's name"
