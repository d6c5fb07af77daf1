"""Messages without payload, as whoever clears a retained topic sends them."""

from __future__ import annotations

from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, reply, send, skipped
from tests.hostile.stage import DEVICE, OPERATOR, PREFIX
from tests.support.spine import mapping

GROUP = Group(
    "no-payload",
    (
        Attack("a cleared reading", send("sensors/cleared/7", b"", user=DEVICE), skipped("empty")),
        Attack("a cleared trigger", send(TRIGGER, b""), dead_letter("invalid-json"), reply(400)),
        Attack("a cleared stop", send(f"{PREFIX}/stop", b"", user=OPERATOR), dead_letter("invalid-json")),
    ),
    mappings=mapping("cleared", "sensors/cleared/{device}", "payload: {format: text}"),
)
