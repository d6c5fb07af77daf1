"""Which workflows are followed, and who is told of them. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.argo.marks import BRIDGE_LABEL
from bridge.interface.status import NO_REQUESTS, Notice, StatusRequests
from bridge.status.options import ScopeKind, StatusScope

Workflow = Mapping[str, Any]
"""A workflow as Argo's JSON has it."""

EventSeen = Callable[[bytes, str, str], None]
"""Told of each event whose workflow exists or existed: (event id of 32 bytes, namespace, name). Must not block."""


def _no_requests(_mapping: str, _source_topic: str) -> StatusRequests:
    return NO_REQUESTS


@dataclass(frozen=True, slots=True)
class FollowedWorkflows:
    """Which workflows have a status here, and who else is told.

    Attributes:
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
