"""The watcher: which end of a watch leads to what. Run on the test's own thread; the script ends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from status_fakes import NS, workflow

from bridge.argo.client import WorkflowList
from bridge.argo.watch import WatchFrame
from bridge.core.errors import PermanentError, TransientError
from bridge.core.metrics import Metrics
from bridge.core.model import WorkflowRef
from bridge.core.report import ErrorReports
from bridge.status.seen.events import Listed
from bridge.status.seen.inbox import Inbox
from bridge.status.seen.watcher import AUTH_PAUSE_S, TOKEN_LOOK_S, Watcher
from tests.support.clock import FakeClock

CUT = TransientError("watch: connection lost", code="connection-lost")
DENIED = TransientError("list: forbidden", code="not-permitted")


class Stop:
    """A stop event whose waits pass at once and are written down."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waits: list[float] = []
        self.is_over = False

    def set(self) -> None:
        """End."""
        self.is_over = True

    def is_set(self) -> bool:
        """Whether it ended."""
        return self.is_over

    def wait(self, timeout_s: float) -> bool:
        """Let time pass."""
        self.waits.append(timeout_s)
        self.clock.advance(timeout_s)
        return self.is_over


class Script:
    """An Argo that answers one step after the other, and stops the watcher behind the last."""

    def __init__(self, stop: Stop, *steps: object) -> None:
        self.stop = stop
        self.steps = list(steps)
        self.calls: list[str] = []
        self.waited: list[int] = []
        self.token_renewals = 0

    def _next(self) -> object:
        if not self.steps:
            self.stop.set()
            return []
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def list(self, namespace: str, selector: str) -> WorkflowList:
        """Answer a list."""
        self.calls.append("list")
        self.waited.append(len(self.stop.waits))
        step = self._next()
        if not isinstance(step, WorkflowList):
            raise CUT
        return step

    def watch(self, namespace: str, selector: str, resource_version: str) -> Iterator[WatchFrame | None]:
        """Answer a watch."""
        self.calls.append(f"watch {resource_version}")
        step = self._next()
        assert isinstance(step, list)
        for item in step:
            if isinstance(item, Exception):
                raise item
            if callable(item):
                item()
            else:
                yield item

    def get(self, ref: WorkflowRef, *, nodes: bool) -> None:
        """Never asked."""

    def interrupt(self) -> None:
        """Never called."""


def frame(version: int, kind: str = "MODIFIED") -> WatchFrame:
    return WatchFrame(kind, workflow(version=version), str(version))


def follow(folder: Path, *steps: object, inbox: Inbox | None = None) -> tuple[Script, Watcher, Stop, list[object]]:
    clock = FakeClock()
    stop = Stop(clock)
    script = Script(stop, *steps)
    inbox = inbox or Inbox()
    reports = ErrorReports(folder, Metrics(), clock)
    watcher = Watcher(NS, "", argo=script, clock=clock, reports=reports, inbox=inbox, stop=stop)
    assert watcher.problem is not None
    watcher.run()
    return script, watcher, stop, _taken(inbox)


def _taken(inbox: Inbox) -> list[object]:
    return list(inbox.take(0.0))


def kinds(events: Sequence[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_watch_goes_on_from_the_list(tmp_path: Path) -> None:
    """List first, then watch from its resource version; frames follow the list in order."""
    script, watcher, _, events = follow(tmp_path, WorkflowList((workflow(),), "7"), [frame(8), frame(9)])
    assert script.calls[:2] == ["list", "watch 7"]
    assert kinds(events) == ["Listed", "WatchFrame", "WatchFrame"]
    assert isinstance(events[0], Listed)
    assert events[0].starts_watch is True
    assert watcher.problem is None


def test_an_orderly_end_resumes_from_the_last_frame(tmp_path: Path) -> None:
    """A watch that ends is resumed, bookmarks included, without another list and nearly at once."""
    bookmark = WatchFrame("BOOKMARK", {}, "12")
    script, _, stop, events = follow(tmp_path, WorkflowList((), "7"), [frame(8), bookmark], [])
    assert script.calls[:3] == ["list", "watch 7", "watch 12"]
    assert kinds(events) == ["Listed", "WatchFrame"]
    assert max(stop.waits) < 1.0


def test_a_cut_resumes_after_a_pause(tmp_path: Path) -> None:
    """After a cut the watch resumes from the last frame; repeated failures wait longer, five seconds at most."""
    steps = [WorkflowList((), "7"), [frame(8), CUT], *[CUT] * 8, []]
    script, _, stop, _ = follow(tmp_path, *steps)
    assert script.calls[:3] == ["list", "watch 7", "watch 8"]
    assert script.calls.count("list") == 1
    assert stop.waits[0] < 0.3
    assert 2 < max(stop.waits) <= 5.0


def test_an_expired_version_lists_again_at_once(tmp_path: Path) -> None:
    """`too old` leads to a list without any pause; again and again, with pauses."""
    old = TransientError("too old", code="watch-expired")
    listed = [WorkflowList((), str(version)) for version in range(7, 12)]
    steps = [listed[0], old, listed[1], old, listed[2], old, listed[3], [None], old, listed[4]]
    script, _, _, _ = follow(tmp_path, *steps)
    assert script.calls[:4] == ["list", "watch 7", "list", "watch 8"]
    assert script.waited[:5] == [0, 0, 1, 2, 3]


def test_a_long_gap_lists_again(tmp_path: Path) -> None:
    """Once cut off for more than a minute the watcher lists rather than trust kube's history."""
    script, _, _, _ = follow(tmp_path, WorkflowList((), "7"), *[CUT] * 30)
    assert script.calls.count("list") > 1


def test_a_missing_right_is_a_problem_with_a_long_pause(tmp_path: Path) -> None:
    """401 and 403 are tried again only twice a minute, and the problem names the namespace and the right."""
    _, watcher, stop, _ = follow(tmp_path, DENIED, PermanentError("no", code="invalid"))
    assert sum(stop.waits[: int(AUTH_PAUSE_S / TOKEN_LOOK_S)]) == AUTH_PAUSE_S
    assert watcher.problem is not None
    assert (watcher.problem.code, watcher.problem.subject) == ("invalid", NS)


def test_a_new_token_is_tried_at_once(tmp_path: Path) -> None:
    """Whoever was refused looks each second whether there is another token, and does not wait out the pause."""

    class Renewed(Script):
        """The token is renewed 3 s after the refusal."""

        @property
        def token_renewals(self) -> int:
            return int(len(self.stop.waits) >= 3)

        @token_renewals.setter
        def token_renewals(self, _number: int) -> None:
            """Only time decides."""

    clock = FakeClock()
    stop = Stop(clock)
    script = Renewed(stop, DENIED, WorkflowList((), "7"))
    reports = ErrorReports(tmp_path, Metrics(), clock)
    Watcher(NS, "", argo=script, clock=clock, reports=reports, inbox=Inbox(), stop=stop).run()
    assert script.calls[:2] == ["list", "list"]
    assert script.waited[1] == 3


def test_a_sign_of_life_ends_the_problem(tmp_path: Path) -> None:
    """A quiet watch that lives clears the problem of the cut before it."""
    _, watcher, _, _ = follow(tmp_path, WorkflowList((), "7"), CUT, [None])
    assert watcher.problem is None


def test_an_unexpected_exception_lists_again_and_is_reported(tmp_path: Path) -> None:
    """A defect in one frame does not end the thread: it leaves a report and starts over from a list."""
    script, _, _, _ = follow(tmp_path, WorkflowList((), "7"), [ValueError("defect")], WorkflowList((), "9"), [])
    assert script.calls[:3] == ["list", "watch 7", "list"]
    assert len(list(tmp_path.glob("report-*-status-watch.json"))) == 1


def test_a_closed_inbox_ends_the_watch(tmp_path: Path) -> None:
    """When the status thread is going, a frame that finds no room does not block the stop, and was not heard."""
    inbox = Inbox(max_waiting=1)
    script, _, _, events = follow(tmp_path, WorkflowList((), "7"), [inbox.close, frame(8), frame(9)], inbox=inbox)
    assert kinds(events) == ["Listed"]
    assert script.calls == ["list", "watch 7", "watch 7"]
    assert script.steps == []
