"""How an operation gets from waiting to its end: `Plan`s for everything that is spooled but trigger. No I/O.

An operation may be asked for twice: its answer is lost, or the process dies before the answer is marked. What a repeat
means is told by each plan; where Argo's answer alone cannot tell, how things stood before the first try is kept with
the row.

Thread: the dispatcher's alone.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from bridge.argo.errors import Answer, AnswerKind
from bridge.argo.handles import HttpRequest
from bridge.argo.manifests import Manifests
from bridge.argo.marks import Marks, is_archived_only
from bridge.argo.operation_calls import (
    CronSubmission,
    change,
    look_at,
    resubmission,
    source_of,
    submit_cron,
)
from bridge.core.model import Phase, WorkflowOrder
from bridge.interface.operations import SPECS, Operation
from bridge.interface.replies import Refusal
from bridge.pipeline.cluster import ClusterSchema
from bridge.pipeline.dispatch.outcomes import Again, Done, GoOn, Note, Step, Verdict, decide, later, refusal_of
from bridge.pipeline.dispatch.plans import Creation, Plan, create, look_up, marks_of
from bridge.spool.records import Asked, NewEvent, WaitingEvent

CREATING = frozenset({Operation.TRIGGER, *(operation for operation, spec in SPECS.items() if spec.creates)})
"""Operations that make a workflow, which can be looked up by its name."""

_ENDED = frozenset(phase.value for phase in Phase if phase.ended)


def operation_of(event: NewEvent) -> Operation:
    """Return what a row asks for."""
    return Operation.TRIGGER if event.asked is None else Operation(event.asked.operation)


class Plans:
    """Makes the plan of each row.

    Args:
        bridge_id: label and annotations of every workflow that is made.
        schema: checks each manifest by what the cluster runs now.
    """

    def __init__(self, bridge_id: str, schema: ClusterSchema) -> None:
        self._bridge_id = bridge_id
        self._schema = schema
        self._manifests = Manifests()

    def of(self, waiting: WaitingEvent, step: Step, *, is_untouched: bool = False) -> Plan:
        """Return the plan of a row that was taken.

        Args:
            waiting: the row.
            step: LOOK_UP: the workflow that it makes may be there already.
            is_untouched: whatever was asked for it before, at any try, was certainly not carried out.
        """
        event = waiting.event
        marks = marks_of(self._bridge_id, event)
        if event.asked is None:
            return Creation(event, step, partial(self._submitted, event, marks))
        operation = Operation(event.asked.operation)
        if operation is Operation.RESUBMIT:
            return _Resubmission(event, event.asked, marks, self._manifests, step)
        if operation is Operation.TRIGGER_CRON:
            order = event.order
            started = CronSubmission(order.namespace, event.asked.name, order.name, event.asked.options)
            return Creation(event, step, partial(submit_cron, started, marks))
        if operation in _COMPARED:
            return _COMPARED[operation](operation, event, event.asked, waiting.note)
        if "nodeFieldSelector" in event.asked.options:
            return _Selection(operation, event, event.asked, waiting.note, is_untouched=is_untouched)
        return _Change(operation, event, event.asked)

    def _submitted(self, event: NewEvent, marks: Marks) -> HttpRequest:
        # Argo may have been upgraded since the row was stored, and drops what it does not know without a word.
        self._schema.check_order(event.order)
        return create(event.order, marks, self._manifests)


class _Change:
    """Asks for what may be asked for again: stop, terminate, suspend, resume, and the same of crons."""

    step = Step.CREATE
    is_create = False

    def __init__(self, operation: Operation, event: NewEvent, asked: Asked) -> None:
        self._operation = operation
        self._namespace = event.order.namespace
        self._asked = asked
        self._is_again = False

    def request(self) -> HttpRequest:
        return change(self._operation, self._namespace, self._asked.name, self._asked.options)

    def answered(self, answer: Answer) -> Verdict:
        if answer.ok or _is_ended_already(self._operation, answer):
            return Done()
        if answer.kind is AnswerKind.UNAVAILABLE:
            return later(Step.CREATE, answer)
        if answer.ambiguous and not self._is_again:
            # Somebody's page in place of the answer: once more tells.
            self._is_again = True
            return GoOn(Step.CREATE)
        return refusal_of(answer)


def _is_ended_already(operation: Operation, answer: Answer) -> bool:
    return answer.code == "already-ended" and SPECS[operation].ends


class _Compared(ABC):
    """Looks first, keeps how the workflow stood, then asks; a repeat compares."""

    is_create = False

    def __init__(self, operation: Operation, event: NewEvent, asked: Asked, note: str) -> None:
        self._operation = operation
        self._namespace = event.order.namespace
        self._asked = asked
        self._before: _Standing | None = _Standing(*orjson.loads(note)) if note else None
        self._refusal: Refusal | None = None
        self.step = Step.LOOK_UP

    def request(self) -> HttpRequest:
        if self.step is Step.LOOK_UP:
            return look_at(self._namespace, self._asked.name)
        return change(self._operation, self._namespace, self._asked.name, self._asked.options)

    def answered(self, answer: Answer) -> Verdict:
        if answer.kind is AnswerKind.UNAVAILABLE:
            # The note tells a repeat; where it begins is always the look.
            return later(self.step, answer)
        if self.step is Step.CREATE:
            return Done() if answer.ok else self._not_done(answer)
        if answer.kind is AnswerKind.NOT_FOUND:
            return self._gone(refusal_of(answer))
        return self._found(_standing(answer.body or {})) if answer.ok else refusal_of(answer)

    def _found(self, now: _Standing) -> Verdict:
        if self._before is None:
            self._before = now
            self.step = Step.CREATE
            return Note(orjson.dumps(dataclasses.astuple(now)).decode())
        if self._is_done(self._before, now):
            return Done()
        if self._refusal is not None:
            return self._refusal
        self.step = Step.CREATE
        return GoOn(Step.CREATE)

    def _not_done(self, answer: Answer) -> Verdict:
        if self._refusal is None and (answer.ambiguous or answer.kind is AnswerKind.INVALID):
            # A page in place of the answer; or Argo refuses what a try that nobody remembers has done already.
            self._refusal = refusal_of(answer)
            self.step = Step.LOOK_UP
            return GoOn(Step.LOOK_UP)
        return refusal_of(answer)

    @abstractmethod
    def _gone(self, refusal: Refusal) -> Verdict:
        """Return what it means that there is no such workflow."""

    @abstractmethod
    def _is_done(self, before: _Standing, now: _Standing) -> bool:
        """Whether somebody has done it between the two looks."""


class _Deletion(_Compared):
    """Deletes; a repeat is done where the workflow is gone, or another has its name."""

    def _found(self, now: _Standing) -> Verdict:
        text = f'the workflow "{self._asked.name}" is gone; only its archive entry exists'
        return self._gone(Refusal("workflow-not-found", text)) if now.archived else super()._found(now)

    def _gone(self, refusal: Refusal) -> Verdict:
        return refusal if self._before is None else Done()

    def _not_done(self, answer: Answer) -> Verdict:
        return Done() if answer.kind is AnswerKind.NOT_FOUND else super()._not_done(answer)

    def _is_done(self, before: _Standing, now: _Standing) -> bool:
        return now.uid != before.uid or (now.deleting and not before.deleting)


class _Retry(_Compared):
    """Retries; a repeat is done where the workflow runs, or was started anew since."""

    def _found(self, now: _Standing) -> Verdict:
        before = self._before
        if before is not None and now.uid != before.uid and not before.archived:
            text = f'the workflow "{self._asked.name}" is gone; a new one has its name'
            return Refusal("workflow-not-found", text)
        return super()._found(now)

    def _gone(self, refusal: Refusal) -> Verdict:
        return refusal

    def _is_done(self, before: _Standing, now: _Standing) -> bool:
        if before.phase not in _ENDED:
            return now.started_at > before.started_at
        # Times have whole seconds, so any other one counts.
        is_same = (now.started_at, now.finished_at) == (before.started_at, before.finished_at)
        return now.phase not in _ENDED or not is_same


class _Selection(_Compared):
    """Changes nodes that a selector means: resume, set, stop.

    A repeat finds none any more where the first has ended them, or has set the outputs that they waited for.
    """

    def __init__(self, operation: Operation, event: NewEvent, asked: Asked, note: str, *, is_untouched: bool) -> None:
        super().__init__(operation, event, asked, note)
        self._is_repeat = bool(note) and not is_untouched

    def answered(self, answer: Answer) -> Verdict:
        verdict = super().answered(answer)
        if isinstance(verdict, Again) and self._is_repeat:
            # That this try certainly did nothing says nothing of the one before.
            return Again(Step.LOOK_UP, verdict.own_fault, verdict.cause)
        return verdict

    def _gone(self, refusal: Refusal) -> Verdict:
        return refusal

    def _is_done(self, before: _Standing, now: _Standing) -> bool:  # noqa: ARG002 - only asking again tells
        return False

    def _not_done(self, answer: Answer) -> Verdict:
        if _is_ended_already(self._operation, answer) or (answer.code == "no-such-node" and self._is_repeat):
            return Done()
        if answer.ambiguous and not self._is_repeat:
            self._is_repeat = True
            return GoOn(Step.CREATE)
        return refusal_of(answer)


@dataclass(frozen=True, slots=True)
class _Standing:
    """How a workflow stood when it was looked at; times as Argo writes them, "" where there is none."""

    uid: str
    archived: bool
    deleting: bool
    phase: str
    started_at: str
    finished_at: str


def _standing(workflow: dict[str, Any]) -> _Standing:
    metadata, status = workflow.get("metadata") or {}, workflow.get("status") or {}
    return _Standing(
        uid=metadata.get("uid") or "",
        archived=is_archived_only(workflow),
        deleting=bool(metadata.get("deletionTimestamp")),
        phase=status.get("phase") or "",
        started_at=status.get("startedAt") or "",
        finished_at=status.get("finishedAt") or "",
    )


_COMPARED: dict[Operation, type[_Compared]] = {Operation.DELETE: _Deletion, Operation.RETRY: _Retry}


class _Resubmission:
    """Reads the old workflow, and creates one like it under a name of the event's own."""

    def __init__(self, event: NewEvent, asked: Asked, marks: Marks, manifests: Manifests, step: Step) -> None:
        self._event = event
        self._asked = asked
        self._marks = marks
        self._manifests = manifests
        self._order: WorkflowOrder | None = None
        self._missing: Refusal | None = None
        self._begin = step

    @property
    def _is_looking_up(self) -> bool:
        return self._begin is Step.LOOK_UP

    @property
    def is_create(self) -> bool:
        return not self._is_looking_up and self._order is not None

    @property
    def step(self) -> Step:
        return Step.CREATE if self.is_create else Step.LOOK_UP

    def request(self) -> HttpRequest:
        if self._is_looking_up:
            return look_up(self._event.order)
        if self._order is None:
            return source_of(self._event.order.namespace, self._asked.name)
        return create(self._order, self._marks, self._manifests)

    def answered(self, answer: Answer) -> Verdict:
        if not self._is_looking_up and self._order is None:
            return self._source(answer)
        verdict = decide(Step.LOOK_UP if self._is_looking_up else Step.CREATE, answer, self._event.id, is_request=True)
        if not isinstance(verdict, GoOn):
            return verdict
        if verdict.step is Step.CREATE and self._missing is not None:
            return self._missing
        self._begin = verdict.step
        return verdict

    def _source(self, answer: Answer) -> Verdict:
        if answer.ok:
            self._order = resubmission(answer.body or {}, self._event.order)
            return GoOn(Step.CREATE)
        if answer.kind is AnswerKind.UNAVAILABLE:
            return later(Step.CREATE, answer)
        self._missing = refusal_of(answer)
        if answer.kind is AnswerKind.NOT_FOUND:
            # It may have gone after the new one was made, by a try that nobody remembers.
            self._begin = Step.LOOK_UP
            return GoOn(Step.LOOK_UP)
        return self._missing
