"""Builds the body of a status message: its five keys, always all of them, and ``details``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from bridge.configfile.fields import declare, section
from bridge.configfile.kinds import Choice, Text
from bridge.core.errors import cut
from bridge.core.model import Phase, WorkflowRef
from bridge.interface.loose_json import object_at
from bridge.interface.topics import published_problem

PERCENTAGE = r"(100|[1-9]?[0-9])%"
_PERCENTAGE = re.compile(PERCENTAGE)
_PROGRESS = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_ALWAYS = ("bridge", "uid", "truncated")


class NoticeKind(StrEnum):
    """Which ends of workflows a topic of ``status.notify`` is told of."""

    FAILED = "failed"
    ENDED = "ended"


@section
class Notice:
    """A topic that is told of the ends of workflows."""

    topic: str = declare(
        Text(words="a topic", check=published_problem), "Topic that gets the last status of each run, not retained."
    )
    on: NoticeKind = declare(
        Choice(NoticeKind),
        "Notify about workflows that finished as Failed or Error, or about all finished workflows.",
        default="failed",
    )


@dataclass(frozen=True, slots=True)
class StatusRequests:
    """What a mapping wants to be told of one of its workflows, beyond the status topics.

    Attributes:
        nodes: whether ``details.nodes`` lists the workflow's nodes.
        notices: topics of its own.
    """

    nodes: bool = False
    notices: tuple[Notice, ...] = ()


NO_REQUESTS = StatusRequests()


def percentage(progress: str) -> str:
    """Return Argo's ``N/M`` as a percentage: ``1/2`` is ``50%``; ``0/0`` and nonsense are ``0%``.

    A percentage is itself.
    """
    found = _PROGRESS.fullmatch(progress)
    if not found:
        return progress if _PERCENTAGE.fullmatch(progress) else "0%"
    if int(found[2]) == 0:
        return "0%"
    return f"{min(100, int(found[1]) * 100 // int(found[2]))}%"


def status_document(
    workflow: WorkflowRef, phase: Phase, progress: str, message: str, details: Mapping[str, object]
) -> dict[str, object]:
    """Return what one status message says, as JSON-ready keys.

    Args:
        workflow: which workflow.
        phase: Argo's; ABSENT is written as ``Pending``.
        progress: Argo's ``N/M``, a percentage, or "".
        message: a sentence, "" when there is none.
        details: bridge, uid, mapping, startedAt, finishedAt, outputs, failedNode, ...; keys without value are left out.
    """
    return {
        "namespace": workflow.namespace,
        "workflowId": workflow.name,
        "status": (Phase.PENDING if phase is Phase.ABSENT else phase).value,
        "progress": percentage(progress),
        "message": message,
        "details": {key: value for key, value in details.items() if value not in (None, "", {}, [])},
    }


def body(said: Mapping[str, object], max_bytes: int) -> bytes:
    """Return a `status_document` as JSON of at most `max_bytes`.

    What does not fit is cut: outputs, then the message, then all but what tells whose it is; ``details.truncated``
    says so. What is left takes some 200 bytes beside the workflow's address.
    """
    payload = orjson.dumps(said)
    if len(payload) <= max_bytes:
        return payload
    document = dict(said)
    details = document["details"] = {**object_at(said, "details"), "truncated": True}
    for shorten in (_without_outputs, _with_short_message, _with_little_else):
        shorten(document, details)
        payload = orjson.dumps(document)
        if len(payload) <= max_bytes:
            break
    return payload


def _without_outputs(_document: dict[str, object], details: dict[str, object]) -> None:
    for key in ("outputs", "nodes"):
        details.pop(key, None)


def _with_short_message(document: dict[str, object], details: dict[str, object]) -> None:
    document["message"] = cut(str(document["message"]))
    details.pop("failedNode", None)


def _with_little_else(document: dict[str, object], details: dict[str, object]) -> None:
    # `details.bridge` must stay: without it our own message looks like another system's.
    document["message"] = ""
    for key in set(details) - set(_ALWAYS):
        del details[key]
