r"""The expression language: CEL with the bridge's variables, and with mixed numbers.

The only import of cel_expr_python: when the first expression is compiled, because the library takes 17 MiB. Compiles
and evaluates; knows nothing about mappings or messages. It differs from the library's CEL in three ways:

- A whole number of JSON is an `int`, any other a `double`, and plain CEL has no `double + int`: `payload.value + 0.5`
  would work for 20.5 and be an error for 20. Operators and functions of numbers get the mixed forms.
- What `dialect` says of division, text and what is missing.
- The library cuts text at a NUL character, so that ``"a\0b" == "a"``: text with one is refused instead.

Thread: any; a `Program` has no state of an evaluation.
"""

from __future__ import annotations

import math
import operator
import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from bridge.configfile.nodes import quote
from bridge.core.errors import cut
from bridge.expressions.dialect import SHORTEST, SHORTEST_TEXT, CompileError, in_library_terms
from bridge.expressions.paths import HEADERS, KEY, MESSAGE, NOW, PAYLOAD, READINGS, TOPIC, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Mapping as MappingOf

    from cel_expr_python import cel

_COMPILE_ERROR = re.compile(r"ERROR: [^:]*:(?P<line>[0-9]+):(?P<column>[0-9]+): (?P<text>.*)")
_RUN_ERROR_KIND = re.compile(r"^[A-Z_]+: ")

_BEYOND_64_BITS = re.compile(r"Integer value '-?[0-9]+' out of range")
_HINTS = (
    ("to Timestamp conversion", "; write a timestamp as 2026-11-30T18:40:12Z; append what is missing, such as + 'Z'"),
    ("to Duration conversion", "; write a duration as 90s, 1.5h or 1h30m"),
    (
        "cannot convert string to",
        "; write a number as 21.5, without a unit; remove the rest with replace() or substring()",
    ),
)
_LARGEST_WRITTEN_OUT = 1e16  # from here on Python's shortest form has an exponent


class EvaluationError(Exception):
    """An expression has no result for this message: a missing field, a wrong type, or null where text is needed."""


class Program:
    """One compiled expression; `CompileError` if it cannot be parsed, or names or types are wrong.

    Attributes:
        result: name of the result's type, as far as it is known in advance: ``BOOL``, ``STRING``, ``DYN``, ...
    """

    def __init__(self, source: str) -> None:
        compiled = _compile(source)
        written = in_library_terms(source)
        self._expression = compiled if written == source else _compile(written)
        self.result: str = compiled.return_type().name()

    def run(self, data: MappingOf[str, Any]) -> Any:
        """Return the result as a plain Python value; `data` has each variable that is used, made by `to_cel`.

        Raises:
            EvaluationError: CEL's error value, or data that it does not accept.
        """
        try:
            outcome = self._expression.eval(data=data)
            if outcome.type().name() == "ERROR":
                raise EvaluationError(_run_error(str(outcome.value())))
            return outcome.plain_value()
        except (RuntimeError, ValueError, TypeError) as error:
            raise EvaluationError(_run_error(str(error))) from error


def to_cel(value: Any) -> Any:
    """Return a decoded value in the form used in expressions; `EvaluationError` for text with a NUL character."""
    kind = type(value)
    if kind is str:
        return _without_nul(value)
    if kind is dict:
        return {_without_nul(key): to_cel(inner) for key, inner in value.items()}
    if kind is list:
        return [to_cel(inner) for inner in value]
    return value


def shortest(value: float) -> int | float:
    """Return a whole double as an integer, if it has few digits, so that 95.0 is written `95`.

    Raises:
        EvaluationError: it is not finite.
    """
    if not math.isfinite(value):
        raise EvaluationError("the result is not a finite number")
    return int(value) if value.is_integer() and abs(value) < _LARGEST_WRITTEN_OUT else value


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise EvaluationError(f"text with a NUL character cannot be used in an expression: {quote(text, 64)}")
    return text


@cache
def _environment() -> cel.Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    text = cel.Type.STRING
    variables = {
        PAYLOAD: cel.Type.DYN,
        TOPIC: cel.Type.Map(text, text),
        HEADERS: cel.Type.Map(text, text),
        MESSAGE: cel.Type.Map(text, text),
        NOW: cel.Type.TIMESTAMP,
        KEY: text,
        WINDOW: cel.Type.Map(text, cel.Type.DYN),
        READINGS: cel.Type.List(cel.Type.DYN),
    }
    libraries = (ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional(), ext_bindings.ExtBindings())
    return cel.NewEnv(variables=variables, extensions=[*libraries, cel.CelExtension("argo-bridge", _functions())])


def _functions() -> list[cel.FunctionDecl]:
    """Return the overloads that the library lacks, and the functions used by `dialect`."""
    from cel_expr_python import cel

    kinds = {"int": cel.Type.INT, "uint": cel.Type.UINT, "double": cel.Type.DOUBLE}
    double, dyn = cel.Type.DOUBLE, cel.Type.DYN
    mixed = [(one, other) for one in kinds for other in kinds if one != other and "double" in (one, other)]
    whole = [("int",), ("uint",)]
    declared: list[tuple[str, cel.Type | None, Callable[..., Any], Sequence[tuple[str, ...]]]] = [
        *((name, double, function, mixed) for name, function in _ARITHMETIC.items()),
        *((name, dyn, function, [("int", "uint"), ("uint", "int")]) for name, function in _ARITHMETIC.items()),
        ("_%_", double, _modulo, [("double", "double")]),
        *((f"math.{name}", None, lambda value: value, whole) for name in ("ceil", "floor", "round", "trunc")),
        ("math.isFinite", cel.Type.BOOL, lambda _: True, whole),
        *((f"math.{name}", cel.Type.BOOL, lambda _: False, whole) for name in ("isInf", "isNaN")),
        ("timestamp", cel.Type.TIMESTAMP, lambda value: datetime.fromtimestamp(value, UTC), [("double",)]),
        (SHORTEST, dyn, shortest, [("double",)]),
        (SHORTEST_TEXT, cel.Type.STRING, lambda value: repr(shortest(value)), [("double",)]),
    ]
    functions = [
        cel.FunctionDecl(
            name,
            [
                cel.Overload(
                    id="_".join((name, *taken)),
                    return_type=returned or kinds[taken[0]],
                    parameters=[kinds[kind] for kind in taken],
                    impl=function,
                )
                for taken in signatures
            ],
        )
        for name, returned, function, signatures in declared
    ]
    # Declared to check its arguments; `dialect` replaces it before it could run.
    return [
        *functions,
        cel.FunctionDecl("default", [cel.Overload(id="default", return_type=dyn, parameters=[dyn, dyn])]),
    ]


def _divide(left: float, right: float) -> float:
    """Divide as in IEEE 754, like CEL's own `double / double`."""
    if right:
        return left / right
    if not left or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _modulo(left: float, right: float) -> float:
    """Return the remainder with the sign of `left`, like CEL's own `int % int`; by zero is an error in both."""
    if not right:
        raise ValueError("modulus by zero")
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) % abs(right) * (1 if left > 0 else -1)
    return math.fmod(left, right)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "_+_": operator.add,
    "_-_": operator.sub,
    "_*_": operator.mul,
    "_/_": _divide,
    "_%_": _modulo,
}


def _compile(source: str) -> cel.Expression:
    try:
        return _environment().compile(source)
    except (RuntimeError, ValueError, TypeError) as error:
        raise _compile_error(str(error), source) from error


def _run_error(text: str) -> str:
    if _BEYOND_64_BITS.search(text):
        return "a whole number beyond 64 bits cannot be used in an expression; use a bare path"
    hint = next((hint for words, hint in _HINTS if words in text), "")
    return cut(_RUN_ERROR_KIND.sub("", text)) + hint


def _compile_error(text: str, source: str) -> CompileError:
    found = _COMPILE_ERROR.search(text)
    if found is None:
        return CompileError(0, cut(text))
    words = found["text"].removesuffix(" (in container '')").replace(" (in container '')", "")
    words = re.sub(r" expecting .*", "", words)  # CEL's list of all tokens helps nobody
    before = source.split("\n")[: int(found["line"]) - 1]
    return CompileError(sum(len(line) + 1 for line in before) + int(found["column"]) - 1, cut(words))
