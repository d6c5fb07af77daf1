"""Parses status updates that other systems send to ``PREFIX/status``. Pure.

Format: ``{"namespace": str, "workflowId": str, "status": PHASE, "progress": "50%", "message": str}``; ``workflowId``
and ``status`` are required, ``requestId`` is echoed in the reply, ``details`` is any object. A bridge's own messages
have ``details.bridge`` and are not updates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.core.model import Phase
from bridge.core.nearest import did_you_mean
from bridge.interface.messages import MAX_SHOWN, json_type, refuse_unknown
from bridge.interface.operation_options import PHASES
from bridge.interface.status import PERCENTAGE

UPDATE_KEYS = ("namespace", "workflowId", "status", "progress", "message", "details", "requestId")
INVALID_UPDATE = "Invalid status update format"
INVALID_REASON = "invalid-status-update"
NO_PROGRESS = "0%"

# Source: Kubernetes, "Object Names and IDs": the names of objects; nothing else may be used as a topic level.
NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_NAME = re.compile(NAME)
_PROGRESS = re.compile(PERCENTAGE)


@dataclass(frozen=True, slots=True)
class ExternalUpdate:
    """Another system's status of a workflow.

    Attributes:
        namespace: as given, or "".
        workflow: its name.
        phase: the phase according to that system.
        progress: ``0%`` to ``100%``, or "" if not given.
        message: a sentence, or "".
        details: further facts, without ``bridge``.
    """

    namespace: str
    workflow: str
    phase: Phase
    progress: str
    message: str
    details: Mapping[str, object]


def is_from_bridge(payload: bytes) -> bool:
    """Whether a bridge sent this: its own or another's status comes back on the stream and is not an update."""
    if b"bridge" not in payload:
        return False
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    details = document.get("details") if isinstance(document, dict) else None
    return isinstance(details, dict) and "bridge" in details


def external_update(body: dict[str, object]) -> ExternalUpdate:
    """Parse the body of a status update.

    Raises:
        PermanentError: ``invalid-status-update``, with one detail per finding.
    """
    details = [*_unknown(body), *_findings(body)]
    if details:
        raise invalid(details)
    more = body.get("details", {})
    return ExternalUpdate(
        namespace=str(body.get("namespace", "")),
        workflow=str(body["workflowId"]),
        phase=Phase(body["status"]),
        progress=str(body.get("progress", "")),
        message=str(body.get("message", "")),
        details=more if isinstance(more, dict) else {},
    )


def invalid(details: list[object]) -> PermanentError:
    """Return the refusal of a malformed update.

    Args:
        details: the findings, JSON-ready.
    """
    return PermanentError(INVALID_UPDATE, code=INVALID_REASON, details=tuple(details))


def _unknown(body: dict[str, object]) -> Iterator[object]:
    try:
        refuse_unknown(body, UPDATE_KEYS, UPDATE_KEYS, "the status update")
    except PermanentError as error:
        yield from error.details


def _findings(body: dict[str, object]) -> Iterator[object]:
    yield from _text(body, "namespace", required=False)
    name = body.get("workflowId")
    yield from _text(body, "workflowId", required=True)
    if isinstance(name, str) and name and not _NAME.fullmatch(name):
        yield _finding("workflowId", f'"{cut(name, MAX_SHOWN)}" cannot be the name of a workflow')
    phase = body.get("status")
    yield from _text(body, "status", required=True)
    if isinstance(phase, str) and phase and phase not in PHASES:
        hint = did_you_mean(phase, PHASES)
        yield _finding("status", f'status is one of {", ".join(PHASES)}, found "{cut(phase, MAX_SHOWN)}"{hint}')
    progress = body.get("progress", NO_PROGRESS)
    if not isinstance(progress, str) or not _PROGRESS.fullmatch(progress):
        yield _finding("progress", f"progress must be a text from 0% to 100%, found {_shown(progress)}")
    if not isinstance(body.get("message", ""), str):
        yield _finding("message", f"message must be a text, found {json_type(body['message'])}")
    if not isinstance(body.get("details", {}), dict):
        yield _finding("details", f"details must be an object, found {json_type(body['details'])}")


def _text(body: dict[str, object], key: str, *, required: bool) -> Iterator[object]:
    if key not in body:
        if required:
            yield _finding(key, f"{key} is missing")
    elif not isinstance(body[key], str) or not body[key]:
        yield _finding(key, f"{key} must be a non-empty text, found {json_type(body[key])}")


def _finding(key: str, message: str) -> object:
    return {"pointer": strict_json.pointer([key]), "message": message}


def _shown(value: object) -> str:
    return f'"{cut(value, MAX_SHOWN)}"' if isinstance(value, str) else json_type(value)
