"""Labels and annotations of workflows: the bridge's own, and those of Argo that it reads or sets. Pure; any thread."""

from __future__ import annotations

from bridge.core.record import record
from bridge.interface.loose_json import object_at, text_at

BRIDGE_LABEL = "argo-bridge/bridge"
EVENT_ANNOTATION = "argo-bridge/event"
MAPPING_ANNOTATION = "argo-bridge/mapping"
TOPIC_ANNOTATION = "argo-bridge/topic"
CONNECTION_ANNOTATION = "argo-bridge/connection"
STATUS_TOPIC_ANNOTATION = "argo-bridge/status-topic"
OWN_PREFIX = "argo-bridge/"

ARGO_PREFIX = "workflows.argoproj.io/"
TEMPLATE_LABEL = f"{ARGO_PREFIX}workflow-template"
CLUSTER_TEMPLATE_LABEL = f"{ARGO_PREFIX}cluster-workflow-template"
PREVIOUS_LABEL = f"{ARGO_PREFIX}resubmitted-from-workflow"
ARCHIVING_LABEL = f"{ARGO_PREFIX}workflow-archiving-status"


@record(frozen=True, slots=True)
class Marks:
    """What says on a workflow that it is ours, and whose. "" leaves an annotation out.

    Attributes:
        event_id: 32 bytes; in hexadecimal in the annotation.
        mapping: the mapping's name, "" for a trigger message.
        topic: the concrete topic; annotation values may be any text, so it stands there as it is.
        status_topic: the mapping's own status topic, rendered.
    """

    bridge_id: str
    event_id: bytes
    mapping: str = ""
    topic: str = ""
    connection: str = ""
    status_topic: str = ""

    @property
    def annotations(self) -> dict[str, str]:
        """Annotations by name."""
        given = {
            EVENT_ANNOTATION: self.event_id.hex(),
            MAPPING_ANNOTATION: self.mapping,
            TOPIC_ANNOTATION: self.topic,
            CONNECTION_ANNOTATION: self.connection,
            STATUS_TOPIC_ANNOTATION: self.status_topic,
        }
        return {key: value for key, value in given.items() if value}


def event_of(workflow: object) -> bytes | None:
    """Return the event id of annotation ``argo-bridge/event``, 32 bytes, or None if missing or malformed."""
    text = annotation_of(workflow, EVENT_ANNOTATION)
    if len(text) != 64 or not text.isascii():
        return None
    try:
        event_id = bytes.fromhex(text)
    except ValueError:
        return None
    return event_id if len(event_id) == 32 else None


def annotation_of(workflow: object, key: str) -> str:
    """Return an annotation's text, or "" if there is none."""
    return text_at(object_at(object_at(workflow, "metadata"), "annotations"), key)


def is_archived_only(workflow: object) -> bool:
    """Whether the archive answered for a workflow that the cluster has no longer (docs/design/argo-server.md)."""
    return text_at(object_at(object_at(workflow, "metadata"), "labels"), ARCHIVING_LABEL) == "Persisted"
