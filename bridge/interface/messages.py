"""Parses trigger messages; every unknown key is refused by name. Pure.

Format: ``{"namespace": str, "workflow": {...}}`` or ``{"namespace": str, "submit": {"template": str, ...}}``, with
``requestId`` (any JSON value, echoed) and ``eventId`` (text or number: identifies the event).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.core.model import Message
from bridge.core.nearest import did_you_mean
from bridge.interface.operation_options import INTERFACE_KEYS

TRIGGER_KEYS = ("namespace", "workflow", "submit", "requestId", "eventId")
SUBMIT_KEYS = (
    "template",
    "clusterTemplate",
    "parameters",
    "name",
    "generateName",
    "entrypoint",
    "serviceAccount",
    "labels",
    "annotations",
)
KNOWN_KEYS = INTERFACE_KEYS - frozenset(SUBMIT_KEYS)
"""Top-level keys of a trigger message. Those of ``submit`` would have no effect here."""
MAX_REQUEST_ID_BYTES = 1024
MAX_UNKNOWN_KEYS = 20
MAX_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Submit:
    """The ``submit`` key: run a stored template.

    Attributes:
        template: name of a WorkflowTemplate, or "".
        cluster_template: name of a ClusterWorkflowTemplate, or ""; exactly one of the two is given.
        parameters: by name, as text; objects and arrays are converted to JSON text.
        name: metadata.name, or "".
        generate_name: metadata.generateName, or "".
        entrypoint: or "".
        service_account: or "".
        labels: text to text.
        annotations: text to text.
    """

    template: str = ""
    cluster_template: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    name: str = ""
    generate_name: str = ""
    entrypoint: str = ""
    service_account: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    def by_key(self) -> dict[str, object]:
        """Return the given values by the keys of a request; the fields are in the order of `SUBMIT_KEYS`."""
        return dict(zip(SUBMIT_KEYS, astuple(self), strict=True))


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The body of a request, without its CloudEvents envelope if it had one.

    Attributes:
        keys: the request's own keys.
        event_identity: as `TriggerMessage.event_identity` if CloudEvents gives one, else ().
    """

    keys: dict[str, object]
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
    body = decoded.keys
    _refuse_misplaced(body)
    refuse_unknown(body, KNOWN_KEYS, (*TRIGGER_KEYS, "workflowId"), "the trigger message")
    namespace = text_of(body, "namespace", "the trigger message")
    workflow, submit = body.get("workflow"), body.get("submit")
    if (workflow is None) == (submit is None):
        found = "both" if workflow is not None else "neither"
        raise _invalid(f"a trigger message must have either workflow or submit, found {found}")
    if workflow is not None and not isinstance(workflow, dict):
        raise _invalid(f"workflow must be an object, found {json_type(workflow)}")
    return TriggerMessage(
        namespace=namespace,
        workflow=workflow,
        submit=None if submit is None else _submit(submit),
        event_identity=event_identity(message, decoded),
    )


def event_identity(message: Message, decoded: RequestBody) -> tuple[str, ...]:
    """Return the sender's id for its event (`TriggerMessage.event_identity`), or ().

    Raises:
        PermanentError: ``invalid-request``: ``eventId`` is neither a text nor a number.
    """
    return _event_id(decoded.keys) or decoded.event_identity or _message_id(message)


def _refuse_misplaced(body: dict[str, object]) -> None:
    misplaced = sorted(key for key in SUBMIT_KEYS if key in body)
    if misplaced:
        texts = [f'the key "{key}" of a trigger message must be placed under submit' for key in misplaced]
        details = tuple({"pointer": f"/{key}", "message": text} for key, text in zip(misplaced, texts, strict=True))
        raise PermanentError("; ".join(texts), code="unknown-key", details=details)


def refuse_unknown(body: dict[str, object], known: Iterable[str], proposals: Iterable[str], where: str) -> None:
    """Raise for the keys of `body` that are not in `known`, suggesting the nearest of `proposals`.

    Raises:
        PermanentError: ``unknown-key``, one detail per key; after `MAX_UNKNOWN_KEYS` only their number is reported,
            because a suggestion costs time and a payload can have thousands.
    """
    unknown = sorted(set(body) - set(known))
    if not unknown:
        return
    details = []
    for key in unknown[:MAX_UNKNOWN_KEYS]:
        text = f'unknown key "{cut(key, MAX_SHOWN)}" in {where}{did_you_mean(key, proposals)}'
        details.append({"pointer": strict_json.pointer([cut(key, MAX_SHOWN)]), "message": text})
    text = "; ".join(detail["message"] for detail in details[:3])
    more = f" (and {len(unknown) - 3} more)" if len(unknown) > 3 else ""
    raise PermanentError(f"{text}{more}", code="unknown-key", details=tuple(details))


def text_of(body: dict[str, object], key: str, where: str) -> str:
    """Return the text under `key`, "" if the key is absent.

    Raises:
        PermanentError: ``invalid-request``: not a text, or empty.
    """
    value = body.get(key)
    if value is None and key not in body:
        return ""
    if not isinstance(value, str) or not value:
        raise _invalid(f"{key} of {where} must be a non-empty text, found {json_type(value)}")
    return value


def _event_id(body: dict[str, object]) -> tuple[str, ...]:
    if "eventId" not in body:
        return ()
    value = body["eventId"]
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise _invalid(f"eventId must be a text or a number, found {json_type(value)}")
    return ("eventId", value if isinstance(value, str) else strict_json.dumps(value).decode())


def _message_id(message: Message) -> tuple[str, ...]:
    given = message.properties.message_id
    return ("message-id", given) if given else ()


def _submit(value: object) -> Submit:
    if not isinstance(value, dict):
        raise _invalid(f"submit must be an object, found {json_type(value)}")
    refuse_unknown(value, SUBMIT_KEYS, SUBMIT_KEYS, "submit")
    texts = {key: text_of(value, key, "submit") for key in SUBMIT_KEYS if key not in _MAPS}
    if bool(texts["template"]) == bool(texts["clusterTemplate"]):
        raise _invalid("submit must have either template or clusterTemplate")
    return Submit(
        template=texts["template"],
        cluster_template=texts["clusterTemplate"],
        parameters={name: _parameter(name, given) for name, given in _map(value, "parameters").items()},
        name=texts["name"],
        generate_name=texts["generateName"],
        entrypoint=texts["entrypoint"],
        service_account=texts["serviceAccount"],
        labels=_text_map(value, "labels"),
        annotations=_text_map(value, "annotations"),
    )


_MAPS = frozenset({"parameters", "labels", "annotations"})


def _map(body: dict[str, object], key: str) -> dict[str, object]:
    value = body.get(key, {})
    if not isinstance(value, dict):
        raise _invalid(f"submit.{key} must be an object, found {json_type(value)}")
    return value


def _text_map(body: dict[str, object], key: str) -> dict[str, str]:
    result = {}
    for name, value in _map(body, key).items():
        if not isinstance(value, str):
            raise _invalid(f'submit.{key} "{cut(name, MAX_SHOWN)}" must be a text, found {json_type(value)}')
        result[name] = value
    return result


def _parameter(name: str, value: object) -> str:
    if value is None:
        raise _invalid(f'submit.parameters "{cut(name, MAX_SHOWN)}" has no value')
    # The Argo Server turns objects and arrays into empty strings, and rounds integers over 2^53.
    return value if isinstance(value, str) else strict_json.dumps(value).decode()


def json_type(value: object) -> str:
    """Return the JSON name of a value's type, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text" if value else "an empty text"
    return "an array" if isinstance(value, list) else "an object"


def _invalid(message: str) -> PermanentError:
    return PermanentError(message, code="invalid-request")
