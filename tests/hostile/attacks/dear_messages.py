"""Messages that are small to send and dear to read."""

from __future__ import annotations

from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, send
from tests.hostile.stage import DEVICE
from tests.support.spine import mapping

LONG = "a" * 29
MISSPELT = {"workflow": {"spec": {f"serviceAccountNames{number:03}": 1 for number in range(420)}}}
LONG_NAMES = {
    "workflow": {
        "spec": {
            "templates": [
                {
                    "name": "d",
                    "dag": {
                        "tasks": [
                            {"name": f"{LONG}{LONG}{number}", "dependencies": [f"b{LONG}{LONG}{number}"]}
                            for number in range(1000)
                        ]
                    },
                }
            ]
        }
    }
}
EMPTY_TEMPLATES = {"workflow": {"spec": {"templates": [{}] * 50_000}}}
SCHEMA = "payload: {schema: {properties: {s: {pattern: '^(a+)+$'}, list: {items: {type: string}}}}}"

GROUP = Group(
    "dear-messages",
    (
        Attack(
            "60 times 12 KB of misspelt keys",
            send(TRIGGER, MISSPELT, times=60),
            dead_letter("invalid-workflow", 60),
            cpu_s=10,
        ),
        Attack("1,000 misspelt tasks with long names", send(TRIGGER, LONG_NAMES), dead_letter("invalid-workflow")),
        Attack("50,000 empty templates", send(TRIGGER, EMPTY_TEMPLATES), dead_letter("invalid-workflow")),
        Attack(
            "a text for a backtracking pattern",
            send("sensors/dear/1", {"s": "a" * 100_000 + "!"}, user=DEVICE),
            dead_letter("payload-schema"),
        ),
        Attack(
            "60,000 wrong items",
            send("sensors/dear/1", {"list": [1] * 60_000}, user=DEVICE),
            dead_letter("payload-schema"),
        ),
    ),
    mappings=mapping("dear", "sensors/dear/{device}", SCHEMA),
)
