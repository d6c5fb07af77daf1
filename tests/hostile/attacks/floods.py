"""One client sends much: it fills neither memory nor the log, and hides nobody else."""

from __future__ import annotations

from tests.hostile.attack import Attack, Group, Seen, counted
from tests.hostile.stage import DEVICE, NAMESPACE, OPERATOR, PREFIX, Stage, Venue
from tests.support.spine import mapping

MANY = 300
NOISY = [f"sensors/numbers/{name}" for name in "abc"]


def long_topics(stage: Stage) -> None:
    """Send what is no number on topics of 60 KB, each another one."""
    for number in range(MANY):
        stage.publish(DEVICE, f"sensors/numbers/{number}-" + "n" * 60_000, b"x")


def large_statuses(stage: Stage) -> None:
    """Report on workflows that nobody knows, with 250 KB of details each."""
    for number in range(MANY):
        body = {"namespace": NAMESPACE, "workflowId": f"w-{number}", "status": "Running"}
        stage.publish(OPERATOR, f"{PREFIX}/status", body | {"details": {"text": f"{number:06}" * 40_000}})


def a_device_that_chatters(stage: Stage) -> None:
    """One device sends what is no number again and again, two others once."""
    for _ in range(20):
        stage.publish(DEVICE, NOISY[0], b"x")
    for topic in NOISY[1:]:
        stage.publish(DEVICE, topic, b"x")


def a_line_each(seen: Seen) -> bool:
    """Each device has a line of its own in the log."""
    lines = [line for line in seen.log.splitlines() if "refused a message" in line]
    return [sum(f"topic={topic}" in line for line in lines) for topic in NOISY] == [1, 1, 1]


def most_are_dropped(seen: Seen) -> bool:
    """16 MiB of them are kept."""
    return seen.rise("external_statuses_total", outcome="dropped") > MANY * 2 / 3


GROUP = Group(
    "floods",
    (
        Attack("large statuses of unknown workflows", large_statuses, most_are_dropped, cpu_s=20.0, memory_mib=128.0),
        Attack(
            "a device that chatters",
            a_device_that_chatters,
            counted("dead_letters_total", 22, reason="invalid-payload"),
            a_line_each,
        ),
        Attack(
            "bad readings on topics of 60 KB",
            long_topics,
            counted("dead_letters_total", MANY, reason="invalid-payload"),
            venues=frozenset({Venue.ACL, Venue.ANONYMOUS}),  # a routing key has 255 bytes
            cpu_s=10.0,
        ),
    ),
    mappings=mapping("numbers", "sensors/numbers/{device}", "payload: {format: number}"),
)
