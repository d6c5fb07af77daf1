"""Evaluates simple conditions without CEL: `path OP constant`, joined by `&&` or by `||`.

It must always agree with CEL: if types differ or a field is missing it returns None, and CEL is used. A test compares
the two on random payloads. Thread: any; the functions made here have no state.
"""

from __future__ import annotations

import math
import operator
import re
from typing import TYPE_CHECKING, Any

from bridge.expressions.paths import PAYLOAD, TOPIC, parse_path, walk
from bridge.expressions.tokens import Token, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingOf

    Native = Callable[[Any, MappingOf[str, str]], "bool | None"]
    Compare = Callable[[Any, Any], bool]

_OPERATORS: dict[str, Compare] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISON = re.compile(
    r"""(?P<path>[^=!<>"']+?(?:\[\s*(?:'[^'\\\r\n\0]*'|"[^"\\\r\n\0]*")\s*\])*) \s* (?P<sign>[=!<>]=|[<>]) \s*
        (?: (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?) | '(?P<single>[^'\\\r\n\0]*)'
          | "(?P<double>[^"\\\r\n\0]*)" | (?P<bool>true|false) ) \s*""",
    re.VERBOSE,
)

# Source: CEL, Language Definition, Syntax: the literals and RESERVED, which are not always allowed as names.
_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    )
)
_WHOLE = re.compile(r"-?[0-9]+")


def compile_native(source: str) -> Native | None:
    """Return a function of (decoded payload, captures) for a condition.

    It returns True, False, or None for "use CEL". The result is None if the condition is not simple enough, or if CEL
    would not compile it.
    """
    parts, joint = _split(source)
    tests = [_comparison(part) for part in parts]
    known = [test for test in tests if test is not None]
    if not known or len(known) != len(tests):
        return None
    if len(known) == 1:
        return known[0]
    return _joined(tuple(known), decisive=joint == "||")


def _split(source: str) -> tuple[list[str], str]:
    """Split at `&&`, or at `||`; a mixture, or parentheses, stays one piece (and is then not a comparison)."""
    tokens = tokens_of(source)
    signs = {token.text for token in tokens if token.kind == "sign"}
    joints = [joint for joint in ("&&", "||") if joint in signs]
    if len(joints) != 1 or "(" in signs:
        return [source], ""
    cuts: list[Token] = [token for token in tokens if token.kind == "sign" and token.text == joints[0]]
    starts = [0, *(token.offset + 2 for token in cuts)]
    ends = [*(token.offset for token in cuts), len(source)]
    return [source[start:end] for start, end in zip(starts, ends, strict=True)], joints[0]


def _joined(tests: tuple[Native, ...], *, decisive: bool) -> Native:
    """Join as CEL does: one decisive result (false for &&, true for ||) is enough, whatever the others are."""

    def joined(payload: Any, captures: MappingOf[str, str]) -> bool | None:
        answer: bool | None = not decisive
        for test in tests:
            result = test(payload, captures)
            if result is decisive:
                return decisive
            if result is None:
                answer = None
        return answer

    return joined


def _comparison(source: str) -> Native | None:
    match = _COMPARISON.fullmatch(source)
    path = parse_path(match["path"]) if match else None
    if match is None or path is None or not path.steps or path.root not in (PAYLOAD, TOPIC):
        return None
    if not _RESERVED.isdisjoint(path.steps) or not _fits(match["number"]):
        return None
    compare = _OPERATORS[match["sign"]]
    if path.root == TOPIC:
        return _on_topic(match, path.steps, compare)
    if match["number"] is not None:
        written = match["number"]
        return _on_number(path.steps, compare, int(written) if _WHOLE.fullmatch(written) else float(written))
    return _on_value(path.steps, compare, _text(match) if match["bool"] is None else match["bool"] == "true")


def _fits(number: str | None) -> bool:
    """Whether a literal is a number in CEL: a whole one of 64 bits, or a finite double."""
    if number is None:
        return True
    return -(2**63) <= int(number) < 2**63 if _WHOLE.fullmatch(number) else math.isfinite(float(number))


def _text(match: re.Match[str]) -> str:
    return match["single"] if match["single"] is not None else match["double"]


def _on_number(steps: tuple[str | int, ...], compare: Compare, constant: float) -> Native:
    """CEL compares two integers exactly, and an integer with a double as doubles."""
    as_double, is_whole = float(constant), isinstance(constant, int)
    if len(steps) == 1 and isinstance(steps[0], str):
        # A shortcut for the most common condition.
        key = steps[0]

        def read(payload: Any) -> Any:
            return payload.get(key) if type(payload) is dict else None
    else:

        def read(payload: Any) -> Any:
            return walk(payload, steps)

    def test(payload: Any, _captures: MappingOf[str, str]) -> bool | None:
        value = read(payload)
        kind = type(value)  # not isinstance: in CEL a bool is not a number
        if kind is float:
            return compare(value, as_double)
        if kind is not int:
            return None
        return compare(value, constant) if is_whole else compare(float(value), as_double)

    return test


def _on_value(steps: tuple[str | int, ...], compare: Compare, constant: Any) -> Native:
    kind = type(constant)

    def test(payload: Any, _captures: MappingOf[str, str]) -> bool | None:
        value = walk(payload, steps)
        return compare(value, constant) if type(value) is kind and (kind is bool or "\0" not in value) else None

    return test


def _on_topic(match: re.Match[str], steps: tuple[str | int, ...], compare: Compare) -> Native | None:
    if len(steps) != 1 or not isinstance(steps[0], str) or match["number"] is not None or match["bool"] is not None:
        return None
    name, constant = steps[0], _text(match)

    def test(_payload: Any, captures: MappingOf[str, str]) -> bool | None:
        value = captures.get(name)
        return compare(value, constant) if value is not None and "\0" not in value else None

    return test
