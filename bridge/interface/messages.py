"""Reads trigger messages: the seed's keys to the letter, every other key refused by name. Pure.

Shape: ``{"namespace": str, "workflow": {...}}`` or ``{"namespace": str, "submit": {"template": str, ...}}``, with
``requestId`` (any JSON value, echoed) and ``eventId`` (text or number: what makes two messages the same event).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from bridge.core import strict_json
from bridge.core.errors import PermanentError
from bridge.core.model import Message
from bridge.core.nearest import did_you_mean

TRIGGER_KEYS = ("namespace", "workflow", "submit", "requestId", "eventId")
KNOWN_KEYS = frozenset({*TRIGGER_KEYS, "workflowId"})
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
MAX_REQUEST_ID_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Submit:
    """The ``submit`` key: run a stored template.

    Attributes:
        template: name of a WorkflowTemplate, or "".
        cluster_template: name of a ClusterWorkflowTemplate, or ""; exactly one of the two is given.
        parameters: by name, as text (DESIGN 6: an object or array becomes JSON text).
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


@dataclass(frozen=True, slots=True)
class TriggerMessage:
    """A trigger message that is well-formed; whether it is allowed and valid is decided later.

    Attributes:
        namespace: as given, or "".
        workflow: the manifest, or None.
        submit: the template to run, or None; exactly one of the two is given.
        event_id: the identity that the sender gave (key ``eventId``, CloudEvents source + id, AMQP message_id), or "".
    """

    namespace: str
    workflow: Mapping[str, object] | None
    submit: Submit | None
    event_id: str


def request_id(body: object) -> str:
    """Return the ``requestId`` of a body as JSON text, "" if it has none.

    Raises:
        PermanentError: ``invalid-request``: longer than 1 KiB.
    """
    if not isinstance(body, dict) or "requestId" not in body:
        return ""
    text = orjson.dumps(body["requestId"]).decode()
    if len(text) > MAX_REQUEST_ID_BYTES:
        raise _invalid(f"requestId is longer than {MAX_REQUEST_ID_BYTES} bytes")
    return text


def decode_request(payload: bytes) -> dict[str, object]:
    """Return a request's body.

    Raises:
        PermanentError: not JSON, not an object, a key twice, too deep.
    """
    body = strict_json.loads(payload)
    if not isinstance(body, dict):
        raise _invalid(f"a request is a JSON object, found {json_type(body)}")
    return body


def cloud_event(message: Message, body: dict[str, object]) -> tuple[dict[str, object], str]:
    """Return the request's own body and the identity that CloudEvents gives it, or `body` and "".

    Source: CloudEvents 1.0 MQTT protocol binding: structured mode (content type application/cloudevents+json, the
    body under ``data``) and binary mode (attributes as user properties).

    Raises:
        PermanentError: a structured event without an object under ``data``.
    """
    if message.properties.content_type.partition(";")[0].strip().lower() == "application/cloudevents+json":
        data = body.get("data")
        if not isinstance(data, dict):
            raise _invalid("a CloudEvents message carries the request as an object under data")
        return data, _source_and_id(body.get("source"), body.get("id"))
    attributes = dict(message.properties.user)
    if "specversion" in attributes:
        return body, _source_and_id(attributes.get("source"), attributes.get("id"))
    return body, ""


def _source_and_id(source: object, event_id: object) -> str:
    both = isinstance(source, str) and isinstance(event_id, str) and source and event_id
    return orjson.dumps([source, event_id]).decode() if both else ""


def trigger_message(message: Message, outer: dict[str, object]) -> TriggerMessage:
    """Read the body of a trigger message.

    Args:
        message: for identities outside of the body.
        outer: what `decode_request` returned.

    Raises:
        PermanentError: ``unknown-key`` with a proposal, or ``invalid-request``; the message names the key.
    """
    body, event_identity = cloud_event(message, outer)
    refuse_unknown(body, KNOWN_KEYS, TRIGGER_KEYS, "the trigger message")
    namespace = text_of(body, "namespace", "the trigger message")
    workflow, submit = body.get("workflow"), body.get("submit")
    if (workflow is None) == (submit is None):
        found = "both" if workflow is not None else "neither"
        raise _invalid(f"a trigger message has either workflow or submit, found {found}")
    if workflow is not None and not isinstance(workflow, dict):
        raise _invalid(f"workflow is an object, found {json_type(workflow)}")
    return TriggerMessage(
        namespace=namespace,
        workflow=workflow,
        submit=None if submit is None else _submit(submit),
        event_id=_event_id(body) or event_identity or message.properties.message_id,
    )


def refuse_unknown(body: dict[str, object], known: Iterable[str], proposals: Iterable[str], where: str) -> None:
    """Raise for the keys of `body` that are not in `known`, proposing the nearest of `proposals`.

    Raises:
        PermanentError: ``unknown-key``, one detail a key.
    """
    unknown = sorted(set(body) - set(known))
    if unknown:
        texts = [f'unknown key "{key}" in {where}{did_you_mean(key, proposals)}' for key in unknown]
        details = tuple({"path": f"/{key}", "message": text} for key, text in zip(unknown, texts, strict=True))
        raise PermanentError("; ".join(texts[:3]), code="unknown-key", details=details)


def text_of(body: dict[str, object], key: str, where: str) -> str:
    """Return the text under `key`, "" if the key is absent.

    Raises:
        PermanentError: ``invalid-request``: not a text, or empty.
    """
    value = body.get(key)
    if value is None and key not in body:
        return ""
    if not isinstance(value, str) or not value:
        raise _invalid(f"{key} of {where} is a text that is not empty, found {json_type(value)}")
    return value


def _event_id(body: dict[str, object]) -> str:
    value = body.get("eventId")
    if value is None and "eventId" not in body:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise _invalid(f"eventId is a text or a number, found {json_type(value)}")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _submit(value: object) -> Submit:
    if not isinstance(value, dict):
        raise _invalid(f"submit is an object, found {json_type(value)}")
    refuse_unknown(value, SUBMIT_KEYS, SUBMIT_KEYS, "submit")
    texts = {key: text_of(value, key, "submit") for key in SUBMIT_KEYS if key not in _MAPS}
    if bool(texts["template"]) == bool(texts["clusterTemplate"]):
        raise _invalid("submit names either template or clusterTemplate")
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
        raise _invalid(f"submit.{key} is an object, found {json_type(value)}")
    return value


def _text_map(body: dict[str, object], key: str) -> dict[str, str]:
    result = {}
    for name, value in _map(body, key).items():
        if not isinstance(value, str):
            raise _invalid(f'submit.{key} "{name}" is a text, found {json_type(value)}')
        result[name] = value
    return result


def _parameter(name: str, value: object) -> str:
    if value is None:
        raise _invalid(f'submit.parameters "{name}" has no value')
    # The Argo Server turns objects and arrays into empty strings, and rounds integers over 2^53.
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def json_type(value: object) -> str:
    """Return the JSON name of a value's type, as a person would say it."""
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
