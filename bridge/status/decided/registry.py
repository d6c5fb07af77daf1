"""The followed workflows, and which of them a mapping's own status topic shows. Bookkeeping only.

Thread: the status thread owns it; `len` may be taken from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.model import Phase, WorkflowRef
from bridge.interface.status import NO_REQUESTS, StatusRequests
from bridge.interface.topics import RetainedStatus, Topics
from bridge.status.decided.nodes import NodeDetail
from bridge.status.decided.transitions import Observed, Overlay


class Tracked:
    """What is kept of one workflow.

    Attributes:
        ref: namespace, name, uid.
        created: creationTimestamp.
        version: resourceVersion of the last state.
        seen: the last state, None once the message of its end was made: ended workflows stay small.
        digest: of the last message, b"" before the first.
        status_topic: the mapping's own topic, "" without one or where a newer workflow shows.
        requests: of its mapping.
        detail: what GET told of its nodes, None before the first.
        overlay: what another system says of it, None for nothing.
        asked_place: where it stood when GET was asked whether it waits, None for never.
        wait_until_s: monotonic seconds until which the next message waits for nodes, None when it does not.
        due_s: monotonic seconds at which the message for `seen` is made, None when none is due.
        quiet_until_s: no other message before, so that bursts merge.
        noticed_run: startedAt of the run whose end the notices were told, None for none.
        counted: phase and mapping under which the report counts it, None before.
        counted_run: startedAt of the run whose end the report counts, None for none.
        initial: known from the first list, and nothing of it published by this process yet.
        checks: how often GET was asked whether it is more than an archive entry.
        is_reported: its event was reported.
    """

    __slots__ = (
        "asked_place",
        "checks",
        "counted",
        "counted_run",
        "created",
        "detail",
        "digest",
        "due_s",
        "initial",
        "is_reported",
        "noticed_run",
        "overlay",
        "quiet_until_s",
        "ref",
        "requests",
        "seen",
        "status_topic",
        "version",
        "wait_until_s",
    )

    def __init__(self, seen: Observed, *, initial: bool, requests: StatusRequests = NO_REQUESTS) -> None:
        self.ref = seen.ref
        self.created = seen.created
        self.version = seen.resource_version
        self.seen: Observed | None = seen
        self.digest = b""
        self.status_topic = ""
        self.requests = requests
        self.detail: NodeDetail | None = None
        self.overlay: Overlay | None = None
        self.asked_place: tuple[str, str] | None = None
        self.wait_until_s: float | None = None
        self.due_s: float | None = None
        self.quiet_until_s = 0.0
        self.noticed_run: str | None = None
        self.counted: tuple[Phase, str] | None = None
        self.counted_run: str | None = None
        self.initial = initial
        self.checks = 0
        self.is_reported = False


class Registry:
    """Workflows by uid and by name.

    Args:
        topics: the interface's topics.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._by_uid: dict[str, Tracked] = {}
        self._by_name: dict[tuple[str, str], Tracked] = {}
        self._shown: dict[str, Tracked] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(self._by_uid.values())

    def find(self, uid: str) -> Tracked | None:
        """Return the workflow with a uid."""
        return self._by_uid.get(uid)

    def named(self, ref: WorkflowRef) -> Tracked | None:
        """Return the workflow that has the name of `ref` now, whatever its uid."""
        return self._by_name.get((ref.namespace, ref.name))

    def add(self, record: Tracked, status_topic: str) -> None:
        """Add a workflow; it takes its name, and `status_topic` unless a newer one shows there.

        The newest is the one created last, by creationTimestamp, then name. One that lost the topic never
        gets it back: the topic is cleared when the workflow it shows is gone.
        """
        self._by_uid[record.ref.uid] = record
        self._by_name[record.ref.namespace, record.ref.name] = record
        if not status_topic:
            return
        current = self._shown.get(status_topic)
        if current is not None:
            if (record.created, record.ref.name) < (current.created, current.ref.name):
                return
            current.status_topic = ""
        record.status_topic = status_topic
        self._shown[status_topic] = record

    def remove(self, record: Tracked) -> None:
        """Remove a workflow, and what it held."""
        del self._by_uid[record.ref.uid]
        if self.named(record.ref) is record:
            del self._by_name[record.ref.namespace, record.ref.name]
        if record.status_topic:
            del self._shown[record.status_topic]

    def topics_of(self, record: Tracked) -> list[str]:
        """Return where a workflow shows: PREFIX/status/NAMESPACE/NAME, then its mapping's own topic."""
        own = self._topics.status_of(record.ref.namespace, record.ref.name)
        return [own, record.status_topic] if record.status_topic else [own]

    def has_topic(self, topic: str) -> bool:
        """Whether some workflow shows in `topic`, or is about to."""
        place = self._topics.parse(topic)
        if isinstance(place, RetainedStatus):
            return (place.namespace, place.name) in self._by_name
        return topic in self._shown
