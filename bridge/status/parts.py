"""What every part of status works with, in one value. No behaviour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.core.clock import Clock
from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.spool.store import Spool
from bridge.status.seen.argo_reader import ArgoReader
from bridge.transports.base import Transport


@dataclass(frozen=True)
class StatusParts:
    """What the service hands to status.

    Attributes:
        argo: reads workflows.
        store: the spool's tables for status.
        transports: every connection; status goes to all.
        clock: time.
        metrics: counters.
        reports: for unexpected exceptions.
        set_aside: told of a message on which a broker ends its connection; comes on the transport's thread.
    """

    argo: ArgoReader
    store: Spool
    transports: Sequence[Transport]
    clock: Clock
    metrics: Metrics
    reports: ErrorReports
    set_aside: Callable[[str, OutgoingMessage], None]
