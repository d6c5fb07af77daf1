"""The followed workflows, and which of them a mapping's own status topic shows. Bookkeeping only.

Thread: the status thread owns it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.core.model import Phase, WorkflowRef
from bridge.interface.status import StatusRequests
from bridge.interface.topics import RetainedStatus, Topics
from bridge.status.decided.nodes import NodeDetail
from bridge.status.decided.transitions import Observed, Overlay


@dataclass(slots=True, eq=False)
class Tracked:
    """The data kept of one workflow.

    Attributes:
        version: resourceVersion of the last state.
        seen: the last state, None once the final message was made: finished workflows stay small.
        initial: known from the first list, and not yet published by this process.
        digest: of the last message, b"" before the first.
        status_topic: the mapping's own topic, "" if there is none or a newer workflow shows there.
        detail: the last GET's result about its nodes.
        overlay: another system's status of it.
        asked_place: its position when GET was used to find out whether it waits.
        wait_until_s: monotonic seconds until which the next message waits for nodes.
        due_s: monotonic seconds at which the message for `seen` is made.
        quiet_until_s: no other message before, so that bursts are merged.
        noticed_run: startedAt of the run whose end was notified.
        counted: phase and mapping under which the report counts it.
        counted_run: startedAt of the run whose end the report has counted.
        checks: how often GET was used to find out whether it is more than an archive entry.
    """

    ref: WorkflowRef
    created: str
    version: str
    seen: Observed | None
    initial: bool
    requests: StatusRequests
    digest: bytes = b""
    status_topic: str = ""
    detail: NodeDetail | None = None
    overlay: Overlay | None = None
    asked_place: tuple[str, str] | None = None
    wait_until_s: float | None = None
    due_s: float | None = None
    quiet_until_s: float = 0.0
    noticed_run: str | None = None
    counted: tuple[Phase, str] | None = None
    counted_run: str | None = None
    checks: int = 0


class Registry:
    """Workflows by uid and by name."""

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
        """Return the workflow that currently has the name of `ref`, whatever its uid."""
        return self._by_name.get((ref.namespace, ref.name))

    def add(self, record: Tracked, status_topic: str) -> None:
        """Add a workflow; it takes over its name, and `status_topic` unless a newer one shows there.

        The newest is the one created last, by creationTimestamp, then name. A workflow that lost the topic never gets
        it back: the topic is cleared when the workflow it shows is gone.
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
        """Remove a workflow and its entries."""
        del self._by_uid[record.ref.uid]
        if self.named(record.ref) is record:
            del self._by_name[record.ref.namespace, record.ref.name]
        if record.status_topic:
            del self._shown[record.status_topic]

    def topics_of(self, record: Tracked) -> list[str]:
        """Return the topics of a workflow: PREFIX/status/NAMESPACE/NAME, then its mapping's own topic."""
        own = self._topics.status_of(record.ref.namespace, record.ref.name)
        return [own, record.status_topic] if record.status_topic else [own]

    def has_topic(self, topic: str) -> bool:
        """Whether any workflow shows in `topic`, or is about to."""
        place = self._topics.parse(topic)
        if isinstance(place, RetainedStatus):
            return (place.namespace, place.name) in self._by_name
        return topic in self._shown
