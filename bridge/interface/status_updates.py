"""Parses status updates that other systems send to ``PREFIX/status``. Pure.

Format: ``{"namespace": str, "workflowId": str, "status": PHASE, "progress": "50%", "message": str}``; ``workflowId``
and ``status`` are required, ``requestId`` is echoed in the reply, ``details`` is any object. A bridge's own messages
have ``details.bridge`` and are not updates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.interface.keys import (
    ANY_TEXT,
    MAX_SHOWN,
    NAME,
    OBJECT,
    PHASE,
    REQUIRED,
    MisfitError,
    ValueKind,
    declared,
    json_type,
    keys_of,
    read_keys,
)
from bridge.interface.loose_json import object_at, object_in
from bridge.interface.messages import REQUEST_ID, refuse_unknown
from bridge.interface.status import PERCENTAGE

INVALID_UPDATE = "Invalid status update format"
INVALID_REASON = "invalid-status-update"

# Source: Kubernetes, "Object Names and IDs": the names of objects; nothing else may be used as a topic level.
WORKFLOW_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


def _workflow_name(value: object) -> str:
    name = str(NAME.read(value))
    if not re.fullmatch(WORKFLOW_NAME, name):
        raise MisfitError(f'"{cut(name, MAX_SHOWN)}" cannot be the name of a workflow')
    return name


def _progress(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(PERCENTAGE, value):
        shown = f'"{cut(value, MAX_SHOWN)}"' if isinstance(value, str) else json_type(value)
        raise MisfitError(f"must be a text from 0% to 100%, found {shown}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalUpdate:
    """Another system's status of a workflow; texts that are not given are ""."""

    namespace: str = declared(NAME, "namespace of the workflow; default: the first of argo.namespaces")
    workflow_id: str = declared(
        ValueKind("text", {"type": "string", "pattern": f"^{WORKFLOW_NAME}$"}, _workflow_name),
        "name of the workflow",
        REQUIRED,
    )
    status: str = declared(PHASE, "the phase according to that system", REQUIRED)
    progress: str = declared(
        ValueKind("text", {"type": "string", "pattern": f"^{PERCENTAGE}$"}, _progress), "progress in percent"
    )
    message: str = declared(ANY_TEXT, "a sentence")
    details: Mapping[str, object] = declared(OBJECT, "any object without the key bridge", dict)


_KEYS = keys_of(ExternalUpdate)
UPDATE_KEYS = (*_KEYS, REQUEST_ID)
_NAMES = [key.name for key in UPDATE_KEYS]


def is_from_bridge(payload: bytes) -> bool:
    """Whether a bridge sent this: its own or another's status comes back on the stream and is not an update."""
    return b"bridge" in payload and "bridge" in object_at(object_in(payload), "details")


def external_update(body: dict[str, object]) -> ExternalUpdate:
    """Parse the body of a status update.

    Raises:
        PermanentError: ``invalid-status-update``, with one detail per finding.
    """
    findings: list[object] = []
    try:
        refuse_unknown(body, _NAMES, _NAMES, "the status update")
    except PermanentError as error:
        findings += error.details
    values, wrong = read_keys(_KEYS, body)
    for key, text in wrong:
        message = f"{key.name} {text or 'is missing'}"
        findings.append({"pointer": strict_json.pointer([key.name]), "message": message})
    if findings:
        raise invalid(findings)
    return ExternalUpdate(**values)


def invalid(details: list[object]) -> PermanentError:
    """Return the refusal of a malformed update.

    Args:
        details: the findings, JSON-ready.
    """
    return PermanentError(INVALID_UPDATE, code=INVALID_REASON, details=tuple(details))
