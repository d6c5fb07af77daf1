"""The plan of one row from waiting to its outcome: the next request, and what each response means. No I/O.

A `Plan` is made when a row is taken and discarded when it is settled or returned; its verdict says what must be known
the next time.

Thread: the dispatcher's alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bridge.argo.errors import Answer
from bridge.argo.handles import HttpRequest
from bridge.argo.manifests import Manifests
from bridge.argo.marks import Marks
from bridge.argo.options import workflow_path, workflows_path
from bridge.core.model import WorkflowOrder
from bridge.pipeline.dispatch.outcomes import GoOn, Step, Verdict, decide
from bridge.spool.records import NewEvent


class Plan(Protocol):
    """The plan of one row."""

    @property
    def step(self) -> Step:
        """CREATE if the next request is the operation itself, LOOK_UP if it changes nothing."""

    @property
    def is_create(self) -> bool:
        """Whether the next request creates a workflow, so that its latency informs the gate."""

    def request(self) -> HttpRequest:
        """Return the next request.

        Raises:
            PermanentError: the row can never be sent.
        """

    def answered(self, answer: Answer) -> Verdict:
        """Return the meaning of the response to `request`; after `GoOn` and `Note` the next `request` differs."""


class Creation:
    """Creates a workflow with a fixed name, and looks it up if it may exist already (docs/design/promises.md).

    Args:
        event: the row's.
        step: LOOK_UP: it may exist already.
        submission: builds the request that creates the workflow.
    """

    def __init__(self, event: NewEvent, step: Step, submission: Callable[[], HttpRequest]) -> None:
        self._event = event
        self._submission = submission
        self.step = step

    @property
    def is_create(self) -> bool:
        """Whether the next request creates the workflow."""
        return self.step is Step.CREATE

    def request(self) -> HttpRequest:
        """Return the next request: the create, or a look at the name."""
        return look_up(self._event.order) if self.step is Step.LOOK_UP else self._submission()

    def answered(self, answer: Answer) -> Verdict:
        """Decide what the answer means, and what comes next."""
        verdict = decide(self.step, answer, self._event.id, is_request=not self._event.mapping)
        if isinstance(verdict, GoOn):
            self.step = verdict.step
        return verdict


def look_up(order: WorkflowOrder) -> HttpRequest:
    """Return the request that finds out whether a workflow exists, and for which event."""
    return HttpRequest("GET", workflow_path(order.namespace, order.name), expects=order.name)


def create(order: WorkflowOrder, marks: Marks, manifests: Manifests) -> HttpRequest:
    """Return the request that creates a workflow.

    Raises:
        PermanentError: the request cannot be built (`Manifests.create_body`).
    """
    body = manifests.create_body(order, marks)
    return HttpRequest("POST", workflows_path(order.namespace), body, expects=order.name, is_read=False)


def marks_of(bridge_id: str, event: NewEvent) -> Marks:
    """Return the marks that identify a workflow's event."""
    return Marks(
        bridge_id=bridge_id,
        event_id=event.id,
        mapping=event.mapping,
        topic=event.topic,
        connection=event.connection,
        status_topic=event.status_topic,
    )
