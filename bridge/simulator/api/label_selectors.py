"""Label selectors in Kubernetes' grammar: `a=b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`, `a gt 1`.

Compiles a selector to a predicate on labels. Pure; run on the simulator's loop thread. Source: k8s.io/apimachinery
pkg/labels (texts as recorded from real servers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.simulator.http.answers import invalid

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]

_TOKENS = re.compile(r"\s*(==|!=|=|!|,|\(|\)|<|>|[^\s=!,()<>]+)")
_OPERATORS = ("=", "==", "!=", "in", "notin", "gt", "lt", ">", "<")
_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")


class _Requirement(NamedTuple):
    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        if self.operator in ("exists", "!"):
            return (value is not None) == (self.operator == "exists")
        if self.operator in ("!=", "notin"):
            return value not in self.values
        if value is None:
            return False
        if self.operator in ("gt", "lt", ">", "<"):
            return _compare(value, self.operator, next(iter(self.values)))
        return value in self.values


def _compare(value: str, operator: str, bound: str) -> bool:
    try:
        number, limit = int(value), int(bound)
    except ValueError:
        return False
    return number > limit if operator in ("gt", ">") else number < limit


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _TOKENS.findall(text)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def requirement(self) -> _Requirement:
        negated = self.peek() == "!"
        if negated:
            self.take()
        key = self.take()
        if not key or key in ",()":
            raise invalid(f"unable to parse requirement: found '{key}', expected: !, identifier, or 'end of string'")
        if not _KEY.match(key):
            raise invalid(
                f'unable to parse requirement: key: Invalid value: "{key}": name part must consist of '
                "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
            )
        if negated:
            return _Requirement(key, "!", frozenset())
        if self.peek() in ("", ","):
            return _Requirement(key, "exists", frozenset())
        operator = self.take()
        if operator not in _OPERATORS:
            expected = "in, notin, =, ==, !=, gt, lt"
            raise invalid(f"unable to parse requirement: found '{operator}', expected: {expected}")
        return _Requirement(key, operator, self.values(operator))

    def values(self, operator: str) -> frozenset[str]:
        if operator not in ("in", "notin"):
            return frozenset(("" if self.peek() in ("", ",") else self.take(),))
        if self.take() != "(":
            found = self.tokens[self.position - 1] if self.position <= len(self.tokens) else ""
            raise invalid(f"unable to parse requirement: found '{found}' expected: '('")
        found_values: list[str] = []
        while (word := self.take()) != ")":
            if not word:
                raise invalid("unable to parse requirement: found '', expected: ',' or ')'")
            if word != ",":
                found_values.append(word)
        return frozenset(found_values)


def parse_label_selector(text: str) -> Predicate | None:
    """Compile a selector.

    Args:
        text: The selector; empty selects everything.

    Returns:
        A predicate on an object's labels, or None when everything is selected.

    Raises:
        ApiError: 400 with the server's text.
    """
    if not text.strip():
        return None
    parser = _Parser(text)
    requirements: list[_Requirement] = []
    while True:
        requirements.append(parser.requirement())
        if not parser.peek():
            break
        word = parser.take()
        if word != ",":
            raise invalid(f"unable to parse requirement: found '{word}', expected: ',' or 'end of string'")
    if len(requirements) == 1:
        return requirements[0].holds
    return lambda labels: all(requirement.holds(labels) for requirement in requirements)
