"""From a workflow as Argo shows it to the status message that is due, if one is. Pure.

Source: docs/design/argo-server.md, Status. The phase is read from ``status.phase`` alone: right after a retry the
label still says the old one. An ended phase is final only for one run, which is (uid, startedAt).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from bridge.argo.marks import (
    BRIDGE_LABEL,
    MAPPING_ANNOTATION,
    STATUS_TOPIC_ANNOTATION,
    TOPIC_ANNOTATION,
    event_of,
    is_archived_only,
)
from bridge.core.model import Phase, WorkflowRef
from bridge.core.record import record
from bridge.interface.failures import FAILED_NODE_KEYS, message_for
from bridge.interface.keys import body_of
from bridge.interface.loose_json import list_at, object_at, text_at
from bridge.interface.status import body, status_document
from bridge.interface.status_updates import WORKFLOW_NAME
from bridge.status.decided.nodes import NodeDetail
from bridge.status.seen.sources import Workflow

_NAME = re.compile(WORKFLOW_NAME)
_WHOLE = 1 << 20
_PACK_OVER = 2048


@record(frozen=True, slots=True)
class Observed:
    """What one frame, list item or GET says of a workflow. Text is "" where Argo has none.

    Attributes:
        created: metadata.creationTimestamp, RFC 3339 in whole seconds UTC (sorts as text).
        progress: ``N/M``.
        started_at: begin of this run.
        finished_at: end of this run.
        outputs: global output parameters by name.
        pods_running: condition ``PodRunning``; without a pod a running workflow may be waiting for somebody.
        shutdown: ``Stop`` or ``Terminate``.
        persisted: the answer came from the archive; the workflow itself may be gone.
        bridge: value of our label.
        event_id: 32 bytes of annotation ``argo-bridge/event``, b"" where it has none.
        source_topic: the concrete topic of the message that led to it, from our annotation.
        status_topic: from our annotation, unchecked.
    """

    ref: WorkflowRef
    resource_version: str
    created: str
    phase: Phase
    progress: str
    message: str
    started_at: str
    finished_at: str
    outputs: dict[str, object]
    suspended: bool
    pods_running: bool
    shutdown: str
    persisted: bool
    bridge: str
    event_id: bytes
    mapping: str
    source_topic: str
    status_topic: str

    @property
    def is_failed(self) -> bool:
        """Whether the run ended badly, so that its failed node is worth a GET."""
        return self.phase in (Phase.FAILED, Phase.ERROR)

    @property
    def shown_phase(self) -> Phase:
        """Argo's phase; PENDING while it has none."""
        return Phase.PENDING if self.phase is Phase.ABSENT else self.phase

    @property
    def said(self) -> tuple[object, ...]:
        """What of Argo's own an update of another system stands in for: when this changes, the update is over."""
        return (self.phase, self.progress, self.message, self.started_at)


def observe(workflow: Workflow, namespace: str = "") -> Observed | None:
    """Read a workflow as Argo's JSON has it; `namespace`: where it was asked for, in case the answer does not say.

    None without a uid, or a name and namespace that Kubernetes takes: they become topic levels. Whatever else is
    missing or null counts as empty.
    """
    metadata, spec, status = (object_at(workflow, key) for key in ("metadata", "spec", "status"))
    labels, annotations = object_at(metadata, "labels"), object_at(metadata, "annotations")
    ref = WorkflowRef(text_at(metadata, "namespace") or namespace, text_at(metadata, "name"), text_at(metadata, "uid"))
    if not ref.uid or not _NAME.fullmatch(ref.name) or not _NAME.fullmatch(ref.namespace):
        return None
    return Observed(
        ref=ref,
        resource_version=text_at(metadata, "resourceVersion"),
        created=text_at(metadata, "creationTimestamp"),
        phase=_phase(text_at(status, "phase")),
        progress=text_at(status, "progress"),
        message=text_at(status, "message"),
        started_at=text_at(status, "startedAt"),
        finished_at=text_at(status, "finishedAt"),
        outputs=_outputs(status),
        suspended=spec.get("suspend") is True,
        pods_running=_pods_running(status),
        shutdown=text_at(spec, "shutdown"),
        persisted=is_archived_only(workflow),
        bridge=text_at(labels, BRIDGE_LABEL),
        event_id=event_of(workflow) or b"",
        mapping=text_at(annotations, MAPPING_ANNOTATION),
        source_topic=text_at(annotations, TOPIC_ANNOTATION),
        status_topic=text_at(annotations, STATUS_TOPIC_ANNOTATION),
    )


def _phase(text: str) -> Phase:
    try:
        return Phase(text)
    except ValueError:
        # A phase of a later Argo: something that has not ended.
        return Phase.RUNNING


def _outputs(status: Mapping[str, Any]) -> dict[str, object]:
    parameters = list_at(object_at(status, "outputs"), "parameters")
    return {text_at(item, "name"): item.get("value") for item in parameters if text_at(item, "name")}


def _pods_running(status: Mapping[str, Any]) -> bool:
    conditions = list_at(status, "conditions")
    return any(text_at(one, "type") == "PodRunning" and text_at(one, "status") == "True" for one in conditions)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What another system says of a running workflow, shown until `Observed.said` changes.

    Attributes:
        progress: ``N%``, or "" for Argo's own.
        message: or "" for Argo's own.
    """

    said: tuple[object, ...]
    progress: str
    message: str


def update_of(
    seen: Observed, detail: NodeDetail | None, bridge_id: str, overlay: Overlay | None = None
) -> dict[str, object]:
    """Return what a status message says of `seen`; detail and overlay of another state than this one are not used."""
    running = not seen.phase.ended
    failed = detail.failed if detail and seen.is_failed and detail.tells_failure_of(seen.started_at) else None
    progress, message = seen.progress, message_for(seen.message, failed)
    if overlay is not None and overlay.said == seen.said and running:
        progress = overlay.progress or progress
        message = overlay.message or message
    return status_document(
        seen.ref,
        seen.phase,
        progress,
        message,
        {
            "bridge": bridge_id,
            "uid": seen.ref.uid,
            "mapping": seen.mapping,
            "startedAt": seen.started_at,
            "finishedAt": seen.finished_at,
            "suspended": (running and (seen.suspended or _waits(seen, detail))) or None,
            "stopping": (running and seen.shutdown == "Stop") or None,
            "terminating": (running and seen.shutdown == "Terminate") or None,
            "outputs": None if running else seen.outputs,
            "failedNode": body_of(FAILED_NODE_KEYS, failed) if failed else None,
            "nodes": list(detail.nodes) if detail else None,
            "truncated": (detail is not None and detail.is_cut) or None,
        },
    )


def _waits(seen: Observed, detail: NodeDetail | None) -> bool:
    """Whether it is at a Suspend node, as far as is known."""
    if detail is None or not detail.waits or seen.pods_running or seen.phase is not Phase.RUNNING:
        return False
    return detail.tells_waiting_of(seen.started_at, seen.progress)


def is_newer(version: str, than: str) -> bool:
    """Whether a state with resourceVersion `version` follows the one with `than`.

    They are opaque in principle and decimal in every Kubernetes there is (from 1.35 on comparable by contract);
    what cannot be compared counts as newer unless it is equal.
    """
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than


def digest_of(payload: bytes) -> bytes:
    """Return 16 bytes that tell one status message from another."""
    return blake2b(payload, digest_size=16).digest()


@record(frozen=True, slots=True)
class Statement:
    """A status message in its final form, small: it is all that is kept of what an ended workflow said.

    A namespace's report is one, too; its `ref` has no name.

    Attributes:
        packed: the message without a size limit, compressed where that makes it smaller.
        size: its length in bytes.
        digest: of the message.
    """

    ref: WorkflowRef
    packed: bytes
    size: int
    digest: bytes

    @property
    def document(self) -> bytes:
        """The whole message."""
        return self.packed if len(self.packed) == self.size else zlib.decompress(self.packed)

    def payload(self, max_bytes: int) -> bytes:
        """Return the message, cut to `max_bytes` where it is longer."""
        if self.size <= max_bytes:
            return self.document
        document = orjson.loads(self.document)
        if not self.ref.name:
            return orjson.dumps({**document, "mappings": {}, "truncated": True})  # all else of a report is short
        return body(document, max_bytes)


def transition(last_digest: bytes, ref: WorkflowRef, said: Mapping[str, object]) -> Statement | None:
    """Return the message that is due, None when it would be the last one again.

    `last_digest` is that of the last message of this workflow, b"" before the first.
    """
    document = body(said, _WHOLE)
    digest = digest_of(document)
    if digest == last_digest:
        return None
    return Statement(ref, _packed(document), len(document), digest)


def _packed(document: bytes) -> bytes:
    if len(document) > _PACK_OVER:
        packed = zlib.compress(document, level=1)
        if len(packed) < len(document):
            return packed
    # orjson's result holds on to its 4 KiB buffer; a copy is as long as it says.
    return bytes(memoryview(document))
