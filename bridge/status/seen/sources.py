"""What status needs from its neighbours: an Argo Server to read, a table of retained topics, and what to follow.

Only shapes; no behaviour and no I/O. `bridge.status.seen.argo_reader` puts the real client behind `ArgoReader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from bridge.core.clock import AgeClock
from bridge.core.model import WorkflowRef
from bridge.interface.status import NO_REQUESTS, Notice, StatusRequests
from bridge.spool.records import ExternalStatus, RetainedTopic
from bridge.status.options import ScopeKind, StatusScope

Workflow = Mapping[str, Any]
"""A workflow as Argo's JSON has it."""

EventSeen = Callable[[bytes, str, str], None]
"""Told of each event whose workflow exists or existed: (event id of 32 bytes, namespace, name). Must not block."""

BRIDGE_LABEL = "argo-bridge/bridge"
EVENT_ANNOTATION = "argo-bridge/event"
MAPPING_ANNOTATION = "argo-bridge/mapping"
SOURCE_TOPIC_ANNOTATION = "argo-bridge/topic"
STATUS_TOPIC_ANNOTATION = "argo-bridge/status-topic"


def _no_requests(_mapping: str, _source_topic: str) -> StatusRequests:
    return NO_REQUESTS


@dataclass(frozen=True, slots=True)
class FollowedWorkflows:
    """Which workflows have a status here, and who else is told.

    Attributes:
        bridge_id: ``bridge.id``; goes into ``details.bridge``.
        namespaces: the allow-list, one watcher each.
        selector: Kubernetes label selector; "" follows every workflow of the namespaces.
        notices: topics that are told of every followed workflow's end.
        requests: what a mapping wants of its own workflows: (mapping, concrete topic of the message) -> requests.
    """

    bridge_id: str
    namespaces: tuple[str, ...]
    selector: str
    notices: tuple[Notice, ...] = ()
    requests: Callable[[str, str], StatusRequests] = _no_requests


def scope_selector(bridge_id: str, scope: StatusScope) -> str:
    """Return the label selector of ``status.scope``; "" is every workflow of the namespaces."""
    if scope.kind is ScopeKind.SELECTOR:
        return scope.selector
    return f"{BRIDGE_LABEL}={bridge_id}" if scope.kind is ScopeKind.BRIDGE else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete list answer. One without resourceVersion is not an answer and never becomes a `Listing`.

    Attributes:
        resource_version: where a watch goes on from.
        workflows: without ``status.nodes``.
    """

    resource_version: str
    workflows: Sequence[Workflow]


class FrameKind(Enum):
    """What a watch frame says. The values are Argo's."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchFrame:
    """One frame of a watch.

    Attributes:
        kind: what happened.
        workflow: as it is now, without ``status.nodes``; for DELETED its last state.
        resource_version: where to go on after this frame.
        size_bytes: of the JSON that it came as.
    """

    kind: FrameKind
    workflow: Workflow
    resource_version: str
    size_bytes: int = 0


class WatchExpiredError(Exception):
    """The resourceVersion is too old for a watch: list again. Raised by `ArgoReader.watch` only."""


class ArgoReader(Protocol):
    """Reads workflows. Every method raises `TransientError` or `PermanentError` when Argo does not answer it."""

    def list(self, namespace: str, selector: str) -> Listing:
        """Return all workflows of one namespace that match. Thread: any."""

    def get(self, ref: WorkflowRef, *, nodes: bool) -> Workflow | None:
        """Return one workflow by namespace and name, None when the answer is 404.

        Args:
            ref: which one; its uid is not asked for.
            nodes: whether ``status.nodes`` is wanted.
        """

    def watch(self, namespace: str, selector: str, resource_version: str) -> Iterator[WatchFrame | None]:
        """Yield what changes after `resource_version`, and None for a sign of life, until the stream ends.

        A return means an orderly end (or `interrupt`): go on from the last frame.

        Raises:
            WatchExpiredError: list again.
            TransientError: the stream was cut, or could not be opened: go on from the last frame after a pause.
            PermanentError: refused: a retry helps only after somebody changed something.
        """

    @property
    def token_renewals(self) -> int:
        """How often the token was renewed: what was refused before may be granted now. Thread: any."""

    def interrupt(self) -> None:
        """Let every call under way end soon, and later ones at once; the end is near. Thread: any."""


class RetainedStore(Protocol):
    """The spool's tables for status; all that write commit before they return. Raises `SpoolError`. Thread: any."""

    @property
    def age(self) -> AgeClock:
        """The bridge's own clock, which `ExternalStatus.expires_at_s` is told by."""

    def retained(self) -> Sequence[RetainedTopic]:
        """Return every row."""

    def retain(self, rows: Sequence[RetainedTopic]) -> None:
        """Insert rows, or replace those of the same connection and topic."""

    def release(self, rows: Sequence[RetainedTopic]) -> None:
        """Delete the rows of these connections and topics; those that do not exist are no error."""

    def external(self, after_seq: int = 0) -> Sequence[ExternalStatus]:
        """Return the statuses of other systems with a number above `after_seq`, in order of arrival."""

    def forget_external(self, rows: Sequence[ExternalStatus]) -> None:
        """Delete statuses of other systems; one that was sent again since stays."""
