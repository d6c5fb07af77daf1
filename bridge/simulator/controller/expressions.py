"""The part of Argo's template language that the simulator understands.

Replaces `{{name}}`, evaluates simple `when` conditions and a DAG's `depends`. It never evaluates `{{=...}}`; unknown
expressions stay unchanged. Pure; run on the simulator's loop thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(r"\{\{\s*([A-Za-z][-A-Za-z0-9_.]*)\s*\}\}")
_COMPARISON = re.compile(r"^\s*(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*$", re.DOTALL)
_DEPENDS = re.compile(r"\s*(&&|\|\||!|\(|\)|[A-Za-z0-9][-A-Za-z0-9_.]*)")
_MAX_ROUNDS = 4


def substitute(text: str, scope: Mapping[str, str]) -> str:
    """Replace `{{name}}` by its value; values are scanned again a few times, as in Argo.

    Args:
        text: Any string.
        scope: Values by name, e.g. `inputs.parameters.device`.
    """
    for _ in range(_MAX_ROUNDS):
        if "{{" not in text:
            return text
        replaced = _REFERENCE.sub(lambda match: scope.get(match[1], match[0]), text)
        if replaced == text:
            return text
        text = replaced
    return text


def holds(condition: str) -> bool:
    """Evaluate a `when` after substitution.

    Supports `true`, `false`, and comparisons joined by `&&` or `||`; anything else counts as true.
    """
    if not condition.strip():
        return True
    return any(all(_compares(term) for term in part.split("&&")) for part in condition.split("||"))


def _compares(term: str) -> bool:
    term = term.strip().strip("()").strip()
    match = _COMPARISON.match(term)
    if match is None:
        return term.strip("'\"").lower() != "false"
    left, operator, right = _value(match[1]), match[2], _value(match[3])
    if operator in ("==", "!="):
        return (left == right) == (operator == "==")
    if type(left) is not type(right):
        return True
    order = (left > right) - (left < right)  # type: ignore[operator]  # both have the same type here
    return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[operator]


def _value(text: str) -> float | str:
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        return text.strip("'\"")


def depends_names(text: str) -> list[str]:
    """Task names that a `depends` mentions."""
    return [token.split(".")[0] for token in _DEPENDS.findall(text) if token not in ("&&", "||", "!", "(", ")")]


def depends_holds(text: str, test: Callable[[str, str], bool]) -> bool:
    """Evaluate a DAG task's `depends`.

    Args:
        text: E.g. `a && (b.Failed || !c)`.
        test: `(task, status)` -> whether that task ended with that status, which is empty for a bare name.
    """
    return _Depends(_DEPENDS.findall(text), test).either()


class _Depends:
    def __init__(self, tokens: list[str], test: Callable[[str, str], bool]) -> None:
        self._tokens = tokens
        self._test = test

    def either(self) -> bool:
        result = self._both()
        while self._next_is("||"):
            result = self._both() or result
        return result

    def _both(self) -> bool:
        result = self._one()
        while self._next_is("&&"):
            result = self._one() and result
        return result

    def _one(self) -> bool:
        if self._next_is("!"):
            return not self._one()
        if self._next_is("("):
            result = self.either()
            self._next_is(")")
            return result
        if not self._tokens:
            return False
        name, _, status = self._tokens.pop(0).partition(".")
        return self._test(name, status)

    def _next_is(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False
