"""Payloads of formats other than JSON: what devices send, and bombs within the bound of a payload."""

from __future__ import annotations

import gzip
import json

import cbor2
import msgpack
from backports import zstd

from tests.hostile.attack import EVERYWHERE, Attack, Group, dead_letter, send, skipped
from tests.hostile.stage import ATTACKER, DEVICE, Venue
from tests.support.spine import mapping

SENSORS = "sensors/formats"
LARGEST = 256 * 1024
KINDS = {
    "csv": "format: csv, columns: [n, s]",
    "cbor": "format: cbor",
    "msgpack": "format: msgpack",
    "event": "format: cloudevents, on-unreadable: skip",
    "gzip": "encoding: gzip",
    "zstd": "encoding: zstd, format: cbor",
    "latin": "charset: latin-1",
}
MAPPINGS = "".join(
    mapping(f"formats-{kind}", f"{SENSORS}/{kind}/{{device}}", f"payload: {{{keys}}}").replace(
        "payload.n", "payload.data.n" if kind == "event" else "payload.n"
    )
    for kind, keys in KINDS.items()
)
EVENT = [("specversion", "1.0"), ("id", "1"), ("source", "/a"), ("type", "t")]


WITH_PROPERTIES = frozenset({Venue.ACL, Venue.RABBITMQ})
"""MQTT 3.1.1, which is tried elsewhere, carries no properties."""


def good(kind: str, payload: bytes, venues: frozenset[Venue] = EVERYWHERE, **properties: object) -> Attack:
    """A reading that starts its workflow."""
    act = send(f"{SENSORS}/{kind}/7", payload, user=DEVICE, **properties)
    name = f"a reading as {kind}" + (" with properties" if properties else "")
    return Attack(name, act, workflows=1, venues=venues)


def bad(name: str, kind: str, payload: bytes, reason: str = "invalid-payload") -> Attack:
    """A payload that is dead-lettered."""
    assert len(payload) <= LARGEST
    return Attack(name, send(f"{SENSORS}/{kind}/7", payload, user=ATTACKER), dead_letter(reason))


GROUP = Group(
    "device-formats",
    (
        good("csv", b"1,a\r\n2,b\r\n"),
        good("cbor", cbor2.dumps({"n": 1, 2: b"\xff"})),
        good("msgpack", msgpack.packb({"n": 1, 2: b"\xff"})),
        good("event", json.dumps(dict(EVENT) | {"data": {"n": 1}}).encode()),
        good("event", b'{"n": 1}', WITH_PROPERTIES, content_type="application/json", user_properties=EVENT),
        good("gzip", gzip.compress(b'{"n": 1}')),
        good("zstd", zstd.compress(cbor2.dumps({"n": 1}))),
        good("latin", '{"n": "größe"}'.encode("latin-1")),
        bad("a hundred megabytes in gzip", "gzip", gzip.compress(b" " * 100_000_000)),
        bad("a hundred megabytes in Zstandard", "zstd", zstd.compress(b" " * 100_000_000)),
        bad("a list of four billion in CBOR", "cbor", b"\x9a\xff\xff\xff\xff"),
        bad("a quarter of a million levels of CBOR", "cbor", b"\x81" * LARGEST),
        bad("a quarter of a million tags of CBOR", "cbor", b"\xd8\x1c" * (LARGEST // 2)),
        bad("two values for one key in CBOR", "cbor", b"\xa2\x61n\x01\x61n\x02", "duplicate-key"),
        bad("a thousand lists that promise more", "msgpack", (b"\xdd\x00\x00\x3f\xff" * 1000).ljust(LARGEST, b"\x90")),
        bad("a hundred thousand lines", "csv", b"1,\n" * (LARGEST // 3)),
        bad("a cell without an end", "csv", b'"' + b"a" * (LARGEST - 1)),
        bad("code in a cell", "csv", b"{{workflow.name}},a", "template-braces"),
        Attack(
            "an event without an id, on a topic that skips it",
            send(f"{SENSORS}/event/7", json.dumps(dict(EVENT) | {"id": ""}).encode(), user=ATTACKER, times=20),
            skipped("unreadable", 20),
        ),
    ),
    mappings=MAPPINGS,
)
