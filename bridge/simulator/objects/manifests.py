"""Decodes request bodies like the Argo Server's Go structs.

Unknown fields are dropped silently, names are case-insensitive, wrong types are refused with Go's text, AnyString
values become strings, and structs that Go always prints appear as `{}`. Fields whose type is not in `schema` pass
unread. It does not check the meaning of a workflow (`validation` does). Pure; run on the simulator's loop thread.
Source: Argo v4.1 util/json/json.go, pkg/apis/workflow/v1alpha1 (anystring.go, workflow_types.go).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from bridge.simulator.http.answers import ApiError
from bridge.simulator.objects.schema import structs_of

_MAX_CACHED = 200
_GO_NAMES = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_SCALARS: dict[str, tuple[type, ...]] = {"I": (int, str), "b": (bool,), "i": (int,)}
_GO_TYPES = {"o": "object", "s": "string", "b": "bool", "i": "int32", "A": "string", "I": "intstr.IntOrString"}
_PACKAGES = {  # for a request's type, by a word in its name; the first match counts
    "ClusterWorkflowTemplate": "clusterworkflowtemplate",
    "WorkflowTemplate": "workflowtemplate",
    "CronWorkflow": "cronworkflow",
    "ArchivedWorkflow": "workflowarchive",
    "Workflow": "workflow",
}


def bad_json(message: str) -> ApiError:
    """Refusal by the gateway's own decoder (400)."""
    return ApiError(3, message, behind_gateway=False)


def parse_json(body: bytes) -> Any:
    """Parse the first JSON value of a body; an empty body is an empty object.

    Raises:
        ApiError: 400 with the text of Go's decoder.
    """
    if not body.strip():
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_first_value(body.decode("utf-8", "replace").lstrip())


def _parse_first_value(text: str) -> Any:
    """Slow path: ignores what follows the first value, and reports errors with Go's text."""
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise bad_json(_go_message(text, error)) from error
    except (RecursionError, ValueError) as error:
        raise bad_json("exceeded max depth") from error


def _go_message(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    character = text[error.pos]
    if error.msg.startswith("Expecting property name"):
        where = "looking for beginning of object key string"
    elif error.msg.startswith("Expecting ':'"):
        where = "after object key"
    elif error.msg.startswith("Expecting ','"):
        inside_object = text.count("{", 0, error.pos) - text.count("}", 0, error.pos) > 0
        where = "after object key:value pair" if inside_object else "after array element"
    elif error.msg.startswith("Invalid control"):
        where = "in string literal"
    elif error.msg.startswith("Invalid \\"):
        where = "in string escape code"
    else:
        where = "looking for beginning of value"
    shown = character.encode("unicode_escape").decode("ascii") if ord(character) < 32 else character
    return f"invalid character {shown!r} {where}" if shown != "'" else f"invalid character '\\'' {where}"


class ManifestDecoder:
    """Decodes JSON values into the manifests of one release.

    Equal lists of templates are decoded once and shared, so results must not be changed.

    Args:
        minor: Major and minor number of the release, e.g. `(4, 1)`.
    """

    def __init__(self, minor: tuple[int, int]) -> None:
        self._structs = structs_of(minor)
        self._rank = {name: {field: i for i, field in enumerate(fields)} for name, fields in self._structs.items()}
        self._by_lower = {name: {field.lower(): field for field in fields} for name, fields in self._structs.items()}
        self._always = {
            name: [(field, kind[1:]) for field, kind in fields.items() if kind.startswith("=")]
            for name, fields in self._structs.items()
        }
        self._templates: dict[bytes, Any] = {}

    def decode_request(self, body: bytes, struct: str) -> dict[str, Any]:
        """Decode a request body.

        Args:
            body: Bytes of the body.
            struct: Name of the request's message, a key of the schema.

        Returns:
            The request with the known fields only.

        Raises:
            ApiError: 400 with Go's text.
        """
        value = parse_json(body)
        if not isinstance(value, dict):
            if value is None:
                return {}
            found = _GO_NAMES[type(value)]
            package = next(package for word, package in _PACKAGES.items() if word in struct)
            raise bad_json(f"json: cannot unmarshal {found} into Go value of type {package}.{struct}")
        return self.decode(value, struct, "")

    def decode(self, value: dict[str, Any], struct: str, path: str) -> dict[str, Any]:
        """Decode one struct; `path` is its position, for error texts."""
        fields = self._structs[struct]
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = key if key in fields else self._by_lower[struct].get(key.lower(), "")
            if not name:
                if struct == "WorkflowStep":
                    raise bad_json(f'json: unknown field "{key}"')
                continue
            if item is not None:
                decoded = self._decode_kind(item, fields[name], (struct, f"{path}{name}"))
                if decoded is not None:
                    found[name] = decoded
        for name, kind in self._always[struct]:
            if name not in found:
                found[name] = "" if kind == "s" else self.decode({}, kind, "")
        rank = self._rank[struct]
        return {name: found[name] for name in sorted(found, key=rank.__getitem__)}

    def ordered(self, value: dict[str, Any], struct: str) -> dict[str, Any]:
        """Return a decoded struct with changed fields, in the order in which Argo prints them."""
        rank = self._rank[struct]
        return {name: value[name] for name in sorted(value, key=rank.__getitem__)}

    def _decode_kind(self, item: Any, kind: str, where: tuple[str, str]) -> Any:
        """Decode a field; None if Go would omit it from its output (`omitempty`)."""
        if kind == "x":
            return item
        if kind in ("s", "=s"):
            return self._decode_string(item, kind, where)
        if kind[0] in "@=":
            return self._decode_struct(item, kind, where)
        if kind[0] == "[":
            return self._decode_list(item, kind, where)
        if kind[0] == "{" or kind in ("Q", "o"):
            return self._decode_map(item, kind, where)
        return self._decode_scalar(item, kind, where)

    def _decode_string(self, item: Any, kind: str, where: tuple[str, str]) -> str | None:
        if not isinstance(item, str):
            self._mismatch(item, "s", where)
        return item or (None if kind == "s" else "")

    def _decode_struct(self, item: Any, kind: str, where: tuple[str, str]) -> dict[str, Any]:
        if not isinstance(item, dict):
            self._mismatch(item, kind, where)
        return self.decode(item, kind[1:], where[1] + ".")

    def _decode_list(self, item: Any, kind: str, where: tuple[str, str]) -> list[Any] | None:
        if not isinstance(item, list):
            self._mismatch(item, kind, where)
        if kind == "[]@Template":
            return self._decode_templates(item, where)
        return [self._decode_item(entry, kind[2:], where) for entry in item] or None

    def _decode_map(self, item: Any, kind: str, where: tuple[str, str]) -> dict[str, Any] | None:
        if not isinstance(item, dict):
            self._mismatch(item, kind, where)
        if kind == "o":
            return item
        if kind == "{}s" and all(type(entry) is str for entry in item.values()):
            return item or None
        inner = "A" if kind == "Q" else kind[2:]
        return {key: self._decode_item(entry, inner, where) for key, entry in item.items()} or None

    def _decode_templates(self, item: list[Any], where: tuple[str, str]) -> list[Any] | None:
        key = orjson.dumps(item)
        found = self._templates.get(key)
        if found is None:
            found = [self._decode_item(entry, "@Template", where) for entry in item]
            if len(self._templates) >= _MAX_CACHED:
                self._templates.clear()
            self._templates[key] = found
        return found or None

    def _decode_item(self, item: Any, kind: str, where: tuple[str, str]) -> Any:
        if item is None:  # null in a list is the type's zero value
            if kind == "x":
                return None
            item = "" if kind in "sA" else [] if kind.startswith("[]") else {}
        decoded = self._decode_kind(item, kind, where)
        if decoded is None:
            return "" if kind in "sA" else []
        return decoded

    def _decode_scalar(self, item: Any, kind: str, where: tuple[str, str]) -> Any:
        if kind == "A":
            return any_string(item)
        if type(item) not in _SCALARS[kind]:
            self._mismatch(item, kind, where)
        return item

    def _mismatch(self, item: Any, kind: str, where: tuple[str, str]) -> NoReturn:
        struct, path = where
        found = _GO_NAMES[type(item)]
        if kind == "i" and isinstance(item, float):
            found = f"number {item}"
        raise bad_json(f"json: cannot unmarshal {found} into Go struct field {struct}.{path} of type {_go_type(kind)}")


def _go_type(kind: str) -> str:
    if kind in _GO_TYPES:
        return _GO_TYPES[kind]
    if kind.startswith("[]"):
        return "[]" + _go_type(kind[2:])
    if kind.startswith("{}"):
        return "map[string]" + _go_type(kind[2:])
    if kind == "Q":
        return "v1.ResourceList"
    return "v1.ObjectMeta" if kind[1:] == "ObjectMeta" else f"v1alpha1.{kind[1:]}"


def any_string(value: Any) -> str:
    """Return the string that Argo's AnyString makes of a JSON value.

    Numbers go through float64 (integers above 2^53 are rounded), bools print as words, objects and arrays are lost.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        try:
            text = format(Decimal(repr(float(value))), "f")
        except OverflowError:
            return ""
        return text.rstrip("0").rstrip(".") if "." in text else text
    return ""
