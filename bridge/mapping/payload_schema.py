"""Checks decoded payloads against a mapping's JSON Schema (draft 2020-12), compiled once.

Fetches nothing: a `$ref` must stay within the schema, otherwise it is refused at load. Patterns run in linear time
(Rust's `regex`, like CEL's RE2), so that no device's text can cost much time. Features that this excludes (look-around,
back-references) are also refused at load. Thread: any; nothing changes after construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from bridge.core.errors import cut
from bridge.mapping.formats.decoder import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

MAX_FINDINGS = 10


class SchemaError(Exception):
    """The schema itself is invalid: a sentence, and the keys and indices to the place."""

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class PayloadSchema:
    """A compiled payload schema; `SchemaError` if it is not valid, or refers to something outside itself."""

    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, (dict, bool)):
            raise SchemaError("a schema must be a map")
        try:
            _check_references(schema)
            self._validator = jsonschema_rs.Draft202012Validator(
                schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_fetch_nothing
            )
        except jsonschema_rs.ValidationError as error:
            raise SchemaError(_schema_fault(error), tuple(error.instance_path)) from error
        except (ValueError, RecursionError) as error:
            raise SchemaError("it is nested too deeply" if "ecursion" in str(error) else cut(str(error))) from error

    def check(self, value: Any) -> None:
        """Return if `value` is valid.

        Raises:
            PayloadError: ``payload-schema``, with up to `MAX_FINDINGS` findings as ``details``.
        """
        if self._validator.is_valid(value):
            return
        # Not iter_errors: it first makes an object of every finding, which takes half a second for a list of 60,000.
        found = self._validator.evaluate(value).errors()[:MAX_FINDINGS]
        findings = [{"pointer": one["instanceLocation"], "message": cut(one["error"])} for one in found]
        first = findings[0]
        message = f"check payload: {first['pointer'] or 'the payload'}: {first['message']}"
        raise PayloadError(message, code="payload-schema", details=tuple(findings))


def _schema_fault(error: jsonschema_rs.ValidationError) -> str:
    if error.message.endswith('is not a "regex"'):
        return f"{cut(error.message)} that runs in linear time; look-around and back-references are not supported"
    return cut(error.message)


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")


def _check_references(schema: Any) -> None:
    references = list(_references(schema, ()))
    if not references:
        return
    from referencing import Registry  # 3 MiB, and hardly a schema has references
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for path, reference in references:
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            message = f'"{cut(reference, 80)}" leads to nothing in the schema; nothing is fetched'
            raise SchemaError(message, path) from error


def _references(schema: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield `$ref` and similar references; values that are data (`const`, ...) are skipped."""
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
