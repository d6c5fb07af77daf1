"""Strict JSON: no duplicate keys, no NaN, limited depth, and errors with their position (RFC 8259).

orjson is several times faster and is used wherever a payload is only read. But it silently keeps the last of two equal
keys, so everything that *starts* something is parsed here. The result of `loads` can be stored and sent on: text is
Unicode, numbers are finite.

Thread: any; pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import NoReturn

import orjson

from bridge.core.errors import PermanentError, cut
from bridge.core.foreign import well_formed

MAX_DEPTH = 100
_MAX_SHOWN = 64
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(payload: bytes, max_depth: int = MAX_DEPTH) -> object:
    """Parse one JSON text of UTF-8 bytes, without a byte order mark.

    Raises:
        PermanentError: code ``invalid-json``, ``duplicate-key`` or ``too-deep``; the message gives the position.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PermanentError(f"the payload is not UTF-8: byte {error.start}", code="invalid-json") from error
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise PermanentError(f"the payload is not JSON: {error.msg} at {where}", code="invalid-json") from error
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    except ValueError as error:
        # Python refuses integers of more than 4,300 digits, with a ValueError of its own.
        raise PermanentError(f"the payload is not usable JSON: {error}", code="invalid-json") from error
    if is_deeper(value, max_depth):
        raise _too_deep(max_depth)
    if _SURROGATE_ESCAPE.search(text):
        _refuse_lone_surrogates(value)
    return value


def dumps(value: object, *, sort_keys: bool = False) -> bytes:
    """Return the JSON text of a result of `loads`, compact, with integers of any size exact.

    With `sort_keys`, equal objects have the same text.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except TypeError:
        # An integer that does not fit 64 bits; orjson would have read it as a float.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys).encode()


def pointer(path: Iterable[object]) -> str:
    """Return the JSON Pointer of keys and indices (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def is_deeper(value: object, limit: int) -> bool:
    """Whether arrays and objects nest more than `limit` levels deep in `value`."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        if not level:
            return False
        level = [inner for outer in level for inner in _items(outer) if isinstance(inner, dict | list)]
    return bool(level)


def _items(outer: dict[str, object] | list[object]) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            shown = well_formed(cut(key, _MAX_SHOWN))
            raise PermanentError(f'the payload has the key "{shown}" twice in one object', code="duplicate-key")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise PermanentError(f"the payload is not JSON: {name} is not a JSON value", code="invalid-json")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise PermanentError(
            f"the payload is not usable JSON: the number {cut(text, _MAX_SHOWN)} is out of range", code="invalid-json"
        )
    return number


def _refuse_lone_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise PermanentError(
            "the payload is not usable JSON: half of a surrogate pair (\\ud800 to \\udfff) stands alone",
            code="invalid-json",
        ) from error


def _too_deep(max_depth: int) -> PermanentError:
    return PermanentError(f"the payload is nested more than {max_depth} levels deep", code="too-deep")
