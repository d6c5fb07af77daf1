"""Parses the bodies of requests; every unknown key is refused by name. Pure.

A trigger message is ``{"namespace": str, "workflow": {...}}`` or ``{"namespace": str, "submit": {"template": str,
...}}``; the other requests are in the table of operations. Each may have ``requestId`` (any JSON value, echoed) and
``eventId`` (text or number: identifies the event). Only the format is checked here; whether the request is allowed, and
its result, is decided later.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.core.model import Message
from bridge.core.nearest import did_you_mean
from bridge.core.record import record
from bridge.interface.keys import (
    MAX_SHOWN,
    NAME,
    TEXTS,
    VALUES,
    BodyKey,
    MisfitError,
    ValueKind,
    declared,
    json_type,
    keys_of,
    misfit,
    read_keys,
    ref,
)
from bridge.interface.operations import SPECS, Operation

MAX_REQUEST_ID_BYTES = 1024
MAX_UNKNOWN_KEYS = 20


@record(frozen=True, slots=True)
class Submit:
    """The ``submit`` key: run a stored template. Parameters are text, objects and arrays as JSON text."""

    template: str = declared(NAME, "name of a WorkflowTemplate; exactly one of this and clusterTemplate is required")
    cluster_template: str = declared(NAME, "name of a ClusterWorkflowTemplate")
    parameters: Mapping[str, str] = declared(
        VALUES, "values by name; numbers, booleans, lists and objects are converted to JSON text", dict
    )
    name: str = declared(NAME, "metadata.name of the workflow")
    generate_name: str = declared(NAME, "prefix of the generated name")
    entrypoint: str = declared(NAME, "template to begin with; default: the template's own")
    service_account: str = declared(NAME, "service account of the pods; default: the template's own")
    labels: Mapping[str, str] = declared(TEXTS, "added to the workflow", dict)
    annotations: Mapping[str, str] = declared(TEXTS, "added to the workflow", dict)


SUBMIT_KEYS = keys_of(Submit)
SUBMIT_NAMES = tuple(key.name for key in SUBMIT_KEYS)


def _event_id(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise misfit("a text or a number", value)
    return value if isinstance(value, str) else strict_json.dumps(value).decode()


NAMESPACE = BodyKey("namespace", NAME, "namespace; default: the one in the topic, else the first of argo.namespaces")
REQUEST_ID = BodyKey("requestId", ValueKind("any JSON value", ref("RequestId")))
EVENT_ID = BodyKey("eventId", ValueKind("text or number", ref("EventId"), _event_id))
COMMON_KEYS = (NAMESPACE, REQUEST_ID, EVENT_ID)
TRIGGER_KEYS = (
    *COMMON_KEYS,
    BodyKey(
        "workflow",
        ValueKind("object", {"type": ["object", "null"]}),
        "a Workflow in Argo's format: metadata and spec; its schemas are in schemas/argo",
    ),
    BodyKey("submit", ValueKind("object", {"oneOf": [ref("Submit"), {"type": "null"}]}), "a stored template to run"),
)
TRIGGER_NAMES = tuple(key.name for key in TRIGGER_KEYS)
_NAMES = {operation: tuple(key.name for key in (*COMMON_KEYS, *spec.keys)) for operation, spec in SPECS.items()}
_READ = {operation: (NAMESPACE, *spec.keys) for operation, spec in SPECS.items()}
INTERFACE_KEYS = frozenset(TRIGGER_NAMES).union(*_NAMES.values())
"""Every key that any request may have: a key of another operation is accepted."""
KNOWN_KEYS = INTERFACE_KEYS - frozenset(SUBMIT_NAMES)
"""Top-level keys of a trigger message. Those of ``submit`` would have no effect here."""


@record(frozen=True, slots=True)
class TriggerMessage:
    """A well-formed trigger message; whether it is allowed and valid is decided later.

    Attributes:
        namespace: as given, or "".
        workflow: the manifest, or None.
        submit: the template to run, or None; exactly one of the two is given.
        event_identity: the sender's id for its event, with the kind of id first: ``("eventId", ID)``, ``("cloudevents",
            SOURCE, ID)``, ``("message-id", ID)``; () if there is none.
    """

    namespace: str
    workflow: Mapping[str, object] | None
    submit: Submit | None
    event_identity: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class RequestBody:
    """The body of a request, without its CloudEvents envelope if it had one.

    Attributes:
        keys: the request's own keys.
        event_identity: as `TriggerMessage.event_identity` if CloudEvents gives one, else ().
    """

    keys: dict[str, object]
    event_identity: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class OperationRequest:
    """A well-formed request other than a trigger message.

    Attributes:
        operation: the operation.
        namespace: as given, or "".
        name: of the workflow, template or CronWorkflow; "" if the operation names none.
        options: the given values, each in one form, JSON-ready: parameters and outputs as texts by name, phases as a
            list, times as seconds since 1970; and the defaults of the others.
        event_identity: as `TriggerMessage.event_identity`.
    """

    operation: Operation
    namespace: str
    name: str
    options: Mapping[str, object]
    event_identity: tuple[str, ...] = ()


def request_id(body: dict[str, object]) -> str:
    """Return the ``requestId`` of a body as JSON text, "" if it has none.

    Raises:
        PermanentError: ``invalid-request``: longer than 1 KiB.
    """
    text = strict_json.dumps(body["requestId"]) if "requestId" in body else b""
    if len(text) > MAX_REQUEST_ID_BYTES:
        raise _invalid(f"requestId is longer than {MAX_REQUEST_ID_BYTES} bytes")
    return text.decode()


def decode_request(message: Message) -> RequestBody:
    """Return a request's body.

    Source: CloudEvents 1.0 MQTT protocol binding: structured mode (content type application/cloudevents+json, the
    body under ``data``) and binary mode (attributes as user properties).

    Raises:
        PermanentError: not JSON, not an object, a duplicate key, too deep; a structured event without an object under
            ``data``.
    """
    body = strict_json.loads(message.payload)
    if not isinstance(body, dict):
        raise _invalid(f"a request must be a JSON object, found {json_type(body)}")
    if message.properties.content_type.partition(";")[0].strip().lower() == "application/cloudevents+json":
        data = body.get("data")
        if not isinstance(data, dict):
            raise _invalid("a CloudEvents message must have the request as an object under data")
        return RequestBody(data, _source_and_id(body.get("source"), body.get("id")))
    attributes = dict(message.properties.user)
    if "specversion" in attributes:
        return RequestBody(body, _source_and_id(attributes.get("source"), attributes.get("id")))
    return RequestBody(body)


def _source_and_id(source: object, event_id: object) -> tuple[str, ...]:
    if isinstance(source, str) and isinstance(event_id, str) and source and event_id:
        return ("cloudevents", source, event_id)
    return ()


def trigger_message(message: Message, decoded: RequestBody) -> TriggerMessage:
    """Parse the body of a trigger message.

    Args:
        message: for identities outside of the body.
        decoded: the result of `decode_request`.

    Raises:
        PermanentError: ``unknown-key`` with a suggestion, or ``invalid-request``; the message names the key.
    """
    body, where = decoded.keys, "the trigger message"
    _refuse_misplaced(body)
    refuse_unknown(body, KNOWN_KEYS, (*TRIGGER_NAMES, "workflowId"), where)
    namespace = _values((NAMESPACE,), body, where).get("namespace", "")
    workflow, submit = body.get("workflow"), body.get("submit")
    if (workflow is None) == (submit is None):
        found = "both" if workflow is not None else "neither"
        raise _invalid(f"a trigger message must have either workflow or submit, found {found}")
    if workflow is not None and not isinstance(workflow, dict):
        raise _invalid(f"workflow must be an object, found {json_type(workflow)}")
    return TriggerMessage(
        namespace=str(namespace),
        workflow=workflow,
        submit=None if submit is None else _submit(submit),
        event_identity=event_identity(message, decoded),
    )


def operation_request(operation: Operation, message: Message, decoded: RequestBody) -> OperationRequest:
    """Parse the body of a request other than a trigger message.

    Args:
        operation: from the topic; not ``trigger``.
        message: as for `trigger_message`.
        decoded: likewise.

    Raises:
        PermanentError: likewise.
    """
    spec, where = SPECS[operation], f"the {operation.value} request"
    refuse_unknown(decoded.keys, INTERFACE_KEYS, _NAMES[operation], where)
    options = _values(_READ[operation], decoded.keys, where)
    namespace, name = options.pop("namespace", ""), options.pop(spec.name_key, "")
    return OperationRequest(operation, str(namespace), str(name), options, event_identity(message, decoded))


def _values(keys: Iterable[BodyKey], body: dict[str, object], where: str) -> dict[str, object]:
    values, wrong = read_keys(keys, body)
    for key, text in wrong:
        meaning = f", the {key.meaning}" if key.kind is NAME else f": {key.meaning}"
        raise _invalid(f"{key.name} of {where} {text}" if text else f"{where} has no {key.name}{meaning}")
    return values


def event_identity(message: Message, decoded: RequestBody) -> tuple[str, ...]:
    """Return the sender's id for its event (`TriggerMessage.event_identity`), or ().

    Raises:
        PermanentError: ``invalid-request``: ``eventId`` is neither a text nor a number.
    """
    if "eventId" in decoded.keys:
        try:
            return ("eventId", _event_id(decoded.keys["eventId"]))
        except MisfitError as error:
            raise _invalid(f"eventId {error}") from None
    given = message.properties.message_id
    return decoded.event_identity or (("message-id", given) if given else ())


def _refuse_misplaced(body: dict[str, object]) -> None:
    misplaced = sorted(key for key in SUBMIT_NAMES if key in body)
    if misplaced:
        texts = [f'the key "{key}" of a trigger message must be placed under submit' for key in misplaced]
        details = tuple({"pointer": f"/{key}", "message": text} for key, text in zip(misplaced, texts, strict=True))
        raise PermanentError("; ".join(texts), code="unknown-key", details=details)


def refuse_unknown(body: dict[str, object], known: Container[str], proposals: Iterable[str], where: str) -> None:
    """Raise for the keys of `body` that are not in `known`, suggesting the nearest of `proposals`.

    Raises:
        PermanentError: ``unknown-key``, one detail per key; after `MAX_UNKNOWN_KEYS` only their number is reported,
            because a suggestion costs time and a payload can have thousands.
    """
    unknown = [key for key in body if key not in known]
    if not unknown:
        return
    unknown.sort()
    details = []
    for key in unknown[:MAX_UNKNOWN_KEYS]:
        text = f'unknown key "{cut(key, MAX_SHOWN)}" in {where}{did_you_mean(key, proposals)}'
        details.append({"pointer": strict_json.pointer([cut(key, MAX_SHOWN)]), "message": text})
    text = "; ".join(detail["message"] for detail in details[:3])
    more = f" (and {len(unknown) - 3} more)" if len(unknown) > 3 else ""
    raise PermanentError(f"{text}{more}", code="unknown-key", details=tuple(details))


def _submit(value: object) -> Submit:
    if not isinstance(value, dict):
        raise _invalid(f"submit must be an object, found {json_type(value)}")
    refuse_unknown(value, SUBMIT_NAMES, SUBMIT_NAMES, "submit")
    values, wrong = read_keys(SUBMIT_KEYS, value)
    for key, text in wrong:
        raise _invalid(f"submit.{key.name} {text}")
    submit = Submit(**values)
    if bool(submit.template) == bool(submit.cluster_template):
        raise _invalid("submit must have either template or clusterTemplate")
    return submit


def _invalid(message: str) -> PermanentError:
    return PermanentError(message, code="invalid-request")
