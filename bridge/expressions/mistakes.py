"""What people write who know other languages, and what CEL has instead. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.expressions.tokens import Token, tokens_of

_WORDS = {
    "and": "&&",
    "or": "||",
    "not": "!",
    "is": "==",
    "mod": "%",
    "len": "size",
    "length": "size",
    **dict.fromkeys(("True", "TRUE"), "true"),
    **dict.fromkeys(("False", "FALSE"), "false"),
    **dict.fromkeys(("None", "NULL", "Null", "nil", "undefined"), "null"),
}
_SIGNS = {"=": "==", "===": "==", "=<": "<=", "=>": ">=", "<>": "!=", "!==": "!=", "&": "&&", "|": "||"}
_CONDITIONALS = ("if", "then", "else")


def mistake(source: str) -> tuple[int, str]:
    """Return the position (from 0) of a known mistake in an expression that CEL refuses, and what to write; else ""."""
    tokens = tokens_of(source)
    for place, token in enumerate(tokens):
        is_field = place > 0 and tokens[place - 1].text == "."
        if token.kind == "name" and not is_field:
            if token.text in _WORDS:
                return token.offset, f"CEL has no {token.text}; write {_WORDS[token.text]}"
            if token.text in _CONDITIONALS:
                return token.offset, f"CEL has no {token.text}; write condition ? value : other"
            if token.text == "has" and (proposal := _has(source, tokens[place + 1 :])):
                return token.offset, proposal
        run = _run(source, tokens, place)
        if run in _SIGNS:
            return token.offset, f"CEL has no {run}; write {_SIGNS[run]}"
    return 0, ""


def constant_patterns(source: str) -> Iterator[Token]:
    """Return the string literals that are the regular expression of ``matches``."""
    tokens = tokens_of(source)
    for place, token in enumerate(tokens[:-2]):
        if token.text != "matches" or tokens[place + 1].text != "(":
            continue
        argument = _argument(tokens[place + 2 :])
        if argument and argument[-1].kind == "string" and (len(argument) == 1 or argument[-2].text == ","):
            yield argument[-1]


def _argument(tokens: list[Token]) -> list[Token]:
    """Return the tokens up to the parenthesis that closes a call."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if depth < 0:
            return tokens[:place]
    return []


def _has(source: str, tokens: list[Token]) -> str:
    """Return what to write instead of ``has(map['key'])``, "" if it is something else."""
    inside = _argument(tokens[1:])
    if len(inside) < 4 or inside[-1].text != "]" or inside[-2].kind != "string" or inside[-3].text != "[":
        return ""
    named = source[inside[0].offset : inside[-3].offset]
    return f"has() takes a field, as in has(payload.x); write {inside[-2].text} in {named}"


def _run(source: str, tokens: list[Token], place: int) -> str:
    """Return the signs of a comparison that begin at a token and follow each other without space."""
    text = ""
    for token in tokens[place:]:
        if token.kind != "sign" or set(token.text) - set("=<>!&|") or token.offset != tokens[place].offset + len(text):
            break
        text += token.text
    is_inside = place > 0 and set(tokens[place - 1].text) <= set("=<>!&|") and source[tokens[place].offset - 1] != " "
    return "" if is_inside else text
