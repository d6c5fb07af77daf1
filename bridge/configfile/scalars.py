"""The meaning of unquoted YAML words: a stricter form of YAML 1.2's core schema. Pure; any thread.

Only `true` and `false` are booleans, so `on`, `yes` and `y` are text. Numbers are decimal, so `0o755`, `0x1F` and
`1:30` are text. There are no timestamps. Source: YAML 1.2.2 section 10.3.2.
"""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}

# Python refuses to parse integers of thousands of digits; nothing that long is meant as a number.
_LONGEST_NUMBER = 64


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted word; anything that is not a number, boolean or null is text."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or not text.isascii():
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
