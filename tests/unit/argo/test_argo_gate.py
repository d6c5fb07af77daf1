"""The gate before the Argo Server, against servers made of arithmetic."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bridge.argo.errors import Answer, AnswerKind, Fault, classify, failure
from bridge.argo.gate import Gate, GateOptions
from bridge.core.backoff import Backoff

OK = Answer(AnswerKind.OK, 200, "ok", body={})
BUSY = classify(503, {}, b'{"code":14,"message":"unavailable"}', 0.0)
LIMITED = classify(429, {}, b"Too Many Requests\n", 0.0)
TIMED_OUT = failure(Fault.TIMEOUT, "timed out", sent=True)
REFUSED = failure(Fault.UNREACHABLE, "connection refused", sent=False)

# (now, requests in flight with this one, number of this one) -> (latency in seconds, answer)
Server = Callable[[float, int, int], tuple[float, Answer]]


@dataclass
class Run:
    """A dispatcher with endless work, in simulated time."""

    gate: Gate
    server: Server
    now_s: float = 1000.0
    sent: list[float] = field(default_factory=list)
    good: list[float] = field(default_factory=list)
    most: int = 0
    reads_every: int = 0

    def __post_init__(self) -> None:
        self._flying: list[tuple[float, int, float, Answer]] = []

    def go(self, seconds: float) -> Run:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            for _ in range(self.gate.permits(self.now_s)):
                self.gate.started()
                self.sent.append(self.now_s)
                latency_s, answer = self.server(self.now_s, len(self._flying) + 1, len(self.sent))
                if self._is_read(len(self.sent)):
                    latency_s = 0.001
                heapq.heappush(self._flying, (self.now_s + latency_s, len(self.sent), self.now_s, answer))
            self.most = max(self.most, len(self._flying))
            wait_s = self.gate.next_permit_in_s(self.now_s)
            next_s = until_s if wait_s is None else self.now_s + max(wait_s, 1e-6)
            if self._flying:
                next_s = min(next_s, self._flying[0][0])
            self.now_s = min(next_s, until_s)
            while self._flying and self._flying[0][0] <= self.now_s:
                ended_s, number, began_s, answer = heapq.heappop(self._flying)
                is_create = not self._is_read(number)
                self.gate.finished(answer, ended_s - began_s, ended_s, is_create=is_create)
                if answer.ok and is_create:
                    self.good.append(ended_s)
        return self

    def _is_read(self, number: int) -> bool:
        return bool(self.reads_every) and number % self.reads_every == 0

    def rate(self, last_s: float) -> float:
        """Successes a second over the last seconds."""
        return sum(1 for at_s in self.good if at_s > self.now_s - last_s) / last_s

    def attempts(self, since_s: float) -> int:
        return sum(1 for at_s in self.sent if at_s >= since_s)


def token_bucket(per_s: float, burst: float, base_s: float) -> Server:
    """Argo in server mode: requests beyond --kube-api-qps are delayed, not refused."""
    free = [0.0]

    def serve(now_s: float, _flying: int, _number: int) -> tuple[float, Answer]:
        free[0] = max(free[0], now_s - burst / per_s) + 1 / per_s
        return max(0.0, free[0] - now_s) + base_s, OK

    return serve


def parallel(workers: int, base_s: float) -> Server:
    """A server that does so many at a time."""
    free = [0.0] * workers

    def serve(now_s: float, _flying: int, _number: int) -> tuple[float, Answer]:
        begin_s = max(now_s, heapq.heappop(free))
        heapq.heappush(free, begin_s + base_s)
        return begin_s + base_s - now_s, OK

    return serve


def contended(base_s: float, contention: float = 0.0, knee: int = 1000, noise: float = 0.0, seed: int = 0) -> Server:
    """Each request beside a request makes it slower by a share of its lone latency; over the knee, by all of it."""
    chance = random.Random(seed)

    def serve(_now_s: float, flying: int, _number: int) -> tuple[float, Answer]:
        slowed_s = base_s * (1 + contention * (min(flying, knee) - 1)) * max(1.0, flying / knee)
        return slowed_s * chance.lognormvariate(-noise * noise / 2, noise), OK

    return serve


def bare_rate(server: Server, window: int, seconds: float) -> float:
    """Successes a second of a loop that keeps so many in flight, whatever comes."""
    return Run(BareLoop(window), server).go(seconds).rate(seconds * 0.8)  # type: ignore[arg-type]  # all that `Run` uses


@dataclass
class BareLoop:
    """A gate that gives the same permits for ever."""

    window: int
    in_flight: int = 0

    def permits(self, _now_s: float) -> int:
        return self.window - self.in_flight

    def next_permit_in_s(self, _now_s: float) -> float | None:
        return None

    def started(self) -> None:
        self.in_flight += 1

    def finished(self, *_: object, **_named: object) -> None:
        self.in_flight -= 1


def steady_gate(**keys: float) -> Gate:
    """A gate whose probes come without jitter."""
    return Gate(GateOptions(probe=Backoff(0.25, 5.0, jitter=0.0), **keys))  # type: ignore[arg-type]  # numbers only


@pytest.mark.parametrize(
    ("server", "best"),
    [
        (lambda: token_bucket(20, 30, 0.008), 20),
        (lambda: token_bucket(150, 1, 0.008), 150),
        (lambda: parallel(2, 0.013), 150),
        (lambda: parallel(64, 0.05), 1280),
        (lambda: parallel(10, 2.0), 5),
        (lambda: contended(0.009, 0.415), 246),
    ],
    ids=["server mode, 20/s", "150/s", "two at a time", "64 at a time", "slow, 10 at a time", "9 ms alone, 65 of 16"],
)
def test_it_keeps_a_server_as_busy_as_it_can_be(server, best):
    """At least 95% of what a bare loop reaches, for minutes, measures of lone requests included."""
    run = Run(Gate(), server()).go(240)
    assert run.rate(200) >= 0.95 * best


def test_a_server_that_queues_inside_is_not_handed_the_whole_backlog():
    """Delay without failure: the queue in the server stays short, so that a stop request is not behind 256 creates."""
    gate = Gate()
    run = Run(gate, token_bucket(20, 30, 0.008)).go(600)
    assert gate.window <= 16
    assert run.most <= 64


def test_a_fast_server_gets_the_whole_window_within_a_second():
    """Doubling, not one by one."""
    gate = Gate()
    Run(gate, parallel(1000, 0.02)).go(1.0)
    assert gate.window == 256


def test_failures_of_one_window_halve_it_once():
    """64 answers of one overload are one reason to slow down."""
    gate = Gate(GateOptions(start_in_flight=64))
    for _ in range(64):
        gate.started()
    gate.finished(OK, 0.1, 10.0)
    for _ in range(63):
        gate.finished(BUSY, 0.1, 10.0)
    assert gate.window == 32
    gate.started()
    gate.finished(OK, 0.05, 10.1)
    gate.started()
    gate.finished(BUSY, 0.05, 10.2)
    assert gate.window == 16


@pytest.mark.parametrize("answer", [BUSY, LIMITED, TIMED_OUT], ids=lambda answer: answer.code)
def test_each_kind_of_strain_halves(answer):
    """5xx, 429 and a timeout."""
    gate = Gate(GateOptions(start_in_flight=8))
    gate.started()
    gate.finished(answer, 0.1, 10.0)
    assert gate.window == 4


@pytest.mark.parametrize(
    "answer",
    [
        classify(429, {}, b'{"code":8,"message":"EOF"}', 0.0),
        classify(429, {}, b'{"code":8,"message":"grpc: received message larger than max (2 vs. 1)"}', 0.0),
        classify(400, {}, b'{"code":3,"message":"no"}', 0.0),
        classify(409, {}, b'{"code":6,"message":"a already exists"}', 0.0),
        classify(403, {}, b'{"code":7,"message":"forbidden"}', 0.0),
        Answer(AnswerKind.DENIED, 0, "token-unreadable"),
        failure(Fault.STOPPED, "", sent=True),
    ],
    ids=lambda answer: f"{answer.status} {answer.code}",
)
def test_answers_about_one_request_do_not_slow_the_others(answer):
    """Refusals, conflicts, the two 429 that are not throttling, and what never left."""
    gate = Gate(GateOptions(start_in_flight=8))
    gate.started()
    gate.finished(answer, 0.1, 10.0)
    assert gate.window == 8
    assert gate.permits(10.0) == 8


def test_retry_after_closes_it_until_then():
    """Nothing starts before the time that the server named, and everything may after it."""
    gate = Gate()
    gate.started()
    gate.finished(classify(429, {"retry-after": "3"}, b"Too Many Requests\n", 0.0), 0.01, 100.0)
    assert gate.permits(102.9) == 0
    assert gate.next_permit_in_s(100.5) == pytest.approx(2.5)
    assert gate.permits(103.0) >= 1


def test_a_server_that_is_away_gets_one_probe_at_a_time():
    """No hammering: over a minute of refused connections a probe each five seconds at most, after a few quick ones."""
    gate = steady_gate()
    run = Run(gate, parallel(64, 0.02)).go(5)
    run.server = lambda now_s, flying, number: (0.0005, REFUSED)
    away_s = run.now_s
    run.go(60)
    assert gate.is_away
    assert run.attempts(away_s + 0.1) <= 18
    assert run.attempts(away_s + 20) <= 9


def test_a_server_that_hangs_does_not_take_a_timeout_for_each_halving():
    """Two windows without one success are enough to go down to the probe."""
    gate = steady_gate()
    run = Run(gate, parallel(64, 0.02)).go(5)
    run.server = lambda now_s, flying, number: (30.0, TIMED_OUT)
    run.go(62)
    assert gate.window == 1


@pytest.mark.parametrize("workers", [16, 64, 256])
@pytest.mark.parametrize("outage", [(0.0005, REFUSED), (0.01, BUSY)], ids=["no server", "503"])
def test_after_an_outage_full_speed_comes_back_at_once(outage, workers):
    """Two seconds later the old rate is reached, probes included: the rivals crawl for minutes."""
    run = Run(Gate(), parallel(workers, 0.05)).go(30)
    before = run.rate(5)
    run.server = lambda now_s, flying, number: outage
    run.go(45)
    run.server = parallel(workers, 0.05)
    run.go(3)
    assert run.rate(1) >= 0.9 * before


def test_at_one_in_flight_a_failure_waits_for_the_next_probe():
    """The delays grow from a quarter of a second to five seconds and end with the first success."""
    gate = steady_gate()
    gate.started()
    gate.finished(REFUSED, 0.001, 0.0)
    delays = []
    now_s = 0.0
    for _ in range(7):
        gate.started()
        gate.finished(REFUSED, 0.0, now_s)
        wait_s = gate.next_permit_in_s(now_s)
        assert wait_s is not None
        delays.append(wait_s)
        now_s += wait_s
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert gate.permits(now_s) == 1
    gate.started()
    gate.finished(OK, 0.01, now_s + 0.01)
    assert not gate.is_away
    assert gate.permits(now_s + 0.01) == 2


def test_a_rate_limit_of_the_server_is_learned():
    """A server that refuses over 100 in each second gets most of them and few more."""
    counts: dict[int, int] = {}
    refused = []

    def serve(now_s: float, _flying: int, _number: int) -> tuple[float, Answer]:
        second = math.floor(now_s)
        counts[second] = counts.get(second, 0) + 1
        if counts[second] <= 100:
            return 0.01, OK
        refused.append(now_s)
        return 0.001, LIMITED

    run = Run(Gate(), serve).go(120)
    assert run.rate(100) >= 70
    assert sum(1 for at_s in refused if at_s > run.now_s - 100) / 100 <= 5


def test_one_refusal_at_the_start_is_soon_forgotten():
    """A 429 before anything went through says nothing about the rate: twenty seconds later there is no bound left."""

    def serve(_now_s: float, _flying: int, number: int) -> tuple[float, Answer]:
        return 0.01, LIMITED if number == 1 else OK

    assert Run(Gate(), serve).go(20).rate(2) >= 1000


def test_the_operators_rate_is_never_exceeded():
    """In no second more than the bound and the burst of a tenth of it."""
    run = Run(Gate(GateOptions(max_per_s=50)), parallel(100, 0.01)).go(20)
    for second in range(1000, 1020):
        assert sum(1 for at_s in run.sent if second <= at_s < second + 1) <= 56
    assert run.rate(10) >= 0.95 * 50


def test_reads_do_not_spoil_the_measure_of_creates():
    """Every third request is a GET of 1 ms: it says nothing about how long a create takes, alone or not."""
    run = Run(Gate(), lambda _now_s, _flying, _number: (0.2, OK), reads_every=3).go(30)
    assert run.rate(10) >= 0.9 * 256 * 2 / (0.2 + 0.2 + 0.001)


@pytest.mark.parametrize("base_s", [0.0002, 0.005, 0.05])
@pytest.mark.parametrize("workers", [16, 64, 256])
def test_it_keeps_up_with_as_many_connections_as_the_server_serves(workers, base_s):
    """A server that works on 16, 64 or 256 at a time gets within 5% of what a bare loop of as many reaches."""
    run = Run(Gate(), contended(base_s, knee=workers)).go(base_s * 400)
    assert run.rate(base_s * 300) >= 0.95 * workers / base_s


@given(
    base_s=st.sampled_from([0.001, 0.009, 0.05]),
    contention=st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5]),
    knee=st.sampled_from([1, 16, 1000]),
    noise=st.sampled_from([0.0, 0.2, 0.4]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=12, phases=[Phase.generate])
def test_latency_that_rises_with_throughput_does_not_hold_it_back(base_s, contention, knee, noise, seed):
    """Whatever a server's curve and noise: near the best of the bare loops, although its latency rises many times."""

    def server() -> Server:
        return contended(base_s, contention, knee, noise, seed)

    def one_s(window: int) -> float:
        """Seconds a request of a bare loop takes, on the whole."""
        return base_s * (1 + contention * (min(window, knee) - 1)) * max(1.0, window / knee) / window

    best = max(bare_rate(server(), window, 1500 * one_s(window)) for window in (4, 16, 64, 256))
    seconds = max(6000 / best, 120 * base_s)
    assert Run(Gate(), server()).go(seconds).rate(seconds * 0.6) >= 0.85 * best


def test_a_server_that_slows_down_under_load_is_not_overrun():
    """Where more at a time complete fewer, it stays near the window that completes most."""

    def serve(_now_s: float, flying: int, _number: int) -> tuple[float, Answer]:
        return 0.009 * (1 + 0.3 * (flying - 1) + 0.002 * flying * (flying - 1)), OK

    run = Run(Gate(), serve).go(60)
    assert run.rate(40) >= 0.95 * bare_rate(serve, 16, 40)
    assert 8 <= run.gate.window <= 32


def test_a_server_that_changes_is_followed():
    """From 20 a second to all that 64 at a time bring, and back to a short queue."""
    run = Run(Gate(), token_bucket(20, 30, 0.008)).go(120)
    run.server = parallel(64, 0.05)
    assert run.go(60).rate(5) >= 0.95 * 1280
    run.server = token_bucket(20, 1, 0.008)
    assert run.go(600).rate(60) >= 0.95 * 20
    assert run.gate.window <= 16


def test_a_pause_of_the_server_is_soon_forgotten():
    """A second of tenfold latency, each ten seconds, does not shrink it for long."""

    def serve(now_s: float, _flying: int, _number: int) -> tuple[float, Answer]:
        return 1.0 if now_s % 20 < 1 else 0.1, OK

    assert Run(Gate(), serve).go(80).rate(60) >= 0.85 * bare_rate(serve, 256, 75)


@pytest.mark.parametrize("every", [100, 1000])
def test_failures_now_and_then_cost_little(every):
    """One row in a hundred that makes the server fail does not starve the others."""

    def serve(_now_s: float, _flying: int, number: int) -> tuple[float, Answer]:
        return 0.02, BUSY if number % every == 0 else OK

    assert Run(Gate(), serve).go(12).rate(10) >= 0.6 * bare_rate(serve, 256, 5)


def test_a_server_that_refuses_a_wide_window_gets_a_narrower_one():
    """Over 32 at a time it answers 503: few of those once it knows, and all that 32 complete."""
    refused = []

    def serve(now_s: float, flying: int, _number: int) -> tuple[float, Answer]:
        if flying <= 32:
            return 0.02, OK
        refused.append(now_s)
        return 0.001, BUSY

    run = Run(Gate(), serve).go(40)
    assert run.rate(30) >= 0.95 * 32 / 0.02
    assert sum(1 for at_s in refused if at_s > run.now_s - 30) <= 0.1 * run.rate(30) * 30


def test_after_a_429_nothing_starts_at_once():
    """What had been saved up is gone: the pace begins anew, below what went through before."""
    gate = Gate(GateOptions(start_in_flight=64, max_per_s=1000))
    assert gate.permits(9.0) == 1
    assert gate.permits(10.0) == 64
    for _ in range(20):
        gate.started()
    for _ in range(19):
        gate.finished(OK, 0.01, 10.5)
    gate.finished(LIMITED, 0.01, 10.5)
    assert gate.permits(10.5) == 0
    assert 0 < (gate.next_permit_in_s(10.5) or 0.0) <= 1.0


@given(
    st.lists(
        st.tuples(st.sampled_from([OK, BUSY, LIMITED, TIMED_OUT, REFUSED]), st.floats(0.001, 10), st.booleans()),
        max_size=150,
    )
)
def test_failures_never_widen_it_and_reads_never_move_it(steps):
    """In any mix of creates and reads: strain never grows the window, and a read that succeeds says nothing of it."""
    gate = Gate(GateOptions(max_in_flight=64, start_in_flight=16))
    now_s = 0.0
    for answer, latency_s, is_create in steps:
        now_s += latency_s
        if gate.permits(now_s):
            gate.started()
        if not gate.in_flight:
            continue
        before, was_away = gate.window, gate.is_away
        gate.finished(answer, latency_s, now_s, is_create=is_create)
        if answer.strains:
            assert gate.window <= before
        elif not is_create and not was_away:
            assert gate.window == before


def test_an_idle_gate_does_not_grow():
    """One request at a time says nothing about 256."""
    gate = Gate()
    now_s = 0.0
    for _ in range(1000):
        gate.started()
        now_s += 0.01
        gate.finished(OK, 0.01, now_s)
    assert gate.window == 4


answers = st.sampled_from([OK, BUSY, LIMITED, TIMED_OUT, REFUSED, classify(429, {"retry-after": "2"}, b"x", 0.0)])


@given(st.lists(st.tuples(answers, st.floats(0, 40), st.floats(0, 10), st.booleans()), max_size=200))
def test_whatever_comes_it_opens_again(steps):
    """Never more than the window in flight, never closed for ever, never a window below one."""
    gate = Gate(GateOptions(max_in_flight=16))
    now_s = 0.0
    for answer, latency_s, pause_s, is_create in steps:
        now_s += pause_s
        for _ in range(gate.permits(now_s)):
            gate.started()
        assert gate.in_flight <= 16
        if gate.in_flight:
            gate.finished(answer, latency_s, now_s, is_create=is_create)
        assert 1 <= gate.window <= 16
    while gate.in_flight:
        gate.finished(OK, 0.01, now_s)
    wait_s = gate.next_permit_in_s(now_s)
    assert wait_s is not None
    assert wait_s <= 5.0
    assert gate.permits(now_s + wait_s + 1e-6) >= 1


def test_its_state_can_be_read():
    """Reports and logs show it in a word."""
    gate = Gate()
    assert repr(gate) == "Gate(open, in_flight=0, window=4)"


def test_two_bridges_do_not_probe_in_step():
    """Jitter keeps many clients of one recovered server apart."""
    waits = set()
    for _ in range(5):
        gate = Gate(GateOptions(start_in_flight=1))
        gate.started()
        gate.finished(REFUSED, 0.0, 0.0)
        waits.add(gate.next_permit_in_s(0.0))
    assert len(waits) == 5
