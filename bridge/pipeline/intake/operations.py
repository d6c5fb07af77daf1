"""Reads requests other than trigger messages: what is spooled becomes an event, the rest a `ReadRequest`.

What is not well-formed or not allowed is refused.

Thread: the transport's, through ingest. Keeps no state; does no I/O.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.argo.names import workflow_name
from bridge.argo.options import segment
from bridge.core.model import Message, ReplyAddress, WorkflowOrder
from bridge.interface.messages import RequestBody
from bridge.interface.operation_options import OPERATION_MAX_AGE_S, SPECS
from bridge.interface.operation_requests import OperationRequest, operation_request
from bridge.interface.operations import Operation
from bridge.interface.topics import Request
from bridge.pipeline.intake import identity
from bridge.pipeline.intake.identity import DeliveryIdentity
from bridge.pipeline.intake.requests import RequestRules, as_invalid_workflow
from bridge.spool.records import Asked, NewEvent
from bridge.validation.policy import check_braces

# The 16 characters of an event that a name made by a bridge ends with (`workflow_name`).
_HASH = re.compile(r"-[a-z2-7]{16}$")
_NOTHING = b"{}"
# What a full spool and a full cluster need most.
_MAKE_ROOM = frozenset({Operation.STOP, Operation.TERMINATE, Operation.DELETE})


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request that is answered at once from what Argo has.

    Attributes:
        operation: get, list, lint, logs, list-templates or get-template.
        namespace: one that is allowed.
        name: of the workflow or template, "" where none is named.
        options: as `OperationRequest.options`.
        message: as it came, for a dead letter.
        address: where it is answered.
    """

    operation: Operation
    namespace: str
    name: str
    options: Mapping[str, object]
    message: Message
    address: ReplyAddress


class OperationIntake:
    """Reads requests by the bridge's rules."""

    def __init__(self, rules: RequestRules) -> None:
        self._rules = rules

    def event(self, message: Message, request: Request, body: RequestBody, delivery: DeliveryIdentity) -> NewEvent:
        """Return the event of an operation that is spooled, without its reply address.

        Args:
            message: as it came.
            request: what its topic says.
            body: its decoded payload.
            delivery: names the event where the sender does not.

        Raises:
            PermanentError: not well-formed, or not allowed; never worth a retry.
        """
        asked, namespace = self._allowed(message, request, body)
        check_braces(asked.options)
        event_id = identity.event_of_request(self._rules.bridge_id, message.topic, asked.event_identity, delivery)
        expiry = message.properties.message_expiry_s
        kind = SPECS[asked.operation].name_key
        return NewEvent(
            id=event_id,
            lane=f"operation:{namespace}",
            order=_order(asked, namespace, event_id),
            mapping="",
            topic=message.topic,
            connection=message.connection,
            payload_digest=hashlib.sha256(message.payload).digest(),
            content_digest=identity.content(body.keys),
            # What is asked on one workflow is done in the order of asking.
            order_key=f"operation:{kind}:{namespace}/{asked.name}",
            max_age_s=OPERATION_MAX_AGE_S if expiry is None else min(expiry, OPERATION_MAX_AGE_S),
            asked=Asked(asked.operation.value, asked.name, dict(asked.options)),
            is_urgent=asked.operation in _MAKE_ROOM,
        )

    def read(self, message: Message, request: Request, body: RequestBody, address: ReplyAddress) -> ReadRequest:
        """Return a request that is answered at once.

        Raises:
            PermanentError: as `event`.
        """
        asked, namespace = self._allowed(message, request, body)
        workflow = asked.options.get("workflow")
        if isinstance(workflow, dict):
            with as_invalid_workflow():
                self._rules.policy.check_manifest(workflow, namespace)
                self._rules.check_workflow(workflow)
        return ReadRequest(asked.operation, namespace, asked.name, asked.options, message, address)

    def _allowed(self, message: Message, request: Request, body: RequestBody) -> tuple[OperationRequest, str]:
        asked = operation_request(request.operation, message, body)
        namespace = self._rules.policy.namespace(request.namespace, asked.namespace)
        if asked.name:
            segment(asked.name, SPECS[asked.operation].name_key)
        parameters = asked.options.get("parameters")
        if isinstance(parameters, dict):
            self._rules.policy.check_submit("", "", parameters, ())
        return asked, namespace


def _order(asked: OperationRequest, namespace: str, event_id: bytes) -> WorkflowOrder:
    if asked.operation not in (Operation.RESUBMIT, Operation.TRIGGER_CRON):
        return WorkflowOrder(namespace, "", _NOTHING, asked.name)
    base = _HASH.sub("", asked.name)
    parameters = asked.options.get("parameters")
    values = dict(parameters) if isinstance(parameters, dict) else {}
    return WorkflowOrder(namespace, base, _NOTHING, workflow_name(base, event_id), values)


def is_spooled(operation: Operation) -> bool:
    """Whether a request is stored before it is acknowledged; else it is answered or failed at once."""
    return operation is Operation.TRIGGER or SPECS[operation].is_spooled
