r"""The expression language: CEL with the bridge's variables, and numbers that mix.

The only import of cel_expr_python. Compiles and evaluates; knows nothing of mappings or messages. Two things differ
from CEL as the library brings it:

- JSON numbers are doubles, and plain CEL has no `double + int`: `payload.value + 1` would be an error at run time.
  The arithmetic operators are declared again with the mixed forms (and `%` for doubles).
- The library cuts text at a NUL character, so that ``"a\0b" == "a"``: text with one is refused instead.

Thread: any; a `Program` holds no state of an evaluation.
"""

from __future__ import annotations

import math
import operator
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

from bridge.core.errors import cut
from bridge.mapping.paths import HEADERS, MESSAGE, NOW, PAYLOAD, TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingOf

_COMPILE_ERROR = re.compile(r"ERROR: [^:]*:(?P<line>[0-9]+):(?P<column>[0-9]+): (?P<text>.*)")
_RUN_ERROR_KIND = re.compile(r"^[A-Z_]+: ")

_ARITHMETIC = ("_+_", "_-_", "_*_", "_/_", "_%_")
_SYMBOLS = {"add": "_+_", "subtract": "_-_", "multiply": "_*_", "divide": "_/_", "modulo": "_%_"}
# CEL's own overloads of the operators: (operator, left, right, result).
# Source: CEL specification, "Standard Definitions".
_STANDARD = (
    *(
        (verb, kind, kind, kind)
        for verb in _SYMBOLS
        for kind in ("int64", "uint64", "double")
        if (verb, kind) != ("modulo", "double")
    ),
    ("add", "bytes", "bytes", "bytes"),
    ("add", "string", "string", "string"),
    ("add", "list", "list", "list"),
    ("add", "duration", "duration", "duration"),
    ("add", "duration", "timestamp", "timestamp"),
    ("add", "timestamp", "duration", "timestamp"),
    ("subtract", "duration", "duration", "duration"),
    ("subtract", "timestamp", "duration", "timestamp"),
    ("subtract", "timestamp", "timestamp", "duration"),
)
_MIXED = (*((verb, *pair) for verb in _SYMBOLS for pair in (("double", "int64"), ("int64", "double"))),)


class CompileError(Exception):
    """The text is no valid expression.

    Attributes:
        line: from 1, within the expression.
        column: from 1.
        text: the library's own words.
    """

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.column = column
        self.text = text


class EvaluationError(Exception):
    """An expression has no result for this message: a missing field, a wrong type, null where text is needed."""


class Program:
    """One compiled expression.

    Args:
        source: CEL text.

    Raises:
        CompileError: it does not parse, or names or types are wrong.

    Attributes:
        result: name of the result's type as far as it is known before any message: ``BOOL``, ``STRING``, ``DYN``, ...
    """

    def __init__(self, source: str) -> None:
        try:
            self._expression = _environment().compile(source)
        except (RuntimeError, ValueError, TypeError) as error:
            raise _compile_error(str(error)) from error
        self.result: str = self._expression.return_type().name()

    def run(self, data: MappingOf[str, Any]) -> Any:
        """Return the result as a plain Python value.

        Args:
            data: a value for each variable that the expression uses, made by `to_cel`.

        Raises:
            EvaluationError: CEL's error value, or data that it cannot take.
        """
        try:
            outcome = self._expression.eval(data=data)
            if outcome.type() == cel.Type.ERROR:
                raise EvaluationError(cut(_RUN_ERROR_KIND.sub("", str(outcome.value()))))
            return outcome.plain_value()
        except (RuntimeError, ValueError, TypeError) as error:
            raise EvaluationError(cut(str(error))) from error


def to_cel(value: Any) -> Any:
    """Return a decoded value as expressions see it: every number a double.

    Raises:
        EvaluationError: an integer beyond a double, or text with a NUL character.
    """
    kind = type(value)
    if kind is str:
        return _without_nul(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError as error:
            raise EvaluationError("the number is too large for an expression") from error
    if kind is dict:
        return {_without_nul(key): to_cel(inner) for key, inner in value.items()}
    if kind is list:
        return [to_cel(inner) for inner in value]
    return value


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise EvaluationError("text with a NUL character cannot be used in an expression")
    return text


@cache
def _environment() -> cel.Env:
    text = cel.Type.STRING
    variables = {
        PAYLOAD: cel.Type.DYN,
        TOPIC: cel.Type.Map(text, text),
        HEADERS: cel.Type.Map(text, text),
        MESSAGE: cel.Type.Map(text, text),
        NOW: cel.Type.TIMESTAMP,
    }
    excluded = "".join(f'    - name: "{symbol}"\n' for symbol in _ARITHMETIC)
    return cel.NewEnv(
        variables=variables,
        config=cel.NewEnvConfigFromYaml(f"stdlib:\n  exclude_functions:\n{excluded}"),
        functions=[cel.FunctionDecl(symbol, _overloads(verb)) for verb, symbol in _SYMBOLS.items()],
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
    )


def _overloads(verb: str) -> list[cel.Overload]:
    types = {
        "int64": cel.Type.INT,
        "uint64": cel.Type.UINT,
        "double": cel.Type.DOUBLE,
        "bytes": cel.Type.BYTES,
        "string": cel.Type.STRING,
        "list": cel.Type.List(cel.Type.DYN),
        "duration": cel.Type.DURATION,
        "timestamp": cel.Type.TIMESTAMP,
    }
    # Without an implementation the declaration leads to the library's own one.
    found = [
        cel.Overload(id=f"{verb}_{left}_{right}", return_type=types[result], parameters=[types[left], types[right]])
        for name, left, right, result in _STANDARD
        if name == verb
    ]
    mixed = [(left, right) for name, left, right in _MIXED if name == verb]
    if verb == "modulo":
        mixed.append(("double", "double"))
    found += [
        cel.Overload(
            id=f"{verb}_{left}_{right}",
            return_type=cel.Type.DOUBLE,
            parameters=[types[left], types[right]],
            impl=_DOUBLE_ARITHMETIC[verb],
        )
        for left, right in mixed
    ]
    return found


def _divide(left: float, right: float) -> float:
    """Divide as IEEE 754 does, like CEL's own `double / double`."""
    if right:
        return left / right
    if not left or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _modulo(left: float, right: float) -> float:
    """The rest with the sign of `left`, like CEL's own `int % int`; by zero it is an error there and here."""
    if not right:
        raise ValueError("modulus by zero")
    return math.fmod(left, right)


_DOUBLE_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": _divide,
    "modulo": _modulo,
}


def _compile_error(text: str) -> CompileError:
    found = _COMPILE_ERROR.search(text)
    if found is None:
        return CompileError(1, 1, cut(text))
    words = found["text"].removesuffix(" (in container '')").replace(" (in container '')", "")
    words = re.sub(r" expecting .*", "", words)  # the list of all tokens that CEL has helps nobody
    return CompileError(int(found["line"]), int(found["column"]), cut(words))
