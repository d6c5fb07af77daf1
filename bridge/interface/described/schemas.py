"""The JSON Schemas of the message interface: every request, reply and body, as files and by name. Pure; any thread.

A request's schema accepts what the parser accepts; rules of the cluster or of the operator's allow-lists are not in it.
Names of schemas: ``StopRequest``, ``StopReply``, ``ListTemplatesRequest``, ... `make generate` writes
schemas/interface; a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from bridge.interface import replies
from bridge.interface.failures import FAILED_NODE_KEYS
from bridge.interface.keys import (
    ANY_TEXT,
    BOOLEAN,
    DEFINITIONS,
    OBJECT,
    PHASE,
    PHASES,
    TIME,
    BodyKey,
    Schema,
    ValueKind,
    always,
    keys_of,
    list_of,
    object_schema,
    ref,
    referred,
)
from bridge.interface.messages import COMMON_KEYS, INTERFACE_KEYS, KNOWN_KEYS, REQUEST_ID, SUBMIT_KEYS, TRIGGER_KEYS
from bridge.interface.operation_bodies import LogLine
from bridge.interface.operations import SPECS, Operation
from bridge.interface.status import PERCENTAGE
from bridge.interface.status_updates import UPDATE_KEYS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ROOTS = {
    "error": "ErrorReply",
    "status": "Status",
    "status-update": "StatusUpdate",
    "status-update.reply": "StatusUpdateReply",
    "dead-letter": "DeadLetter",
    "availability": "Availability",
    "state": "State",
    "report": "Report",
}


def words(operation: Operation) -> str:
    """Return an operation's name as a prefix of schema names: ``ListTemplates``."""
    return "".join(word.capitalize() for word in operation.value.split("-"))


def interface_schemas() -> dict[str, Schema]:
    """Return the files of schemas/interface by name: each is self-contained, in draft 2020-12.

    ``OPERATION.request.json`` and ``OPERATION.reply.json``, and one file per body.
    """
    roots = dict(_ROOTS)
    for operation in Operation:
        for side in ("Request", "Reply"):
            roots[f"{operation.value}.{side.lower()}"] = words(operation) + side
    named = named_schemas()
    return {f"{name}.json": _file(root, named) for name, root in sorted(roots.items())}


def _file(root: str, named: dict[str, Schema]) -> Schema:
    used: set[str] = set()
    waiting = [root]
    while waiting:
        found = set(re.findall(rf'"\$ref": "{re.escape(DEFINITIONS)}(\w+)"', json.dumps(named[waiting.pop()]))) - used
        used |= found
        waiting += found
    definitions = {"$defs": {name: named[name] for name in sorted(used)}} if used else {}
    return {"$schema": DIALECT, "title": f"argo-bridge: {root}", **named[root], **definitions}


def named_schemas() -> dict[str, Schema]:
    """Return every schema by its name; they refer to each other by ``#/$defs/NAME``."""
    return {**dict(_requests()), **dict(_bodies())}


def _requests() -> Iterator[tuple[str, Schema]]:
    yield "RequestId", {"description": "any JSON value up to 1 KiB; echoed unchanged in the reply"}
    yield (
        "EventId",
        {
            "description": "identifies the event: requests with the same value are the same event",
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "number"}],
        },
    )
    yield "InterfaceKey", {"description": "every key that any request may have", "enum": sorted(INTERFACE_KEYS)}
    templates = [{"required": ["template"]}, {"required": ["clusterTemplate"]}]
    yield "Submit", object_schema("a stored template to run", SUBMIT_KEYS, oneOf=templates)
    yield "TriggerRequest", _trigger()
    yield "TriggerReply", _either("TriggerSuccess", "ErrorReply")
    yield "TriggerSuccess", _success(replies.TRIGGERED, [always("workflowId", ANY_TEXT, "name of the workflow")])
    for operation, spec in SPECS.items():
        name = words(operation)
        # A key of another operation is accepted and ignored; any other is refused.
        known = {"propertyNames": ref("InterfaceKey")}
        yield f"{name}Request", object_schema(spec.meaning, (*COMMON_KEYS, *spec.keys), is_open=True, **known)
        yield f"{name}Success", _success(spec.success, spec.reply)
        yield f"{name}Reply", _either(f"{name}Success", "ErrorReply")
    yield "ErrorReply", _error()
    yield "ListedTemplate", _template()
    cut = (always("truncated", _TRUE), BodyKey("leftOut", _TEXT_LIST, "dotted paths of the parts left out"))
    yield "Cut", object_schema("something was left out to fit the largest packet", cut)
    yield "LogLine", object_schema("", keys_of(LogLine))


def _trigger() -> Schema:
    # A null counts as absent, so "exactly one" is about values, not about keys.
    one_of = [
        {"required": [given], "properties": {given: {"type": "object"}, other: {"type": "null"}}}
        for given, other in (("workflow", "submit"), ("submit", "workflow"))
    ]
    meaning = "a trigger message, which starts a workflow; exactly one of workflow and submit is required"
    return object_schema(meaning, TRIGGER_KEYS, is_open=True, propertyNames={"enum": sorted(KNOWN_KEYS)}, oneOf=one_of)


def _success(sentence: str, keys: Iterable[BodyKey]) -> Schema:
    return object_schema("", (always("status", _fixed(sentence)), *keys, REQUEST_ID))


def _either(*schemas: str) -> Schema:
    return {"oneOf": [ref(schema) for schema in schemas]}


def kind(**schema: Any) -> ValueKind:
    """Return the kind of values that are only sent, with this schema."""
    return ValueKind("", schema)


def _fixed(value: str) -> ValueKind:
    return kind(type="string", const=value)


def _object(*keys: BodyKey, is_open: bool = False) -> ValueKind:
    return ValueKind("", object_schema("", keys, is_open=is_open))


def _objects(values: Schema) -> ValueKind:
    return kind(type="object", additionalProperties=values)


_TEXT_LIST = kind(type="array", items={"type": "string"})
COUNT = kind(type="integer", minimum=0)
_TEXT_OR_NULL = kind(type=["string", "null"])
_SECONDS = kind(type=["integer", "null"], minimum=0)
_SHARE = kind(type=["number", "null"], minimum=0, maximum=1)
_PROGRESS = kind(type="string", pattern=f"^{PERCENTAGE}$")
_DIGEST = kind(type="string", pattern="^[0-9a-f]{64}$")
_TRUE = kind(type="boolean", const=True)


def _template() -> Schema:
    parameter = object_schema(
        "",
        (
            always("name", ANY_TEXT, "its name"),
            BodyKey("description", ANY_TEXT, "what it means"),
            BodyKey("enum", kind(type="array")),
        ),
        is_open=True,
    )
    keys = (
        always("template", ANY_TEXT, "its name"),
        BodyKey("description", ANY_TEXT, "from its annotation workflows.argoproj.io/description"),
        BodyKey("entrypoint", ANY_TEXT, "its entrypoint"),
        BodyKey("parameters", kind(type="array", items=parameter), "at most 50"),
        BodyKey("createdAt", TIME, "Argo's time"),
    )
    return object_schema("", keys)


def _error() -> Schema:
    finding = object_schema(
        "",
        (
            always("message", ANY_TEXT, "a sentence"),
            BodyKey("pointer", ANY_TEXT, "position, as a JSON Pointer"),
            BodyKey("code", ANY_TEXT, "code of the finding"),
            BodyKey("found", ANY_TEXT, "what was found there"),
            BodyKey("expected", ANY_TEXT, "what was expected there"),
            BodyKey("suggestion", ANY_TEXT, "the nearest valid name"),
        ),
        is_open=True,
    )
    truncated = object_schema("", (always("truncated", _TRUE),))
    details = kind(oneOf=[{"type": "array", "minItems": 1, "items": finding}, truncated])
    keys = (
        always("error", ANY_TEXT, "a sentence"),
        BodyKey(
            "details",
            details,
            "one object per finding; or a note that they were left out to fit the largest packet",
        ),
        REQUEST_ID,
    )
    return object_schema("why a request was refused or failed", keys)


_FIVE_KEYS = (
    always("namespace", ANY_TEXT, "namespace of the workflow"),
    always("workflowId", ANY_TEXT, "name of the workflow"),
    always("status", PHASE),
    always("progress", _PROGRESS, "Argo's N/M as a percentage"),
    always("message", ANY_TEXT, "a sentence, or empty"),
)
_FACTS = (BodyKey("uid", ANY_TEXT, "which object"), BodyKey("mapping", ANY_TEXT, "the mapping that started it"))
_TIMES = (BodyKey("startedAt", TIME, "Argo's time"), BodyKey("finishedAt", TIME, "Argo's time"))


def _bodies() -> Iterator[tuple[str, Schema]]:
    yield "Phase", {"description": "Argo's phase; Pending also if there is none yet", "enum": list(PHASES)}
    yield "WorkflowStatus", object_schema("the state of one workflow", _FIVE_KEYS)
    meaning = "the state of one workflow; an empty retained message clears it when the workflow is gone"
    details = kind(**_either("StatusDetails", "ExternalDetails"))
    yield "Status", object_schema(meaning, (*_FIVE_KEYS, always("details", details)))
    listed = _object(*_FACTS, BodyKey("createdAt", TIME, "Argo's time"), *_TIMES)
    yield "ListedWorkflow", object_schema("", (*_FIVE_KEYS, always("details", listed)))
    meaning = "further facts; keys without a value are left out"
    yield "StatusDetails", object_schema(meaning, _DETAILS, is_open=True, **{"not": {"required": ["source"]}})
    external = (
        always("bridge", ANY_TEXT, "id of the bridge that forwards it"),
        always(
            "source", _fixed("external"), "the status came from another system, for a workflow that Argo does not know"
        ),
    )
    yield "ExternalDetails", object_schema("further facts from another system", external, is_open=True)
    yield "FailedNode", object_schema("the node that made the workflow fail", FAILED_NODE_KEYS, is_open=True)
    yield "Node", object_schema("one node; keys without a value are left out", _NODE)
    yield "StatusUpdate", object_schema("another system's status of a workflow", UPDATE_KEYS)
    yield "StatusUpdateSuccess", _success(replies.STATUS_RECEIVED, ())
    yield "StatusUpdateReply", _either("StatusUpdateSuccess", "ErrorReply")
    meaning = "a message or event that could not be carried out, with the reason, without its payload"
    yield "DeadLetter", object_schema(meaning, DEAD_LETTER_KEYS)
    meaning = "plain text, not JSON; offline is also the last will"
    yield "Availability", {"description": meaning, "type": "string", "enum": ["online", "offline"]}
    problem = (always("code", ANY_TEXT, "kebab-case"), always("message", ANY_TEXT, "a sentence"))
    yield "Problem", object_schema("", problem)
    yield "State", object_schema("the state of the bridge", _STATE, is_open=True)
    yield "Report", object_schema("counts and figures of the workflows of a namespace", _REPORT)


_DETAILS = (
    always("bridge", ANY_TEXT, "id of the bridge that sent this; other systems must not set it"),
    *_FACTS,
    *_TIMES,
    BodyKey("suspended", BOOLEAN, "true while the workflow is suspended"),
    BodyKey("stopping", BOOLEAN, "true while it is stopping and its exit handler runs"),
    BodyKey("terminating", BOOLEAN, "true while it is terminating"),
    BodyKey("outputs", OBJECT, "global output parameters by name, in the last message"),
    BodyKey("failedNode", referred("FailedNode")),
    BodyKey("nodes", list_of("Node"), "its nodes, at most 100, if the mapping asks for them"),
    BodyKey("truncated", BOOLEAN, "something was left out to fit the largest packet"),
)
_NODE = (
    BodyKey("name", ANY_TEXT, "display name"),
    BodyKey("type", ANY_TEXT, "Argo's type: Pod, Steps, DAG, Suspend, ..."),
    BodyKey("template", ANY_TEXT, "name of its template"),
    BodyKey("phase", ANY_TEXT, "Argo's phase of the node"),
    BodyKey("message", ANY_TEXT, "Argo's message"),
    *_TIMES,
)
DEAD_LETTER_KEYS = (
    always("reason", ANY_TEXT, "a code"),
    always("message", ANY_TEXT, "a sentence"),
    always("topic", ANY_TEXT, "topic of the message"),
    always("connection", ANY_TEXT, "connection on which it arrived"),
    always("time", TIME, "when the bridge gave up, UTC"),
    always("attempts", COUNT, "submissions that failed through the event's own fault"),
    always("payloadBytes", COUNT, "length of the payload"),
    always("payloadSha256", _DIGEST, "digest of the payload"),
    BodyKey("mapping", ANY_TEXT, "the mapping concerned, if any"),
    BodyKey("eventId", _DIGEST, "the event's identity, if it had become an event"),
    BodyKey(
        "details",
        kind(oneOf=[{"type": "array", "items": {"type": "object"}}, {"type": "object"}]),
        "findings, as in an error reply",
    ),
)
_SPOOL = _object(
    always("waiting", COUNT, "events that wait for submission"),
    always("outbox", COUNT, "messages that wait for a broker"),
    always("deadLetters", COUNT, "dead letters"),
    always("setAside", _TEXT_OR_NULL, "where a damaged spool was moved at the start"),
    is_open=True,
)
_ARGO = _object(
    always("url", ANY_TEXT, "the Argo Server"),
    always("version", ANY_TEXT, "its reported version, empty before its first response"),
    always("reachable", BOOLEAN, "whether it answers requests that need authorisation"),
    BodyKey("problem", ANY_TEXT, "why it cannot be reached"),
    always("schema", ANY_TEXT, "the release whose schema checks workflows"),
    always("schemaFrom", ANY_TEXT, "how the schema was chosen"),
    BodyKey("note", ANY_TEXT, "a note if the schema is not exactly for the server's version"),
    is_open=True,
)
_CONNECTION = _object(
    always(
        "session",
        kind(enum=["new", "resumed", None]),
        "whether the broker had kept the session; null before the first connection",
    ),
    always("problems", list_of("Problem")),
    always(
        "neverReceived",
        _TEXT_LIST,
        "topic filters of mappings that have received nothing since the start, at most 20",
    ),
    is_open=True,
)
_STATE = (
    always("version", ANY_TEXT, "of the bridge"),
    always("argo", _ARGO, "the Argo Server"),
    always("spool", _SPOOL, "number of rows in the spool"),
    always("mappings", COUNT, "number of loaded mappings"),
    always("connections", _objects(_CONNECTION.schema), "by name"),
    always(
        "waiting",
        _objects({"type": "string"}),
        "what waits because of a problem in the cluster or the configuration, with the cause",
    ),
    always("problems", list_of("Problem"), "other problems"),
)
_WINDOW = _object(
    always("ended", COUNT, "workflows that finished within this time"),
    always("succeeded", COUNT, "workflows that succeeded"),
    always("failed", COUNT, "the others"),
    always("successRate", _SHARE, "share of finished workflows that succeeded; null if nothing finished"),
    always("p50Seconds", _SECONDS, "median duration"),
    always("p95Seconds", _SECONDS, "95th percentile of the duration"),
)
_REPORT = (
    always("namespace", ANY_TEXT, "which namespace"),
    always("bridge", ANY_TEXT, "id of the bridge that sent this"),
    always("workflows", _objects(COUNT.schema), "number of current workflows, by phase"),
    always("mappings", _objects(_objects(COUNT.schema).schema), "the same, by mapping and phase"),
    always("lastHour", _WINDOW),
    always("lastDay", _WINDOW),
    always("time", TIME, "when it was made, UTC"),
    BodyKey("truncated", _TRUE, "the mappings were left out to fit the largest packet"),
)
