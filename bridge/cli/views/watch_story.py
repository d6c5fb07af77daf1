"""What `argo-bridge watch` knows: the state of each workflow that retained topics tell of. Pure: it is fed messages.

Thread: whoever feeds it; one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bridge.cli.visit.status_message import WorkflowStatus, read_status
from bridge.core.model import Message, Phase

MAX_ENDED = 500
"""Workflows that have ended are kept up to so many, those that ended last."""
_RUNNING_FIRST = {Phase.RUNNING.value: 0, Phase.PENDING.value: 1}


@dataclass(frozen=True, slots=True)
class Change:
    """Something to tell.

    Attributes:
        status: the state of a workflow; of one that is gone, the last.
        is_gone: it was deleted.
    """

    status: WorkflowStatus
    is_gone: bool = False

    @property
    def line(self) -> str:
        """One line of plain text."""
        return f"{self.status.ref}  gone" if self.is_gone else self.status.line


class WatchStory:
    """The workflows that are watched, by topic."""

    def __init__(self) -> None:
        self._shown: dict[str, WorkflowStatus] = {}
        self._unconfirmed: set[str] = set()

    def take(self, message: Message) -> Change | None:
        """Take one message; returns what is to be told, None if that is nothing new."""
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
        self._shown[topic] = status  # the newest news last
        if status.has_ended:
            self._forget_old()
        return Change(status)

    def reconnected(self) -> None:
        """The broker tells all that it retains once more; what it does not tell is gone."""
        self._unconfirmed = set(self._shown)

    def confirmed(self) -> list[Change]:
        """All that the broker retains was told: forget, and return, what it did not tell."""
        gone = [Change(self._shown.pop(topic), is_gone=True) for topic in sorted(self._unconfirmed & set(self._shown))]
        self._unconfirmed.clear()
        return gone

    @property
    def counts(self) -> dict[str, int]:
        """How many workflows are in each phase."""
        return dict(sorted(Counter(status.phase for status in self._shown.values()).items()))

    def rows(self, room: int) -> list[WorkflowStatus]:
        """Return the `room` workflows most worth seeing: what runs, then what waits, then what ended last."""
        newest_first = list(reversed(self._shown.values()))
        return sorted(newest_first, key=lambda status: _RUNNING_FIRST.get(status.phase, 2))[: max(0, room)]

    def _forget_old(self) -> None:
        ended = [topic for topic, status in self._shown.items() if status.has_ended]
        for topic in ended[: max(0, len(ended) - MAX_ENDED)]:
            del self._shown[topic]
