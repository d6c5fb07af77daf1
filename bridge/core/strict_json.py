"""JSON as a contract: no duplicate keys, no NaN, bounded depth, and errors that say where (RFC 8259).

orjson is several times faster and used wherever a payload is only read; it keeps the last of two equal keys and
says so to nobody, so whatever *starts* something is read here.

Thread: any; pure.
"""

from __future__ import annotations

import json
from typing import NoReturn

from bridge.core.errors import PermanentError

MAX_DEPTH = 100


def loads(payload: bytes, max_depth: int = MAX_DEPTH) -> object:
    """Parse one JSON text.

    Args:
        payload: UTF-8 bytes, without a byte order mark.
        max_depth: arrays and objects nested deeper are refused.

    Raises:
        PermanentError: code ``invalid-json``, ``duplicate-key`` or ``too-deep``; the message says where.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PermanentError(f"the payload is not UTF-8: byte {error.start}", code="invalid-json") from error
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise PermanentError(f"the payload is not JSON: {error.msg} at {where}", code="invalid-json") from error
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    except ValueError as error:
        # Python refuses integers of more than 4,300 digits, with a ValueError of its own.
        raise PermanentError(f"the payload is not usable JSON: {error}", code="invalid-json") from error
    if depth(value, max_depth + 1) > max_depth:
        raise _too_deep(max_depth)
    return value


def depth(value: object, limit: int) -> int:
    """Return how deep arrays and objects nest in `value`, counting no further than `limit`."""
    level, reached = [value], 0
    while level and reached < limit:
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not any(isinstance(item, dict | list) for item in level):
            break
        reached += 1
        level = inner
    return reached


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise PermanentError(f'the payload has the key "{key}" twice in one object', code="duplicate-key")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise PermanentError(f"the payload is not JSON: {name} is not a JSON value", code="invalid-json")


def _too_deep(max_depth: int) -> PermanentError:
    return PermanentError(f"the payload nests deeper than {max_depth} levels", code="too-deep")
