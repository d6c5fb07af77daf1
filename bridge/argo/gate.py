"""Decides how many requests the Argo Server may get now: additive growth, halving, pauses, probes. Pure.

Sends nothing, never sleeps, reads no clock: the caller passes monotonic seconds. Owner: the thread that submits.

A window of requests in flight doubles each round until latency rises, then grows slowly. 429, 5xx and timeouts halve it
once per round trip. At one, it is the probe, with a capped backoff between probes. Latency is compared with that of a
lone request, which is measured again if load has hidden it for long. A server that queues internally
(``--kube-api-qps``) never fails, it only gets slower, and a longer queue there does not help.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.argo.errors import Answer
from bridge.core.backoff import Backoff

_NEVER_S = float("-inf")
_FIRST_GROWTH = 1.1  # of the learned rate, in the second after a 429
PROBE = Backoff(initial_s=0.25, cap_s=5.0)
_MEASURE_EVERY = 60  # latencies: draining and measuring take about two


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Limits of the gate.

    Attributes:
        max_in_flight: maximum of the window.
        start_in_flight: the first window.
        floor_in_flight: latency alone does not shrink the window below this; failures do, down to one.
        slack_s: latency within this of a lone request's never counts as congestion (our own batching takes
            milliseconds).
        measure_every_s: maximum age of the lone-request latency under load; longer if requests take seconds, so that
            measuring costs only a few percent.
        max_per_s: maximum requests per second, or None.
        probe: delays between probes while the server is away; the cap limits how late a recovery is noticed.
    """

    max_in_flight: int = 256
    start_in_flight: int = 4
    floor_in_flight: int = 4
    slack_s: float = 0.025
    measure_every_s: float = 30.0
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
        self._window = float(min(self._options.start_in_flight, self._options.max_in_flight))
        self._doubles_until = float(self._options.max_in_flight)
        self._cut_at_s = _NEVER_S
        self._good_since_cut = True
        self._closed_until_s = _NEVER_S
        self._failed_probes = 0
        self._round = _Round(int(self._window))
        self._alone = _LoneLatency(self._options)
        self._pace = _Pace(self._options.max_per_s)

    def __repr__(self) -> str:
        state = "away" if self.is_away else "open"
        return f"Gate({state}, in_flight={self._in_flight}, window={self._window:.1f})"

    @property
    def in_flight(self) -> int:
        """Requests started and not finished."""
        return self._in_flight

    @property
    def window(self) -> int:
        """Maximum requests in flight now."""
        return max(1, int(self._window))

    @property
    def is_away(self) -> bool:
        """Whether the last probe failed: only probes are sent until one succeeds."""
        return self._failed_probes > 0

    def permits(self, now_s: float) -> int:
        """Return how many requests may start now, 0 or more."""
        if now_s < self._closed_until_s:
            return 0
        window = 1 if self._alone.is_measuring(now_s) else self.window
        return max(0, min(window - self._in_flight, self._pace.tokens(now_s)))

    def next_permit_in_s(self, now_s: float) -> float | None:
        """Return the seconds until time alone gives a permit: 0.0 now, None = only a response can."""
        window = 1 if self._alone.is_measuring(now_s) else self.window
        if self._in_flight >= window:
            return None
        return max(0.0, self._closed_until_s - now_s, self._pace.wait_s(now_s))

    def started(self) -> None:
        """Note that one request was sent; it needs a permit, but the gate does not insist (a lane's probe)."""
        self._alone.started(self._in_flight)
        self._in_flight += 1
        self._pace.take()
        self._round.peak = max(self._round.peak, self._in_flight)

    def finished(self, answer: Answer, latency_s: float, now_s: float, *, is_create: bool = True) -> None:
        """Note the response to one request.

        Args:
            answer: what came.
            latency_s: seconds from its start to its end.
            now_s: monotonic seconds.
            is_create: False for reads: their latency says nothing about creates.
        """
        self._in_flight = max(0, self._in_flight - 1)
        self._pace.finished(now_s)
        if answer.strains:
            self._failed(answer, now_s - latency_s, now_s)
        elif answer.status:  # else it was never sent: no token, or stopped
            self._succeeded(latency_s if is_create and answer.ok else None, now_s - latency_s, now_s)

    def _failed(self, answer: Answer, started_at_s: float, now_s: float) -> None:
        if answer.retry_after_s:
            self._closed_until_s = max(self._closed_until_s, now_s + answer.retry_after_s)
        self._alone.forget_measuring()
        if started_at_s < self._cut_at_s:
            return  # within the window that was already cut: one overload halves once
        if self._window <= 1.0:
            self._failed_probes += 1
            self._closed_until_s = max(self._closed_until_s, now_s + self._options.probe.delay_s(self._failed_probes))
            self._cut_at_s = now_s
            return
        self._doubles_until = max(2.0, self._window if self._good_since_cut else self._doubles_until)
        unreachable = answer.status == 0 and not answer.ambiguous
        # A whole window without success, or no server: waiting for 64 timeouts would not help.
        self._window = 1.0 if unreachable or not self._good_since_cut else max(1.0, self._window / 2)
        if answer.is_throttle:
            self._doubles_until = max(2.0, self._window)
            self._pace.slow_down(now_s)
        self._cut_at_s = now_s
        self._good_since_cut = False
        self._round = _Round(self.window)

    def _succeeded(self, latency_s: float | None, started_at_s: float, now_s: float) -> None:
        if started_at_s >= self._cut_at_s:
            self._good_since_cut = True
            if self._failed_probes:
                self._failed_probes = 0
                self._closed_until_s = _NEVER_S
                self._window = min(2.0, float(self._options.max_in_flight))
                self._round = _Round(self.window)
        if latency_s is not None:
            self._alone.finished(latency_s, now_s)
            self._round.add(latency_s)
        if self._round.is_over:
            self._end_round()

    def _end_round(self) -> None:
        options, mean_s = self._options, self._round.mean_s
        self._alone.typical_s = mean_s
        limit_s = max(2 * self._alone.latency_s, self._alone.latency_s + options.slack_s)
        if mean_s > limit_s:
            self._doubles_until = min(self._doubles_until, self._window)
            if mean_s > 2 * limit_s and self._window > options.floor_in_flight:
                self._window = max(float(options.floor_in_flight), self._window * 0.9)
        elif self._round.peak >= self.window:  # a window that was not used says nothing about a larger one
            grown = self._window * 2 if self._window < self._doubles_until else self._window + max(1, self._window / 16)
            bound = self._doubles_until if self._window < self._doubles_until else options.max_in_flight
            self._window = min(grown, max(bound, self._window + 1), float(options.max_in_flight))
        self._round = _Round(self.window)


class _Round:
    """Latencies of as many responses as the window is wide."""

    __slots__ = ("_count", "_sum_s", "_wanted", "peak")

    def __init__(self, wanted: int) -> None:
        self._wanted = max(1, wanted)
        self._count = 0
        self._sum_s = 0.0
        self.peak = 0

    def add(self, latency_s: float) -> None:
        self._count += 1
        self._sum_s += latency_s

    @property
    def is_over(self) -> bool:
        return self._count >= self._wanted

    @property
    def mean_s(self) -> float:
        return self._sum_s / self._count


class _LoneLatency:
    """The latency of a create with nothing else in flight; asks for a lone one if there was none for long."""

    __slots__ = ("_is_alone", "_measuring", "_options", "_seen_at_s", "latency_s", "typical_s")

    def __init__(self, options: GateOptions) -> None:
        self._options = options
        self._measuring = False
        self._is_alone = False
        self._seen_at_s: float | None = None
        self.latency_s = float("inf")
        self.typical_s = 0.0

    def is_measuring(self, now_s: float) -> bool:
        every_s = max(self._options.measure_every_s, _MEASURE_EVERY * self.typical_s)
        if self._seen_at_s is not None and now_s - self._seen_at_s >= every_s:
            self._measuring = True
        return self._measuring

    def started(self, others: int) -> None:
        self._is_alone = self._measuring and others == 0

    def forget_measuring(self) -> None:
        # A measurement during failures would hold a recovering server at one request in flight.
        self._measuring = self._is_alone = False
        self._seen_at_s = None

    def finished(self, latency_s: float, now_s: float) -> None:
        if self._is_alone:
            self.latency_s = latency_s
            self._measuring = self._is_alone = False
            self._seen_at_s = now_s
        elif latency_s <= self.latency_s * 1.25:
            self.latency_s = min(self.latency_s, latency_s)
            self._seen_at_s = now_s
        elif self._seen_at_s is None:
            self._seen_at_s = now_s


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
