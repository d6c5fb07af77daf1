"""Decides when the message for a workflow's state is made, and what must first be read by GET.

A burst within a second is one message. The end is published at once, except for the nodes that explain it, for which
the message waits at most two seconds. Only its nodes show whether a running workflow waits at a Suspend node: they are
read once nothing changes. It does no I/O: messages go to the publisher, and `propose` queues a GET.

Thread: the status thread owns it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from bridge.core.clock import Clock
from bridge.core.metrics import Metrics
from bridge.core.model import Phase, WorkflowRef
from bridge.interface.status import NoticeKind
from bridge.status.decided.nodes import NodeDetail, read_nodes
from bridge.status.decided.registry import Registry, Tracked
from bridge.status.decided.transitions import Observed, Overlay, is_newer, transition, update_of
from bridge.status.seen.sources import FollowedWorkflows, Workflow
from bridge.status.shown.publisher import Publisher

MERGE_S = 1.0
NODES_WAIT_S = 2.0
STILL_S = 1.0
MAX_ASKED = 5
"""Maximum number of GETs in progress about waiting workflows, so that more urgent ones do not queue behind many."""

Propose = Callable[[WorkflowRef, bool], None]
"""Requests a GET; the flag says whether the nodes are wanted. Answered by a `LookedUp` event."""


class Announcer:
    """Makes messages from states; `propose` queues a GET, and two requests for the same workflow are one GET."""

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: Metrics,
        follow: FollowedWorkflows,
        registry: Registry,
        publisher: Publisher,
        stream: str,
        propose: Propose,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._follow = follow
        self._registry = registry
        self._publisher = publisher
        self._stream = stream
        self._propose = propose
        self._due: list[tuple[float, str]] = []
        self._still: dict[str, tuple[float, tuple[str, str]]] = {}
        self._asked: set[str] = set()

    def consider(self, record: Tracked, seen: Observed) -> None:
        """Make the message for a state now, or when it is due."""
        record.seen = seen
        if not seen.phase.ended and self._clock.monotonic_s() < record.quiet_until_s:
            self._at(record, record.quiet_until_s)
        else:
            self._make(record)
        self._question_waiting(record, seen)

    def learn(self, record: Tracked, seen: Observed, workflow: Workflow) -> None:
        """Process the result of a GET with nodes; `seen` is the same, parsed."""
        self._asked.discard(record.ref.uid)
        record.detail = read_nodes(workflow, listed=record.requests.nodes)
        if not is_newer(record.version, seen.resource_version):
            self.consider(record, seen)

    def hint(self, record: Tracked, detail: NodeDetail) -> None:
        """Use what an earlier process had found out about the nodes, unless this one knows better."""
        if record.detail is None:
            record.detail = detail
            if record.seen is not None:
                self.consider(record, record.seen)

    def overlay(self, record: Tracked, progress: str, message: str) -> None:
        """Show another system's status of a running workflow, until Argo's next change."""
        if record.seen is not None:
            record.overlay = Overlay(record.seen.said, progress, message)
            self.consider(record, record.seen)

    def forget(self, record: Tracked) -> None:
        """Forget a deleted workflow: its last state is sent on the stream if it is final."""
        self._asked.discard(record.ref.uid)
        self._still.pop(record.ref.uid, None)
        if record.seen is not None and record.seen.phase.ended:
            self._emit(record, record.seen)

    def next_due_s(self) -> float:
        """Return the seconds until `tick` has work; infinity for never."""
        times = [self._due[0][0]] if self._due else []
        if self._still and len(self._asked) < MAX_ASKED:
            times.append(next(iter(self._still.values()))[0])
        return max(0.0, min(times) - self._clock.monotonic_s()) if times else float("inf")

    def tick(self) -> None:
        """Make the messages that are due, and look up workflows that have stopped changing."""
        now = self._clock.monotonic_s()
        while self._due and self._due[0][0] <= now:
            due_s, uid = heapq.heappop(self._due)
            record = self._registry.find(uid)
            if record is not None and record.due_s == due_s:
                self._make(record)
        while self._still and len(self._asked) < MAX_ASKED:
            uid, (due_s, place) = next(iter(self._still.items()))
            if due_s > now:
                break
            del self._still[uid]
            record = self._registry.find(uid)
            if record is not None and record.seen is not None and self._may_wait(record, record.seen) == place:
                self._asked.add(uid)
                self._propose(record.ref, True)

    def release_all(self) -> None:
        """Make every message that is due later, before the end."""
        for record in list(self._registry):
            if record.due_s is not None and record.seen is not None:
                self._emit(record, record.seen)

    def _make(self, record: Tracked) -> None:
        seen = record.seen
        if seen is None:
            return
        if self._needs_nodes(record, seen):
            now = self._clock.monotonic_s()
            self._propose(record.ref, True)
            if record.wait_until_s is None:
                record.wait_until_s = now + NODES_WAIT_S
            if now < record.wait_until_s:
                self._at(record, record.wait_until_s)
                return
        self._emit(record, seen)

    def _needs_nodes(self, record: Tracked, seen: Observed) -> bool:
        detail = record.detail
        if seen.is_failed and not (detail and detail.tells_failure_of(seen.started_at)):
            return True
        # Before it runs, there is none.
        is_old = detail is None or not detail.version or is_newer(seen.resource_version, detail.version)
        return record.requests.nodes and is_old and seen.phase is not Phase.ABSENT

    def _question_waiting(self, record: Tracked, seen: Observed) -> None:
        place = self._may_wait(record, seen)
        if place is not None and record.asked_place != place:
            record.asked_place = place
            # Appended: the first is the one that is due first. One entry each, however often it changed meanwhile.
            self._still.pop(record.ref.uid, None)
            self._still[record.ref.uid] = (self._clock.monotonic_s() + STILL_S, place)

    def _may_wait(self, record: Tracked, seen: Observed) -> tuple[str, str] | None:
        """Return the position of a running workflow that may be at a Suspend node; None if not, or if known."""
        if seen.phase is not Phase.RUNNING or seen.pods_running or seen.suspended or record.requests.nodes:
            return None
        detail = record.detail
        is_known = detail is not None and bool(detail.version) and detail.tells_waiting_of(*_place(seen))
        return None if is_known else _place(seen)

    def _at(self, record: Tracked, due_s: float) -> None:
        if record.due_s != due_s:
            record.due_s = due_s
            heapq.heappush(self._due, (due_s, record.ref.uid))

    def _emit(self, record: Tracked, seen: Observed) -> None:
        record.due_s = record.wait_until_s = None
        said = update_of(seen, record.detail, self._follow.bridge_id, record.overlay)
        statement = transition(record.digest, seen.ref, said)
        if seen.phase.ended:
            record.seen = record.overlay = None
            if record.requests.nodes:
                record.detail = None  # lists of nodes are large, and another state would have a different one
        if statement is None:
            return
        record.digest = statement.digest
        record.quiet_until_s = self._clock.monotonic_s() + MERGE_S
        self._publisher.show(statement, self._registry.topics_of(record), initial=record.initial)
        self._publisher.tell(statement, [self._stream, *self._notices(record, seen)], initial=record.initial)
        self._metrics.status_updates.labels(record.ref.namespace).inc()
        record.initial = False

    def _notices(self, record: Tracked, seen: Observed) -> Iterable[str]:
        if not seen.phase.ended or record.noticed_run == seen.started_at:
            return ()
        record.noticed_run = seen.started_at
        wanted = (*self._follow.notices, *record.requests.notices)
        # Each topic once, whoever lists it.
        return dict.fromkeys(notice.topic for notice in wanted if seen.is_failed or notice.on is NoticeKind.ENDED)


def _place(seen: Observed) -> tuple[str, str]:
    return (seen.started_at, seen.progress)
