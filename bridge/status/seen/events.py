"""What reaches the status thread, as frozen data or as a call. No behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.argo.watch import WatchFrame
from bridge.core.model import WorkflowRef
from bridge.status.decided.nodes import NodeDetail
from bridge.status.seen.sources import Workflow


@dataclass(frozen=True, slots=True)
class Listed:
    """A namespace was listed.

    `starts_watch`: a watch goes on from this list, so together they miss nothing. False: a periodic re-list of a mirror
    that may lag, which only proposes.
    """

    namespace: str
    workflows: tuple[Workflow, ...]
    starts_watch: bool


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The answer of one GET about `ref`: None for 404; `nodes`: ``status.nodes`` was asked for."""

    ref: WorkflowRef
    workflow: Workflow | None
    nodes: bool


@dataclass(frozen=True, slots=True)
class RetainedSeen:
    """The broker delivered a retained status of `ref`, of this bridge (`is_own`) or of nobody.

    `hint` is what it tells of the workflow's nodes.
    """

    connection: str
    topic: str
    ref: WorkflowRef
    digest: bytes
    is_own: bool
    hint: NodeDetail | None = None


@dataclass(frozen=True, slots=True)
class ForeignSeen:
    """Another bridge published to PREFIX/status/NAMESPACE/NAME, just now or before the subscription."""

    connection: str
    topic: str


@dataclass(frozen=True, slots=True)
class LiveSeen:
    """Somebody, perhaps we, published a status or a report just now; `digest` is of the payload."""

    connection: str
    topic: str
    digest: bytes


Event = Listed | WatchFrame | LookedUp | RetainedSeen | ForeignSeen | LiveSeen | Callable[[], None]
"""What is no data is a call, such as that a broker accepted us: the status thread makes it, in its turn."""
