"""What other systems may say of workflows, and say wrongly."""

from __future__ import annotations

from typing import Any

from tests.hostile.attack import Attack, Group, counted, dead_letter, reply, send, skipped
from tests.hostile.stage import EVERYWHERE, MQTT, OPERATOR, PREFIX, Stage, Venue

STATUS = f"{PREFIX}/status"
ACL = frozenset({Venue.ACL})
"""Elsewhere the bridge hears its own stream, and skips it likewise."""
GOOD = {"namespace": "factory", "workflowId": "elsewhere", "status": "Running", "progress": "50%", "message": "m"}


def refused(name: str, body: Any, reason: str = "invalid-status-update", code: int = 400) -> Attack:
    """An update that is refused for this reason."""
    answer = reply(code, topic=f"{PREFIX}/response/status")
    return Attack(name, send(STATUS, body, user=OPERATOR), dead_letter(reason), answer)


def ignored(name: str, topic: str, body: Any, *expected: Any, venues: frozenset[Venue] = EVERYWHERE) -> Attack:
    """A message that leads to nothing."""
    return Attack(name, send(topic, body, user=OPERATOR), *expected, venues=venues)


def many(stage: Stage) -> None:
    """300 updates of workflows that nobody knows."""
    for number in range(300):
        stage.publish(OPERATOR, STATUS, GOOD | {"workflowId": f"unknown-{number}"})


GROUP = Group(
    "status-updates",
    (
        refused("an update that is no JSON", b"{"),
        refused("an update that is a list", [GOOD]),
        refused("a phase of nobody's", GOOD | {"status": "Exploded"}),
        refused("a progress beyond the end", GOOD | {"progress": "101%"}),
        refused("a progress of a million digits", GOOD | {"progress": "1" * 200_000 + "%"}),
        refused("a workflow that is a filter", GOOD | {"workflowId": "a/#"}),
        refused("a workflow that is a path", GOOD | {"workflowId": "../../state"}),
        refused("an update with unknown keys", GOOD | {"phase": "Running", "__proto__": {}}),
        refused("details that are a text", GOOD | {"details": "x"}),
        refused("details with a number of 70 bits", GOOD | {"details": {"a": 2**70}}),
        refused("an update in a forbidden namespace", GOOD | {"namespace": "kube-system"}, "forbidden-namespace", 403),
        ignored(
            "an update in a bridge's name",
            STATUS,
            GOOD | {"details": {"bridge": "plant-2"}},
            skipped("bridge-status"),
            venues=ACL,
        ),
        ignored(
            "an update in a name that is a list",
            STATUS,
            GOOD | {"details": {"bridge": [["plant-1"]]}},
            skipped("bridge-status"),
            venues=ACL,
        ),
        ignored("bytes on the topic of a status", f"{STATUS}/factory/w", b"\xff\xfe\x00", venues=MQTT),
        ignored(
            "90,000 levels on the topic of a status",
            f"{STATUS}/factory/w",
            b"[" * 90_000,
            venues=MQTT,
        ),
        ignored(
            "a status of a workflow with a name of nobody's",
            f"{STATUS}/factory/$x",
            GOOD,
            venues=MQTT,
        ),
        Attack("300 updates of unknown workflows", many, counted("external_statuses_total", 300)),
    ),
)
