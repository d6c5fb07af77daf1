"""Reads status messages as any subscriber does (the bodies that `bridge.interface.status` builds). Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from bridge.core.model import Phase

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
    """What one status message says.

    Attributes:
        namespace: of the workflow.
        name: key ``workflowId``.
        phase: key ``status``: Argo's phase, or another system's word.
        progress: a percentage such as ``33%``.
        message: a sentence, or "".
        uid: of the workflow, "" where the message has none.
        mapping: what started it, "" for a trigger message.
        bridge: id of the bridge that says so, "" for another system.
        started_at: Argo's time, or "".
        finished_at: likewise.
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
        """The state as one line of plain text, for whoever has no terminal."""
        return f"{self.ref}  {self.phase:<9} {self.progress:>4}  {self.message}".rstrip()

    @property
    def ref(self) -> str:
        """NAMESPACE/NAME."""
        return f"{self.namespace}/{self.name}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will run."""
        return self.phase in _ENDED

    @property
    def has_succeeded(self) -> bool:
        """Whether it ended well."""
        return self.phase == Phase.SUCCEEDED.value

    @property
    def percent(self) -> int:
        """The progress as a number from 0 to 100."""
        digits = self.progress.removesuffix("%")
        return min(100, int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 5 else 0


def read_status(payload: bytes) -> WorkflowStatus | None:
    """Return what a status message says, None where it is none (an empty one clears a retained topic)."""
    return status_of(json_object(payload))


def status_of(body: object) -> WorkflowStatus | None:
    """Return what the body of a status message says, None where it is none."""
    if not isinstance(body, dict):
        return None
    values = [value for key in _KEYS if isinstance(value := body.get(key), str)]
    if len(values) < len(_KEYS):
        return None
    details = body.get("details")
    details = details if isinstance(details, dict) else {}
    extra = {name: value for key, name in _DETAILS.items() if isinstance(value := details.get(key), str)}
    return WorkflowStatus(*values, **extra)


def json_object(payload: bytes) -> dict[str, object] | None:
    """Return a payload that is a JSON object, else None."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
