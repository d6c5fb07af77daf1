"""Payloads that devices really send, and that are easily taken for something else."""

from __future__ import annotations

from tests.hostile.attack import TRIGGER, Attack, Group, counted, dead_letter, reply, send, skipped
from tests.hostile.stage import DEVICE, OPERATOR, PREFIX, Stage
from tests.support.spine import mapping

SEQ = 90_071_992_547_409_930


def count_on(stage: Stage) -> None:
    """Two ids that are one as doubles, the second of them twice."""
    for seq in (SEQ, SEQ + 1, SEQ + 1):
        stage.publish(DEVICE, "sensors/counted/1", {"boot": "b", "seq": seq, "n": "counted"})


GROUP = Group(
    "device-payloads",
    (
        Attack("a cleared reading", send("sensors/cleared/7", b"", user=DEVICE), skipped("empty")),
        Attack("a cleared trigger", send(TRIGGER, b""), dead_letter("invalid-json"), reply(400)),
        Attack("a cleared stop", send(f"{PREFIX}/stop", b"", user=OPERATOR), dead_letter("invalid-json")),
        Attack("counters above 2^53", count_on, counted("events_duplicate_total", mapping="counted"), workflows=2),
        Attack(
            "a leak alarm whose battery is null",
            send("sensors/leak/1", {"battery": None, "water_leak": True, "n": "leak"}, user=DEVICE),
            counted("events_stored_total", mapping="leak"),
            workflows=1,
        ),
        Attack(
            "a reading with a byte order mark and a NUL",
            send("sensors/leak/1", b'\xef\xbb\xbf{"water_leak": true, "n": "marked"}\0\n', user=DEVICE),
            workflows=1,
        ),
        Attack(
            "noise on a topic that skips it",
            send("sensors/noisy/1", b"\xff\0{", user=DEVICE, times=50),
            skipped("unreadable", 50),
        ),
    ),
    mappings=(
        mapping("cleared", "sensors/cleared/{device}", "payload: {format: text}")
        + mapping("counted", "sensors/counted/{device}", "event-id: payload.boot + '-' + string(payload.seq)")
        + mapping("noisy", "sensors/noisy/{device}", "payload: {on-unreadable: skip}")
        + mapping("leak", "sensors/leak/{device}", "when: payload.water_leak && default(payload.battery, 100) > 5")
    ),
)
