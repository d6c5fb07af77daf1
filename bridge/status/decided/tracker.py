"""Decides what the topics of every followed workflow show, and what GET has to confirm before it is believed.

The rules: a workflow is gone when a DELETED frame says so, when GET answers 404, or when GET answers from the archive
(``Persisted``). Absence from a list proves nothing, and a list that no watch goes on from only proposes.
It does no I/O: values go to the publisher, and `propose` queues a GET. When messages are made, `Announcer` decides.

Thread: the status thread owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import orjson

from bridge.argo.marks import BRIDGE_LABEL
from bridge.argo.watch import WatchFrame
from bridge.core import log
from bridge.core.clock import Clock
from bridge.core.metrics import Metrics
from bridge.core.model import Phase, WorkflowRef
from bridge.interface.status import NO_REQUESTS
from bridge.interface.topics import RetainedStatus, Topics, published_problem
from bridge.spool.records import ExternalStatus, RetainedTopic
from bridge.spool.store import Spool
from bridge.status.decided.external import Externals
from bridge.status.decided.nodes import NodeDetail
from bridge.status.decided.registry import Registry, Tracked
from bridge.status.decided.reports import Reports
from bridge.status.decided.transitions import Observed, is_newer, observe
from bridge.status.seen.events import (
    Event,
    ForeignSeen,
    Listed,
    LiveSeen,
    LookedUp,
    RetainedSeen,
)
from bridge.status.seen.sources import EventSeen, FollowedWorkflows
from bridge.status.shown.announcer import Announcer, Propose
from bridge.status.shown.publisher import Publisher

_LOG = log.logger(__name__)
MAX_ARCHIVE_CHECKS = 200
"""GETs per list for workflows that it shows from the archive: there, they may be gone or not."""
MAX_ENDED = 10_000
"""Workflows that went last, with their last resourceVersion: what is older of them and comes late is not believed."""

MAX_HINTS = 10_000
"""What retained messages tell of nodes before the first list; without one GET is asked."""


class Tracker:
    """Every workflow of the followed namespaces.

    `propose` queues a GET; asking twice is one GET. `on_event_seen` is told of each event whose workflow is seen.
    """

    def __init__(
        self,
        *,
        follow: FollowedWorkflows,
        topics: Topics,
        publisher: Publisher,
        propose: Propose,
        on_event_seen: EventSeen,
        on_event_ended: Callable[[bytes], None],
        on_listed: Callable[[], None],
        store: Spool,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._follow = follow
        self._topics = topics
        self._publisher = publisher
        self._propose = propose
        self._on_event_seen = on_event_seen
        self._on_event_ended = on_event_ended
        self._on_listed = on_listed
        self._registry = Registry(topics)
        self._announcer = Announcer(
            clock=clock,
            metrics=metrics,
            follow=follow,
            registry=self._registry,
            publisher=publisher,
            stream=topics.status_stream,
            propose=propose,
        )
        self._externals = Externals(
            store=store,
            clock=clock,
            metrics=metrics,
            topics=topics,
            publisher=publisher,
            registry=self._registry,
            bridge_id=follow.bridge_id,
        )
        self._reports = Reports(clock, topics, publisher, follow.bridge_id, follow.namespaces)
        self._listed: set[str] = set()
        self._orphans: dict[WorkflowRef, set[str]] = {}
        self._hints: dict[str, NodeDetail] = {}
        self._ended: dict[str, str] = {}

    def adopt(self, rows: Iterable[RetainedTopic]) -> None:
        """Take over what an earlier process retained; call it before the first event."""
        for row in rows:
            if not self._publisher.adopt(row, saved=True):
                extra = log.fields(connection=row.connection, topic=row.topic)
                _LOG.info("a status is retained on a connection that is no longer configured", extra=extra)
                continue
            if row.name:
                self._question(WorkflowRef(row.namespace, row.name, row.uid), row.topic)
            elif row.namespace not in self._follow.namespaces:
                self._publisher.clear(row.topic)  # a report that nobody would ever bring up to date

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Listed():
                self._take_list(event)
            case WatchFrame():
                self._take_frame(event)
            case LookedUp():
                self._take_answer(event)
            case RetainedSeen():
                self._take_retained(event)
            case ForeignSeen(connection, topic):
                self._publisher.foreign(connection, topic)
            case LiveSeen(connection, topic, digest):
                self._publisher.live(connection, topic, digest)
            case _:
                event()

    def updates_stored(self) -> None:
        """Note that statuses from other systems wait in the spool."""
        self._externals.stored()

    def next_due_s(self) -> float:
        """Return in how many seconds `tick` has something to do; infinity for never."""
        return min(self._announcer.next_due_s(), self._externals.next_due_s(), self._reports.next_due_s())

    def tick(self) -> None:
        """Do what is due: messages, reports, and what other systems sent."""
        for row in self._externals.load():
            self._decide(row.namespace, row.name)
        self._announcer.tick()
        self._externals.tick()
        self._reports.tick()

    def release_all(self) -> None:
        """Make every message that waits, due or not: the end is near."""
        self._announcer.release_all()

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
            self._report_end(seen)
        others.sort(key=lambda seen: seen.finished_at, reverse=True)
        for seen in others[:MAX_ARCHIVE_CHECKS]:
            self._propose(seen.ref, False)

    def _first_listed(self, namespace: str) -> None:
        self._listed.add(namespace)
        self._reports.begin(namespace)
        for ref in self._externals.open_in(namespace):
            self._decide(ref.namespace, ref.name)
        for ref in [ref for ref in self._orphans if ref.namespace == namespace]:
            if self._registry.find(ref.uid) is not None:
                self._settle_orphan(ref)
            else:
                self._propose(ref, False)
        if self._listed.issuperset(self._follow.namespaces):
            self._hints.clear()
            self._publisher.initial_done()
            self._on_listed()

    # -- frames and answers --------------------------------------------------------------------------------------

    def _take_frame(self, event: WatchFrame) -> None:
        seen = observe(event.workflow, event.namespace)
        if seen is None:
            return
        if event.type == "DELETED":
            record = self._registry.find(seen.ref.uid)
            if record is not None:
                self._reports.count(record, seen)  # its end may have come with its deletion
            elif seen.ref.uid not in self._ended:
                # Once only: an event with the same id that came since may be a new one, which this must not end.
                self._report(seen)
            self._report_end(seen)
            self._gone(seen.ref, seen.resource_version)
        else:
            self._apply(seen)

    def _take_answer(self, event: LookedUp) -> None:
        seen = None if event.workflow is None else observe(event.workflow, event.ref.namespace)
        if seen is None:
            if event.workflow is None:
                self._gone(event.ref)
                self._absent(event.ref)
            return
        if event.ref.uid not in ("", seen.ref.uid):
            self._gone(event.ref)  # the name belongs to another workflow now
        if seen.persisted or not self._is_followed(seen):
            self._report(seen)
            self._gone(seen.ref, seen.resource_version)
            if seen.persisted:
                self._absent(seen.ref)
            else:
                self._externals.refuse(seen.ref.namespace, seen.ref.name)
        else:
            self._apply(seen)
            record = self._registry.find(seen.ref.uid)
            if event.nodes and event.workflow is not None and record is not None:
                self._announcer.learn(record, seen, event.workflow)
        self._settle_orphan(event.ref)

    def _is_followed(self, seen: Observed) -> bool:
        """Whether GET's answer is within the scope; of an operator's own selector only Argo can tell."""
        own_only = self._follow.selector == f"{BRIDGE_LABEL}={self._follow.bridge_id}"
        return not own_only or seen.bridge == self._follow.bridge_id

    def _apply(self, seen: Observed, *, initial: bool = False) -> None:
        record = self._registry.find(seen.ref.uid)
        if record is None:
            if self._is_from_before_its_end(seen):
                return
            record = self._admit(seen, initial=initial)
            if record is None:
                return
            self._report(seen)
        elif not is_newer(seen.resource_version, record.version):
            return
        record.version = seen.resource_version
        if seen.phase.ended:
            self._report_end(seen)
        self._reports.count(record, seen)
        self._announcer.consider(record, seen)

    def _is_from_before_its_end(self, seen: Observed) -> bool:
        """Whether an answer was overtaken by the deletion: GETs and lists come on other threads than the watch."""
        end = self._ended.get(seen.ref.uid)
        return end is not None and not is_newer(seen.resource_version, end)

    def _admit(self, seen: Observed, *, initial: bool) -> Tracked | None:
        is_own = seen.bridge == self._follow.bridge_id
        requests = self._follow.requests(seen.mapping, seen.source_topic) if is_own and seen.mapping else NO_REQUESTS
        record = Tracked(seen.ref, seen.created, seen.resource_version, seen, initial, requests)
        other = self._registry.named(seen.ref)
        if other is not None and _is_later(other, seen):
            return None  # a stale answer: names are unique among the living, so the later one lives
        topic = seen.status_topic if self._may_show(seen) else ""
        self._registry.add(record, topic)
        if other is not None:
            self._gone(other.ref)
        record.detail = self._hints.pop(seen.ref.uid, None)
        waiting = self._externals.take(seen.ref.namespace, seen.ref.name)
        if waiting is not None:
            self._overlay(record, waiting)
        return record

    def _may_show(self, seen: Observed) -> bool:
        """Whether the annotation names a topic that a status may go to: no loop, and only from our own workflows."""
        topic = seen.status_topic
        if not topic or seen.bridge != self._follow.bridge_id:
            return False
        return not (published_problem(topic) or self._topics.is_interface(topic))

    def _report(self, seen: Observed) -> None:
        if seen.event_id and seen.bridge == self._follow.bridge_id:
            self._on_event_seen(seen.event_id, seen.ref.namespace, seen.ref.name)

    def _report_end(self, seen: Observed) -> None:
        if seen.event_id and seen.bridge == self._follow.bridge_id:
            self._on_event_ended(seen.event_id)

    # -- what other systems say --------------------------------------------------------------------------------------

    def _decide(self, namespace: str, name: str) -> None:
        """Apply what another system sent, or ask Argo whether it knows the workflow."""
        ref = WorkflowRef(namespace, name)
        if namespace not in self._follow.namespaces:
            self._externals.refuse(namespace, name)
            return
        record = self._registry.named(ref)
        if record is None:
            if namespace in self._listed:
                self._propose(ref, False)
            return
        waiting = self._externals.take(namespace, name)
        if waiting is not None:
            self._overlay(record, waiting)

    def _overlay(self, record: Tracked, waiting: ExternalStatus) -> None:
        seen = record.seen
        if seen is None or seen.phase.ended:
            self._externals.count("ended")
            return
        document = orjson.loads(waiting.body)
        said = Phase(document["status"])
        if said is not seen.shown_phase:
            self._externals.phase_ignored(record.ref, said, seen.shown_phase)
        else:
            self._externals.count("applied")
        self._announcer.overlay(record, document["progress"], document["message"])

    def _absent(self, ref: WorkflowRef) -> None:
        if self._registry.named(ref) is None:
            self._externals.absent(ref.namespace, ref.name)

    # -- the end of workflows, and what is retained without one -----------------------------------------------------

    def _gone(self, ref: WorkflowRef, version: str = "") -> None:
        """Take a workflow away; `version` is that of its last state, where it is known better than from before."""
        record = self._registry.find(ref.uid)
        end = version or ("" if record is None else record.version)
        if ref.uid and end:
            # Not for ever: a workflow that leaves a selector is told as deleted, and may come back.
            self._ended[ref.uid] = end
            while len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]
        if record is not None:
            if record.seen is not None:
                self._report_end(record.seen)
            self._announcer.forget(record)
            self._reports.forget(record)
            topics = self._registry.topics_of(record)
            self._registry.remove(record)
            for topic in topics:
                if not self._is_shown(topic):
                    self._publisher.clear(topic)
            self._publisher.forget(ref.uid)
        self._settle_orphan(ref)

    def _is_shown(self, topic: str) -> bool:
        """Whether a topic shows a workflow, or what another system says of one, or is about to."""
        place = self._topics.parse(topic)
        if isinstance(place, RetainedStatus) and self._externals.has(place.namespace, place.name):
            return True
        return self._registry.has_topic(topic)

    def _take_retained(self, event: RetainedSeen) -> None:
        if not event.is_own:
            # Nobody's: whoever wrote it, where we show something it is put right.
            self._publisher.seen(event.connection, event.topic, event.digest)
            return
        row = RetainedTopic(event.connection, event.topic, event.ref.namespace, event.ref.name, event.ref.uid)
        if not self._publisher.adopt(row, saved=False):
            return
        self._publisher.seen(event.connection, event.topic, event.digest)
        if event.hint is not None:
            self._take_hint(event.ref.uid, event.hint)
        is_external = not event.ref.uid and self._externals.has(event.ref.namespace, event.ref.name)
        if not is_external and not self._registry.has_topic(event.topic):
            self._question(event.ref, event.topic)

    def _take_hint(self, uid: str, hint: NodeDetail) -> None:
        """An earlier process read the nodes already and retained what it found: that need not be asked again."""
        record = self._registry.find(uid)
        if record is not None:
            self._announcer.hint(record, hint)
        elif len(self._listed) < len(self._follow.namespaces) and len(self._hints) < MAX_HINTS:
            self._hints[uid] = hint

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
            if not self._is_shown(topic):
                self._publisher.clear(topic)


def _is_later(record: Tracked, seen: Observed) -> bool:
    if record.created != seen.created:
        return record.created > seen.created
    return is_newer(record.version, seen.resource_version)
