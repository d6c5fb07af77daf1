"""Measures the spool: rows/s inserted and settled, beside a bare sqlite3 insert loop of the same run.

    python bench/spool.py [--events 50000] [--batch 500] [--directory DIR]

Prints one line each; read the ratios, the machine's disk makes the rates. Never part of the test suite.

Thread: one.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import tempfile
import time
from pathlib import Path

from bridge.core.clock import SystemClock
from bridge.core.model import WorkflowOrder
from bridge.spool.options import SpoolOptions
from bridge.spool.records import Finished, Inflight, NewEvent, NewRows, Outcome
from bridge.spool.store import Spool

MANIFEST = b'{"metadata":{},"spec":{"workflowTemplateRef":{"name":"inspect-boiler"}}}'
PAYLOAD = "x" * 1000


def event(number: int, *, key: str = "") -> NewEvent:
    """Return an event with 1 KB of parameters."""
    identity = hashlib.sha256(b"%d" % number).digest()
    name = f"inspect-boiler-{identity.hex()[:16]}"
    order = WorkflowOrder("factory", "inspect-boiler", MANIFEST, name, {"device": str(number), "value": PAYLOAD})
    topic = f"sensors/a/boiler/{number}/temperature"
    return NewEvent(
        identity, "boiler-overheat", order, "boiler-overheat", topic, "plant", identity, order_key=key, max_age_s=604800
    )


def bare(directory: Path, events: list[NewEvent], size: int) -> float:
    """Return rows/s of an insert loop that stores id and 1 KB, WAL and FULL, `size` rows a commit."""
    connection = sqlite3.connect(directory / "bare.db", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table events (seq integer primary key, id blob unique, body blob)")
    rows = [(each.id, PAYLOAD.encode()) for each in events]
    started = time.perf_counter()
    for start in range(0, len(rows), size):
        connection.execute("begin immediate")
        connection.executemany(
            "insert into events (id, body) values (?, ?) on conflict (id) do nothing", rows[start : start + size]
        )
        connection.execute("commit")
    rate = len(rows) / (time.perf_counter() - started)
    connection.close()
    return rate


def inserted(spool: Spool, events: list[NewEvent], size: int, *, inflight: bool = False) -> float:
    """Return events/s of `Spool.commit`."""
    batches = []
    for start in range(0, len(events), size):
        part = tuple(events[start : start + size])
        rows = tuple(
            Inflight("plant", 1 + (start + number) % 65535, each.id, each.id[:16]) for number, each in enumerate(part)
        )
        batches.append(NewRows(events=part, inflight=rows if inflight else ()))
    started = time.perf_counter()
    for batch in batches:
        spool.commit(batch)
    return len(events) / (time.perf_counter() - started)


def taken(spool: Spool) -> tuple[float, list[int]]:
    """Return events/s of `Spool.waiting` with 256 a read, and every number."""
    seqs: list[int] = []
    started = time.perf_counter()
    while rows := spool.waiting("boiler-overheat", seqs[-1] if seqs else 0, 256):
        seqs.extend(row.seq for row in rows)
    return len(seqs) / (time.perf_counter() - started), seqs


def settled(spool: Spool, seqs: list[int], size: int) -> float:
    """Return events/s of `Spool.settle`, all done."""
    batches = [[Finished(seq, Outcome.DONE) for seq in seqs[at : at + size]] for at in range(0, len(seqs), size)]
    started = time.perf_counter()
    for batch in batches:
        spool.settle(batch)
    return len(seqs) / (time.perf_counter() - started)


def purged(directory: Path) -> float:
    """Return rows/s of `Spool.purge` of what is in `directory`, with nothing kept."""
    with Spool.open(directory / "spool.db", clock=SystemClock(), limits=SpoolOptions(keep_done_s=-1)) as spool:
        started, count = time.perf_counter(), 0
        while step := spool.purge():
            count += step
        return count / (time.perf_counter() - started)


def main() -> None:
    """Run all parts and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--directory", default=None)
    options = parser.parse_args()
    events = [event(number) for number in range(options.events)]
    ordered = [event(number, key=f"boiler-overheat {number % 1000}") for number in range(-options.events, 0)]
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        base = bare(directory, events, options.batch)

        def report(label: str, rate: float) -> None:
            print(f"{label:36} {rate:10,.0f}/s  {rate / base:5.2f}")

        report("bare sqlite3 insert", base)
        with Spool.open(directory / "spool.db", clock=SystemClock()) as spool:
            report("commit", inserted(spool, events, options.batch))
            rate, seqs = taken(spool)
            report("waiting, 256 a read", rate)
            report("settle", settled(spool, seqs, options.batch))
        report("purge", purged(directory))
        with Spool.open(directory / "second.db", clock=SystemClock()) as spool:
            report("commit with inflight rows", inserted(spool, events, options.batch, inflight=True))
            report("commit of known events", inserted(spool, events, options.batch))
            report("commit with order keys", inserted(spool, ordered, options.batch))
            print(f"bytes an event on disk {spool.figures().bytes / (2 * options.events):,.0f}")


if __name__ == "__main__":
    main()
