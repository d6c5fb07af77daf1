"""Translates an expression to the CEL library's terms, where ours have a different or wider meaning.

- `x / y` never cuts: in CEL 20 / 8 is 2 and 20.5 / 8 is 2.5625, and a device that sends 20.5 also sends 20.
- `string(x)` and `format([x])` write a whole double with its digits, as a bare path does; CEL writes 1.2345678e+07.
- `default(x, y)` is x unless that is missing or null; a function of the library never sees what is missing.

The input has been compiled unchanged, so it parses and its types are checked; the output is only run. Thread: any;
everything here is pure.
"""

from __future__ import annotations

from bridge.expressions.tokens import Token, tokens_of

_VALUE = "__value"
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
SHORTEST, SHORTEST_TEXT = "__shortest", "__shortest_text"


class CompileError(Exception):
    """The text is not a valid expression; `offset` is the place within it, from 0."""

    def __init__(self, offset: int, text: str) -> None:
        super().__init__(text)
        self.offset = offset
        self.text = text


def in_library_terms(source: str) -> str:
    """Return what the library must run for `source`; the same text if nothing differs.

    Raises:
        CompileError: the first argument of `default` is not a path.
    """
    tokens = tokens_of(source)
    if not any(token.text in ("/", "string", "format", "default") for token in tokens):
        return source
    return _written(tokens)


def _written(tokens: list[Token]) -> str:
    words: list[str] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token.text == "/":
            words.append("* dyn(1.0) /")
        elif token.kind == "name" and _text(tokens, position + 1) == "(":
            end = _closing(tokens, position + 1)
            is_method = _text(tokens, position - 1) == "."
            words.append(_call(token.text, tokens[position + 2 : end], is_method=is_method))
            position = end
        else:
            # `.5` and the like are one number to CEL but two tokens here.
            touches = position and tokens[position - 1].offset + len(tokens[position - 1].text) == token.offset
            words.append(token.text if touches else f" {token.text}")
        position += 1
    return "".join(words)


def _call(name: str, arguments: list[Token], *, is_method: bool) -> str:
    if name == "default" and not is_method:
        return _default(arguments)
    inside = _written(arguments)
    if name == "string" and not is_method:
        text = f"type({_VALUE}) == double ? {SHORTEST_TEXT}({_VALUE}) : string({_VALUE})"
        return f" cel.bind({_VALUE}, dyn({inside}), {text})"
    if name == "format" and is_method:
        inside = f"dyn({inside}).map({_VALUE}, type({_VALUE}) == double ? {SHORTEST}({_VALUE}) : {_VALUE})"
    return f"{name}({inside})" if is_method else f" {name}({inside})"


def _default(arguments: list[Token]) -> str:
    comma = next(position for position, _ in enumerate(arguments) if _is_comma(arguments, position))
    wanted, otherwise = _optional(arguments[:comma]), _written(arguments[comma + 1 :])
    return f" cel.bind({_VALUE}, dyn({wanted}.orValue(null)), {_VALUE} == null ? dyn({otherwise}) : {_VALUE})"


def _is_comma(tokens: list[Token], position: int) -> bool:
    """Whether an argument ends here; commas inside a call, list or map do not count."""
    signs = [token.text for token in tokens[:position] if token.kind == "sign"]
    depth = sum(sign in _OPENING for sign in signs) - sum(sign in _CLOSING for sign in signs)
    return tokens[position].text == "," and depth == 0


def _optional(path: list[Token]) -> str:
    """Return a path as an optional value: each step gives nothing if there is no map or list, or no such key."""
    words = [f"optional.of(dyn({path[0].text}))"]
    position = 1
    if path[0].kind != "name":
        raise _not_a_path(path)
    while position < len(path):
        sign, after = path[position].text, path[position + 1] if position + 1 < len(path) else path[position]
        if sign == "[":
            end = _closing(path, position)
            key = _written(path[position + 1 : end])
            kinds = ("map",) if after.kind == "string" else ("map", "list")
            position = end + 1
        elif sign == "." and after.kind in ("name", "quoted") and _text(path, position + 2) != "(":
            key, kinds = f'"{after.text.strip("`")}"', ("map",)
            position += 2
        else:
            raise _not_a_path(path)
        condition = " || ".join(f"type({_VALUE}) == {kind}" for kind in kinds)
        words.append(f".optFlatMap({_VALUE}, {condition} ? {_VALUE}[?{key}] : optional.none())")
    return "".join(words)


def _not_a_path(argument: list[Token]) -> CompileError:
    text = "the first argument of default() must be a path, such as payload.battery"
    return CompileError(argument[0].offset, text)


def _closing(tokens: list[Token], opening: int) -> int:
    """Return the position of the bracket that matches `opening`."""
    depth = 0
    for position in range(opening, len(tokens)):
        if tokens[position].kind == "sign":
            depth += (tokens[position].text in _OPENING) - (tokens[position].text in _CLOSING)
        if not depth:
            return position
    raise AssertionError("the expression was compiled, so that its brackets are closed")


def _text(tokens: list[Token], position: int) -> str:
    return tokens[position].text if 0 <= position < len(tokens) else ""
