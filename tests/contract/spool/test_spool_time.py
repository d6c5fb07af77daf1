"""Ages over restarts and clock jumps: gateways boot in 1970."""

from __future__ import annotations

from pathlib import Path

from bridge.spool.options import SpoolOptions
from bridge.spool.records import NewRows, Postponed
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event, seqs_waiting
from tests.support.clock import FakeClock


def opened(path: Path, clock: FakeClock, **limits: float) -> Spool:
    return Spool.open(path / "spool.db", clock=clock, limits=SpoolOptions(**limits))


def test_a_restart_keeps_ages_going(tmp_path: Path) -> None:
    """The time that the bridge was away counts, by the wall clock's difference."""
    clock = FakeClock()
    with opened(tmp_path, clock) as spool:
        spool.commit(NewRows(events=[event(1, max_age_s=100.0)]))
        before = spool.age.now_s()
    clock.advance(99)
    with opened(tmp_path, clock) as spool:
        assert spool.age.now_s() == before + 99
        assert spool.expired(spool.age.now_s(), 9) == ()
        clock.advance(1)
        assert len(spool.expired(spool.age.now_s(), 9)) == 1


def test_a_boot_in_1970_expires_nothing(tmp_path: Path) -> None:
    """A wall clock that starts in 1970 and jumps to today, over a restart too, ages nothing."""
    clock = FakeClock(wall_s=12.0)
    with opened(tmp_path, clock, keep_done_s=3600.0) as spool:
        spool.commit(NewRows(events=[event(1, max_age_s=3600.0), event(2)]))
        spool.settle([done(seqs_waiting(spool)[1])])
        clock.jump_wall(1.7e9)
        assert spool.expired(spool.age.now_s(), 9) == ()
    with opened(tmp_path, clock, keep_done_s=3600.0) as spool:
        spool.purge()
        assert spool.expired(spool.age.now_s(), 9) == ()
        assert spool.commit(NewRows(events=[event(2)])).stored == 0


def test_a_wall_clock_set_back_does_not_stop_retries(tmp_path: Path) -> None:
    """A postponed row is due after its time has run, wherever the wall clock went meanwhile."""
    clock = FakeClock()
    with opened(tmp_path, clock) as spool:
        spool.commit(NewRows(events=[event(1)]))
        spool.settle([], [Postponed(seqs_waiting(spool)[0], 1, spool.age.now_s() + 10)])
    clock.jump_wall(-1e9)
    with opened(tmp_path, clock) as spool:
        assert spool.due("boiler", spool.age.now_s(), 9) == ()
        clock.advance(10)
        assert len(spool.due("boiler", spool.age.now_s(), 9)) == 1


def test_an_idle_bridge_writes_its_age_down(tmp_path: Path) -> None:
    """Without events the age clock is stored once an hour, so that a power loss and a jump take an hour at most."""
    clock = FakeClock()
    with opened(tmp_path, clock) as spool:
        for _ in range(48):
            clock.advance(1800)
            assert spool.purge() == 0
        before = spool.age.now_s()
    clock.jump_wall(-1e9)
    with opened(tmp_path, clock) as spool:
        assert before - 3600 <= spool.age.now_s() <= before
