"""Writes plain values as YAML that every reader takes alike: in block style, in quotes where there is any doubt. Pure.

Writes nothing that JSON does not have: no anchors, no tags. Source: YAML 1.2.2 sections 5.7, 7.3.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# Words, and what merely looks like a word, that some version of YAML takes for something else.
_NOT_TEXT = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity"])
_PLAIN = re.compile(r"[A-Za-z$][A-Za-z0-9_$]*(?:[-./ ][A-Za-z0-9_$(]+[,;)]{0,2})*")
_LONGEST_PLAIN = 400


def to_yaml(value: Any) -> str:
    """Return the document of `value`: objects with text keys, lists, texts, numbers, booleans and None."""
    return "\n".join(_block(value, 0)) + "\n"


def _block(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{indent}{_text(key)}:", inner, depth)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _item(indent, inner, depth)
    else:
        yield indent + _scalar(value)


def _entry(head: str, inner: Any, depth: int) -> Iterator[str]:
    if isinstance(inner, dict | list) and inner:
        yield head
        yield from _block(inner, depth + 1)
    else:
        yield f"{head} {_scalar(inner)}"


def _item(indent: str, inner: Any, depth: int) -> Iterator[str]:
    lines = _block(inner, depth + 1)
    yield f"{indent}- {next(lines).lstrip(' ')}"
    yield from lines


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    number = json.dumps(value, allow_nan=False)
    # YAML 1.1 takes a number with an exponent for a text, unless it has a point.
    return number.replace("e", ".0e") if isinstance(value, float) and "." not in number else number


def _text(value: str) -> str:
    is_plain = len(value) <= _LONGEST_PLAIN and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return value if is_plain else _quoted(value)


def _quoted(value: str) -> str:
    # A JSON text is a YAML text, but for what YAML does not let stand as itself.
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else _escaped(one) for one in quoted)


def _escaped(one: str) -> str:
    return f"\\U{ord(one):08x}" if ord(one) > 0xFFFF else f"\\u{ord(one):04x}"
