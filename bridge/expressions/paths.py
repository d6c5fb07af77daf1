"""Paths into a message (`payload.value`, `payload['a b'].list[0]`, `topic.site`): parsing and walking.

Evaluates no expression. Thread: any; everything here is pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.core.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from bridge.core.model import Message

PAYLOAD, TOPIC, HEADERS, MESSAGE, NOW = "payload", "topic", "headers", "message", "now"
KEY, WINDOW, READINGS = "key", "window", "readings"
ROOTS = (PAYLOAD, TOPIC, HEADERS, MESSAGE, NOW, KEY, WINDOW, READINGS)
RULE_ROOTS = {KEY: "a rule over time", WINDOW: "`window`", READINGS: "`collect` with `keep: all`"}
"""Variables that only some mappings have, and what gives them to a mapping."""
MESSAGE_KEYS = ("topic", "connection")

_STEP = re.compile(
    r"""\s*(?: \.\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | \[\s* (?: '(?P<single>[^'\\\n]*)' | "(?P<double>[^"\\\n]*)" | (?P<index>[0-9]{1,9}) ) \s*\] )""",
    re.VERBOSE,
)
_ROOT = re.compile(rf"\s*(?P<root>{'|'.join(ROOTS)})\b")
MISSING = object()


@dataclass(frozen=True, slots=True)
class Path:
    """A path to one value: a root variable followed by keys (text) and indices (numbers from 0)."""

    root: str
    steps: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        """Return it as written in a mapping."""
        return self.root + "".join(_written(step) for step in self.steps)


@record(frozen=True, slots=True)
class Scope:
    """The variables of expressions for one message; wall time in seconds since 1970 is the variable `now`.

    `of_rules` has the variables of `RULE_ROOTS`.
    """

    payload: Any
    captures: MappingOf[str, str]
    message: Message
    wall_s: float
    of_rules: MappingOf[str, Any] | None = None

    def root(self, name: str) -> Any:
        """Return the value of a root variable, one of `ROOTS`. If user properties repeat, the last one counts."""
        if name == PAYLOAD:
            return self.payload
        if name == TOPIC:
            return self.captures
        if name == HEADERS:
            return dict(self.message.properties.user)
        if name == MESSAGE:
            return {"topic": self.message.topic, "connection": self.message.connection}
        if name == NOW:
            return datetime.fromtimestamp(self.wall_s, UTC)
        return (self.of_rules or {})[name]


def parse_path(text: str) -> Path | None:
    """Return `text` as a path, or None if it is anything else (then it may be an expression)."""
    root = _ROOT.match(text)
    if root is None:
        return None
    steps: list[str | int] = []
    end = root.end()
    while step := _STEP.match(text, end):
        steps.append(_meaning(step))
        end = step.end()
    return None if text[end:].strip() else Path(root["root"], tuple(steps))


def _meaning(step: re.Match[str]) -> str | int:
    if step["index"] is not None:
        return int(step["index"])
    return next(part for part in (step["name"], step["single"], step["double"]) if part is not None)


def _written(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() and step.isascii() else f"['{step}']"


def walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    """Return the value at `steps` from `value`, or `MISSING` if a key or index does not exist."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = value[step]
        elif not isinstance(value, list) or step >= len(value):
            return MISSING
        else:
            value = value[step]
    return value
