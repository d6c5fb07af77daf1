"""Decides how many requests the Argo Server may get now: additive growth, halving, pauses, probes. Pure.

Sends nothing, never sleeps, reads no clock: the caller passes monotonic seconds. Owner: the thread that submits.

The window of requests in flight follows the throughput: it doubles while that completes more requests a second, and
halves when half of it completes about as many. Latency alone says too little: a server that slows down under load may
still complete more, and one that queues internally (``--kube-api-qps``) never fails, it only gets slower, and a longer
queue there does not help. 429, 5xx and timeouts halve the window once per round trip, and successes bring it back. At
one, it is the probe, with a capped backoff between probes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from bridge.argo.errors import Answer
from bridge.core.backoff import Backoff

_NEVER_S = float("-inf")
_FIRST_GROWTH = 1.1  # of the learned rate, in the second after a 429
PROBE = Backoff(initial_s=0.25, cap_s=1.0)
_SAMPLES = 32  # of a round, at least
_EXPLORE_EVERY = 40  # rounds: half a window for a moment costs as much as about one of them
_PRICE = 0.04  # 2 ** 0.04: a window twice as wide must complete 2.8% more
_NEWEST = 0.25  # weight of the newest round


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Limits of the gate.

    Attributes:
        max_in_flight: maximum of the window.
        start_in_flight: the first window.
        floor_in_flight: throughput alone does not shrink the window below this; failures do, down to one.
        max_per_s: maximum requests per second, or None.
        probe: delays between probes while the server is away; the cap limits how late a recovery is noticed.
    """

    max_in_flight: int = 256
    start_in_flight: int = 4
    floor_in_flight: int = 4
    max_per_s: float | None = None
    probe: Backoff = PROBE


class Gate:
    """Counts requests in flight and says how many more may start.

    Use ``permits`` before starting, ``started`` for each start, ``finished`` for each response, and
    ``next_permit_in_s`` for how long to wait without a permit.
    """

    def __init__(self, options: GateOptions | None = None) -> None:
        self._options = options or GateOptions()
        self._in_flight = 0
        self._window = min(self._options.start_in_flight, self._options.max_in_flight)
        self._target = self._window
        self._is_filled = False
        self._cut_at_s = _NEVER_S
        self._good_since_cut = True
        self._closed_until_s = _NEVER_S
        self._failed_probes = 0
        self._round = _Round(self._window, skip=self._window)
        self._climb = _Climb(self._options.floor_in_flight, self._options.max_in_flight)
        self._pace = _Pace(self._options.max_per_s)

    def __repr__(self) -> str:
        state = "away" if self.is_away else "open"
        return f"Gate({state}, in_flight={self._in_flight}, window={self._window})"

    @property
    def in_flight(self) -> int:
        """Requests started and not finished."""
        return self._in_flight

    @property
    def window(self) -> int:
        """Maximum requests in flight now."""
        return self._window

    @property
    def is_full(self) -> bool:
        """Whether as many requests are in flight as may be: others probably wait. Thread: any."""
        return self._in_flight >= self._window

    @property
    def is_away(self) -> bool:
        """Whether the last probe failed: only probes are sent until one succeeds."""
        return self._failed_probes > 0

    def permits(self, now_s: float) -> int:
        """Return how many requests may start now, 0 or more."""
        self._is_filled = self.is_full
        if now_s < self._closed_until_s:
            return 0
        return max(0, min(self._window - self._in_flight, self._pace.tokens(now_s)))

    def next_permit_in_s(self, now_s: float) -> float | None:
        """Return the seconds until time alone gives a permit: 0.0 now, None = only a response can."""
        if self.is_full:
            return None
        return max(0.0, self._closed_until_s - now_s, self._pace.wait_s(now_s))

    def started(self) -> None:
        """Note that one request was sent; it needs a permit, but the gate does not insist (a lane's probe)."""
        self._in_flight += 1
        self._is_filled = self._is_filled or self.is_full
        self._pace.take()

    def finished(self, answer: Answer, latency_s: float, now_s: float, *, is_create: bool = True) -> None:
        """Note the response to one request.

        Args:
            answer: what came.
            latency_s: seconds from its start to its end.
            now_s: monotonic seconds.
            is_create: False for reads: they say nothing about creates.
        """
        self._in_flight = max(0, self._in_flight - 1)
        self._pace.finished(now_s)
        if answer.strains:
            self._failed(answer, now_s - latency_s, now_s)
        elif answer.status:  # else it was never sent: no token, or stopped
            self._succeeded(now_s - latency_s)
            if is_create and answer.ok:
                self._measured(now_s)

    def _failed(self, answer: Answer, started_at_s: float, now_s: float) -> None:
        if answer.retry_after_s:
            self._closed_until_s = max(self._closed_until_s, now_s + answer.retry_after_s)
        if started_at_s < self._cut_at_s:
            return  # within the window that was already cut: one overload halves once
        self._cut_at_s = now_s
        if self._window <= 1:
            self._failed_probes += 1
            self._closed_until_s = max(self._closed_until_s, now_s + self._options.probe.delay_s(self._failed_probes))
            return
        unreachable = answer.status == 0 and not answer.ambiguous
        if unreachable or not self._good_since_cut:
            # A whole window without success, or no server: waiting for 64 timeouts would not help.
            self._window = 1
            self._round = _Round(self._target, skip=2 * self._target)
        else:
            self._window //= 2  # the round goes on: what failures cost is part of a window's rate
        if answer.is_throttle:
            self._pace.slow_down(now_s)
        self._good_since_cut = False

    def _succeeded(self, started_at_s: float) -> None:
        if started_at_s < self._cut_at_s:
            return
        self._good_since_cut = True
        if self._failed_probes:
            self._failed_probes = 0
            self._closed_until_s = _NEVER_S

    def _measured(self, now_s: float) -> None:
        if not self._is_filled:  # a window that is not used says nothing about any other
            self._round = _Round(self._target, skip=self._target)
            return
        self._window = min(self._window + 1, self._target)
        per_s = self._round.add(now_s)
        if per_s is None:
            return
        before, self._target = self._target, self._climb.measured(self._target, per_s)
        if self._target == before:
            self._round = _Round(before, began_s=now_s)
        else:
            self._window = self._target
            # What is in flight now was started beside fewer or more others.
            self._round = _Round(self._target, skip=max(before, self._target))


class _Round:
    """Measures how many creates a second complete while the window is filled.

    Args:
        window: how many are in flight.
        skip: completions before it begins: until all that is in flight was started beside as many others.
        began_s: monotonic seconds of its beginning, without `skip`.
    """

    __slots__ = ("_began_s", "_count", "_last_s", "_skip", "_wanted")

    def __init__(self, window: int, *, skip: int = 0, began_s: float = 0.0) -> None:
        self._skip = skip
        self._wanted = max(_SAMPLES, window)
        self._count = 0
        self._began_s = self._last_s = began_s

    def add(self, now_s: float) -> float | None:
        """Count one that completed; returns creates a second once the round is over."""
        # Some servers complete many at the same moment: such a group is counted as a whole, or not at all.
        if self._skip > 0 or now_s <= self._began_s:
            self._skip -= 1
            self._began_s = now_s
        elif self._count < self._wanted or now_s <= self._last_s:
            self._count += 1
            self._last_s = now_s
        else:
            return self._count / (self._last_s - self._began_s)
        return None


class _Climb:
    """Finds the best window: measures its neighbours (powers of two) from time to time, and goes to the best of them.

    The worth of a window is its rate / window ** `_PRICE`: one twice as wide must complete a few percent more.
    """

    def __init__(self, floor: int, ceiling: int) -> None:
        self._floor = floor
        self._ceiling = ceiling
        self._rounds = 0
        self._known: dict[int, tuple[float, int]] = {}

    def measured(self, window: int, per_s: float) -> int:
        """Learn the rate of a round, and return the window of the next one."""
        self._rounds += 1
        if self._age(window) < _EXPLORE_EVERY:
            known = self._known[window][0]
            per_s = known + _NEWEST * (per_s - known)
        self._known[window] = (per_s, self._rounds)
        best = self._best(window)
        if best != window:
            return best
        return next((near for near in self._near(window) if self._age(near) >= _EXPLORE_EVERY), window)

    def _age(self, window: int) -> float:
        return self._rounds - self._known[window][1] if window in self._known else inf

    def _near(self, window: int) -> tuple[int, ...]:
        up = min(1 << window.bit_length(), self._ceiling)
        down = max(1 << (window - 1).bit_length() >> 1, self._floor)
        return tuple(near for near, is_one in ((up, up > window), (down, down < window)) if is_one)

    def _best(self, window: int) -> int:
        known = [near for near in (window, *self._near(window)) if near in self._known]
        return max(known, key=lambda near: self._known[near][0] / near**_PRICE)


class _Pace:
    """Requests per second: limited by the operator's number, and by the throughput at the time of a 429."""

    __slots__ = ("_before", "_growth", "_learned", "_limit", "_now_count", "_second", "_tokens", "_updated_s")

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._learned: float | None = None
        self._growth = _FIRST_GROWTH
        self._tokens = 1.0
        self._updated_s: float | None = None
        self._second = 0
        self._now_count = 0
        self._before = 0

    @property
    def _rate(self) -> float | None:
        known = [rate for rate in (self._limit, self._learned) if rate is not None]
        return min(known) if known else None

    def tokens(self, now_s: float) -> int:
        rate = self._rate
        if rate is None:
            return 1 << 30
        passed = 0.0 if self._updated_s is None else max(0.0, now_s - self._updated_s)
        self._updated_s = now_s
        self._tokens = min(max(1.0, rate / 10), self._tokens + passed * rate)
        return int(self._tokens + 1e-9)

    def wait_s(self, now_s: float) -> float:
        rate = self._rate
        if rate is None or self.tokens(now_s) >= 1:
            return 0.0
        return (1.0 - self._tokens) / rate

    def take(self) -> None:
        self._tokens = max(0.0, self._tokens - 1)

    def finished(self, now_s: float) -> None:
        second = int(now_s)
        if second != self._second:
            self._before = self._now_count if second == self._second + 1 else 0
            self._now_count, self._second = 0, second
            if self._learned is not None:
                # The rate learned from a 429 in the first second is much too low: the longer no 429 came, the faster it
                # grows.
                self._learned *= self._growth
                self._growth = min(2.0, self._growth + 0.1)
                if self._learned > 10 * max(self._before, 1):
                    self._learned = None  # far above the demand: no limit any more
        self._now_count += 1

    def slow_down(self, now_s: float) -> None:
        self._learned = max(1.0, 0.8 * max(self._before, self._now_count))
        self._growth = _FIRST_GROWTH
        self._tokens, self._updated_s = 0.0, now_s
