"""An expression in a mapping: a bare path, or CEL. Compiled once, evaluated often.

A bare path takes the decoded value unchanged, with integers of any size; CEL has integers of 64 bits. Only this module
decides which of the two a text is. Thread: any; compiled expressions have no state of an evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.configfile.nodes import quote
from bridge.configfile.problems import Code
from bridge.core.nearest import did_you_mean
from bridge.expressions.cel import EvaluationError, Program, to_cel
from bridge.expressions.dialect import CompileError
from bridge.expressions.mistakes import constant_patterns, mistake
from bridge.expressions.native import compile_native
from bridge.expressions.paths import (
    HEADERS,
    MESSAGE,
    MESSAGE_KEYS,
    MISSING,
    NOW,
    PAYLOAD,
    ROOTS,
    RULE_ROOTS,
    TOPIC,
    Path,
    Scope,
    parse_path,
    walk,
)
from bridge.expressions.references import Reference, pick, pick_tree, references_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from collections.abc import Mapping as MappingOf

    from bridge.expressions.native import Native
    from bridge.expressions.references import PickTree


@dataclass(frozen=True, slots=True)
class ExpressionFault:
    """What is wrong with an expression: its code, a sentence, the position (from 0) in its text, the unknown name."""

    code: Code
    message: str
    offset: int = 0
    subject: str = ""


class ExpressionError(Exception):
    """An expression is unusable; `faults` has all problems found."""

    def __init__(self, faults: Sequence[ExpressionFault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


class PathValue:
    """A bare path."""

    def __init__(self, path: Path) -> None:
        self._path, self._root, self._steps = path, path.root, path.steps
        self.reads_payload = path.root == PAYLOAD
        self.result = "STRING" if path.root in (TOPIC, HEADERS, MESSAGE) and path.steps else "DYN"

    def value(self, scope: Scope) -> Any:
        """Return the decoded value unchanged; `EvaluationError` if it is missing or null."""
        found = walk(scope.root(self._root), self._steps)
        if found is MISSING:
            raise EvaluationError(f"{self._path} is missing")
        if found is None:
            raise EvaluationError(f"{self._path} is null")
        return found


class Calculated:
    """A CEL expression, which gets only the values it names."""

    def __init__(self, references: Sequence[Reference], program: Program) -> None:
        self._program = program
        self.result = program.result
        self._roots = sorted({reference.root for reference in references} - {PAYLOAD})
        paths = [reference.steps for reference in references if reference.root == PAYLOAD]
        self._paths = tuple(Path(PAYLOAD, steps) for steps in paths)
        self.reads_payload = bool(paths)
        self._tree: PickTree | None = pick_tree(paths)

    def value(self, scope: Scope) -> Any:
        """Return the result; `EvaluationError` if the expression has none for this message."""
        data: dict[str, Any] = {}
        if self.reads_payload:
            data[PAYLOAD] = pick(scope.payload, self._tree)
        for root in self._roots:
            if root in RULE_ROOTS and root not in (scope.of_rules or ()):
                continue  # a variable of a macro
            data[root] = scope.root(root) if root == NOW else to_cel(scope.root(root))
        try:
            return self._program.run(data)
        except EvaluationError as error:
            raise EvaluationError(f"{error}{self._seen(scope)}") from error

    def _seen(self, scope: Scope) -> str:
        """Return the text values that the expression read: usually one of them is not as expected."""
        found = {str(path): walk(scope.payload, path.steps) for path in self._paths}
        texts = [f"{path} is {quote(value, 64)}" for path, value in found.items() if isinstance(value, str)]
        return "".join(f"; {text}" for text in texts[:3])


Expression = PathValue | Calculated


class Condition:
    """A `when`: true only if its result is the boolean true.

    Args:
        source: as written.
        native: evaluates it without CEL, or None.
        expression: its compiled form; None = compiled when `native` first asks for it.
    """

    def __init__(self, source: str, native: Native | None, expression: Expression | None) -> None:
        self._source = source
        self._native = native
        self._expression = expression

    def quick(self, payload: Any, captures: MappingOf[str, str]) -> bool | None:
        """Return the result if it can be found without CEL, otherwise None."""
        return None if self._native is None else self._native(payload, captures)

    def holds(self, scope: Scope) -> bool:
        """Return the result; `EvaluationError` for an error, or a result that is not a bool."""
        if self._expression is None:
            self._expression = _compiled(self._source)
        result = self._expression.value(scope)
        if not isinstance(result, bool):
            raise EvaluationError(f"the result is {_kind(result)}, not a bool")
        return result


def compile_expression(source: str, captures: Sequence[str], of_rules: Collection[str] = ()) -> Expression:
    """Return the compiled form of a bare path or CEL.

    Args:
        source: as written.
        captures: names of the captured topic levels.
        of_rules: those of `RULE_ROOTS` that the mapping has.

    Raises:
        ExpressionError: it cannot be parsed, or names or types are wrong.
    """
    if not source.strip():
        raise ExpressionError([ExpressionFault(Code.BAD_EXPRESSION, "the expression is empty")])
    if faults := _faults(source, captures, of_rules):
        raise ExpressionError(faults)
    return _compiled(source)


def _faults(source: str, captures: Sequence[str], of_rules: Collection[str]) -> list[ExpressionFault]:
    found = references_of(source)
    return [fault for reference in found for fault in _reference_faults(reference, captures, of_rules)]


def _compiled(source: str) -> Expression:
    if (path := parse_path(source)) is not None:
        return PathValue(path)
    try:
        program = Program(_as_text(source))
    except CompileError as error:
        raise ExpressionError([_fault_of(error, source)]) from error
    if faults := list(_pattern_faults(source)):
        raise ExpressionError(faults)
    return Calculated(references_of(source), program)


def _pattern_faults(source: str) -> Iterator[ExpressionFault]:
    """Try each constant regular expression, which CEL reads only when it is used."""
    for token in constant_patterns(source):
        try:
            Program(f"''.matches({token.text})").run({})
        except EvaluationError as error:
            text = f"the regular expression {token.text} is wrong: {error}"
            yield ExpressionFault(Code.BAD_EXPRESSION, text, token.offset)


def compile_condition(source: str, captures: Sequence[str], of_rules: Collection[str] = ()) -> Condition:
    """Return a compiled `when` or `until`.

    Raises:
        ExpressionError: see `compile_expression`; also where the result can never be a bool.
    """
    native = compile_native(source)
    if native is not None:
        # What is that simple always compiles; CEL is needed only for a message with values of other types.
        if faults := _faults(source, captures, of_rules):
            raise ExpressionError(faults)
        return Condition(source, native, None)
    expression = compile_expression(source, captures, of_rules)
    if expression.result not in ("BOOL", "DYN"):
        text = f"a condition needs a bool, but this always has type {expression.result.lower()}"
        raise ExpressionError([ExpressionFault(Code.BAD_EXPRESSION, text)])
    return Condition(source, None, expression)


def _as_text(source: str) -> str:
    """Convert values with a text form in CEL (times, durations, bytes), so that results are JSON values."""
    result = Program(source).result
    return f"string({source}\n)" if result in ("TIMESTAMP", "DURATION", "BYTES") else source


def _reference_faults(
    reference: Reference, captures: Sequence[str], of_rules: Collection[str]
) -> list[ExpressionFault]:
    if reference.root in RULE_ROOTS and reference.root not in of_rules and not reference.may_be_bound:
        text = f"only a mapping with {RULE_ROOTS[reference.root]} has the variable {reference.root}"
        return [ExpressionFault(Code.UNKNOWN_VARIABLE, text, reference.offset)]
    if reference.root not in (TOPIC, MESSAGE) or not reference.steps:
        return []
    name = reference.steps[0]
    known = tuple(captures) if reference.root == TOPIC else MESSAGE_KEYS
    if name in known:
        return []
    if reference.root == TOPIC:
        text = f'the topic has no capture "{name}"' + did_you_mean(name, known)
        return [ExpressionFault(Code.UNKNOWN_CAPTURE, text, reference.step_offset, name)]
    text = f'the message has no "{name}"' + did_you_mean(name, known)
    return [ExpressionFault(Code.UNKNOWN_VARIABLE, text, reference.step_offset)]


_UNDECLARED = "undeclared reference to '"


def _fault_of(error: CompileError, source: str) -> ExpressionFault:
    offset, proposal = mistake(source)
    if proposal:
        return ExpressionFault(Code.BAD_EXPRESSION, f"the expression is wrong: {proposal}", offset)
    if not error.text.startswith(_UNDECLARED):
        return ExpressionFault(Code.BAD_EXPRESSION, f"the expression is wrong: {error.text}", error.offset)
    name = error.text.removeprefix(_UNDECLARED).split("'")[0]
    root = name.split(".")[0]
    # The library points at the last dot of what it took for one name, or at the parenthesis after it.
    start = source.rfind(name, 0, error.offset + 1 + len(name))
    text = f'unknown name "{root}"' + did_you_mean(root, ROOTS)
    return ExpressionFault(Code.UNKNOWN_VARIABLE, text, max(start, 0))


def _kind(value: Any) -> str:
    names = {str: "text", int: "a number", float: "a number", dict: "a map", list: "a list", type(None): "null"}
    return names.get(type(value), "of another type")
