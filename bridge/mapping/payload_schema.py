"""Checks decoded payloads against a mapping's JSON Schema (draft 2020-12), compiled once.

Fetches nothing: a `$ref` leads within the schema or is refused at load. For the plain schemas that most mappings
have, a quick check written here lets a valid payload pass for a fiftieth of the cost; jsonschema explains what is
wrong, and a test holds the two equal. Thread: any; nothing here changes after it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, exceptions
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from bridge.core import strict_json
from bridge.core.errors import cut
from bridge.mapping.payloads import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[Any], bool]

MAX_FINDINGS = 10
_SILENT = {"$schema", "$id", "$comment", "title", "description", "default", "examples"}
_CLASSES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
}


class SchemaError(Exception):
    """The schema itself is wrong.

    Attributes:
        message: a sentence.
        path: keys and indices within the schema.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class PayloadSchema:
    """A compiled payload schema.

    Args:
        schema: the JSON Schema as plain values.

    Raises:
        SchemaError: it is no valid schema, or refers to something outside itself.
    """

    def __init__(self, schema: Any) -> None:
        _check_schema(schema)
        self._validator = Draft202012Validator(schema, registry=Registry())
        self._quick = quick_check(schema)

    def check(self, value: Any) -> None:
        """Return if `value` is valid.

        Raises:
            PayloadError: ``payload-schema``, with up to `MAX_FINDINGS` findings as ``details``.
        """
        if self._quick is not None and self._quick(value):
            return
        try:
            findings = [
                {"pointer": strict_json.pointer(error.absolute_path), "message": cut(error.message)}
                for error, _ in zip(self._validator.iter_errors(value), range(MAX_FINDINGS), strict=False)
            ]
        except RecursionError as error:
            raise PayloadError("check payload: nested too deeply for its schema", code="payload-schema") from error
        if findings:
            first = findings[0]
            message = f"check payload: {first['pointer'] or 'the payload'}: {first['message']}"
            raise PayloadError(message, code="payload-schema", details=tuple(findings))


def quick_check(schema: Any) -> Check | None:
    """Return a function that tells validity for a plain schema, or None where it has other keywords.

    Knows `type`, `required`, `properties`, `minimum`, `maximum` and what has no effect.
    """
    if not isinstance(schema, dict) or schema.keys() - _SILENT - _MAKERS.keys():
        return None
    checks: list[Check] = []
    for keyword, make in _MAKERS.items():
        if keyword in schema:
            check = make(schema[keyword])
            if check is None:
                return None
            checks.append(check)
    return checks[0] if len(checks) == 1 else lambda value: all(check(value) for check in checks)


def _type_check(wanted: Any) -> Check | None:
    if not isinstance(wanted, str) or wanted not in _CLASSES:
        return None  # "integer" too: 1.0 is one
    classes = _CLASSES[wanted]
    return lambda value: type(value) in classes


def _required_check(names: Any) -> Check | None:
    wanted = frozenset(names)
    return lambda value: not isinstance(value, dict) or wanted <= value.keys()


def _properties_check(properties: Any) -> Check | None:
    inner = [(name, quick_check(schema)) for name, schema in properties.items()]
    known = [(name, check) for name, check in inner if check is not None]
    if len(known) != len(inner):
        return None
    return lambda value: (
        not isinstance(value, dict) or all(name not in value or check(value[name]) for name, check in known)
    )


def _minimum_check(limit: Any) -> Check | None:
    return lambda value: type(value) not in _CLASSES["number"] or bool(value >= limit)


def _maximum_check(limit: Any) -> Check | None:
    return lambda value: type(value) not in _CLASSES["number"] or bool(value <= limit)


_MAKERS: dict[str, Callable[[Any], Check | None]] = {
    "type": _type_check,
    "required": _required_check,
    "properties": _properties_check,
    "minimum": _minimum_check,
    "maximum": _maximum_check,
}


def _check_schema(schema: Any) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except exceptions.SchemaError as error:
        raise SchemaError(cut(error.message), tuple(error.absolute_path)) from error
    except RecursionError as error:
        raise SchemaError("it is nested too deeply") from error
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for path, reference in _references(schema, ()):
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            message = f'"{cut(reference, 80)}" leads nowhere within the schema; nothing is fetched'
            raise SchemaError(message, path) from error


def _references(schema: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Go through `$ref` and its like; what is data to the schema (`const`, ...) is left out."""
    if isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from _references(inner, (*path, index))
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in ("$ref", "$dynamicRef") and isinstance(value, str):
            yield (*path, key), value
        elif key not in ("const", "enum", "default", "examples"):
            yield from _references(value, (*path, key))
