"""Generates the JSON Schema of one Argo release from its field reference and the declared corrections.

JSON Schema draft 2020-12; one ``$defs`` entry per type, with the type's name as title; unknown fields are refused; the
root is chosen by `kind`, so that an error names the field and not the choice. Field names and types only: the
descriptions are Argo's prose. The same input gives the same bytes. Contains no corrections itself.

Thread: the command's main thread; pure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from bridge.core.errors import PermanentError
from bridge.validation import corrections, reviewed_facts
from bridge.validation.field_reference import ARGO, FieldReference, ReferenceType
from bridge.validation.versions import release_of

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
API_VERSION = "argoproj.io/v1alpha1"
# Where {{...}} occurs, Argo decides at run time; see `Enum`.
TEMPLATE_TAG = r"\{\{"

_INT64 = {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1}
_WORDS: dict[str, Schema] = {
    "string": {"type": ["string", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "integer": _INT64,
    corrections.INT32: {"type": ["integer", "null"], "minimum": -(2**31), "maximum": 2**31 - 1},
    corrections.UINT64: {"type": ["integer", "null"], "minimum": 0, "maximum": 2**64 - 1},
    corrections.ANY_STRING: {"type": ["string", "number", "boolean", "null"]},
    # Go's decoder ignores line breaks inside base64.
    corrections.BASE64: {
        "type": ["string", "null"],
        "pattern": r"^[\r\n]*(?:(?:[A-Za-z0-9+/][\r\n]*){4})*"
        r"(?:(?:[A-Za-z0-9+/][\r\n]*){2}=[\r\n]*=[\r\n]*|(?:[A-Za-z0-9+/][\r\n]*){3}=[\r\n]*)?$",
    },
}
_ARRAY = re.compile(r"^Array<(.+)>$")
_MAP = re.compile(r"^Map<([^,]+)>$")
# Correct in the reference of every release; any other Map<K,V> needs an entry.
_STRING_MAP = "Map<string,string>"


@dataclass(frozen=True, slots=True)
class Rules:
    """The declared entries that a generation applies; tests pass smaller sets."""

    special_types: tuple[corrections.SpecialType, ...] = corrections.SPECIAL_TYPES
    field_meanings: tuple[corrections.FieldMeaning, ...] = corrections.FIELD_MEANINGS
    added_types: tuple[corrections.AddedType, ...] = corrections.ADDED_TYPES
    dropped_types: tuple[corrections.DroppedType, ...] = corrections.DROPPED_TYPES
    root_kinds: tuple[corrections.RootKind, ...] = corrections.ROOT_KINDS
    enums: tuple[reviewed_facts.Enum, ...] = reviewed_facts.ENUMS
    required: tuple[reviewed_facts.Required, ...] = reviewed_facts.REQUIRED


def generate(reference: FieldReference, version: str, rules: Rules | None = None) -> Schema:
    """Return the schema of `version` (``4.1.2``) from the field reference of exactly that release.

    Raises:
        PermanentError: code ``correction-does-not-apply``; `details` lists every entry and type that does not fit. The
            entries must be reviewed against the release.
    """
    work = _Generation(reference, version, rules or Rules())
    work.run()
    if work.failures:
        listed = "; ".join(work.failures)
        message = f"generate schema for Argo {version}: {len(work.failures)} entries do not fit: {listed}"
        raise PermanentError(message, code="correction-does-not-apply", details=tuple(work.failures))
    return _rooted(work.definitions, version, rules or Rules())


def to_bytes(schema: Schema) -> bytes:
    """Return the schema as a file: keys in the order of generation, indented by 1, with a final newline."""
    return json.dumps(schema, indent=1, ensure_ascii=True).encode() + b"\n"


def entry_point(schema: Schema, name: str) -> Schema:
    """A schema whose root is the type `name`: a kind, or ``WorkflowSpec``."""
    return {"$schema": DIALECT, "$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}


def _rooted(definitions: dict[str, Schema], version: str, rules: Rules) -> Schema:
    kinds = [root.name for root in rules.root_kinds if root.releases.cover(version)]
    choices = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": {"$ref": f"#/$defs/{kind}"}}
        for kind in kinds
    ]
    return {
        "$schema": DIALECT,
        "title": f"Argo Workflows {version}",
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": kinds}},
        "allOf": choices,
        "$defs": dict(sorted(definitions.items())),
    }


@dataclass(slots=True)
class _Generation:
    """One run: the definitions so far, and everything that does not fit."""

    reference: FieldReference
    version: str
    rules: Rules
    definitions: dict[str, Schema] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notations: dict[str, dict[str, str]] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)
    types: dict[str, ReferenceType] = field(default_factory=dict)

    def run(self) -> None:
        self._collect_types()
        for step in (self._drop, self._add, self._give_meanings):
            step()
        self._define()
        for finish in (self._close_roots, self._set_enums, self._set_required):
            finish()

    def _fail(self, text: str) -> None:
        self.failures.append(text)

    def _key(self, one: ReferenceType) -> str:
        """Return the name of the definition; a Kubernetes type with the same name as one of Argo's is marked."""
        twice = one.section != ARGO and any(o.name == one.name and o.section == ARGO for o in self.reference.types)
        return f"{one.section}.{one.name}" if twice else one.name

    def _collect_types(self) -> None:
        special = {entry.name for entry in self.rules.special_types if entry.releases.cover(self.version)}
        for one in self.reference.types:
            key = self._key(one)
            self.types[key] = one
            if one.fields is not None and one.name not in special:
                self.notations[key] = {each.name: each.notation for each in one.fields}
                self.sections[key] = one.section
            elif one.name not in special:
                self._fail(f"type {key} has no table, and no entry of SPECIAL_TYPES names it")
        for entry in self.rules.special_types:
            if not entry.releases.cover(self.version):
                continue
            found = self.types.get(entry.name)
            if found is None or found.fields is not None:
                state = "is not in the reference" if found is None else "has a table"
                self._fail(f"SPECIAL_TYPES {entry.name}: the type {state} in {release_of(self.version)}")
            else:
                self.definitions[entry.name] = {"title": entry.name, **entry.schema}

    def _drop(self) -> None:
        for entry in self.rules.dropped_types:
            if entry.releases.cover(self.version) and self.notations.pop(entry.name, None) is None:
                self._fail(f"DROPPED_TYPES {entry.name}: the type is not in the reference")

    def _add(self) -> None:
        for entry in self.rules.added_types:
            if not entry.releases.cover(self.version):
                continue
            if entry.name in self.types:
                self._fail(f"ADDED_TYPES {entry.name}: the reference has the type now")
            else:
                self.notations[entry.name] = dict(entry.fields)
                self.sections[entry.name] = ARGO

    def _give_meanings(self) -> None:
        for entry in self.rules.field_meanings:
            if entry.releases.cover(self.version):
                for place in entry.fields:
                    self._give_meaning(place, entry)

    def _give_meaning(self, place: str, entry: corrections.FieldMeaning) -> None:
        type_name, _, field_name = place.rpartition(".")
        found = self.notations.get(type_name, {}).get(field_name)
        if found is None:
            self._fail(f"FIELD_MEANINGS {place}: the field is not in the reference")
        elif found != entry.reads:
            self._fail(f'FIELD_MEANINGS {place}: the reference reads "{found}", not "{entry.reads}"')
        else:
            self.notations[type_name][field_name] = entry.means

    def _define(self) -> None:
        for key, fields in self.notations.items():
            section = self.sections[key]
            properties = {name: self._schema(f"{key}.{name}", means, section) for name, means in sorted(fields.items())}
            self.definitions[key] = {
                "title": key,
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": properties,
            }

    def _schema(self, place: str, means: str, section: str) -> Schema:
        if means in _WORDS:
            return dict(_WORDS[means])
        if inner := _ARRAY.match(means):
            return {"type": ["array", "null"], "items": self._schema(place, inner[1], section)}
        if means == _STRING_MAP:
            return {"type": ["object", "null"], "additionalProperties": dict(_WORDS["string"])}
        if inner := _MAP.match(means):
            return {"type": ["object", "null"], "additionalProperties": self._schema(place, inner[1], section)}
        target = self.reference.find(means, section)
        name = self._key(target) if target is not None else means
        if means[0].islower() or "<" in means or (target is None and name not in self.notations):
            self._fail(f'{place}: nothing says what "{means}" means')
        return {"$ref": f"#/$defs/{name}"}

    def _close_roots(self) -> None:
        for root in self.rules.root_kinds:
            if not root.releases.cover(self.version):
                continue
            found = self.notations.get(root.name, {})
            if found.get("kind") != "string" or found.get("apiVersion") != "string":
                self._fail(f"ROOT_KINDS {root.name}: it is no type with kind and apiVersion")
                continue
            properties = self.definitions[root.name]["properties"]
            properties["kind"] = {"const": root.name}
            properties["apiVersion"] = {"const": API_VERSION}

    def _set_enums(self) -> None:
        for entry in self.rules.enums:
            if entry.releases.cover(self.version):
                for place in entry.fields:
                    self._set_enum(place, entry)

    def _set_enum(self, place: str, entry: reviewed_facts.Enum) -> None:
        type_name, _, field_name = place.rpartition(".")
        if self.notations.get(type_name, {}).get(field_name) != "string":
            self._fail(f"ENUMS {place}: it is no string field of the reference")
            return
        told = self.types[type_name].field(field_name)
        if entry.in_text is not None and entry.in_text.cover(self.version) and told is not None:
            missing = [value for value in entry.values if value and not _says(told.description, value)]
            if missing:
                self._fail(f"ENUMS {place}: the description does not list {', '.join(missing)}")
        values: list[str | None] = [*entry.values, None]
        self.definitions[type_name]["properties"][field_name] = {
            "anyOf": [{"enum": values}, {"type": "string", "pattern": TEMPLATE_TAG}]
        }

    def _set_required(self) -> None:
        seen: set[str] = set()
        for entry in self.rules.required:
            if not entry.releases.cover(self.version):
                continue
            fields = self.notations.get(entry.type)
            absent = [name for name in entry.fields if fields is None or name not in fields]
            if absent or entry.type in seen:
                reason = f"{', '.join(absent)} not in the reference" if absent else "two entries for one release"
                self._fail(f"REQUIRED {entry.type}: {reason}")
            else:
                seen.add(entry.type)
                self.definitions[entry.type]["required"] = sorted(entry.fields)


def _says(description: str, value: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", description) is not None


def without_required(schema: Schema) -> Schema:
    """Return a copy without required fields, for manifests whose templates are completed by ``templateDefaults``."""
    definitions = {
        name: {key: value for key, value in one.items() if key != "required"} for name, one in schema["$defs"].items()
    }
    return {**schema, "$defs": definitions}
