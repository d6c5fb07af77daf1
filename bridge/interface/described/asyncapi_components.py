"""The reusable part of an AsyncAPI document: servers, messages, schemas, reply addresses. Pure; any thread.

Source: AsyncAPI 3.0.0 "Components Object"; the MQTT bindings 0.2.0 and the AMQP bindings 0.3.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.interface import replies
from bridge.interface.described.asyncapi_model import Described, MappedTopics, Server
from bridge.interface.described.schemas import COUNT, kind, named_schemas, words
from bridge.interface.keys import ANY_TEXT, DEFINITIONS, BodyKey, Schema, always, object_schema
from bridge.interface.operations import Operation

Part = dict[str, Any]

MQTT_BINDING = "0.2.0"
AMQP_BINDING = "0.3.0"
RECEIVED, SENT, RETAINED = "received", "sent", "retained"
"""The bindings of operations, by name."""
JSON = "application/json"
CLOUD_EVENT = "application/cloudevents+json"
SCHEMAS = "#/components/schemas/"
_SEED_WORKFLOW = {
    "metadata": {"name": "example-workflow"},
    "spec": {
        "entrypoint": "main",
        "templates": [
            {"name": "main", "container": {"image": "example/image", "command": ["echo"], "args": ["hello world"]}}
        ],
    },
}
_SEED_STATUS = {
    "namespace": "example-namespace",
    "workflowId": "example-workflow",
    "status": "Running",
    "progress": "50%",
    "message": "Workflow is halfway through execution",
}
_EXAMPLES: dict[str, list[object]] = {
    "triggerRequest": [
        {"namespace": "example-namespace", "workflow": _SEED_WORKFLOW},
        {"namespace": "factory", "submit": {"template": "inspect-boiler", "parameters": {"device": "7"}}},
    ],
    "triggerSuccess": [{"status": replies.TRIGGERED, "workflowId": "example-workflow"}],
    "error": [{"error": replies.INVALID_WORKFLOW}],
    "stopRequest": [{"namespace": "factory", "workflowId": "inspect-boiler-qaya3ptnzaqilh2c"}],
    "statusUpdate": [_SEED_STATUS],
    "statusUpdateSuccess": [{"status": replies.STATUS_RECEIVED}],
    "status": [{**_SEED_STATUS, "details": {"bridge": "plant-1", "uid": "0c5b5a0e-8f4c-4d0e-9d64-5f9f5f5f8d0b"}}],
    "availability": ["online", "offline"],
}
TOLD = {
    "error": ("ErrorReply", "why a request was refused or failed"),
    "status": ("Status", "the state of one workflow"),
    "statusUpdate": ("StatusUpdate", "another system's status of a workflow"),
    "statusUpdateSuccess": ("StatusUpdateSuccess", "a status update was accepted"),
    "deadLetter": ("DeadLetter", "a message or event that could not be carried out, with the reason"),
    "state": ("State", "the state of the bridge"),
    "report": ("Report", "counts and figures of the workflows of a namespace"),
}
"""Schema and summary of each message that does not belong to an operation or a mapping."""
_ANSWERS = frozenset({"error", "statusUpdateSuccess"})


def camel(operation: Operation) -> str:
    """Return an operation's name as a prefix of identifiers: ``listTemplates``."""
    name = words(operation)
    return name[0].lower() + name[1:]


def components(described: Described) -> Part:
    """Return the whole of ``components``."""
    return {
        "schemas": {name: _relocated(schema, DEFINITIONS, SCHEMAS) for name, schema in named_schemas().items()}
        | {
            _schema_name(mapping): _relocated(mapping.schema, "#", SCHEMAS + _schema_name(mapping))
            for mapping in described.mappings
            if mapping.schema is not None
        },
        "messages": dict(_messages(described)),
        "messageTraits": _traits(),
        "operationBindings": _operation_bindings(described.exchange),
        **({"channelBindings": {"exchange": _channel_binding(described.exchange)}} if described.exchange else {}),
        "correlationIds": {
            "correlation": {
                "description": "MQTT 5.0 Correlation Data, AMQP correlation_id; echoed unchanged",
                "location": "$message.header#/correlationData",
            }
        },
        "replyAddresses": {
            "responseTopic": {
                "description": "MQTT 5.0 Response Topic, AMQP reply_to, if interface.response-topics and "
                "interface.reply-queues allow it; otherwise the reply goes to the response channel",
                "location": "$message.header#/responseTopic",
            }
        },
        "securitySchemes": {
            "user": {"type": "userPassword", "description": "user and password at the broker"},
            "certificate": {"type": "X509", "description": "a client certificate"},
        },
    }


def _operation_bindings(exchange: str) -> Part:
    ways: dict[str, tuple[Part, Part]] = {
        RECEIVED: ({}, {"ack": True}),
        SENT: ({"retain": False}, {"deliveryMode": 2}),
        RETAINED: ({"retain": True}, {"deliveryMode": 2}),
    }
    bindings: Part = {}
    for name, (mqtt, amqp) in ways.items():
        bindings[name] = {"mqtt": {"qos": 1, **mqtt, "bindingVersion": MQTT_BINDING}}
        if exchange:
            bindings[name]["amqp"] = {**amqp, "bindingVersion": AMQP_BINDING}
    return bindings


def _channel_binding(exchange: str) -> Part:
    told = {"name": exchange, "type": "topic", "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": told, "bindingVersion": AMQP_BINDING}}


def server(one: Server, described: Described) -> Part:
    """Return a server, with what the bridge sends when it connects."""
    part: Part = {"host": one.host, "protocol": one.protocol, "protocolVersion": one.version}
    if one.path:
        part["pathname"] = one.path
    if "{host}" in one.host:
        part["variables"] = {"host": {"description": "address of the broker", "default": "localhost"}}
    schemes = [name for name, given in (("user", one.user), ("certificate", one.certificate)) if given]
    if schemes:
        part["security"] = [{"$ref": f"#/components/securitySchemes/{name}"} for name in schemes]
    if not one.is_amqp:
        will = {"topic": described.topics.availability, "qos": 1, "message": "offline", "retain": one.retain}
        last_words = {"lastWill": will} if one.will else {}
        part["bindings"] = {"mqtt": {"cleanSession": False, **last_words, "bindingVersion": MQTT_BINDING}}
    return part


def _messages(described: Described) -> Iterator[tuple[str, Part]]:
    for operation in described.operations:
        yield from _of_operation(operation)
    for name, (schema, summary) in TOLD.items():
        traits = ["answer"] if name in _ANSWERS else ["request"] if name == "statusUpdate" else []
        yield name, _message(name, summary, {"$ref": SCHEMAS + schema}, JSON, *traits)
    yield (
        "availability",
        _message("availability", "online or offline", {"$ref": f"{SCHEMAS}Availability"}, "text/plain"),
    )
    for mapping in described.mappings:
        yield mapped_message(mapping), _reading(mapping)


def _of_operation(operation: Operation) -> Iterator[tuple[str, Part]]:
    name, word = camel(operation), words(operation)
    request = {"$ref": f"{SCHEMAS}{word}Request"}
    yield f"{name}Request", _message(f"{name}Request", f"requests {operation.value}", request, JSON, "request")
    envelope = (
        always("specversion", kind(type="string", const="1.0")),
        always("source", ANY_TEXT, "with id: identifies the event"),
        always("id", ANY_TEXT, "see source"),
        always("type", ANY_TEXT, "type of event"),
        always("data", kind(**request)),
    )
    event = object_schema("", envelope, is_open=True)
    summary = f"requests {operation.value}, as a CloudEvent in structured mode"
    yield f"{name}CloudEvent", _message(f"{name}CloudEvent", summary, event, CLOUD_EVENT, "request")
    answer = {"$ref": f"{SCHEMAS}{word}Success"}
    yield f"{name}Success", _message(f"{name}Success", f"{operation.value} was done", answer, JSON, "answer")


def mapped_message(mapping: MappedTopics) -> str:
    """Return the identifier of a mapping's message."""
    return f"reading-of-{mapping.name}"


def _reading(mapping: MappedTopics) -> Part:
    payload = {"$ref": SCHEMAS + _schema_name(mapping)} if mapping.schema is not None else None
    return _message(mapped_message(mapping), f"payload for mapping {mapping.name}", payload, mapping.content_type)


def _schema_name(mapping: MappedTopics) -> str:
    return f"mapping-{mapping.name}"


def _message(name: str, summary: str, payload: Schema | None, content_type: str, *traits: str) -> Part:
    examples = [{"payload": one} for one in _EXAMPLES.get(name, ())]
    return {
        "name": name,
        "summary": summary,
        "contentType": content_type,
        **({"traits": [{"$ref": f"#/components/messageTraits/{trait}"} for trait in traits]} if traits else {}),
        **({"payload": payload} if payload else {}),
        **({"examples": examples} if examples else {}),
    }


def _traits() -> Part:
    correlation = {"correlationId": {"$ref": "#/components/correlationIds/correlation"}}
    identity = BodyKey("correlationData", ANY_TEXT, "MQTT 5.0 Correlation Data (any bytes), AMQP correlation_id")
    codes = sorted({"200", "400", *(str(code) for code in replies.HTTP_CODES.values())})
    mqtt = {"correlationData": {"type": "string"}, "bindingVersion": MQTT_BINDING}
    binary = "CloudEvents in binary mode, MQTT 5.0 user property or AMQP header"
    asked = (
        BodyKey("responseTopic", ANY_TEXT, "MQTT 5.0 Response Topic, AMQP reply_to: where the reply goes"),
        identity,
        BodyKey(
            "messageExpiry",
            COUNT,
            "MQTT 5.0 Message Expiry Interval in seconds, AMQP expiration in milliseconds: a request that "
            "was not carried out by then is refused",
        ),
        BodyKey("specversion", ANY_TEXT, f"{binary}: 1.0 if source and id are given"),
        BodyKey("source", ANY_TEXT, f"{binary}: with id, identifies the event"),
        BodyKey("id", ANY_TEXT, f"{binary}: see source"),
    )
    answered = (
        BodyKey("code", kind(type="string", enum=codes), "MQTT 5.0 user property, AMQP header; MQTT 3.1.1 has none"),
        BodyKey(
            replies.REFUSED_ADDRESS,
            ANY_TEXT,
            "why the reply was not sent to the Response Topic or reply_to; also a user property or header",
        ),
        identity,
    )
    return {
        "request": {
            "headers": object_schema("", asked, is_open=True),
            **correlation,
            "bindings": {"mqtt": {**mqtt, "responseTopic": {"type": "string"}}},
        },
        "answer": {
            "headers": object_schema("", answered, is_open=True),
            **correlation,
            "bindings": {"mqtt": mqtt},
        },
    }


def _relocated(schema: Mapping[str, Any], old: str, new: str) -> Any:
    """Return a schema in which references that began with `old` begin with `new`."""
    text = json.dumps(schema, separators=(",", ":"))
    return json.loads(text.replace(f'"$ref":"{old}', f'"$ref":"{new}'))
