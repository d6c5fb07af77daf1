"""Parses retained messages on PREFIX/status/+/+: our own, another bridge's, or of unknown origin. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.core.model import WorkflowRef
from bridge.interface.failures import from_details
from bridge.interface.loose_json import object_in, text_at
from bridge.interface.topics import RetainedStatus, Topics
from bridge.status.decided.nodes import NodeDetail
from bridge.status.decided.transitions import digest_of
from bridge.status.seen.events import ForeignSeen, LiveSeen, RetainedSeen

MAX_HINT_BYTES = 4096
"""A longer message does not save a GET: what is kept of retained messages until the first list must be small."""
MAX_UID = 64
"""Maximum characters of a uid; Kubernetes' own have 36."""


def read_retained(
    topics: Topics, bridge_id: str, connection: str, topic: str, payload: bytes
) -> RetainedSeen | ForeignSeen | None:
    """Return the content of a retained message on a status topic, or None if it is not a status topic. Pure."""
    place = topics.parse(topic)
    if not isinstance(place, RetainedStatus) or not payload:
        return None
    document = object_in(payload) or {}
    details = document.get("details")
    owner = details.get("bridge") if isinstance(details, dict) else None
    is_short = len(payload) <= MAX_HINT_BYTES
    if owner not in (None, bridge_id):
        return ForeignSeen(connection, topic)
    return RetainedSeen(
        connection=connection,
        topic=topic,
        ref=WorkflowRef(place.namespace, place.name, text_at(details, "uid")[:MAX_UID]),
        digest=digest_of(payload),
        is_own=owner is not None,
        hint=_hint(document, details) if is_short and isinstance(details, dict) and owner is not None else None,
    )


def read_live(topics: Topics, bridge_id: str, connection: str, topic: str, payload: bytes) -> ForeignSeen | LiveSeen:
    """Return whether another bridge just published a status or a report, or an unknown client (possibly we). Pure."""
    document = object_in(payload) or {}
    details = document if topics.is_report(topic) else document.get("details")
    owner = details.get("bridge") if isinstance(details, dict) else None
    if owner not in (None, bridge_id):
        return ForeignSeen(connection, topic)
    return LiveSeen(connection, topic, digest_of(payload))


def _hint(document: Mapping[str, Any], details: Mapping[str, Any]) -> NodeDetail | None:
    """Return what an earlier process had found out about the nodes and retained."""
    failed, waits = from_details(details.get("failedNode")), details.get("suspended") is True
    if failed is None and not waits:
        return None
    return NodeDetail(
        version="",
        started_at=text_at(details, "startedAt"),
        progress=text_at(document, "progress"),
        is_failed=failed is not None,
        failed=failed,
        waits=waits,
    )
