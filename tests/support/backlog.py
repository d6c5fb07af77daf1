"""Makes a spool with any number of waiting rows within seconds: one real row a lane, copied by SQL.

For tests and benchmarks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bridge.core.clock import Clock
from bridge.spool.files import connect
from bridge.spool.records import NewEvent, NewRows
from bridge.spool.store import Spool

# Numbers from the first free one on; of an order key only the first row is in turn.
_COPY = """
with recursive numbers (n) as (select :first union all select n + 1 from numbers where n < :last)
insert into events (seq, id, digest, namespace, name)
select n, cast(substr(hex(e.id), 1, 8) || printf('%024d', n) as blob), e.digest, e.namespace, e.name || '-' || n
from numbers cross join events e on e.seq = :seq;
"""
_COPY_WAITING = """
insert into waiting (seq, lane, manifest, order_key, not_before_s, expires_at_s, attempts, stored_at_s, body)
select e.seq, w.lane, w.manifest, w.order_key, case when w.order_key is null then w.not_before_s end,
    w.expires_at_s + e.seq % 7, w.attempts, w.stored_at_s, w.body
from events e cross join waiting w on w.seq = :seq where e.seq between :first and :last;
"""


def make_backlog(path: Path, clock: Clock, events: Sequence[tuple[NewEvent, int]]) -> None:
    """Write a spool in which each of `events` waits so many times, under identities and names of their own.

    Args:
        path: of a file that is not there yet.
        clock: time of the spool.
        events: one a lane, with how many rows of it there are to be.
    """
    with Spool.open(path, clock=clock) as spool:
        spool.commit(NewRows(events=[event for event, _ in events]))
        counts = {_row_seq(spool, event): count for event, count in events}
    with closing(connect(str(path))) as connection:
        connection.execute("pragma synchronous = off")
        connection.execute("pragma cache_size = -200000")
        connection.execute("begin")
        for seq, count in counts.items():
            (first,) = connection.execute("select next_seq from state").fetchone()
            values = {"seq": seq, "first": first, "last": first + count - 2}
            if count > 1:
                connection.execute(_COPY, values)
                connection.execute(_COPY_WAITING, values)
            more = {"more": count - 1, "seq": seq}
            connection.execute("update state set next_seq = next_seq + :more, rows = rows + :more", more)
            for table, column in (("lanes", "waiting"), ("manifests", "refs")):
                which = "lane" if table == "lanes" else "manifest"
                connection.execute(
                    f"update {table} set {column} = {column} + :more "
                    f"where id = (select {which} from waiting where seq = :seq)",
                    more,
                )
        connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")
    with path.open("rb") as file:
        os.fsync(file)  # as the rows of a real spool are, so that no later commit has to wait for these


def _row_seq(spool: Spool, event: NewEvent) -> int:
    row = spool.find_waiting(event.id)
    assert row is not None
    return row.seq
