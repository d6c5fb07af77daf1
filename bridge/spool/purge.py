"""Takes away what the spool need not keep, in steps that hold the writer's lock for a moment only.

Thread: housekeeping, and ingest when the spool is full; under the writer's lock.
"""

from __future__ import annotations

from itertools import takewhile

from bridge.spool.database import Reads, Transaction
from bridge.spool.encoding import json_list

# The file shrinks once a quarter of it, and 16 MiB, are free: a burst's file does not stay for ever, and no
# shrinking and growing with each event.
FREE_PAGES = 4096
FREE_SHARE = 4
STEP_PAGES = 1024


def drop_ended(commit: Transaction, limit: int, ended_before_s: float) -> int:
    """Delete up to `limit` event rows, the first ended first, that ended before `ended_before_s`; return how many."""
    oldest = commit.run("oldest_ended", (limit,)).fetchall()
    going = list(takewhile(lambda row: row[2] < ended_before_s, oldest))
    if not going:
        return 0
    commit.run("delete_events", json_list(seq for _, seq, _ in going))
    commit.run("delete_ended", (going[-1][0],))
    commit.ledger.rows -= len(going)
    return len(going)


def spare_pages(reads: Reads) -> int:
    """Return how many unused pages to give back to the file system now, 0 unless there are many."""
    free, pages = reads.pragma("freelist_count"), reads.pragma("page_count")
    return STEP_PAGES if free > FREE_PAGES and free * FREE_SHARE > pages else 0
