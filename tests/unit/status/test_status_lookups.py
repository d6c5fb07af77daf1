"""Lookups: questions stay until they are answered, and one that is refused holds up no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from status_fakes import NS, workflow
from test_status_watcher import Stop

from bridge.argo.client import WorkflowList
from bridge.core.errors import PermanentError, TransientError
from bridge.core.metrics import Metrics
from bridge.core.model import WorkflowRef
from bridge.core.report import ErrorReports
from bridge.status.seen.events import Listed, LookedUp
from bridge.status.seen.inbox import Inbox
from bridge.status.seen.lookups import RELIST_S, Lookups
from tests.support.clock import FakeClock

AWAY = TransientError("get: unreachable", code="unreachable")
ONE, TWO = WorkflowRef(NS, "one", "u1"), WorkflowRef(NS, "two", "u2")


class Argo:
    """Answers from a list of outcomes; `after` says when the worker has done enough."""

    takes_s = 0.0

    def __init__(self, stop: Stop, outcomes: list[object], enough: Callable[[], bool]) -> None:
        self.stop = stop
        self.outcomes = outcomes
        self.enough = enough
        self.asked: list[tuple[str, bool]] = []
        self.lists = 0
        self.token_renewals = 0

    def get(self, ref: WorkflowRef, *, nodes: bool) -> object:
        """Answer a GET."""
        self.asked.append((ref.name, nodes))
        self.stop.clock.advance(self.takes_s)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if not self.outcomes and self.enough():
            self.stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def list(self, namespace: str, selector: str) -> WorkflowList:
        """Answer a list."""
        self.lists += 1
        self.stop.set()
        return WorkflowList((workflow(),), "5")


def run(
    folder: Path,
    outcomes: list[object],
    *refs: tuple[WorkflowRef, bool],
    later_s: float = 0.0,
    takes_s: float = 0.0,
    creates_wait: bool = True,
) -> tuple[Argo, Stop, list]:
    clock = FakeClock()
    stop = Stop(clock)
    argo = Argo(stop, outcomes, lambda: True)
    argo.takes_s = takes_s
    inbox = Inbox()
    reports = ErrorReports(folder, Metrics(), clock)
    lookups = Lookups(
        [NS],
        "",
        argo=argo,
        creates_wait=lambda: creates_wait,
        clock=clock,
        reports=reports,
        inbox=inbox,
        stop=stop,
    )
    clock.advance(later_s)
    for ref, nodes in refs:
        lookups.propose(ref, nodes)
    lookups.run()
    return argo, stop, inbox.take(0.0)


def test_a_question_is_asked_once(tmp_path: Path) -> None:
    """Asking twice before the answer is one GET, with nodes if either wanted them."""
    argo, _, events = run(tmp_path, [workflow()], (ONE, False), (ONE, True), (ONE, False))
    assert argo.asked == [("one", True)]
    assert events == [LookedUp(ONE, workflow(), True)]


def test_a_404_is_an_answer(tmp_path: Path) -> None:
    """That a workflow does not exist is handed on as such."""
    _, _, events = run(tmp_path, [None], (ONE, False))
    assert events == [LookedUp(ONE, None, False)]


def test_an_outage_is_waited_for(tmp_path: Path) -> None:
    """With Argo away the question stays, the pauses grow to five seconds at most, and the answer comes in the end."""
    argo, stop, events = run(tmp_path, [*[AWAY] * 12, None], (ONE, False))
    assert len(argo.asked) == 13
    assert 2 < max(stop.waits) <= 5.0
    assert events == [LookedUp(ONE, None, False)]


def test_a_refusal_holds_up_no_other(tmp_path: Path) -> None:
    """What Argo refuses for one workflow is put aside, and the others are asked meanwhile."""
    refused = PermanentError("get: forbidden", code="not-permitted")
    argo, _, events = run(tmp_path, [refused, workflow()], (ONE, False), (TWO, False))
    assert argo.asked == [("one", False), ("two", False)]
    assert [event.ref for event in events if isinstance(event, LookedUp)] == [TWO]


def test_an_unexpected_exception_is_reported_and_asked_again(tmp_path: Path) -> None:
    """A defect leaves a report and does not end the thread."""
    _, _, events = run(tmp_path, [ValueError("defect"), None], (ONE, False))
    assert events == [LookedUp(ONE, None, False)]
    assert len(list(tmp_path.glob("report-*-status-lookups.json"))) == 1


def test_a_namespace_is_listed_from_time_to_time(tmp_path: Path) -> None:
    """When it is time, a list is asked for, and it says of itself that no watch goes on from it."""
    argo, _, events = run(tmp_path, [], later_s=2 * RELIST_S)
    assert argo.lists == 1
    (event,) = events
    assert isinstance(event, Listed)
    assert event.starts_watch is False


@pytest.mark.parametrize(
    "outcome",
    [workflow(), None, PermanentError("get: forbidden", code="not-permitted")],
    ids=["found", "gone", "refused"],
)
@pytest.mark.parametrize(("takes_s", "pause_s"), [(0.003, 0.027), (0.05, 0.45), (5.0, 2.0)])
def test_looking_up_takes_a_tenth_of_the_time_while_creates_wait(
    tmp_path: Path, outcome: object, takes_s: float, pause_s: float
) -> None:
    """A server that answers one request after the other has nine tenths left for creates, whatever it answers."""
    refs = [(WorkflowRef(NS, f"w-{number}", f"u{number}"), True) for number in range(20)]
    argo, stop, _ = run(tmp_path, [outcome] * 20, *refs, takes_s=takes_s)
    assert len(argo.asked) == 20
    assert stop.waits == pytest.approx([pause_s] * 20)


def test_looking_up_goes_on_at_once_while_no_create_waits(tmp_path: Path) -> None:
    """Hundreds of questions are answered as fast as the server answers."""
    refs = [(WorkflowRef(NS, f"w-{number}", f"u{number}"), True) for number in range(20)]
    argo, stop, _ = run(tmp_path, [workflow()] * 20, *refs, takes_s=0.05, creates_wait=False)
    assert len(argo.asked) == 20
    assert stop.waits == []
