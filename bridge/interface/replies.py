"""Builds reply bodies: fixed keys, ``requestId`` if the request had one, ``details`` on errors.

The HTTP-like code is sent outside the body, as user property ``code`` (AMQP: header). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import orjson

from bridge.core import strict_json
from bridge.core.model import OutgoingMessage, ReplyAddress
from bridge.interface.operations import SPECS, Operation

CONTENT_TYPE = "application/json"
REFUSED_ADDRESS = "reply-address-refused"
"""User property (AMQP: header) of a reply that is not sent to the requested address; its value gives the reason."""
MAX_DETAILS = 100
MAX_DETAIL_CHARACTERS = 65_536
"""Maximum characters of all details together, since they contain names and values from a message."""
MAX_SENTENCE = 2000
MIN_TEXT = 32
_CUTTABLE = ("error", "message", "topic")

TRIGGERED = "Workflow triggered successfully"
INVALID_WORKFLOW = "Invalid workflow definition"
STATUS_RECEIVED = "Status update received successfully"

_REASONS = {
    403: "forbidden-namespace forbidden-operation manifests-not-allowed submit-not-allowed access-denied not-permitted",
    404: "namespace-terminating template-not-found namespace-not-found workflow-not-found cron-not-found",
    409: "name-taken already-ended event-id-reused",
    413: "payload-too-large workflow-too-large",
    500: "internal-error",
    502: "not-authenticated token-unreadable tls-failed not-argo not-http redirected unknown-route kind-not-installed "
    "answer-too-large",
    503: "attempts-exhausted busy stopped unreachable connection-lost rate-limited server-error incomplete-list "
    "incomplete-answer",
    504: "expired timeout",
}
HTTP_CODES = {reason: code for code, reasons in _REASONS.items() for reason in reasons.split()}
"""HTTP-like code of each kebab-case reason; every other reason is the sender's fault: 400."""

POLICY_REASONS = frozenset(
    {"forbidden-namespace", "forbidden-operation", "manifests-not-allowed", "submit-not-allowed", "template-braces"}
)
"""Reasons of the operator's own rules: even if the rules become wider, the message was not wanted at the time."""


def http_code(reason: str) -> int:
    """Return the HTTP-like code of a reason."""
    return HTTP_CODES.get(reason, 400)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not carried out.

    Attributes:
        reason: kebab-case.
        message: a sentence for the sender.
        details: findings, JSON-ready; () if the sentence says everything.
    """

    reason: str
    message: str
    details: Sequence[object] = ()


def triggered(address: ReplyAddress, workflow_name: str) -> OutgoingMessage:
    """Return the success reply to a trigger message."""
    return _message(address, {"status": TRIGGERED, "workflowId": workflow_name}, 200)


def status_received(address: ReplyAddress) -> OutgoingMessage:
    """Return the success reply to a status update."""
    return _message(address, {"status": STATUS_RECEIVED}, 200)


def succeeded(address: ReplyAddress, operation: Operation, keys: Mapping[str, object]) -> OutgoingMessage:
    """Return the success reply of an operation: ``status``, its own keys, ``requestId``.

    Raises:
        TypeError: a value is not JSON.
    """
    return _message(address, {"status": SPECS[operation].success, **keys}, 200)


def done(address: ReplyAddress, operation: Operation, name: str) -> OutgoingMessage:
    """Return the success reply of an operation with only a name: the spooled ones, and trigger."""
    if operation is Operation.TRIGGER:
        return triggered(address, name)
    spec = SPECS[operation]
    return succeeded(address, operation, {"workflowId" if spec.creates else spec.name_key: name})


def refused(address: ReplyAddress, refusal: Refusal) -> OutgoingMessage:
    """Return the error reply; its details are limited (`bounded`)."""
    body: dict[str, object] = {"error": refusal.message}
    if refusal.details:
        body["details"] = bounded(refusal.details)
    return _message(address, body, http_code(refusal.reason))


def bounded(details: Sequence[object]) -> tuple[object, ...]:
    """Return at most `MAX_DETAILS` details of `MAX_DETAIL_CHARACTERS` in total, and the number of the others."""
    sizes = accumulate(len(str(detail)) for detail in details[:MAX_DETAILS])
    shown = sum(size <= MAX_DETAIL_CHARACTERS for size in sizes)
    if shown == len(details):
        return tuple(details)
    rest = {"message": f"{len(details) - shown} more findings are not shown"}
    return (*details[:shown], rest)


def shrink(payload: bytes, max_bytes: int) -> bytes:
    """Return an error reply or a dead-letter notification that fits `max_bytes`, if possible.

    Its details are replaced by ``{"truncated": true}``, then its longest text is halved repeatedly. A success reply is
    not changed: it has nothing to cut.
    """
    if len(payload) <= max_bytes:
        return payload
    body = strict_json.loads(payload)
    if not isinstance(body, dict) or "status" in body:
        return payload
    body["details"] = {"truncated": True}
    while len(shrunk := strict_json.dumps(body)) > max_bytes:
        longest = max(_CUTTABLE, key=lambda key: len(str(body.get(key, ""))))
        text = str(body.get(longest, ""))
        if len(text) <= MIN_TEXT:
            break
        body[longest] = text[: len(text) // 2] + "…"
    return shrunk


def _message(address: ReplyAddress, body: dict[str, object], code: int) -> OutgoingMessage:
    if address.request_id:
        body["requestId"] = orjson.Fragment(address.request_id)  # unchanged, whatever the size of its numbers
    return OutgoingMessage(
        topic=address.topic,
        payload=orjson.dumps(body),
        correlation_data=address.correlation_data,
        content_type=CONTENT_TYPE,
        user=(("code", str(code)), *(((REFUSED_ADDRESS, address.refused),) if address.refused else ())),
        queue=address.queue,
    )
