"""Reads without their thread, with an Argo Server whose answers a test gives.

Thread: the test's own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import orjson
from pipeline_fakes import TOPICS, FakeDelivery, FlakySpool

from bridge.argo.errors import Answer, classify
from bridge.argo.exchanges import HttpRequest
from bridge.core.metrics import Metrics
from bridge.core.model import Message, ReplyAddress
from bridge.core.report import ErrorReports
from bridge.interface.operations import SPECS, Operation
from bridge.pipeline.intake.operations import ReadRequest
from bridge.pipeline.reads.reader import Reads
from bridge.pipeline.refusals import Refusals
from tests.support.clock import FakeClock


def workflow(name: str, created: str = "2026-11-24T14:00:00Z", **status: Any) -> dict[str, Any]:
    """A workflow as Argo lists it."""
    metadata = {"name": name, "namespace": "factory", "uid": f"u-{name}", "creationTimestamp": created}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "progress": "1/2"} | status}


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    """The answer to a list."""
    return {"metadata": {"resourceVersion": "5"}, "items": list(items) or None}


class ScriptedExchanges:
    """Exchanges whose answers a test gives.

    started: what is under way, by key.
    requests: all that was ever asked.
    given_up: keys that were given up.
    is_still: no time passes.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.started: dict[Hashable, tuple[HttpRequest, Callable[[bytes], None] | None]] = {}
        self.requests: list[HttpRequest] = []
        self.given_up: list[Hashable] = []
        self.answers: list[tuple[Hashable, Answer]] = []
        self.is_closed = False
        self.is_still = False

    def start(self, key: Hashable, request: HttpRequest, sink: Callable[[bytes], None] | None = None) -> None:
        """Begin one exchange."""
        self.started[key] = (request, sink)
        self.requests.append(request)

    def poll(self, timeout_s: float) -> list[tuple[Hashable, Answer]]:
        """Give what the test has answered, or let the time pass."""
        if not self.answers and not self.is_still:
            self._clock.advance(timeout_s)
        ended, self.answers = self.answers, []
        for key, _ in ended:
            self.started.pop(key, None)
        return ended

    def give_up(self, key: Hashable) -> None:
        """End one exchange."""
        if self.started.pop(key, None) is not None:
            self.given_up.append(key)

    def interrupt(self) -> None:
        """Nobody sleeps."""

    def wake(self) -> None:
        """Nobody sleeps."""

    def close(self) -> None:
        """The end."""
        self.is_closed = True


class ReadsBench:
    """Reads without their thread, and everything they use; `max_bytes` is what the broker takes."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.exchanges = ScriptedExchanges(self.clock)
        self.metrics = Metrics()
        self.max_bytes = 256 * 1024
        self.outbox_calls = 0
        self.reads = Reads(
            spool=self.spool,  # type: ignore[arg-type]  # the real one, with a switch
            exchanges=self.exchanges,  # type: ignore[arg-type]  # a fake
            refusals=Refusals(TOPICS, self.metrics, self.clock),
            metrics=self.metrics,
            reports=ErrorReports(folder, self.metrics, self.clock),
            clock=self.clock,
            max_publish_bytes=lambda _name: self.max_bytes,
            on_outbox=self._outbox,
        )

    def _outbox(self) -> None:
        self.outbox_calls += 1

    def ask(self, operation: Operation, name: str = "w", **options: Any) -> FakeDelivery:
        """Submit one request; its delivery tells whether it was acknowledged."""
        delivery = FakeDelivery(Message("plant", f"argo/workflows/{operation.value}", b"{}", qos=1))
        defaults = {option.name: option.default for option in SPECS[operation].options if option.default is not None}
        address = ReplyAddress("plant", "answers", b"c", '"r"')
        read = ReadRequest(operation, "factory", name, defaults | options, delivery.message, address)
        assert self.reads.reserve(read)
        self.reads.submit(read, delivery.ack)
        return delivery

    def follow(self) -> FakeDelivery:
        """Submit a request for a log that is followed, and let its workflow be found."""
        delivery = self.ask(Operation.LOGS, follow=True)
        self.step()
        self.answer(workflow("w"), -1)
        return delivery

    def step(self, times: int = 1) -> None:
        """Some turns."""
        for _ in range(times):
            self.reads.step()

    def run_s(self, seconds: float) -> None:
        """Turns until the time has passed."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            self.reads.step()

    def answer(self, answer: Answer | dict[str, Any], place: int = 0) -> None:
        """Answer one of the exchanges that are under way, the oldest unless told otherwise."""
        key = list(self.exchanges.started)[place]
        ok = classify(200, {}, orjson.dumps(answer), 0.0) if isinstance(answer, dict) else answer
        self.exchanges.answers.append((key, ok))
        self.step()

    def hear(self, *lines: str) -> None:
        """Let the oldest stream bring lines."""
        _, sink = next(iter(self.exchanges.started.values()))
        assert sink is not None
        for line in lines:
            sink(b"data: " + orjson.dumps({"result": {"podName": "p", "content": line}}) + b" \n\n")

    @property
    def replies(self) -> list[dict[str, Any]]:
        """All bodies that were told."""
        rows = [row for _, row in self.spool.real.outbox("plant", 0, 10_000)]
        return [orjson.loads(row.message.payload) for row in rows if row.message.topic == "answers"]

    @property
    def codes(self) -> list[str]:
        """Their codes."""
        rows = [row for _, row in self.spool.real.outbox("plant", 0, 10_000)]
        return [dict(row.message.user)["code"] for row in rows if row.message.topic == "answers"]

    def reasons(self) -> dict[str, int]:
        """Dead letters by reason."""
        return {one.letter.reason: one.count for one in self.spool.real.dead_letters()}
