"""One mistake in a manifest: its place, what was found and what was expected. Pure data and its wording."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.core import strict_json

Path = tuple[str | int, ...]
MAX_FINDINGS = 100


class FindingCode(StrEnum):
    """What kind of mistake it is."""

    UNKNOWN_FIELD = "unknown-field"
    WRONG_TYPE = "wrong-type"
    MISSING_FIELD = "missing-field"
    BAD_VALUE = "bad-value"
    BAD_NAME = "bad-name"
    BAD_LABEL = "bad-label"
    DUPLICATE_NAME = "duplicate-name"
    UNKNOWN_TEMPLATE = "unknown-template"
    UNKNOWN_TASK = "unknown-task"
    TEMPLATE_TYPE = "template-type"
    NOT_IN_ENUM = "not-in-enum"
    TOO_DEEP = "too-deep"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a manifest.

    Attributes:
        path: keys and indices from the root; a missing field's path is that of the object which lacks it.
        message: a complete clause, without the place.
        found: what was found there, cut; "" for a missing field.
        expected: what should be there; "" if nothing should.
        suggestion: the nearest known name, or "".
        releases: other Argo releases that have the field, as ``("3.6", "3.7")``.
        item: the named items around it, as ``template "main"``; "" above the templates.
    """

    path: Path
    code: FindingCode
    message: str
    found: str = ""
    expected: str = ""
    suggestion: str = ""
    releases: tuple[str, ...] = ()
    item: str = ""

    @property
    def pointer(self) -> str:
        """The path as a JSON Pointer (RFC 6901)."""
        return strict_json.pointer(self.path)

    @property
    def text(self) -> str:
        """The finding in one line: its item, what is wrong, and the pointer."""
        prefix = f"{self.item}: " if self.item else ""
        return f"{prefix}{self.message} (at {self.pointer or '/'})"

    def detail(self) -> dict[str, object]:
        """One entry of a reply's ``details``; keys without a value are left out."""
        every = {
            "pointer": self.pointer,
            "code": self.code,
            "message": self.message,
            "found": self.found,
            "expected": self.expected,
            "suggestion": self.suggestion,
            "releases": list(self.releases),
            "item": self.item,
        }
        return {key: value for key, value in every.items() if value or key == "pointer"}


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Sorted by place (list items by number), then code and message; duplicates removed."""
    return tuple(sorted(set(findings), key=_order))


def _order(one: Finding) -> tuple[tuple[tuple[int, int, str], ...], str, str]:
    steps = tuple((0, step, "") if isinstance(step, int) else (1, 0, step) for step in one.path)
    return steps, one.code, one.message


def listed(words: tuple[str, ...] | list[str], last: str = "or") -> str:
    """``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def describe(value: object) -> str:
    """What a JSON value is, for "must be X, not ...": ``a list``, ``"forever"``, ``the number 5``; cut."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value!r}"[:60]
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    return "a list" if isinstance(value, list) else "a map"
