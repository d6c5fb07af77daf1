"""Payloads that are no JSON, or JSON that no request may be."""

from __future__ import annotations

from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, reply, send


def refused(name: str, payload: bytes, reason: str = "invalid-json", code: int = 400) -> Attack:
    """A trigger message that is refused for this reason."""
    return Attack(name, send(TRIGGER, payload), dead_letter(reason), reply(code))


GROUP = Group(
    "broken-json",
    (
        refused("a trailing comma", b'{"submit": {"template": "inspect"},}'),
        refused("a key twice", b'{"submit": {"template": "a"}, "submit": {"template": "inspect"}}', "duplicate-key"),
        refused("1,000 levels of objects", b'{"a":' * 1000 + b"1" + b"}" * 1000, "too-deep"),
        refused("100,000 levels of lists", b"[" * 100_000, "too-deep"),
    ),
)
