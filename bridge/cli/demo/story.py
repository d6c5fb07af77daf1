"""The content of the demo's display: derived from messages alone, as any client of the broker could. Pure.

It never looks inside the bridge. Owned by the main thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bridge.cli.views.plain_text import short
from bridge.cli.visit.status_message import WorkflowStatus, read_status
from bridge.core.model import Message
from bridge.interface.loose_json import object_in
from bridge.interface.topics import RetainedStatus, Topics

_PAYLOAD_CHARACTERS = 200
BY_MESSAGE = "trigger message"


class Line(NamedTuple):
    """One event: its kind in one word, the rest, and whether it is a failure."""

    kind: str
    text: str
    is_bad: bool = False


@dataclass(slots=True)
class SensorRow:
    """One topic of readings; `workflows` are the uids of those triggered by its device."""

    topic: str
    value: str = ""
    messages: int = 0
    workflows: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One workflow; `device` is the trigger's topic without its last level, "" until known."""

    status: WorkflowStatus
    device: str = ""

    @property
    def source(self) -> str:
        """The mapping that started it, or that a trigger message did."""
        return self.status.mapping or BY_MESSAGE


class Story:
    """Everything seen so far: sensors by topic, workflows by uid (oldest first, without deleted ones), ends by phase.

    `bridge` is the content of its availability topic, "" at first.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.bridge = ""
        self.sensors: dict[str, SensorRow] = {}
        self.workflows: dict[str, WorkflowRow] = {}
        self.ended: dict[str, int] = {}
        self.messages = 0

    def filters(self, sensors: str) -> frozenset[str]:
        """Return the filters to subscribe to, including retained messages; readings match the filter `sensors`."""
        topics = self._topics
        return frozenset(
            {sensors, topics.retained_filter, f"{topics.prefix}/response/+", topics.dead_letter, topics.availability}
        )

    def take(self, message: Message) -> list[Line]:
        """Process one message; returns the resulting lines in order."""
        topics = self._topics
        if message.topic == topics.availability:
            self.bridge = shown_payload(message.payload)
            return [Line("bridge", self.bridge)]
        if message.topic == topics.dead_letter:
            return [Line("refused", _refusal(message.payload), is_bad=True)]
        if message.topic.startswith(f"{topics.prefix}/response/"):
            return [Line("replies", f"{message.topic} {shown_payload(message.payload)}")]
        if isinstance(topics.parse(message.topic), RetainedStatus):
            return self._take_status(message)
        status = read_status(message.payload)
        if status is not None or not message.payload:
            self._take_device_status(message.topic, status)
            return []
        return self._take_reading(message)

    def _take_reading(self, message: Message) -> list[Line]:
        self.messages += 1
        row = self.sensors.setdefault(message.topic, SensorRow(message.topic))
        row.value = shown_payload(message.payload)
        row.messages += 1
        return [Line("arrives", f"{message.topic} {row.value}")]

    def _take_status(self, message: Message) -> list[Line]:
        status = read_status(message.payload)
        if status is None:
            return [] if message.payload else self._take_cleared(message.topic)
        uid = status.uid or status.ref
        before = self.workflows.get(uid)
        self.workflows[uid] = replace(before, status=status) if before else WorkflowRow(status)
        lines = []
        if before is None:
            lines.append(Line("triggers", f"{self.workflows[uid].source} -> workflow {status.ref}"))
        if status.has_ended and not (before and before.status.has_ended):
            self.ended[status.phase] = self.ended.get(status.phase, 0) + 1
        text = f"{status.ref} {status.phase} {status.progress}  {status.message}".rstrip()
        return [*lines, Line("status", text, is_bad=status.has_ended and not status.has_succeeded)]

    def _take_cleared(self, topic: str) -> list[Line]:
        for uid, row in self.workflows.items():
            if self._topics.status_of(row.status.namespace, row.status.name) == topic:
                del self.workflows[uid]
                return [Line("gone", row.status.ref)]
        return []

    def _take_device_status(self, topic: str, status: WorkflowStatus | None) -> None:
        """Process a mapping's own status topic: it is next to the device's readings, and so identifies the device."""
        device = topic.rpartition("/")[0]
        if status is None:
            return
        uid = status.uid or status.ref
        row = self.workflows.get(uid)
        if row is not None:
            self.workflows[uid] = replace(row, device=device)
        for sensor in self.sensors.values():
            if sensor.topic.rpartition("/")[0] == device:
                sensor.workflows.add(uid)

    def summary(self) -> str:
        """Return a summary in one sentence."""
        ends = ", ".join(f"{count} {phase}" for phase, count in sorted(self.ended.items(), reverse=True))
        return f"{self.messages} sensor messages arrived; workflows ended: {ends or 'none'}"


def shown_payload(payload: bytes) -> str:
    """Return a payload as one short line: control characters are escaped, and long text is cut."""
    return short(payload[: 4 * _PAYLOAD_CHARACTERS].decode(errors="replace"), _PAYLOAD_CHARACTERS)


def _refusal(payload: bytes) -> str:
    letter = object_in(payload) or {}
    return f"{letter.get('topic', '?')}: {letter.get('message', shown_payload(payload))}"
