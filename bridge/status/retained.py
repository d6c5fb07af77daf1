"""Reads a retained status message that a broker delivers, and tells our own from anybody else's. Pure."""

from __future__ import annotations

import orjson

from bridge.core.model import WorkflowRef
from bridge.interface.topics import RetainedStatus, Topics
from bridge.status.events import RetainedSeen
from bridge.status.failures import from_details
from bridge.status.transitions import digest_of


def read_retained(topics: Topics, bridge_id: str, connection: str, topic: str, payload: bytes) -> RetainedSeen | None:
    """Return what a retained status of this bridge says, None for anybody else's. Pure."""
    place = topics.parse(topic)
    if not isinstance(place, RetainedStatus) or not payload:
        return None
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    details = document.get("details") if isinstance(document, dict) else None
    if not isinstance(details, dict) or details.get("bridge") != bridge_id or details.get("source") == "external":
        return None
    uid, started_at = details.get("uid"), details.get("startedAt")
    return RetainedSeen(
        connection=connection,
        topic=topic,
        ref=WorkflowRef(place.namespace, place.name, uid if isinstance(uid, str) else ""),
        digest=digest_of(payload),
        started_at=started_at if isinstance(started_at, str) else "",
        failed=from_details(details.get("failedNode")),
    )
