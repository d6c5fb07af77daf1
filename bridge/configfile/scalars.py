"""What an unquoted YAML word means: the core schema of YAML 1.2, made stricter. Pure; any thread.

Only `true` and `false` are booleans, so `on`, `yes` and `y` are text; numbers are decimal, so `0o755`, `0x1F` and
`1:30` are text; there are no timestamps. Source: YAML 1.2.2 section 10.3.2.
"""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}

# Python refuses to read integers of thousands of digits; nothing that long is meant as a number.
_LONGEST_NUMBER = 64


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted word; what is no number, boolean or null is text as it stands."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or not text.isascii():
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
