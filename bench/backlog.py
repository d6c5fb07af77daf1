"""A start on a backlog: seconds from the start of the process to the first workflow, and its memory.

The baseline is a start on 1,000 waiting events in the same run; a start on a million reads no more of them. Both hold
the same number of workflows when memory is read.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Figure
from bridge.core.clock import SystemClock
from bridge.core.model import WorkflowOrder
from bridge.spool.records import NewEvent
from tests.support.backlog import make_backlog
from tests.support.bridge_files import INSPECT, NAMESPACE, TEMPLATE, BridgeFiles
from tests.support.bridge_inside import SPOOL_FILE
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import free_port
from tests.support.simulator_process import SimulatorProcess
from tests.support.transport_ends import wait_until

SMALL = 1000
STARTS = 3
WITHIN_S = 60.0
_MANIFEST = f'{{"metadata":{{}},"spec":{{"workflowTemplateRef":{{"name":"{TEMPLATE}"}}}}}}'.encode()


def _event(name: str) -> NewEvent:
    identity = hashlib.sha256(name.encode()).digest()
    order = WorkflowOrder(NAMESPACE, name, _MANIFEST, name, {"value": "95.5"})
    return NewEvent(identity, "all", order, "all", "sensors/1", "plant", identity, max_age_s=604800)


def _start(folder: Path, argo: SimulatorProcess, waiting: int) -> tuple[float, float]:
    """Start one bridge on `waiting` events; returns seconds to the first workflow, and MiB of memory."""
    files = BridgeFiles(folder, f"mqtt://127.0.0.1:{free_port()}", argo.url, web_port=free_port())
    files.write()
    files.data_dir.mkdir()
    make_backlog(files.data_dir / SPOOL_FILE, SystemClock(), [(_event(folder.name), waiting)])
    before = argo.stats["created"]
    with BridgeProcess(files) as bridge:
        started_s = time.monotonic()
        bridge.start()
        wait_until(lambda: argo.stats["created"] > before, "the first workflow", WITHIN_S)
        first_s = time.monotonic() - started_s
        wait_until(lambda: argo.stats["created"] >= before + SMALL, f"{SMALL} workflows", WITHIN_S)
        return first_s, bridge.peak_kib / 1024


def run(waiting: int) -> list[Figure]:
    """Return time and memory with `waiting` events beside those with 1,000, the median of some starts each."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-backlog-") as name,
        SimulatorProcess("--container-duration", "0.02", "--retention", "500") as argo,
    ):
        argo.put_template(INSPECT)
        found = {}
        for count in (SMALL, waiting):
            starts = []
            for number in range(STARTS):
                folder = Path(name) / f"backlog-{count}-{number}"
                folder.mkdir()
                starts.append(_start(folder, argo, count))
            found[count] = tuple(statistics.median(values) for values in zip(*starts, strict=True))
    (base_s, _), (first_s, mib) = found[SMALL], found[waiting]
    few = f"{SMALL:,} waiting"
    return [
        Figure(f"start to first create, {waiting:,} waiting", first_s, "s", base_s, few, goal=1.2, is_limit=True),
        Figure(f"memory, {waiting:,} waiting", mib, "MiB", goal=120.0, is_limit=True),
    ]
