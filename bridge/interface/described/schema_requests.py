"""JSON Schemas of requests and replies, made from the table of operations. Pure; any thread.

A request's schema accepts what the parser accepts; rules of the cluster or of the operator's allow-lists are not in it.
Names of schemas: ``StopRequest``, ``StopReply``, ``ListTemplatesRequest``, ...
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.interface import replies
from bridge.interface.described.schema_parts import Schema, closed, fixed, open_object, ref, text
from bridge.interface.messages import KNOWN_KEYS, SUBMIT_KEYS
from bridge.interface.operation_options import (
    INTERFACE_KEYS,
    SPECS,
    Kind,
    OperationSpec,
    ReplyKey,
)
from bridge.interface.operations import Operation

_NAMESPACE = text("namespace; default: the one in the topic, else the first of argo.namespaces", minLength=1)
_COMMON = {"namespace": _NAMESPACE, "requestId": ref("RequestId"), "eventId": ref("EventId")}
_REPLY_KINDS: dict[Kind, Schema] = {
    Kind.TEXT: {"type": "string"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.OBJECT: {"type": "object"},
    Kind.LIST: {"type": "array", "items": {"type": "object"}},
}
_ITEMS = {"workflows": "ListedWorkflow", "lines": "LogLine", "templates": "ListedTemplate"}
_OBJECTS = {"workflowStatus": "WorkflowStatus", "details": "Cut"}


def words(operation: Operation) -> str:
    """Return an operation's name as a prefix of schema names: ``ListTemplates``."""
    return "".join(word.capitalize() for word in operation.value.split("-"))


def request_schemas() -> Iterator[tuple[str, Schema]]:
    """Yield name and schema of every request, every reply, and their common parts."""
    yield "RequestId", {"description": "any JSON value up to 1 KiB; echoed unchanged in the reply"}
    yield (
        "EventId",
        {
            "description": "identifies the event: requests with the same value are the same event",
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "number"}],
        },
    )
    yield "InterfaceKey", {"description": "every key that any request may have", "enum": sorted(INTERFACE_KEYS)}
    yield "Submit", _submit()
    yield "TriggerRequest", _trigger()
    yield "TriggerReply", _reply("TriggerSuccess")
    success = {"status": fixed(replies.TRIGGERED), "workflowId": text("name of the workflow")}
    yield "TriggerSuccess", _success(success, list(success))
    for operation, spec in SPECS.items():
        yield f"{words(operation)}Request", _request(spec)
        yield f"{words(operation)}Success", _success_of(spec)
        yield f"{words(operation)}Reply", _reply(f"{words(operation)}Success")
    yield "ErrorReply", _error()
    yield "ListedTemplate", _template()
    yield "Cut", _cut()
    yield (
        "LogLine",
        closed(
            {"pod": text("the pod that wrote it"), "text": text("the line, without its line break")}, ["pod", "text"]
        ),
    )


def _trigger() -> Schema:
    own = {
        "workflow": {
            "description": "a Workflow in Argo's format: metadata and spec; its schemas are in schemas/argo",
            "type": ["object", "null"],
        },
        "submit": {"description": "a stored template to run", "oneOf": [ref("Submit"), {"type": "null"}]},
    }
    # A null counts as absent, so "exactly one" is about values, not about keys.
    one_of = [
        {"required": [given], "properties": {given: {"type": "object"}, other: {"type": "null"}}}
        for given, other in (("workflow", "submit"), ("submit", "workflow"))
    ]
    return {
        "description": "a trigger message, which starts a workflow; exactly one of workflow and submit is required",
        "type": "object",
        "properties": {**_COMMON, **own},
        "propertyNames": {"enum": sorted(KNOWN_KEYS)},
        "oneOf": one_of,
    }


def _submit() -> Schema:
    meanings = {
        "template": "name of a WorkflowTemplate; exactly one of this and clusterTemplate is required",
        "clusterTemplate": "name of a ClusterWorkflowTemplate",
        "name": "metadata.name of the workflow",
        "generateName": "prefix of the generated name",
        "entrypoint": "template to begin with; default: the template's own",
        "serviceAccount": "service account of the pods; default: the template's own",
    }
    texts: dict[str, Schema] = {key: text(meaning, minLength=1) for key, meaning in meanings.items()}
    labels = {"description": "added to the workflow", "type": "object", "additionalProperties": {"type": "string"}}
    values = {
        "description": "values by name; numbers, booleans, lists and objects are converted to JSON text",
        "type": "object",
        "additionalProperties": {"not": {"type": "null"}},
    }
    properties = {**texts, "parameters": values, "labels": labels, "annotations": labels}
    one_of = [{"required": ["template"]}, {"required": ["clusterTemplate"]}]
    return closed({key: properties[key] for key in SUBMIT_KEYS}, [], "a stored template to run", oneOf=one_of)


def _request(spec: OperationSpec) -> Schema:
    named = {spec.name_key: text(spec.name_meaning, minLength=1)} if spec.name_key else {}
    options = {option.key: option.schema() for option in spec.options}
    required = [*named, *(option.key for option in spec.options if option.required)]
    return {
        **open_object({**_COMMON, **named, **options}, required, spec.meaning),
        # A key of another operation is accepted and ignored; any other is refused.
        "propertyNames": ref("InterfaceKey"),
    }


def _success_of(spec: OperationSpec) -> Schema:
    keys = {one.key: _reply_key(one) for one in spec.reply}
    always = [one.key for one in spec.reply if one.always]
    return _success({"status": fixed(spec.success), **keys}, ["status", *always])


def _reply_key(one: ReplyKey) -> Schema:
    if one.key in _OBJECTS:
        return ref(_OBJECTS[one.key])
    schema = _REPLY_KINDS[one.kind]
    if one.key in _ITEMS:
        schema = {"type": "array", "items": ref(_ITEMS[one.key])}
    return {"description": one.meaning, **schema}


def _success(properties: dict[str, Schema], required: list[str]) -> Schema:
    return closed({**properties, "requestId": ref("RequestId")}, required)


def _reply(success: str) -> Schema:
    return {"oneOf": [ref(success), ref("ErrorReply")]}


def _template() -> Schema:
    parameter = open_object(
        {"name": text("its name"), "description": text("what it means"), "enum": {"type": "array"}}, ["name"]
    )
    properties: dict[str, Schema] = {
        "template": text("its name"),
        "description": text("from its annotation workflows.argoproj.io/description"),
        "entrypoint": text("its entrypoint"),
        "parameters": {"description": "at most 50", "type": "array", "items": parameter},
        "createdAt": text("Argo's time", format="date-time"),
    }
    return closed(properties, ["template"])


def _cut() -> Schema:
    paths: Schema = {"description": "dotted paths of the parts left out", "type": "array", "items": {"type": "string"}}
    properties: dict[str, Schema] = {"truncated": {"type": "boolean", "const": True}, "leftOut": paths}
    return closed(properties, ["truncated"], "something was left out to fit the largest packet")


def _error() -> Schema:
    truncated = closed({"truncated": {"type": "boolean", "const": True}}, ["truncated"])
    finding = open_object(
        {
            "message": text("a sentence"),
            "pointer": text("position, as a JSON Pointer"),
            "code": text("code of the finding"),
            "found": text("what was found there"),
            "expected": text("what was expected there"),
            "suggestion": text("the nearest valid name"),
        },
        ["message"],
    )
    details = {
        "description": "one object per finding; or a note that they were left out to fit the largest packet",
        "oneOf": [{"type": "array", "minItems": 1, "items": finding}, truncated],
    }
    properties = {"error": text("a sentence"), "details": details, "requestId": ref("RequestId")}
    return closed(properties, ["error"], "why a request was refused or failed")
