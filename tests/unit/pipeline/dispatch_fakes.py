"""The real dispatcher without its thread: real gate, lanes, settlement and spool; Argo is a model with a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import orjson
from pipeline_fakes import TOPICS, FlakySpool, event

from bridge.argo.errors import Answer, Fault, classify, failure, named
from bridge.argo.exchanges import HttpRequest
from bridge.argo.gate import Gate, GateOptions
from bridge.argo.options import VERSION_PATH
from bridge.core.backoff import Backoff
from bridge.core.metrics import Metrics
from bridge.core.model import ReplyAddress, WorkflowOrder
from bridge.core.report import ErrorReports
from bridge.pipeline.dispatch.dispatcher import Dispatcher
from bridge.pipeline.dispatch.settlement import Settlement
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import NewEvent, NewRows
from tests.support.clock import FakeClock

THEIRS = {"argo-bridge/event": "ee" * 32}


class ArgoModel:
    """Workflows by name, and what is answered beside the truth.

    workflows: metadata by name.
    created: how often a create of each event was carried out.
    script: what happens to the next requests.
    otherwise: what happens when it is over.
    spares_version: the question for Argo's version is answered whatever they say.
    poison: names of workflows whose create is answered 500, whatever the others get.
    """

    def __init__(self) -> None:
        self.workflows: dict[str, dict[str, Any]] = {}
        self.created: dict[str, int] = {}
        self.script: deque[str] = deque()
        self.otherwise = "ok"
        self.spares_version = False
        self.poison: set[str] = set()
        self.requests: list[HttpRequest] = []

    def answer(self, request: HttpRequest) -> Answer:
        """Carry a request out, or not, and answer."""
        self.requests.append(request)
        if self.poison and request.method == "POST" and self._metadata(request)["name"] in self.poison:
            return FATES["500"]()
        fate = self.script.popleft() if self.script else self.otherwise
        fate = "ok" if self.spares_version and request.path == VERSION_PATH else fate
        if fate in ("cut after", "504 after", "not-argo after"):
            self._carry_out(request)
        if fate == "theirs" and request.method == "POST":
            name = self._metadata(request)["name"]
            self.workflows.setdefault(name, {"name": name, "annotations": THEIRS})
        if fate == "deleted":
            self._carry_out(request)
            self.workflows.clear()
        answer = FATES[fate]() if fate in FATES else self._carry_out(request)
        return named(answer, request.expects) if request.expects else answer

    @staticmethod
    def _metadata(request: HttpRequest) -> dict[str, Any]:
        metadata: dict[str, Any] = orjson.loads(request.body or b"{}")["workflow"]["metadata"]
        return metadata

    def _carry_out(self, request: HttpRequest) -> Answer:
        if request.path == VERSION_PATH:
            return classify(200, {}, b'{"version":"v4.1.2"}', 0.0, 0.01)
        if request.method == "GET":
            return self._get(request.path.rsplit("/", 1)[1])
        metadata = self._metadata(request)
        if metadata["name"] in self.workflows:
            return error_answer(409, 6, f'workflows.argoproj.io "{metadata["name"]}" already exists')
        self.workflows[metadata["name"]] = metadata
        event_id = metadata["annotations"]["argo-bridge/event"]
        self.created[event_id] = self.created.get(event_id, 0) + 1
        return classify(200, {}, orjson.dumps({"metadata": metadata, "spec": {}}), 0.0, 0.01)

    def _get(self, name: str) -> Answer:
        if name not in self.workflows:
            return error_answer(404, 5, f'workflows.argoproj.io "{name}" not found')
        return classify(200, {}, orjson.dumps({"metadata": self.workflows[name], "spec": {}}), 0.0, 0.01)


def error_answer(status: int, grpc: int, text: str, **headers: str) -> Answer:
    return classify(status, headers, orjson.dumps({"code": grpc, "message": text}), 0.0, 0.01)


def _cut() -> Answer:
    return failure(Fault.CUT, "connection reset", sent=True, elapsed_s=0.01)


FATES: dict[str, Callable[[], Answer]] = {
    "cut": _cut,
    "cut after": _cut,
    "deleted": _cut,
    "unreachable": lambda: failure(Fault.UNREACHABLE, "refused", sent=False, elapsed_s=0.01),
    "500": lambda: error_answer(500, 13, "etcdserver: leader changed"),
    "504 after": lambda: error_answer(504, 4, "timeout"),
    "429": lambda: classify(429, {"retry-after": "2"}, b"Too Many Requests", 0.0, 0.01),
    "modified": lambda: error_answer(409, 6, "Operation cannot be fulfilled: the object has been modified"),
    "400": lambda: error_answer(400, 3, "spec is invalid"),
    "401": lambda: error_answer(401, 16, "token not valid"),
    "no template": lambda: error_answer(404, 5, 'workflowtemplates.argoproj.io "t" not found'),
    "html": lambda: classify(200, {}, b"<html>", 0.0, 0.01),
    "not-argo after": lambda: classify(200, {}, b'{"status":"ok"}', 0.0, 0.01),
}


class FakeExchanges:
    """Answers at each poll; time passes only where the dispatcher would wait.

    is_holding: nothing is answered.
    at_most: so many are answered by one poll, in order of their start.
    """

    def __init__(self, clock: FakeClock, argo: ArgoModel) -> None:
        self._clock = clock
        self._argo = argo
        self.started: list[tuple[Hashable, HttpRequest]] = []
        self.most_started = 0
        self.is_holding = False
        self.token_renewals = 1
        self.at_most = 1000
        self.is_closed = False

    def start(self, key: Hashable, request: HttpRequest) -> None:
        """Begin one exchange."""
        assert key not in [other for other, _ in self.started]
        self.started.append((key, request))
        self.most_started = max(self.most_started, len(self.started))

    def poll(self, timeout_s: float) -> list[tuple[Hashable, Answer]]:
        """Answer all that was started, or let the time pass."""
        if self.started and not self.is_holding:
            begun, self.started = self.started[: self.at_most], self.started[self.at_most :]
            self._clock.advance(0.01)
            return [(key, self._argo.answer(request)) for key, request in begun]
        # No real wait is shorter, and the clock's floats could not tell.
        self._clock.advance(max(timeout_s, 1e-6) if timeout_s else 0.0)
        return []

    def wake(self) -> None:
        """Nobody sleeps."""

    def close(self) -> None:
        """The end."""
        self.is_closed = True


class FakeSchema:
    """Takes every order, unless told otherwise."""

    def __init__(self) -> None:
        self.versions: list[str] = []
        self.check: Callable[[WorkflowOrder], None] = lambda _order: None

    def learn(self, version: str) -> bool:
        """Note the version."""
        self.versions.append(version)
        return True

    def check_order(self, order: WorkflowOrder) -> None:
        """Do what the test says."""
        self.check(order)


ASKED = "trigger:factory"


def asked(number: int, **changes: object) -> NewEvent:
    """A trigger message that is answered at replies/NUMBER."""
    return event(number, ASKED, reply=ReplyAddress("plant", f"replies/{number}"), **changes)


class DispatchBench:
    """A dispatcher and everything it uses."""

    def __init__(self, folder: Path, argo: ArgoModel | None = None) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.argo = argo or ArgoModel()
        self.exchanges = FakeExchanges(self.clock, self.argo)
        self.metrics = Metrics()
        self.schema = FakeSchema()
        self.folder = folder
        self.outbox_calls = 0
        self.settlement = Settlement(
            self.spool,  # type: ignore[arg-type]  # the real one, with a switch
            Refusals(TOPICS, self.metrics, self.clock),
            self.metrics,
            self.clock,
            self._outbox,
            lambda _: None,
        )
        self.restart()

    def restart(self) -> None:
        """A new dispatcher on the same spool, as after a crash: what the old one held is forgotten."""
        self.exchanges.started.clear()
        self.gate = Gate(GateOptions(probe=Backoff(0.25, 5.0)))
        self.dispatcher = Dispatcher(
            bridge_id="plant-1",
            max_attempts=20,
            spool=self.spool,  # type: ignore[arg-type]  # as above
            exchanges=self.exchanges,  # type: ignore[arg-type]  # a fake
            schema=self.schema,  # type: ignore[arg-type]  # a fake
            gate=self.gate,
            settlement=self.settlement,
            metrics=self.metrics,
            reports=ErrorReports(self.folder, self.metrics, self.clock),
            clock=self.clock,
        )

    def _outbox(self) -> None:
        self.outbox_calls += 1

    def store(self, *events: NewEvent) -> None:
        """Commit rows, and say so."""
        self.spool.real.commit(NewRows(events=events))
        self.dispatcher.stored(frozenset(one.lane for one in events))

    def step(self, times: int = 1) -> None:
        """Some turns."""
        for _ in range(times):
            self.dispatcher.step()

    def run_s(self, seconds: float, most_steps: int = 5000) -> int:
        """Turns until the time has passed; returns how many."""
        until_s = self.clock.monotonic_s() + seconds
        for steps in range(most_steps):
            if self.clock.monotonic_s() >= until_s:
                return steps
            self.dispatcher.step()
        raise AssertionError(f"{most_steps} turns in {seconds} s")

    def run_until_ended(self, most_s: float = 20 * 86400.0) -> None:
        """Turns until no row waits."""
        until_s = self.clock.monotonic_s() + most_s
        while self.waiting:
            assert self.clock.monotonic_s() < until_s, self.dispatcher
            self.dispatcher.step()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self.spool.real.figures().waiting

    def reasons(self) -> dict[str, int]:
        """Dead letters by reason."""
        found: dict[str, int] = {}
        for one in self.spool.real.dead_letters():
            found[one.letter.reason] = found.get(one.letter.reason, 0) + one.count
        return found

    def dead(self) -> set[str]:
        """Event ids of all dead-letter notices."""
        rows = [row for _, row in self.spool.real.outbox("plant", 0, 100_000)]
        notices = [orjson.loads(row.message.payload) for row in rows if row.message.topic == TOPICS.dead_letter]
        return {notice["eventId"] for notice in notices}

    def replies(self) -> dict[str, list[dict[str, Any]]]:
        """Bodies by topic of all that the outbox holds but notices."""
        found: dict[str, list[dict[str, Any]]] = {}
        for _, row in self.spool.real.outbox("plant", 0, 100_000):
            if row.message.topic != TOPICS.dead_letter:
                found.setdefault(row.message.topic, []).append(orjson.loads(row.message.payload))
        return found

    def posts(self) -> int:
        """Creates that were sent."""
        return sum(request.method == "POST" for request in self.argo.requests)


def hexed(number: int) -> str:
    """The event id of `event(number)` as its annotation has it."""
    return event(number).id.hex()
