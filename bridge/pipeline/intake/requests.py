"""Parses trigger messages into events, or refuses them with a sentence; also the common parts of all requests.

Thread: the transport's, through ingest. Keeps no state; does no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from bridge.argo.manifests import template_manifest
from bridge.argo.names import workflow_name
from bridge.argo.options import segment
from bridge.core.errors import PermanentError
from bridge.core.model import Message, ReplyAddress, WorkflowOrder
from bridge.interface import messages
from bridge.interface.keys import body_of
from bridge.interface.messages import SUBMIT_KEYS, RequestBody, Submit, TriggerMessage
from bridge.interface.operations import Operation
from bridge.interface.replies import INVALID_WORKFLOW
from bridge.interface.reply_addresses import ReplyAddresses
from bridge.interface.topics import Request
from bridge.pipeline.intake import identity
from bridge.pipeline.intake.identity import DeliveryIdentity
from bridge.spool.records import NewEvent
from bridge.validation.policy import Policy, check_braces

DEFAULT_MAX_AGE_S = 7 * 86400.0
FALLBACK_BASE = "workflow"
INVALID_REASONS = frozenset({"invalid-workflow", "template-braces"})

WorkflowCheck = Callable[[Mapping[str, object]], None]
"""Checks a manifest against the cluster's schema; raises PermanentError ``invalid-workflow`` with details."""


@dataclass(frozen=True, slots=True)
class RequestRules:
    """The rules for requests.

    Attributes:
        bridge_id: part of every identity.
        policy: the operator's allow-lists.
        operations: the allowed operations.
        check_workflow: see `WorkflowCheck`.
    """

    bridge_id: str
    policy: Policy
    operations: frozenset[Operation]
    check_workflow: WorkflowCheck


def reply_address(message: Message, default_topic: str, addresses: ReplyAddresses) -> ReplyAddress:
    """Return where `message` is answered: its reply queue or Response Topic if allowed, else `default_topic`."""
    topic, queue = message.properties.response_topic, message.properties.reply_queue
    refused = (topic and addresses.topic_problem(topic, default_topic)) or (queue and addresses.queue_problem(queue))
    if refused:
        topic = queue = ""
    correlation_data = message.properties.correlation_data
    return ReplyAddress(message.connection, topic or default_topic, correlation_data, queue=queue, refused=refused)


@contextmanager
def as_invalid_workflow() -> Iterator[None]:
    """Make the refusal of a workflow begin with "Invalid workflow definition".

    Raises:
        PermanentError: what was raised within.
    """
    try:
        yield
    except PermanentError as error:
        if error.code not in INVALID_REASONS or error.message.startswith(INVALID_WORKFLOW):
            raise
        text = f"{INVALID_WORKFLOW}: {error.message}"
        raise PermanentError(text, code=error.code, details=error.details) from error


class Requests:
    """Parses trigger messages by the bridge's rules."""

    def __init__(self, rules: RequestRules) -> None:
        self._rules = rules

    def check_operation(self, operation: Operation) -> None:
        """Refuse an operation that the operator does not allow.

        Raises:
            PermanentError: ``forbidden-operation``.
        """
        if operation not in self._rules.operations:
            raise PermanentError(f"{operation.value} is not allowed on this bridge", code="forbidden-operation")

    def trigger(self, message: Message, request: Request, body: RequestBody, delivery: DeliveryIdentity) -> NewEvent:
        """Return the event of a trigger message, without its reply address.

        Args:
            message: the message.
            request: the meaning of its topic.
            body: its decoded payload.
            delivery: identifies the event if the sender gives no id.

        Raises:
            PermanentError: malformed, not allowed, or invalid; never worth a retry.
        """
        trigger = messages.trigger_message(message, body)
        namespace = self._rules.policy.namespace(request.namespace, trigger.namespace)
        event_id = identity.event_of_request(self._rules.bridge_id, message.topic, trigger.event_identity, delivery)
        with as_invalid_workflow():
            order = self._order(trigger, namespace, event_id)
        expiry = message.properties.message_expiry_s
        return NewEvent(
            id=event_id,
            lane=f"trigger:{namespace}",
            order=order,
            mapping="",
            topic=message.topic,
            connection=message.connection,
            payload_digest=hashlib.sha256(message.payload).digest(),
            content_digest=identity.content(body.keys),
            max_age_s=DEFAULT_MAX_AGE_S if expiry is None else min(expiry, DEFAULT_MAX_AGE_S),
        )

    def _order(self, trigger: TriggerMessage, namespace: str, event_id: bytes) -> WorkflowOrder:
        if trigger.submit is not None:
            check_braces(body_of(SUBMIT_KEYS, trigger.submit), ("submit",))
            return self._submit_order(trigger.submit, namespace, event_id)
        workflow = dict(trigger.workflow or {})
        self._rules.policy.check_manifest(workflow, namespace)
        self._rules.check_workflow(workflow)
        metadata = dict(_object(workflow.get("metadata")))
        metadata.pop("namespace", None)
        name, prefix = metadata.pop("name", ""), metadata.pop("generateName", "")
        base = str(prefix or _template_name(workflow) or FALLBACK_BASE)
        return WorkflowOrder(
            namespace=namespace,
            base=base,
            manifest=_manifest_bytes({"metadata": metadata, "spec": workflow["spec"]}),
            name=str(name or "") or workflow_name(base, event_id),
        )

    def _submit_order(self, submit: Submit, namespace: str, event_id: bytes) -> WorkflowOrder:
        segment(submit.template or submit.cluster_template, "template")
        manifest = template_manifest(
            submit.template or submit.cluster_template,
            cluster=not submit.template,
            entrypoint=submit.entrypoint,
            service_account=submit.service_account,
            labels=submit.labels,
            annotations=submit.annotations,
        )
        policy = self._rules.policy
        policy.check_submit(submit.service_account, submit.entrypoint, submit.parameters, ("submit",))
        workflow = orjson.loads(manifest)
        if submit.name:
            workflow["metadata"]["name"] = submit.name
        policy.check_marks(workflow, namespace)
        self._rules.check_workflow(workflow)
        base = submit.generate_name or submit.template or submit.cluster_template
        return WorkflowOrder(
            namespace=namespace,
            base=base,
            manifest=manifest,
            name=submit.name or workflow_name(base, event_id),
            parameters=dict(submit.parameters),
        )


def _manifest_bytes(workflow: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(workflow)
    except TypeError as error:
        # Go's JSON decoder refuses such a number or rounds it; nobody intends that.
        text = "it has an integer of more than 64 bits; write it as text"
        raise PermanentError(text, code="invalid-workflow") from error


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _template_name(workflow: Mapping[str, object]) -> str:
    reference = _object(_object(workflow.get("spec")).get("workflowTemplateRef"))
    name = reference.get("name")
    return name if isinstance(name, str) else ""
