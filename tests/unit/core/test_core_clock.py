"""The bridge's own clock only grows, whatever the wall clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.backoff import Backoff
from bridge.core.clock import MAX_RESTART_GAP_S, AgeClock, rfc3339
from tests.support.clock import FakeClock

DAY_S = 86_400.0


def test_age_advances_with_the_monotonic_clock_only() -> None:
    """A jump of the wall clock by 50 years moves no age."""
    clock = FakeClock()
    age = AgeClock(clock)
    clock.advance(10)
    clock.jump_wall(50 * 365 * DAY_S)
    clock.advance(5)
    assert age.now_s() == 15


def test_a_restart_counts_the_time_away() -> None:
    """An hour between two runs is an hour of age."""
    clock = FakeClock(wall_s=1_000_000)
    assert AgeClock(clock, stored_age_s=500, stored_wall_s=1_000_000 - 3600).now_s() == 4100


@given(st.floats(min_value=-1e10, max_value=1e10))
def test_a_restart_across_a_jump_counts_nothing(jump_s: float) -> None:
    """A gap below 0 or over 30 days (boot in 1970, NTP) counts as none; age never goes back."""
    clock = FakeClock(wall_s=2e9)
    age = AgeClock(clock, stored_age_s=500, stored_wall_s=2e9 - jump_s).now_s()
    # The gap is a difference of two large floats, so it is exact to a microsecond only.
    gap_s = 2e9 - (2e9 - jump_s)
    assert age == pytest.approx(500 + gap_s if 0 <= gap_s <= MAX_RESTART_GAP_S else 500)


@given(st.integers(min_value=-5, max_value=10_000))
def test_backoff_stays_within_its_cap(attempt: int) -> None:
    """No attempt number overflows or exceeds the cap, and the jitter only shortens."""
    delay = Backoff(initial_s=0.5, cap_s=60).delay_s(attempt)
    assert 0.5 * 0.7 <= delay <= 60


def test_backoff_doubles() -> None:
    """Without jitter the delays are 1, 2, 4, ... up to the cap."""
    backoff = Backoff(initial_s=1, cap_s=5, jitter=0)
    assert [backoff.delay_s(n) for n in (1, 2, 3, 4)] == [1, 2, 4, 5]


def test_rfc3339_is_utc_with_milliseconds() -> None:
    """Times that people see are UTC."""
    assert rfc3339(0.5) == "1970-01-01T00:00:00.500Z"
