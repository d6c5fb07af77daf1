"""Parses status messages like any subscriber (the bodies are built by `bridge.interface.status`). Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.model import Phase
from bridge.interface.loose_json import object_in

_KEYS = ("namespace", "workflowId", "status", "progress", "message")
_DETAILS = {
    "uid": "uid",
    "mapping": "mapping",
    "bridge": "bridge",
    "startedAt": "started_at",
    "finishedAt": "finished_at",
}
_ENDED = frozenset(phase.value for phase in Phase if phase.ended)


@dataclass(frozen=True, slots=True)
class WorkflowStatus:
    """The content of one status message; "" where it says nothing.

    Attributes:
        name: key ``workflowId``.
        phase: key ``status``: Argo's phase, or another system's word.
        progress: a percentage such as ``33%``.
        mapping: the mapping that started it, "" for a trigger message.
        bridge: id of the bridge that sent it, "" for another system.
    """

    namespace: str
    name: str
    phase: str
    progress: str
    message: str
    uid: str = ""
    mapping: str = ""
    bridge: str = ""
    started_at: str = ""
    finished_at: str = ""

    @property
    def line(self) -> str:
        """The state as one line of plain text, for output without a terminal."""
        return f"{self.ref}  {self.phase:<9} {self.progress:>4}  {self.message}".rstrip()

    @property
    def ref(self) -> str:
        """NAMESPACE/NAME."""
        return f"{self.namespace}/{self.name}"

    @property
    def has_ended(self) -> bool:
        """Whether the workflow has finished."""
        return self.phase in _ENDED

    @property
    def has_succeeded(self) -> bool:
        """Whether it succeeded."""
        return self.phase == Phase.SUCCEEDED.value

    @property
    def percent(self) -> int:
        """The progress as a number from 0 to 100."""
        digits = self.progress.removesuffix("%")
        return min(100, int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 5 else 0


def read_status(payload: bytes) -> WorkflowStatus | None:
    """Return the content of a status message, or None if it is not one (an empty one clears a retained topic)."""
    return status_of(object_in(payload))


def status_of(body: object) -> WorkflowStatus | None:
    """Return the content of a status message's body, or None if it is not one."""
    if not isinstance(body, dict):
        return None
    values = [value for key in _KEYS if isinstance(value := body.get(key), str)]
    if len(values) < len(_KEYS):
        return None
    details = body.get("details")
    details = details if isinstance(details, dict) else {}
    extra = {name: value for key, name in _DETAILS.items() if isinstance(value := details.get(key), str)}
    return WorkflowStatus(*values, **extra)
