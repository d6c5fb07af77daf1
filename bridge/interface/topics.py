"""Builds and parses every topic of the interface. Pure.

Source: the interface reference (docs/interface.md); MQTT 5.0 section 4.7 for valid topics.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core import topic_filter
from bridge.interface.operations import Operation

BRIDGE_ROOT = "argo/bridge"
ONLINE, OFFLINE = b"online", b"offline"  # the payloads of the topic of availability
_BY_NAME = {operation.value: operation for operation in Operation}


@dataclass(frozen=True, slots=True)
class Request:
    """The topic of a request.

    Attributes:
        operation: the operation.
        namespace: the next level, unchanged (it may be empty), or None if there is none.
    """

    operation: Operation
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class StatusStream:
    """The topic of every status update, including those from other systems."""


@dataclass(frozen=True, slots=True)
class RetainedStatus:
    """The topic of one workflow's last status."""

    namespace: str
    name: str


class Topics:
    """The topics of one bridge.

    Args:
        prefix: ``interface.prefix``, without a slash at either end.
        bridge_id: ``bridge.id``.

    Attributes: those of `Args`, and topics and topic filters by what they are for.
    """

    def __init__(self, prefix: str, bridge_id: str) -> None:
        self.prefix = prefix
        self.bridge_id = bridge_id
        self._head = prefix + "/"
        self.status_stream = f"{prefix}/status"
        self.retained_filter = f"{prefix}/status/+/+"
        self.status_response = f"{prefix}/response/status"
        self.dead_letter = f"{prefix}/dead-letter"
        self.availability = f"{BRIDGE_ROOT}/{bridge_id}/availability"
        self.state = f"{BRIDGE_ROOT}/{bridge_id}/state"
        self.probe = f"{BRIDGE_ROOT}/{bridge_id}/probe"
        self.own_filters = frozenset({f"{BRIDGE_ROOT}/{bridge_id}/+", f"{prefix}/report/+"})

    def parse(self, topic: str) -> Request | RetainedStatus | StatusStream | None:
        """Return the meaning of a concrete topic in the interface, or None.

        ``PREFIX/trigger`` and ``PREFIX/trigger/NAMESPACE`` are requests, and so for each operation;
        ``PREFIX/status/NAMESPACE/NAME`` is a retained status, ``PREFIX/status`` the stream of updates.
        """
        if not topic.startswith(self._head):
            return None
        levels = topic[len(self._head) :].split("/")
        if levels[0] == "status" and len(levels) == 3:
            return RetainedStatus(levels[1], levels[2])
        if levels == ["status"]:
            return StatusStream()
        operation = _BY_NAME.get(levels[0])
        if operation is None or len(levels) > 2:
            return None
        return Request(operation, levels[1] if len(levels) == 2 else None)

    def request_filters(self, operations: frozenset[Operation]) -> frozenset[str]:
        """Return the filters to subscribe to for `operations`."""
        plain = {self._head + operation.value for operation in operations}
        return frozenset(plain | {f"{topic}/+" for topic in plain})

    def response(self, operation: Operation) -> str:
        """Return the topic of replies to requests without a Response Topic."""
        return f"{self.prefix}/response/{operation.value}"

    def status_of(self, namespace: str, name: str) -> str:
        """Return the retained topic of one workflow's status."""
        return f"{self.status_stream}/{namespace}/{name}"

    def report_of(self, namespace: str) -> str:
        """Return the retained topic of one namespace's report."""
        return f"{self.prefix}/report/{namespace}"

    def is_report(self, topic: str) -> bool:
        """Whether `topic` is a namespace's report."""
        return topic.startswith(f"{self._head}report/")

    def is_interface(self, topic: str) -> bool:
        """Whether a topic belongs to the interface or a bridge, so that no mapping may publish to it."""
        return topic == self.prefix or topic.startswith((self._head, BRIDGE_ROOT + "/"))


def published_problem(topic: str) -> str:
    """Return why no message may be published to `topic`, or ""."""
    if topic.startswith("$"):
        return "topics that begin with $ belong to the broker"
    return topic_filter.name_problem(topic)
