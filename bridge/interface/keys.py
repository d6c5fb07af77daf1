"""Declares the keys of message bodies: each once, with its kind of value and its meaning. Pure; any thread.

Parsers, JSON Schemas, the AsyncAPI document, the commands' options and the reference all come from these declarations.
The schemas use only what JSON Schema draft 2020-12 and draft-07 have in common, because AsyncAPI supports only the
latter: named schemas are references to ``#/$defs/NAME``, and nothing is placed beside a ``$ref``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.core.model import Phase
from bridge.core.nearest import did_you_mean

Schema = dict[str, Any]

DEFINITIONS = "#/$defs/"
PHASES = tuple(phase.value for phase in Phase if phase is not Phase.ABSENT)
MAX_TEXT = 4096
MAX_SHOWN = 64
REQUIRED = dataclasses.MISSING
_DECLARED = "bridge.interface.key"

# RFC 3339 section 5.6; `fromisoformat` alone would accept week dates too.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class MisfitError(ValueError):
    """A value is not of its kind; the text continues after the name of the key."""


def ref(schema: str) -> Schema:
    """Return a reference to the named schema."""
    return {"$ref": DEFINITIONS + schema}


@dataclass(frozen=True, slots=True, eq=False)
class ValueKind:
    """A kind of value.

    Attributes:
        words: its name in the reference.
        schema: JSON Schema of what `read` accepts, without a description.
        read: returns the value in its one form, JSON-ready, or raises MisfitError. Bodies that the bridge only sends
            are never read.
        choices: the only accepted texts, () = any.
        argument: on the command line: the placeholder of its value.
        each: on the command line: the meaning of one value if the option may be repeated, otherwise "".
    """

    words: str
    schema: Schema
    read: Callable[[Any], object] = lambda value: value
    choices: tuple[str, ...] = ()
    argument: str = ""
    each: str = ""


@dataclass(frozen=True, slots=True)
class BodyKey:
    """One key of a body.

    Attributes:
        name: as in the body.
        kind: of its value.
        meaning: a sentence for the reference, without a full stop.
        default: meaning of its absence, None for "nothing".
        required: whether every such body has it.
        attribute: that holds its value if a class declares it (`declared`); otherwise its name.
    """

    name: str
    kind: ValueKind
    meaning: str = ""
    default: object = None
    required: bool = False
    attribute: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema of its value."""
        if "$ref" in self.kind.schema:
            return self.kind.schema
        described = {"description": self.meaning} if self.meaning else {}
        return described | self.kind.schema | ({} if self.default is None else {"default": self.default})


def always(name: str, kind: ValueKind, meaning: str = "") -> BodyKey:
    """Return a key that every such body has."""
    return BodyKey(name, kind, meaning, required=True)


def declared(kind: ValueKind, meaning: str, default: Any = "") -> Any:
    """Declare a key as an attribute of a dataclass; the key has the attribute's name in camel case.

    Args:
        kind: of its value.
        meaning: as `BodyKey.meaning`.
        default: of the attribute if the key is absent; `dict` for a new one; or REQUIRED.
    """
    metadata = {_DECLARED: (kind, meaning)}
    if default is dict:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def keys_of(cls: type[Any]) -> tuple[BodyKey, ...]:
    """Return the keys that a dataclass declares, in their order."""
    keys = []
    for field in dataclasses.fields(cls):
        required = field.default is REQUIRED and field.default_factory is REQUIRED
        key = re.sub("_(.)", lambda found: found[1].upper(), field.name)
        kind, meaning = field.metadata[_DECLARED]
        keys.append(BodyKey(key, kind, meaning, required=required, attribute=field.name))
    return tuple(keys)


def body_of(keys: Iterable[BodyKey], one: object) -> dict[str, object]:
    """Return an instance of the dataclass that declares `keys` as a body with all of them."""
    return {key.name: getattr(one, key.attribute) for key in keys}


def read_keys(keys: Iterable[BodyKey], body: Mapping[str, object]) -> tuple[dict[str, Any], list[tuple[BodyKey, str]]]:
    """Read the declared keys of a body.

    Returns:
        The values by attribute, absent ones only if they have a default; and the keys that are not right, each with
        the rest of a sentence that begins with its name, "" if the key is missing.
    """
    values: dict[str, Any] = {}
    wrong = []
    for key in keys:
        if key.name in body:
            try:
                values[key.attribute or key.name] = key.kind.read(body[key.name])
            except MisfitError as error:
                wrong.append((key, str(error)))
        elif key.required:
            wrong.append((key, ""))
        elif key.default is not None:
            values[key.attribute or key.name] = key.default
    return values, wrong


def object_schema(meaning: str, keys: Iterable[BodyKey], *, is_open: bool = False, **more: Any) -> Schema:
    """Return the schema of an object with these keys; only an open one may have others."""
    declared_keys = tuple(keys)
    required = [key.name for key in declared_keys if key.required]
    return {
        **({"description": meaning} if meaning else {}),
        "type": "object",
        "properties": {key.name: key.schema() for key in declared_keys},
        **({"required": required} if required else {}),
        **({} if is_open else {"additionalProperties": False}),
        **more,
    }


def json_type(value: object) -> str:
    """Return the JSON name of a value's type, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text" if value else "an empty text"
    return "an array" if isinstance(value, list) else "an object"


def misfit(expected: str, value: object) -> MisfitError:
    """Return the error for a value of another type."""
    return MisfitError(f"must be {expected}, found {json_type(value)}")


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise misfit("a non-empty text", value)
    return value


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise misfit("a text", value)
    return value


def _text(value: object) -> str:
    text = _name(value)
    if len(text) > MAX_TEXT:
        raise MisfitError(f"has {len(text)} characters, the maximum is {MAX_TEXT}")
    return text


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise misfit("true or false", value)
    return value


def _time(value: object) -> float:
    expected = "a time such as 2026-11-24T14:00:00Z"
    if not isinstance(value, str) or not value:
        raise misfit(expected, value)
    try:
        if not _TIME.fullmatch(value):
            raise ValueError(value)
        # Python 3.11 accepts fractions of at most 6 digits.
        return datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]*", r"\1", value.upper())).timestamp()
    except (ValueError, OverflowError):
        raise MisfitError(f'must be {expected}, found "{cut(value, MAX_SHOWN)}"') from None


def _parameters(value: object) -> dict[str, str]:
    if isinstance(value, list):
        pairs = [_pair(item) for item in value]
        if len(dict(pairs)) < len(pairs):
            raise MisfitError("has a parameter twice")
        return dict(pairs)
    return _values(value, "an object of values by name, or a list of texts NAME=VALUE")


def _pair(item: object) -> tuple[str, str]:
    parameter, equals, value = item.partition("=") if isinstance(item, str) else ("", "", "")
    if not parameter or not equals:
        raise MisfitError("must be a list of texts NAME=VALUE, or an object of values by name")
    return parameter, value


def _outputs(value: object) -> dict[str, str]:
    expected = "an object of values by name, or the JSON text of one"
    if not isinstance(value, str):
        return _values(value, expected)
    try:
        return _values(strict_json.loads(value.encode("utf-8", "surrogatepass")), expected)
    except PermanentError:
        raise MisfitError(f"must be {expected}, found another text") from None


def _values(value: object, expected: str, missing: str = 'has no value for "{}"') -> dict[str, str]:
    if not isinstance(value, dict):
        raise misfit(expected, value)
    for key, given in value.items():
        if given is None:
            raise MisfitError(missing.format(cut(key, MAX_SHOWN)))
    # The Argo Server turns objects and arrays into empty strings, and rounds integers over 2^53.
    return {key: given if isinstance(given, str) else strict_json.dumps(given).decode() for key, given in value.items()}


def _texts(value: object) -> dict[str, str]:
    for key, given in _object(value).items():
        if not isinstance(given, str):
            raise MisfitError(f'"{cut(key, MAX_SHOWN)}" must be a text, found {json_type(given)}')
    return dict(_object(value))


def _phases(value: object) -> list[str]:
    given = value if isinstance(value, list) else [value]
    phases = [phase for phase in PHASES if phase in given]
    if not given or any(phase not in PHASES for phase in given):
        raise MisfitError(f"must be one of {', '.join(PHASES)}, or a list of them")
    return phases


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise misfit("an object", value)
    return value


_OF_VALUES: Schema = {"type": "object", "additionalProperties": {"not": {"type": "null"}}}
_PAIRS: Schema = {"type": "array", "items": {"type": "string", "pattern": "^[^=]+="}}
_PHASE_LIST: Schema = {"type": "array", "minItems": 1, "items": {"enum": list(PHASES)}}

ANY_TEXT = ValueKind("text", {"type": "string"}, _any_text)
NAME = ValueKind("text", {"type": "string", "minLength": 1}, _name)
TEXT = ValueKind("text", {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}, _text, argument="TEXT")
BOOLEAN = ValueKind("true or false", {"type": "boolean"}, _boolean)
TIME = ValueKind("time (RFC 3339)", {"type": "string", "format": "date-time"}, _time, argument="TIME")
OBJECT = ValueKind("object", {"type": "object"}, _object)
TEXTS = ValueKind("object of texts", {"type": "object", "additionalProperties": {"type": "string"}}, _texts)
VALUES = ValueKind("object", _OF_VALUES, lambda value: _values(value, "an object", '"{}" has no value'))
PARAMETERS = ValueKind(
    "object, or list of texts",
    {"oneOf": [_OF_VALUES, _PAIRS]},
    _parameters,
    argument="NAME=VALUE",
    each="a value that overrides the workflow's own",
)
OUTPUTS = ValueKind(
    "object, or text",
    {"oneOf": [_OF_VALUES, {"type": "string", "contentMediaType": "application/json"}]},
    _outputs,
    argument="NAME=VALUE",
    each="an output parameter",
)
PHASE_OR_PHASES = ValueKind(
    "text, or list of texts",
    {"oneOf": [{"enum": list(PHASES)}, _PHASE_LIST]},
    _phases,
    PHASES,
    argument="PHASE",
    each="only workflows in this phase",
)


def integer(least: int, most: int) -> ValueKind:
    """Return the kind of whole numbers from `least` to `most`."""
    words = f"whole number from {least} to {most}"

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise misfit("a whole number", value)
        if not least <= value <= most:
            raise MisfitError(f"must be a {words}, found {value}")
        return int(value)

    return ValueKind(words, {"type": "integer", "minimum": least, "maximum": most}, read, argument="N")


def choice(*choices: str) -> ValueKind:
    """Return the kind of texts that are one of `choices`."""

    def read(value: object) -> str:
        text = _name(value)
        if text not in choices:
            hint = did_you_mean(text, choices)
            raise MisfitError(f'is one of {", ".join(choices)}, found "{cut(text, MAX_SHOWN)}"{hint}')
        return text

    return ValueKind("text", TEXT.schema | {"enum": list(choices)}, read, choices)


def referred(schema: str, words: str = "object") -> ValueKind:
    """Return the kind of values that the named schema describes."""
    return ValueKind(words, ref(schema))


def list_of(schema: str) -> ValueKind:
    """Return the kind of lists of objects that the named schema describes."""
    return ValueKind("list of objects", {"type": "array", "items": ref(schema)})


PHASE = ValueKind("text", ref("Phase"), choice(*PHASES).read)
