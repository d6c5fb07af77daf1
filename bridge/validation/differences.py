"""Lists differences between the schemas of two Argo releases: types and fields added, removed or changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.validation.generator import Schema


@dataclass(frozen=True, slots=True)
class Difference:
    """One change: `mark` is ``+``, ``-`` or ``~``; `name` a type or ``Type.field``; `text` the type, or both."""

    mark: str
    name: str
    text: str = ""

    def render(self) -> str:
        """One line for people."""
        return f"{self.mark} {self.name}{': ' + self.text if self.text else ''}"


def differences(before: Schema, after: Schema) -> list[Difference]:
    """All changes from `before` to `after`, sorted by name; the fields of an added or removed type are not listed."""
    old, new = before["$defs"], after["$defs"]
    found = [Difference("-", name) for name in old.keys() - new.keys()]
    found += [Difference("+", name) for name in new.keys() - old.keys()]
    for name in old.keys() & new.keys():
        found += _of_type(name, old[name], new[name])
    return sorted(found, key=lambda one: (one.name, one.mark))


def notation(schema: Schema) -> str:
    """A field's schema as people write types: ``list of Parameter``, ``map of string``, ``"a" | "b"``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "anyOf" in schema:
        return " | ".join(f'"{one}"' for one in schema["anyOf"][0]["enum"] if one)
    if "items" in schema:
        return f"list of {notation(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {notation(schema['additionalProperties'])}"
    types = schema.get("type", "anything")
    return " or ".join(one for one in types if one != "null") if isinstance(types, list) else str(types)


def _of_type(name: str, old: Schema, new: Schema) -> list[Difference]:
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [Difference("-", f"{name}.{field}", notation(before[field])) for field in before.keys() - after.keys()]
    found += [Difference("+", f"{name}.{field}", notation(after[field])) for field in after.keys() - before.keys()]
    for field in before.keys() & after.keys():
        if before[field] != after[field]:
            change = f"{notation(before[field])} -> {notation(after[field])}"
            found.append(Difference("~", f"{name}.{field}", change))
    wanted, was = set(new.get("required", ())), set(old.get("required", ()))
    found += [Difference("~", f"{name}.{field}", "now required") for field in (wanted - was) & before.keys()]
    found += [Difference("~", f"{name}.{field}", "no longer required") for field in (was - wanted) & after.keys()]
    return found
