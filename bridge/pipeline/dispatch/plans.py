"""How one row gets from waiting to its end: the next request, and what each answer means. No I/O.

A `Plan` is made when a row is taken and thrown away when it is settled or given back; what must be known the next time
is said by its verdict.

Thread: the dispatcher's alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bridge.argo.errors import Answer
from bridge.argo.handles import HttpRequest
from bridge.argo.manifests import Manifests, Marks
from bridge.argo.options import workflow_path, workflows_path
from bridge.core.model import WorkflowOrder
from bridge.pipeline.dispatch.outcomes import GoOn, Step, Verdict, decide
from bridge.spool.records import NewEvent


class Plan(Protocol):
    """The way of one row."""

    @property
    def step(self) -> Step:
        """CREATE where the next request is the thing itself, LOOK_UP where it changes nothing."""

    @property
    def is_create(self) -> bool:
        """Whether the next request creates a workflow, so that its latency tells the gate something."""

    def request(self) -> HttpRequest:
        """Return the next request.

        Raises:
            PermanentError: the row can never be sent.
        """

    def answered(self, answer: Answer) -> Verdict:
        """Return what the answer to `request` means; after `GoOn` and `Note` the next `request` is another one."""


class Creation:
    """Makes a workflow whose name is fixed, and looks it up wherever it may be there already (docs/design/promises.md).

    Args:
        event: the row's.
        step: LOOK_UP: it may be there already.
        submission: makes the request that makes the workflow.
    """

    def __init__(self, event: NewEvent, step: Step, submission: Callable[[], HttpRequest]) -> None:
        self._event = event
        self._submission = submission
        self.step = step

    @property
    def is_create(self) -> bool:
        """See `Plan`."""
        return self.step is Step.CREATE

    def request(self) -> HttpRequest:
        """See `Plan`."""
        return look_up(self._event.order) if self.step is Step.LOOK_UP else self._submission()

    def answered(self, answer: Answer) -> Verdict:
        """See `Plan`."""
        verdict = decide(self.step, answer, self._event.id, is_request=not self._event.mapping)
        if isinstance(verdict, GoOn):
            self.step = verdict.step
        return verdict


def look_up(order: WorkflowOrder) -> HttpRequest:
    """Return the request that tells whether a workflow exists, and whose it is."""
    return HttpRequest("GET", workflow_path(order.namespace, order.name), expects=order.name)


def create(order: WorkflowOrder, marks: Marks, manifests: Manifests) -> HttpRequest:
    """Return the request that creates a workflow.

    Raises:
        PermanentError: it cannot be written (`Manifests.create_body`).
    """
    body = manifests.create_body(order, marks)
    return HttpRequest("POST", workflows_path(order.namespace), body, expects=order.name)


def marks_of(bridge_id: str, event: NewEvent) -> Marks:
    """Return what says on a workflow whose it is."""
    return Marks(
        bridge_id=bridge_id,
        event_id=event.id,
        mapping=event.mapping,
        topic=event.topic,
        connection=event.connection,
        status_topic=event.status_topic,
    )
