"""What an answer of the Argo Server means for the row that asked (docs/design/promises.md). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bridge.argo.errors import HINTS, Answer, AnswerKind
from bridge.argo.marks import event_of
from bridge.interface.replies import INVALID_WORKFLOW, Refusal


class Step(Enum):
    """What a row in flight is doing, and where it begins the next time.

    CREATE: the thing itself. LOOK_UP: it may have been done already; find out first.
    """

    CREATE = "create"
    LOOK_UP = "look-up"


@dataclass(frozen=True, slots=True)
class Done:
    """The workflow exists, and it is this event's; or the operation was carried out."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Ask the next thing at once."""

    step: Step


@dataclass(frozen=True, slots=True)
class Again:
    """Try later.

    Attributes:
        step: where to begin.
        own_fault: the row itself may be the cause, so it backs off; else only the gate slows down.
        cause: a sentence, for the ``state`` topic and for the dead letter if it was the last try.
    """

    step: Step
    own_fault: bool
    cause: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Park:
    """The cluster or the configuration is at fault: the lane waits, and probes now and then.

    Attributes:
        step: where to begin.
        cause: a sentence for the ``state`` topic.
    """

    step: Step
    cause: str


@dataclass(frozen=True, slots=True)
class Note:
    """Keep something with the row, durably, then ask the next thing.

    Attributes:
        text: comes back with the row (`WaitingEvent.note`).
    """

    text: str


Verdict = Done | Refusal | GoOn | Again | Park | Note
"""What becomes of a row; with a `Refusal` it will never be submitted."""

_INVALID_CODES = {"invalid": "invalid-workflow", "too-large": "workflow-too-large"}


def decide(step: Step, answer: Answer, event_id: bytes, *, is_request: bool) -> Verdict:
    """Return what to do with a row.

    Args:
        step: what was asked.
        answer: what came.
        event_id: the row's identity, to tell whose workflow has the name.
        is_request: a trigger message, whose sender is told at once; else a mapped event, which waits.
    """
    settled = _looked_up(answer, event_id) if step is Step.LOOK_UP else _created(answer)
    if settled is not None:
        return settled
    if answer.kind is AnswerKind.UNAVAILABLE:
        return later(step, answer)
    if answer.kind is AnswerKind.INVALID:
        code = _INVALID_CODES.get(answer.code, answer.code)
        return Refusal(code, f"{INVALID_WORKFLOW}: {answer.message}" if step is Step.CREATE else cause_of(answer))
    cause = cause_of(answer)
    return Refusal(answer.code, cause) if is_request else Park(step, cause)


def later(step: Step, answer: Answer) -> Again:
    """Return when to try again after an answer that may become another one."""
    begin = Step.LOOK_UP if answer.ambiguous or step is Step.LOOK_UP else Step.CREATE
    # What does not slow the gate down must slow the row down: nothing is repeated at once.
    own_fault = answer.ambiguous or answer.status >= 500 or not answer.strains
    return Again(begin, own_fault, cause_of(answer))


def _created(answer: Answer) -> Verdict | None:
    if answer.kind is AnswerKind.OK:
        return Done()
    # A 409 may be ours; and nobody can say "refused" of a create that may have happened. Look first.
    unsure = answer.ambiguous and answer.kind is not AnswerKind.UNAVAILABLE
    return GoOn(Step.LOOK_UP) if unsure or answer.kind is AnswerKind.CONFLICT else None


def _looked_up(answer: Answer, event_id: bytes) -> Verdict | None:
    if answer.kind is AnswerKind.OK:
        workflow = answer.body or {}
        if event_of(workflow) == event_id:
            return Done()
        metadata = workflow.get("metadata") or {}
        if metadata.get("deletionTimestamp"):
            return Again(Step.CREATE, own_fault=True, cause="the workflow with this name is being deleted")
        name = metadata.get("name", "")
        return Refusal("name-taken", f'a workflow "{name}" already exists and does not belong to this event')
    if answer.kind is AnswerKind.NOT_FOUND:
        # Only Argo's own 404 proves that the create did not happen.
        return GoOn(Step.CREATE) if answer.proves_absence else Again(Step.LOOK_UP, True, cause_of(answer))
    if answer.status == 403:
        return Refusal(
            "access-denied",
            "cannot find out which event the workflow belongs to, because the right to get it is "
            f"missing: {cause_of(answer)}",
        )
    return None


_REASONS = {"invalid": "refused-by-argo", "not-in-archive": "workflow-not-found", "already-exists": "name-taken"}


def refusal_of(answer: Answer) -> Refusal:
    """Return what an answer means to somebody who asked for an operation, where it will not be tried again."""
    return Refusal(_REASONS.get(answer.code, answer.code), cause_of(answer))


def cause_of(answer: Answer) -> str:
    """Return an answer as a sentence for a sender, with what to do about it."""
    hint = HINTS.get(answer.code, "")
    text = answer.message or answer.code
    return f"{text} ({hint})" if hint else text
