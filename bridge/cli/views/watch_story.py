"""The data of `argo-bridge watch`: the state of each workflow, from retained topics. Pure: it processes messages.

Thread: whoever feeds it; one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bridge.cli.visit.status_message import WorkflowStatus, read_status
from bridge.core.model import Message, Phase

MAX_ENDED = 500
"""Maximum number of finished workflows to keep; the last ones are kept."""
_RUNNING_FIRST = {Phase.RUNNING.value: 0, Phase.PENDING.value: 1}


@dataclass(frozen=True, slots=True)
class Change:
    """A change to show: the state of a workflow; for a deleted one its last state."""

    status: WorkflowStatus
    is_gone: bool = False

    @property
    def line(self) -> str:
        """One line of plain text."""
        return f"{self.status.ref}  gone" if self.is_gone else self.status.line


class WatchStory:
    """The watched workflows, by topic."""

    def __init__(self) -> None:
        self._shown: dict[str, WorkflowStatus] = {}
        self._unconfirmed: set[str] = set()

    def take(self, message: Message) -> Change | None:
        """Process one message; returns the change, or None."""
        topic = message.topic
        self._unconfirmed.discard(topic)
        known = self._shown.get(topic)
        if not message.payload:
            self._shown.pop(topic, None)
            return Change(known, is_gone=True) if known else None
        status = read_status(message.payload)
        if status is None or status == known:
            return None
        self._shown.pop(topic, None)
        self._shown[topic] = status  # the latest change last
        if status.has_ended:
            self._forget_old()
        return Change(status)

    def reconnected(self) -> None:
        """Note that the broker will send all retained messages again; workflows that do not reappear are gone."""
        self._unconfirmed = set(self._shown)

    def confirmed(self) -> list[Change]:
        """Note that all retained messages have arrived: remove and return the workflows that did not reappear."""
        gone = [Change(self._shown.pop(topic), is_gone=True) for topic in sorted(self._unconfirmed & set(self._shown))]
        self._unconfirmed.clear()
        return gone

    @property
    def counts(self) -> dict[str, int]:
        """Return how many workflows are in each phase."""
        return dict(sorted(Counter(status.phase for status in self._shown.values()).items()))

    def rows(self, room: int) -> list[WorkflowStatus]:
        """Return the `room` most relevant workflows: running ones, then pending ones, then the last finished ones."""
        newest_first = list(reversed(self._shown.values()))
        return sorted(newest_first, key=lambda status: _RUNNING_FIRST.get(status.phase, 2))[: max(0, room)]

    def _forget_old(self) -> None:
        ended = [topic for topic, status in self._shown.items() if status.has_ended]
        for topic in ended[: max(0, len(ended) - MAX_ENDED)]:
            del self._shown[topic]
