"""Parses the bodies of requests other than trigger messages, using the table of operations. Pure.

Checks only the format; whether the request is allowed, and its result, is decided later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.core.model import Message
from bridge.interface.messages import MAX_SHOWN, RequestBody, event_identity, json_type, refuse_unknown, text_of
from bridge.interface.operation_options import (
    INTERFACE_KEYS,
    MAX_TEXT,
    PHASES,
    SPECS,
    Kind,
    OperationSpec,
    Option,
)
from bridge.interface.operations import Operation

# RFC 3339 section 5.6; `fromisoformat` alone would accept week dates too.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A well-formed request.

    Attributes:
        operation: the operation.
        namespace: as given, or "".
        name: of the workflow, template or CronWorkflow; "" if the operation names none.
        options: the given values, each in one form, JSON-ready: parameters and outputs as texts by name, phases as a
            list, times as seconds since 1970; and the defaults of the others.
        event_identity: as `TriggerMessage.event_identity`.
    """

    operation: Operation
    namespace: str
    name: str
    options: Mapping[str, object]
    event_identity: tuple[str, ...] = ()


def operation_request(operation: Operation, message: Message, decoded: RequestBody) -> OperationRequest:
    """Parse the body of a request.

    Args:
        operation: from the topic; not ``trigger``.
        message: for identities outside of the body.
        decoded: the result of `decode_request`.

    Raises:
        PermanentError: ``unknown-key`` with a suggestion, or ``invalid-request``; the message names the key.
    """
    spec = SPECS[operation]
    body = decoded.keys
    where = f"the {operation.value} request"
    refuse_unknown(body, INTERFACE_KEYS, _proposals(spec), where)
    namespace = text_of(body, "namespace", where)
    name = ""
    if spec.name_key:
        name = text_of(body, spec.name_key, where)
        if not name:
            raise _invalid(f"{where} has no {spec.name_key}, the {spec.name_meaning}")
    options: dict[str, object] = {}
    for option in spec.options:
        if option.key in body:
            options[option.key] = _value(option, body[option.key], where)
        elif option.required:
            raise _invalid(f"{where} has no {option.key}: {option.meaning}")
        elif option.default is not None:
            options[option.key] = option.default
    return OperationRequest(operation, namespace, name, options, event_identity(message, decoded))


def _proposals(spec: OperationSpec) -> set[str]:
    own = {option.key for option in spec.options} | ({spec.name_key} if spec.name_key else set())
    return own | {"namespace", "requestId", "eventId"}


def _value(option: Option, value: object, where: str) -> object:
    try:
        return _READERS[option.kind](option, value)
    except _MisfitError as error:
        raise _invalid(f"{option.key} of {where} {error}") from None


class _MisfitError(ValueError):
    """A value has the wrong type for its option; the text continues after the option's name."""


def _misfit(expected: str, value: object) -> _MisfitError:
    return _MisfitError(f"must be {expected}, found {json_type(value)}")


def _text(option: Option, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _misfit("a non-empty text", value)
    if len(value) > MAX_TEXT:
        raise _MisfitError(f"has {len(value)} characters, the maximum is {MAX_TEXT}")
    if option.choices and value not in option.choices:
        raise _MisfitError(f'is one of {", ".join(option.choices)}, found "{cut(value, MAX_SHOWN)}"')
    return value


def _boolean(_option: Option, value: object) -> bool:
    if not isinstance(value, bool):
        raise _misfit("true or false", value)
    return value


def _integer(option: Option, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise _misfit("a whole number", value)
    low, high = option.least, option.most
    if (low is not None and value < low) or (high is not None and value > high):
        raise _MisfitError(f"must be a whole number from {low} to {high}, found {value}")
    return int(value)


def _time(_option: Option, value: object) -> float:
    expected = "a time such as 2026-11-24T14:00:00Z"
    if not isinstance(value, str) or not value:
        raise _misfit(expected, value)
    try:
        if not _TIME.fullmatch(value):
            raise ValueError(value)
        # Python 3.11 accepts fractions of at most 6 digits.
        return datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]*", r"\1", value.upper())).timestamp()
    except (ValueError, OverflowError):
        raise _MisfitError(f'must be {expected}, found "{cut(value, MAX_SHOWN)}"') from None


def _parameters(_option: Option, value: object) -> dict[str, str]:
    if isinstance(value, list):
        pairs = [_pair(item) for item in value]
        if len(dict(pairs)) < len(pairs):
            raise _MisfitError("has a parameter twice")
        return dict(pairs)
    return _values(value, "an object of values by name, or a list of texts NAME=VALUE")


def _pair(item: object) -> tuple[str, str]:
    name, equals, value = item.partition("=") if isinstance(item, str) else ("", "", "")
    if not name or not equals:
        raise _MisfitError("must be a list of texts NAME=VALUE, or an object of values by name")
    return name, value


def _outputs(_option: Option, value: object) -> dict[str, str]:
    expected = "an object of values by name, or the JSON text of one"
    if not isinstance(value, str):
        return _values(value, expected)
    try:
        return _values(strict_json.loads(value.encode("utf-8", "surrogatepass")), expected)
    except PermanentError:
        raise _MisfitError(f"must be {expected}, found another text") from None


def _values(value: object, expected: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _misfit(expected, value)
    for name, given in value.items():
        if given is None:
            raise _MisfitError(f'has no value for "{cut(name, MAX_SHOWN)}"')
    # As submit.parameters: Argo empties objects and rounds large integers.
    return {
        name: given if isinstance(given, str) else strict_json.dumps(given).decode() for name, given in value.items()
    }


def _phases(_option: Option, value: object) -> list[str]:
    given = value if isinstance(value, list) else [value]
    phases = [phase for phase in PHASES if phase in given]
    if not given or any(phase not in PHASES for phase in given):
        raise _MisfitError(f"must be one of {', '.join(PHASES)}, or a list of them")
    return phases


def _object(_option: Option, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _misfit("an object", value)
    return value


_READERS: dict[Kind, Callable[[Option, object], object]] = {
    Kind.TEXT: _text,
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.TIME: _time,
    Kind.PARAMETERS: _parameters,
    Kind.OUTPUTS: _outputs,
    Kind.PHASES: _phases,
    Kind.OBJECT: _object,
}


def _invalid(message: str) -> PermanentError:
    return PermanentError(message, code="invalid-request")
