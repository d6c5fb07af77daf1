"""Texts with `${...}`: parsing them, and converting values to text for Argo.

`$$` is a dollar sign; a `$` before anything except `{` and `$` is literal. Does not decide where a text is allowed.
Thread: any; a `Template` has no state of a rendering.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bridge.configfile.problems import Code
from bridge.core.clock import rfc3339
from bridge.core.errors import PermanentError
from bridge.expressions.cel import EvaluationError, shortest
from bridge.expressions.expression import Expression, ExpressionError, ExpressionFault, compile_expression
from bridge.expressions.tokens import tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bridge.expressions.paths import Scope

_DOLLAR = re.compile(r"\$\$|\$\{")
_CAPTURE = re.compile(r"(?<![$])\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OPENING = re.compile(r"\{(?=\{)")
_BRACES = re.compile(r"\{\{|\}\}")


class BracesError(PermanentError):
    """A value contains `{{`, which Argo would expand (docs/design/argo-server.md)."""

    default_code = "template-braces"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal text and expressions in order, and the number of `{{` in the mapping's own text."""

    parts: tuple[str | Expression, ...]
    braces: int = 0

    @property
    def is_static(self) -> bool:
        """Whether it is the same for every message."""
        return all(isinstance(part, str) for part in self.parts)

    @property
    def reads_payload(self) -> bool:
        """Whether an expression in it reads the payload."""
        return any(not isinstance(part, str) and part.reads_payload for part in self.parts)

    @property
    def static_text(self) -> str:
        """Return the text outside of expressions: everything, if the template is static."""
        return "".join(part for part in self.parts if isinstance(part, str))

    def render(self, scope: Scope) -> str:
        """Return the text for one message.

        Raises:
            EvaluationError: an expression has no result, or none with a text form.
            BracesError: the result has more `{{` than the mapping's own text.
        """
        text = "".join([part if isinstance(part, str) else to_text(part.value(scope)) for part in self.parts])
        if "{{" in text and _count_braces(text) > self.braces:
            raise BracesError("a value from the message contains {{, which Argo would expand")
        return text


def parse_template(text: str, captures: Sequence[str], of_rules: Collection[str] = ()) -> Template:
    """Return the parsed form of a text; see `compile_expression`.

    Raises:
        ExpressionError: an expression is wrong, `${` has no `}`, or `${` stands between `{{` and `}}`.
    """
    pieces = _pieces(text)
    faults = _braces_faults(pieces)
    parts: list[str | Expression] = []
    for piece in pieces:
        if piece.text is not None:
            parts.append(piece.text)
        elif piece.end is None:
            message = "${ is never closed by }; write $${ for the two literal characters"
            faults.append(ExpressionFault(Code.BAD_EXPRESSION, message, piece.start))
        else:
            inside = piece.start + 2
            try:
                parts.append(compile_expression(text[inside : piece.end], captures, of_rules))
            except ExpressionError as error:
                faults += [replace(one, offset=one.offset + inside) for one in error.faults]
    if faults:
        raise ExpressionError(faults)
    return Template(tuple(parts), sum(_count_braces(part) for part in parts if isinstance(part, str)))


def parse_status_topic(text: str, captures: Sequence[str], of_rules: Collection[str] = ()) -> Template:
    """Return the parsed form of a status topic, in which `{x}` means `${topic.x}`.

    Raises:
        ExpressionError: see `parse_template`; with `{x}` in the text, every fault is reported at its beginning.
    """
    written_out = _CAPTURE.sub(r"${topic.\1}", text)
    try:
        return parse_template(written_out, captures, of_rules)
    except ExpressionError as error:
        if written_out == text:
            raise
        raise ExpressionError([replace(one, offset=0) for one in error.faults]) from error


def to_text(value: Any) -> str:
    """Return a value as text for Argo: text unchanged, numbers in their shortest form, maps and lists as compact JSON.

    Raises:
        EvaluationError: null, or a number that is not finite.
    """
    if isinstance(value, str):
        return value
    if value is None:
        raise EvaluationError("the result is null")
    write = _WRITERS.get(type(value))
    if write is None:
        raise EvaluationError("the result has no text form")
    return write(value)


def identity(what: str, expression: Expression, scope: Scope) -> str:
    """Return the text of an identifying value: never empty, or unrelated events would be one.

    Raises:
        PermanentError: ``expression-error``: it has no result, none with a text form, or an empty one.
    """
    try:
        text = to_text(expression.value(scope))
    except EvaluationError as error:
        raise PermanentError(f"evaluate {what}: {error}", code="expression-error") from error
    if not text:
        raise PermanentError(f"evaluate {what}: the result is empty", code="expression-error")
    return text


def _count_braces(text: str) -> int:
    """Count `{{`, including overlapping ones: `{` before the mapping's own `{{` must not pass."""
    return len(_OPENING.findall(text))


def _float_text(value: float) -> str:
    return repr(shortest(value))


def _json_text(value: Any) -> str:
    return json.dumps(_shortened(value), ensure_ascii=False, separators=(",", ":"))


def _shortened(value: Any) -> Any:
    """Convert whole doubles to integers at all depths, so that 95.0 is written `95`."""
    if isinstance(value, float):
        return shortest(value)
    if isinstance(value, dict):
        return {to_text(key): _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return to_text(value)  # a time in a list or map


_WRITERS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _float_text,
    datetime: lambda value: rfc3339(value.timestamp()),
    timedelta: lambda value: f"{_float_text(value.total_seconds())}s",
    dict: _json_text,
    list: _json_text,
}


@dataclass(frozen=True, slots=True)
class _Piece:
    """Literal text; or, if `text` is None, a `${...}` with the place of its `}` (None = missing)."""

    start: int
    text: str | None
    end: int | None = None


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    position = 0
    while match := _DOLLAR.search(text, position):
        if match.start() > position:
            pieces.append(_Piece(position, text[position : match.start()]))
        if match.group() == "$$":
            pieces.append(_Piece(match.start(), "$"))
            position = match.end()
            continue
        end = _closing(text, match.end())
        pieces.append(_Piece(match.start(), None, end))
        if end is None:
            return pieces
        position = end + 1
    if position < len(text):
        pieces.append(_Piece(position, text[position:]))
    return pieces


def _closing(text: str, start: int) -> int | None:
    """Find the `}` that ends an expression: not one in a string, nor one that closes a `{` in the expression."""
    depth = 0
    for token in tokens_of(text[start:]):
        if token.kind != "sign":
            continue
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            if not depth:
                return start + token.offset
            depth -= 1
    return None


def _braces_faults(pieces: list[_Piece]) -> list[ExpressionFault]:
    """Refuse `${` where the value would become part of Argo's own expression."""
    faults: list[ExpressionFault] = []
    opened: int | None = None
    for piece in pieces:
        if piece.text is not None:
            for braces in _BRACES.finditer(piece.text):
                opened = piece.start + braces.start() if braces.group() == "{{" else None
        elif opened is not None:
            message = "${...} between {{ and }} would become part of Argo's own expression; pass it as a parameter"
            faults.append(ExpressionFault(Code.EXPRESSION_IN_BRACES, message, piece.start))
    if opened is not None and not faults:
        message = "{{ is never closed by }}, so Argo could combine it with text from elsewhere"
        faults.append(ExpressionFault(Code.EXPRESSION_IN_BRACES, message, opened))
    return faults
