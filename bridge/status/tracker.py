"""Decides what the topics of every followed workflow show, and what GET has to confirm before it is believed.

The rules (DESIGN 3c): a workflow is gone when a DELETED frame says so, when GET answers 404, or when GET answers from
the archive (``Persisted``). Absence from a list proves nothing, and a list that no watch goes on from only proposes.
It does no I/O: values go to the publisher, and `propose` queues a GET.

Thread: the status thread owns it; `size` may be read from any thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

from bridge.core import log
from bridge.core.clock import Clock
from bridge.core.model import WorkflowRef
from bridge.core.topic_filter import name_problem
from bridge.interface.topics import Topics
from bridge.spool.records import RetainedTopic
from bridge.status.events import (
    Changed,
    Connected,
    Disconnected,
    Event,
    Listed,
    LookedUp,
    PublishEnded,
    Ready,
    RetainedSeen,
)
from bridge.status.failures import FailedNode, find_failed_node
from bridge.status.publisher import Publisher
from bridge.status.registry import Registry, Tracked
from bridge.status.sources import EventSeen, FollowedWorkflows, FrameKind, Workflow
from bridge.status.transitions import Observed, failure_wanted, is_newer, observe, transition, update_of

_LOG = log.logger(__name__)
MERGE_S = 1.0
NODES_WAIT_S = 2.0
MAX_ARCHIVE_CHECKS = 200
"""GETs per list for workflows that it shows from the archive: there, they may be gone or not."""

Propose = Callable[[WorkflowRef, bool], None]
"""Asks for a GET; the flag says whether the nodes are wanted. Answered by a `LookedUp` event."""


class Tracker:
    """Every workflow of the followed namespaces.

    Args:
        follow: which workflows.
        topics: the interface's topics.
        publisher: takes what the topics show.
        propose: queues a GET; asking twice is one GET.
        clock: time.
        on_event_seen: told of each event whose workflow is seen.
    """

    def __init__(
        self,
        follow: FollowedWorkflows,
        topics: Topics,
        publisher: Publisher,
        propose: Propose,
        *,
        clock: Clock,
        on_event_seen: EventSeen,
    ) -> None:
        self._follow = follow
        self._topics = topics
        self._publisher = publisher
        self._propose = propose
        self._clock = clock
        self._on_event_seen = on_event_seen
        self._registry = Registry(topics)
        self._due: list[tuple[float, str]] = []
        self._listed: set[str] = set()
        self._orphans: dict[WorkflowRef, set[str]] = {}
        self._hints: dict[str, tuple[str, FailedNode]] = {}

    @property
    def size(self) -> int:
        """How many workflows are followed. Thread: any."""
        return len(self._registry)

    def adopt(self, rows: Iterable[RetainedTopic]) -> None:
        """Take over what an earlier process retained; call it before the first event."""
        for row in rows:
            if not self._publisher.adopt(row, saved=True):
                extra = log.fields(connection=row.connection, topic=row.topic)
                _LOG.info("a status is retained on a connection that is not configured any more", extra=extra)
                continue
            self._question(WorkflowRef(row.namespace, row.name, row.uid), row.topic)

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Listed():
                self._take_list(event)
            case Changed():
                self._take_frame(event)
            case LookedUp():
                self._take_answer(event)
            case RetainedSeen():
                self._take_retained(event)
            case Connected(connection, session):
                self._publisher.connected(connection, session)
            case Ready(connection):
                self._publisher.ready(connection)
            case Disconnected(connection):
                self._publisher.disconnected(connection)
            case PublishEnded():
                self._publisher.ended(event)

    def next_due_s(self) -> float:
        """Return in how many seconds `tick` has something to do; infinity for never."""
        return max(0.0, self._due[0][0] - self._clock.monotonic_s()) if self._due else float("inf")

    def tick(self) -> None:
        """Make the messages that are due."""
        now = self._clock.monotonic_s()
        while self._due and self._due[0][0] <= now:
            due_s, uid = heapq.heappop(self._due)
            record = self._registry.find(uid)
            if record is not None and record.due_s == due_s:
                self._emit(record)

    def release_all(self) -> None:
        """Make every message that waits, due or not: the end is near."""
        for record in list(self._registry):
            if record.due_s is not None:
                self._emit(record)

    # -- lists ---------------------------------------------------------------------------------------------------

    def _take_list(self, event: Listed) -> None:
        is_first = event.namespace not in self._listed
        present: set[str] = set()
        archived: list[Observed] = []
        for workflow in event.workflows:
            seen = observe(workflow, event.namespace)
            if seen is None:
                continue
            present.add(seen.ref.uid)
            if seen.persisted:
                archived.append(seen)
            elif event.starts_watch or self._registry.find(seen.ref.uid) is not None:
                self._apply(seen, initial=is_first)
            else:
                self._propose(seen.ref, False)
        self._check_archived(archived, event)
        for record in self._registry:
            if record.ref.namespace == event.namespace and record.ref.uid not in present:
                self._propose(record.ref, False)
        if is_first:
            self._first_listed(event.namespace)

    def _check_archived(self, archived: Sequence[Observed], event: Listed) -> None:
        """With an archive, a list shows living and deleted workflows alike: only GET tells them apart."""
        known = [record for seen in archived if (record := self._registry.find(seen.ref.uid)) is not None]
        known.sort(key=lambda record: record.checks)
        for record in known if event.starts_watch else known[:MAX_ARCHIVE_CHECKS]:
            record.checks += 1
            self._propose(record.ref, False)
        if not event.starts_watch:
            return  # what lives and is not known came with the watch, or will
        others = [seen for seen in archived if self._registry.find(seen.ref.uid) is None]
        for seen in others:
            self._report(seen)
        others.sort(key=lambda seen: seen.finished_at, reverse=True)
        for seen in others[:MAX_ARCHIVE_CHECKS]:
            self._propose(seen.ref, False)

    def _first_listed(self, namespace: str) -> None:
        self._listed.add(namespace)
        for ref in [ref for ref in self._orphans if ref.namespace == namespace]:
            if self._registry.find(ref.uid) is not None:
                self._settle_orphan(ref)
            else:
                self._propose(ref, False)
        if self._listed.issuperset(self._follow.namespaces):
            self._hints.clear()
            self._publisher.initial_done()

    # -- frames and answers --------------------------------------------------------------------------------------

    def _take_frame(self, event: Changed) -> None:
        seen = observe(event.workflow, event.namespace)
        if seen is None or event.kind is FrameKind.BOOKMARK:
            return
        if event.kind is FrameKind.DELETED:
            self._report(seen)
            self._gone(seen.ref)
        else:
            self._apply(seen)

    def _take_answer(self, event: LookedUp) -> None:
        seen = None if event.workflow is None else observe(event.workflow, event.ref.namespace)
        if seen is None:
            if event.workflow is None:
                self._gone(event.ref)
            return
        if event.ref.uid not in ("", seen.ref.uid):
            self._gone(event.ref)  # the name belongs to another workflow now
        if seen.persisted or not self._is_followed(seen):
            self._report(seen)
            self._gone(seen.ref)
        else:
            self._apply(seen)
            if event.nodes and event.workflow is not None:
                self._learn_failure(seen, event.workflow)
        self._settle_orphan(event.ref)

    def _learn_failure(self, seen: Observed, workflow: Workflow) -> None:
        record = self._registry.find(seen.ref.uid)
        if record is None or not failure_wanted(seen):
            return
        record.failed_run, record.failed = seen.started_at, find_failed_node(workflow)
        if not is_newer(record.version, seen.resource_version):
            self._consider(record, seen)

    def _is_followed(self, seen: Observed) -> bool:
        """Whether GET's answer is within the scope; of an operator's own selector only Argo can tell."""
        own_only = self._follow.selector == f"argo-bridge/bridge={self._follow.bridge_id}"
        return not own_only or seen.bridge == self._follow.bridge_id

    def _apply(self, seen: Observed, *, initial: bool = False) -> None:
        record = self._registry.find(seen.ref.uid)
        if record is None:
            record = self._admit(seen, initial=initial)
            if record is None:
                return
        elif not is_newer(seen.resource_version, record.version):
            return
        record.version = seen.resource_version
        if not record.is_reported:
            record.is_reported = True
            self._report(seen)
        self._consider(record, seen)

    def _admit(self, seen: Observed, *, initial: bool) -> Tracked | None:
        record = Tracked(seen, initial=initial)
        other = self._registry.named(seen.ref)
        if other is not None and _is_later(other, seen):
            return None  # a stale answer: names are unique among the living, so the later one lives
        topic = seen.status_topic if self._may_show(seen) else ""
        self._registry.add(record, topic)
        if other is not None:
            self._gone(other.ref)
        hint = self._hints.pop(seen.ref.uid, None)
        if hint is not None:
            record.failed_run, record.failed = hint
        return record

    def _may_show(self, seen: Observed) -> bool:
        """Whether the annotation names a topic that a status may go to: no loop, and only from our own workflows."""
        topic = seen.status_topic
        if not topic or seen.bridge != self._follow.bridge_id:
            return False
        return not (name_problem(topic) or topic.startswith("$") or self._topics.is_interface(topic))

    def _report(self, seen: Observed) -> None:
        if seen.event_id and seen.bridge == self._follow.bridge_id:
            self._on_event_seen(seen.event_id, seen.ref.namespace, seen.ref.name)

    # -- messages ------------------------------------------------------------------------------------------------

    def _consider(self, record: Tracked, seen: Observed) -> None:
        """Make the message for a new state now, or when it is due."""
        now = self._clock.monotonic_s()
        record.seen = seen
        if failure_wanted(seen) and record.failed_run != seen.started_at:
            self._propose(record.ref, True)
            if record.waited_run != seen.started_at:
                record.waited_run = seen.started_at
                self._at(record, now + NODES_WAIT_S)
                return
            if record.due_s is not None:
                return
        # The end is told at once: it is what people and devices wait for.
        if seen.phase.ended or now >= record.quiet_until_s:
            self._emit(record)
        else:
            self._at(record, record.quiet_until_s)

    def _at(self, record: Tracked, due_s: float) -> None:
        if record.due_s != due_s:
            record.due_s = due_s
            heapq.heappush(self._due, (due_s, record.ref.uid))

    def _emit(self, record: Tracked) -> None:
        seen, record.seen, record.due_s = record.seen, None, None
        if seen is None:
            return
        failed = record.failed if record.failed_run == seen.started_at else None
        statement = transition(record.digest, update_of(seen, failed, self._follow.bridge_id))
        if statement is None:
            return
        record.digest = statement.digest
        record.quiet_until_s = self._clock.monotonic_s() + MERGE_S
        self._publisher.show(statement, self._registry.topics_of(record), initial=record.initial)
        record.initial = False

    # -- the end of workflows, and what is retained without one -----------------------------------------------------

    def _gone(self, ref: WorkflowRef) -> None:
        record = self._registry.find(ref.uid)
        if record is not None:
            if record.seen is not None and record.seen.phase.ended:
                self._emit(record)  # the stream's last word; the retained topic is cleared just below
            topics = self._registry.topics_of(record)
            self._registry.remove(record)
            for topic in topics:
                if not self._registry.has_topic(topic):
                    self._publisher.clear(topic)
            self._publisher.forget(ref.uid)
        self._settle_orphan(ref)

    def _take_retained(self, event: RetainedSeen) -> None:
        row = RetainedTopic(event.connection, event.topic, event.ref.namespace, event.ref.name, event.ref.uid)
        if not self._publisher.adopt(row, saved=False):
            return
        self._publisher.seen(event.connection, event.topic, event.digest)
        if event.failed is not None:
            self._take_hint(event.ref.uid, event.started_at, event.failed)
        if not self._registry.has_topic(event.topic):
            self._question(event.ref, event.topic)

    def _take_hint(self, uid: str, started_at: str, failed: FailedNode) -> None:
        """An earlier process read the nodes already and retained what it found: no need to ask again."""
        record = self._registry.find(uid)
        if record is None:
            if len(self._listed) < len(self._follow.namespaces):
                self._hints[uid] = (started_at, failed)
        elif record.failed_run is None:
            record.failed_run, record.failed = started_at, failed
            if record.seen is not None:
                self._consider(record, record.seen)

    def _question(self, ref: WorkflowRef, topic: str) -> None:
        """Find out whether what a topic shows still exists."""
        if ref.namespace not in self._follow.namespaces:
            self._publisher.clear(topic)  # nobody would ever bring it up to date
            return
        self._orphans.setdefault(ref, set()).add(topic)
        if ref.namespace in self._listed:
            self._propose(ref, False)

    def _settle_orphan(self, ref: WorkflowRef) -> None:
        """It is known now whether `ref` exists: what it left behind and nobody shows in is cleared."""
        for topic in self._orphans.pop(ref, ()):
            if not self._registry.has_topic(topic):
                self._publisher.clear(topic)


def _is_later(record: Tracked, seen: Observed) -> bool:
    if record.created != seen.created:
        return record.created > seen.created
    return is_newer(record.version, seen.resource_version)
