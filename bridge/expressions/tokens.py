"""The tokens of an expression. Knows no grammar; the callers do. Thread: any; everything here is pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Source: CEL specification, "Syntax" (lexis).
_TOKEN = re.compile(
    r'''(?P<space> \s+ | //[^\n]* )
      | (?P<string> (?i:r b? | b r) (?: """.*?""" | \'\'\'.*?\'\'\' | "[^"\n]*" | '[^'\n]*' )
          | [bB]? (?: """(?:\\.|[^\\])*?""" | \'\'\'(?:\\.|[^\\])*?\'\'\'
                  | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
      | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
      | (?P<quoted> `[^`\n]*` )
      | (?P<number> [0-9]+ (?:\.[0-9]+)? (?:[eE][+-]?[0-9]+)? [A-Za-z0-9_]* )
      | (?P<sign> && | \|\| | [=!<>]= | . )''',
    re.VERBOSE | re.DOTALL,
)
PLAIN_STRING = re.compile(r"""'([^'\\\n]*)'|"([^"\\\n]*)\"""")


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an expression: `kind` is string, name, quoted, number or sign; `offset` counts from 0."""

    kind: str
    text: str
    offset: int


def tokens_of(source: str) -> list[Token]:
    """Return the tokens of an expression without space and comments; never fails, whatever the text."""
    return [
        Token(match.lastgroup or "", match.group(), match.start())
        for match in _TOKEN.finditer(source)
        if match.lastgroup != "space"
    ]
