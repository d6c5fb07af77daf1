"""A day's done rows are purged beside ingest: in steps of bounded work, with room for commits between them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bridge.core.clock import SystemClock
from bridge.core.metrics import Metrics
from bridge.pipeline.housekeeping import PURGE_STEP, Housekeeping
from bridge.spool.files import connect
from bridge.spool.options import SpoolOptions
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import event
from tests.support.backlog import make_backlog
from tests.support.transport_ends import wait_until

ENDED = 100_000
STEPS = 300_000
"""SQLite's steps for 1,000 rows in four tables; all rows at once would take a hundred times as many."""
END_ALL = """
begin;
insert into ended (seq, ended_s) select seq, 1.0 from waiting;
delete from waiting;
update lanes set waiting = 0, bytes = 0;
update manifests set refs = 0;
commit;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A spool whose rows have all ended."""
    path = tmp_path / "spool.db"
    make_backlog(path, SystemClock(), [(event(1), ENDED)])
    with closing(connect(str(path))) as connection:
        connection.executescript(END_ALL)
    return path


def opened(path: Path) -> Spool:
    return Spool.open(path, clock=SystemClock(), limits=SpoolOptions(keep_done_s=-1))


@pytest.mark.slow
def test_a_step_takes_bounded_work(path: Path) -> None:
    """However many rows may go, one step deletes a thousand and no more, and does no work for the others."""
    ticks: list[int] = []
    with opened(path) as spool:
        spool._database._writer.set_progress_handler(lambda: ticks.append(1), 100)
        spool.purge(PURGE_STEP)
        assert spool.figures().rows == ENDED - PURGE_STEP
        assert 0 < 100 * len(ticks) < STEPS, len(ticks)
        spool._database._writer.set_progress_handler(None, 0)
        while spool.purge(PURGE_STEP):
            pass
        assert spool.figures().rows == 0
        assert spool.check() == ()


@pytest.mark.slow
def test_ingest_commits_between_the_steps(path: Path) -> None:
    """While housekeeping takes a hundred steps, commits go through one after the other, and none is lost."""
    with opened(path) as spool:
        housekeeping = Housekeeping(spool, Metrics())
        housekeeping.start()
        try:
            wait_until(lambda: spool.figures().rows < ENDED, "the first step", 30)
            left: list[int] = []
            while (rows := spool.figures().rows - len(left)) > 0:
                spool.commit(NewRows(events=[event(1000 + len(left))]))
                left.append(rows)
        finally:
            assert housekeeping.stop(30) == []
        # Each commit found another number of old rows, or it did not come between two steps.
        assert len(set(left)) >= ENDED / PURGE_STEP / 4
        assert spool.figures().waiting == len(left)
