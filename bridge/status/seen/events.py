"""What reaches the status thread, as frozen dataclasses. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.argo.watch import WatchFrame
from bridge.core.model import WorkflowRef
from bridge.status.decided.nodes import NodeDetail
from bridge.status.seen.sources import Workflow
from bridge.transports.base import Session


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


@dataclass(frozen=True, slots=True)
class UpdatesStored:
    """Other systems' statuses wait in the spool."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A broker accepted us."""

    connection: str
    session: Session


@dataclass(frozen=True, slots=True)
class Ready:
    """Every SUBACK of a connection arrived."""

    connection: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection is gone."""

    connection: str


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """A publish was acknowledged (`done`), or lost, or refused.

    Attributes:
        uid: of the workflow for the stream, "" for a retained topic.
        token: which publish; an older one is ignored.
    """

    connection: str
    topic: str
    uid: str
    token: int
    done: bool


Event = (
    Listed
    | WatchFrame
    | LookedUp
    | RetainedSeen
    | ForeignSeen
    | LiveSeen
    | UpdatesStored
    | Connected
    | Ready
    | Disconnected
    | PublishEnded
)
