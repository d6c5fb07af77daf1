"""The followed workflows, and which of them a mapping's own status topic shows. Bookkeeping only.

Thread: the status thread owns it; `len` may be taken from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.model import WorkflowRef
from bridge.interface.topics import RetainedStatus, Topics
from bridge.status.failures import FailedNode
from bridge.status.transitions import Observed


class Tracked:
    """What is kept of one workflow.

    Attributes:
        ref: namespace, name, uid.
        created: creationTimestamp.
        version: resourceVersion of the last state.
        seen: the last state until its message was made, then None: ended workflows stay small.
        digest: of the last message, b"" before the first.
        status_topic: the mapping's own topic, "" without one or where a newer workflow shows.
        waited_run: startedAt of the failed run whose nodes were waited for, None for none.
        failed_run: startedAt of the run that `failed` belongs to, None while nobody has read the nodes.
        failed: the node that this run failed by, None where the nodes do not tell.
        due_s: monotonic seconds at which the message for `seen` is made, None when none is due.
        quiet_until_s: no other message before, so that bursts merge.
        initial: known from the first list, and nothing of it published by this process yet.
        checks: how often GET was asked whether it is more than an archive entry.
        is_reported: its event was reported.
    """

    __slots__ = (
        "checks",
        "created",
        "digest",
        "due_s",
        "failed",
        "failed_run",
        "initial",
        "is_reported",
        "quiet_until_s",
        "ref",
        "seen",
        "status_topic",
        "version",
        "waited_run",
    )

    def __init__(self, seen: Observed, *, initial: bool) -> None:
        self.ref = seen.ref
        self.created = seen.created
        self.version = seen.resource_version
        self.seen: Observed | None = seen
        self.digest = b""
        self.status_topic = ""
        self.waited_run: str | None = None
        self.failed_run: str | None = None
        self.failed: FailedNode | None = None
        self.due_s: float | None = None
        self.quiet_until_s = 0.0
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

        The newest is the one created last, by creationTimestamp, then name (DESIGN 5). One that lost the topic never
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
