"""Runs a bridge inside the test's process: whole, with real sockets and a real spool, and open to monkeypatches."""

from __future__ import annotations

from math import inf
from types import TracebackType

from bridge.core.clock import Clock, SystemClock
from bridge.core.metrics import Metrics
from bridge.service.composition import Service
from bridge.settings.configuration import load
from bridge.spool.records import DeadLetter, NewEvent, SpoolFigures, WaitingEvent
from bridge.spool.store import Spool
from tests.support.accounting import NUMBER, Kept
from tests.support.bridge_files import CONNECTION, BridgeFiles
from tests.support.transport_ends import wait_until

SPOOL_FILE = "spool.sqlite"
MANY = 1_000_000


class InsideBridge:
    """A bridge that runs while the context is entered.

    files: its configuration; written when the context is entered.
    clock: its time; None = the machine's.
    """

    def __init__(self, files: BridgeFiles, clock: Clock | None = None) -> None:
        self.files = files
        self.clock = clock
        self._service: Service | None = None

    def start(self) -> InsideBridge:
        """Start it; returns at once."""
        loaded = load(self.files.write(), {})
        assert loaded.ok, [problem.render() for problem in loaded.problems]
        assert loaded.settings is not None
        self._service = Service(loaded.settings, loaded.compiled, self.clock)
        self._service.start()
        return self

    def stop(self) -> None:
        """Stop it in order; every thread must come to its end."""
        service, self._service = self._service, None
        if service is not None:
            assert service.stop(20.0) == []

    @property
    def service(self) -> Service:
        """The service that runs."""
        assert self._service is not None
        return self._service

    @property
    def metrics(self) -> Metrics:
        """Its figures."""
        return self.service.metrics

    def count(self, name: str, **labels: str) -> float:
        """One figure by its name without prefix."""
        return self.metrics.value(name, **labels)

    def await_ready(self) -> None:
        """Return once it takes messages."""
        wait_until(lambda: not self.service.readiness(), "ready")

    def await_session(self, session: str) -> None:
        """Return once the broker said that the session was ``new`` or ``resumed``."""
        wait_until(lambda: self.service.state()["connections"][CONNECTION]["session"] == session, f"session {session}")

    def await_count(self, name: str, value: float, **labels: str) -> None:
        """Return once a figure has come to `value`."""
        wait_until(lambda: self.count(name, **labels) >= value, f"{name}{labels} of {value}")
        assert self.count(name, **labels) == value

    def await_cause(self, word: str) -> str:
        """Return why a lane waits, once the ``state`` names a cause with `word` in it."""
        wait_until(lambda: any(word in cause for cause in self._causes), f"a cause with {word}: {self._causes}")
        return next(cause for cause in self._causes if word in cause)

    @property
    def _causes(self) -> list[str]:
        return list(self.service.state()["waiting"].values())

    def __enter__(self) -> InsideBridge:
        try:
            self.start()
            self.await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class LeftBehind:
    """What a bridge that does not run has in its spool.

    kept: the numbers of its waiting and dead events, as a `Publisher` gave them.
    """

    def __init__(self, files: BridgeFiles) -> None:
        with Spool.open(files.data_dir / SPOOL_FILE, clock=SystemClock()) as spool:
            self.figures: SpoolFigures = spool.figures()
            self.dead_letters: tuple[DeadLetter, ...] = spool.dead_letters()
            self.problems: tuple[str, ...] = spool.check()
            self.kept = _kept(spool, self.dead_letters)
        reports = files.data_dir / "reports"
        self.reports = sorted(path.name for path in reports.glob("*")) if reports.exists() else []


def _kept(spool: Spool, letters: tuple[DeadLetter, ...]) -> Kept:
    rows = [row for lane in spool.waiting_lanes() for row in _rows_of(spool, lane)]
    events = [event for letter in letters for event in spool.dead_events(letter.seq, MANY)]
    return Kept(tuple(_number(row.event) for row in rows), tuple(map(_number, events)))


def _rows_of(spool: Spool, lane: str) -> tuple[WaitingEvent, ...]:
    # A page is bounded in bytes.
    rows: list[WaitingEvent] = []
    while page := spool.waiting(lane, rows[-1].seq if rows else 0, MANY):
        rows += page
    return (*rows, *spool.due(lane, inf, MANY))


def _number(event: NewEvent) -> int:
    return int(event.order.parameters.get(NUMBER, 0))
