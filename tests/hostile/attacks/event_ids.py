"""A client uses the name of another one's request for its own."""

from __future__ import annotations

from typing import Any

from tests.hostile.attack import TRIGGER, Attack, Group, counted, dead_letter, reply
from tests.hostile.stage import EVERYWHERE, LINE_CONTROL, Stage, Venue
from tests.support.bridge_files import TEMPLATE

MINE = {"submit": {"template": TEMPLATE}}
OTHER = {"submit": {"template": TEMPLATE, "entrypoint": "main"}}
BINARY = [("specversion", "1.0"), ("source", "erp"), ("id", "order-2")]


def _reused(name: str, venues: frozenset[Venue], event_id: str = "", **properties: Any) -> Attack:
    named = {"eventId": event_id} if event_id else {}

    def act(stage: Stage) -> None:
        for body in (MINE | {"requestId": 1}, OTHER, MINE | {"requestId": 2}):
            stage.publish(LINE_CONTROL, TRIGGER, body | named, **properties)

    return Attack(
        name,
        act,
        dead_letter("event-id-reused"),
        reply(409, "used for a different request"),
        counted("events_duplicate_total"),
        venues=venues,
        workflows=1,
    )


GROUP = Group(
    "event ids",
    (
        _reused("another request under a known eventId", EVERYWHERE, "order-1"),
        _reused(
            "another request under a known CloudEvents id",
            frozenset({Venue.ACL, Venue.RABBITMQ}),
            user_properties=BINARY,
        ),
        _reused("another request under a known message_id", frozenset({Venue.RABBITMQ}), message_id="order-3"),
    ),
)
