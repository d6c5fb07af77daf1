"""The spool stays small, and its figures are seen."""

from __future__ import annotations

import pytest
from pipeline_fakes import FlakySpool, event

from bridge.core.metrics import Metrics
from bridge.pipeline.housekeeping import EVERY_S, PURGE_STEP, Housekeeping
from bridge.spool.records import Finished, NewRows, Outcome
from tests.support.clock import FakeClock


class RoundsOf(Housekeeping):
    """Housekeeping whose waits end at once, for so many rounds."""

    def __init__(self, spool: FlakySpool, metrics: Metrics, clock: FakeClock) -> None:
        super().__init__(spool, metrics)  # type: ignore[arg-type]  # the real one, with a switch
        self._left = 0
        self._clock = clock
        self._stop = self  # type: ignore[assignment]  # its only use is to wait

    def wait(self, timeout_s: float) -> bool:
        """Whether it is over."""
        if timeout_s >= EVERY_S:
            self._left -= 1
            self._clock.advance(timeout_s)
        return self._left < 0

    def go(self, rounds: int) -> None:
        """So many rounds."""
        self._left = rounds
        self.run()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def spool(clock: FakeClock) -> FlakySpool:
    """Empty."""
    return FlakySpool(clock)


def test_a_round_drops_all_that_need_not_be_kept(spool: FlakySpool, clock: FakeClock) -> None:
    """More than one step of ended rows past keep-done are gone after one round, waiting ones stay."""
    count = 2 * PURGE_STEP + 5
    spool.real.commit(NewRows(events=[event(number) for number in range(count + 1)]))
    rows = spool.real.waiting("m", 0, count)
    spool.real.settle([Finished(row.seq, Outcome.DONE) for row in rows])
    clock.advance(86_401)
    metrics = Metrics()
    tidy = RoundsOf(spool, metrics, clock)
    tidy.go(1)
    assert (tidy.figures.rows, tidy.figures.waiting) == (1, 1)
    assert metrics.value("spool_waiting") == 1
    assert metrics.value("spool_bytes") > 0


def test_a_failing_spool_is_a_problem_until_it_works_again(
    spool: FlakySpool, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Rounds go on, and it is told once a minute."""
    spool.failing = {"purge"}
    tidy = RoundsOf(spool, Metrics(), clock)
    tidy.go(61)
    assert tidy.problem is not None
    assert tidy.problem.code == "disk-full"
    assert len(caplog.records) == 2
    spool.failing = set()
    tidy.go(1)
    assert tidy.problem is None
