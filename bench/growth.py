"""How the rates change with what a bridge has to hold: mappings, keys of `order-by`, and waiting events."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from bench.argo_stub import ArgoStub
from bench.figures import Figure
from bench.whole_way import MAPPINGS, Bridge, drain_with_bridge, filtered, filtering_mappings, readings, triggering
from bridge.core.clock import SystemClock
from bridge.core.model import WorkflowOrder
from bridge.spool.records import NewEvent
from tests.support.backlog import make_backlog
from tests.support.bridge_inside import SPOOL_FILE
from tests.support.transport_ends import wait_until

_MANIFEST = b'{"metadata":{},"spec":{"workflowTemplateRef":{"name":"inspect-boiler"}}}'
_ORDERED = (MAPPINGS.replace("    event-id:", "    order-by: topic.device\n    event-id:"),)


def _series(name: str, unit: str, values: dict[int, float], of: str) -> list[Figure]:
    first = next(iter(values))
    return [
        Figure(f"{name}, {count:,} {of}", per_s, unit, values[first], f"{first:,} {of}")
        for count, per_s in values.items()
    ]


def _drained(waiting: int, creates: int) -> float:
    """Return creates/s of the first `creates` of `waiting` stored events."""
    identity = hashlib.sha256(b"backlog").digest()
    order = WorkflowOrder("factory", "inspect", _MANIFEST, "inspect", {"value": "95.5"})
    event = NewEvent(identity, "boiler-overheat", order, "boiler-overheat", "sensors/1", "plant", identity)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ArgoStub() as argo:
        bridge = Bridge(Path(name), 'mqtt: {url: "mqtt://127.0.0.1:9"}', argo)
        (Path(name) / "data").mkdir()
        make_backlog(Path(name) / "data" / SPOOL_FILE, SystemClock(), [(event, waiting)])
        with bridge.running():
            wait_until(lambda: argo.figures().creates >= creates, f"{creates} creates", 120.0)
            return argo.figures().per_s


def run(count: int) -> list[Figure]:
    """Return the series, each with up to `count` messages or events a point."""
    mappings = {}
    for number in (10, 100, 1000, 10_000):
        messages = filtered(count, number)
        mappings[number] = drain_with_bridge(messages, triggering(messages), filtering_mappings(number)).per_s
    keys = {}
    for number in (10, 100, 1000, 10_000):
        payloads = [payload for _, payload in readings(count // 5)]
        messages = [(f"sensors/a/boiler/{seq % number}/temperature", one) for seq, one in enumerate(payloads)]
        keys[number] = drain_with_bridge(messages, len(messages), _ORDERED).per_s
    backlogs = {number: _drained(number, min(number, count // 5)) for number in (count // 5, 100_000, 1_000_000)}
    return [
        *_series("filter path", "messages/s", mappings, "mappings"),
        *_series("whole path", "events/s", keys, "keys of order-by"),
        *_series("drain", "events/s", backlogs, "waiting"),
    ]
