"""JSON Schemas of unrequested messages of the bridge, and of status updates from other systems. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.interface import replies
from bridge.interface.described.schema_parts import Schema, closed, fixed, open_object, ref, text
from bridge.interface.operation_options import PHASES
from bridge.interface.status import PERCENTAGE
from bridge.interface.status_updates import NAME

_TIME = {"format": "date-time"}
_PROGRESS = f"^{PERCENTAGE}$"
_NAME = f"^{NAME}$"
_COUNT: Schema = {"type": "integer", "minimum": 0}


def body_schemas() -> Iterator[tuple[str, Schema]]:
    """Yield name and schema of every body that does not belong to an operation."""
    yield "Phase", {"description": "Argo's phase; Pending also if there is none yet", "enum": list(PHASES)}
    yield "WorkflowStatus", closed(_five_keys(), _five_keys(), "the state of one workflow")
    either: Schema = {"oneOf": [ref("StatusDetails"), ref("ExternalDetails")]}
    yield "Status", closed({**_five_keys(), "details": either}, [*_five_keys(), "details"], _STATUS)
    yield "ListedWorkflow", closed({**_five_keys(), "details": closed(_listed(), [])}, [*_five_keys(), "details"])
    yield "StatusDetails", _details()
    yield "ExternalDetails", _external()
    yield "FailedNode", _failed_node()
    yield "Node", _node()
    yield "StatusUpdate", _update()
    success = {"status": fixed(replies.STATUS_RECEIVED), "requestId": ref("RequestId")}
    yield "StatusUpdateSuccess", closed(success, ["status"])
    yield "StatusUpdateReply", {"oneOf": [ref("StatusUpdateSuccess"), ref("ErrorReply")]}
    yield "DeadLetter", _dead_letter()
    yield (
        "Availability",
        {
            "description": "plain text, not JSON; offline is also the last will",
            "type": "string",
            "enum": ["online", "offline"],
        },
    )
    yield "Problem", closed({"code": text("kebab-case"), "message": text("a sentence")}, ["code", "message"])
    yield "State", _state()
    yield "Report", _report()


_STATUS = "the state of one workflow; an empty retained message clears it when the workflow is gone"


def _five_keys() -> dict[str, Schema]:
    return {
        "namespace": text("namespace of the workflow"),
        "workflowId": text("name of the workflow"),
        "status": ref("Phase"),
        "progress": text("Argo's N/M as a percentage", pattern=_PROGRESS),
        "message": text("a sentence, or empty"),
    }


def _details() -> Schema:
    properties: dict[str, Schema] = {
        "bridge": text("id of the bridge that sent this; other systems must not set it"),
        "uid": text("which object"),
        "mapping": text("the mapping that started it"),
        "startedAt": text("Argo's time", **_TIME),
        "finishedAt": text("Argo's time", **_TIME),
        "suspended": {"description": "true while the workflow is suspended", "type": "boolean"},
        "stopping": {"description": "true while it is stopping and its exit handler runs", "type": "boolean"},
        "terminating": {"description": "true while it is terminating", "type": "boolean"},
        "outputs": {"description": "global output parameters by name, in the last message", "type": "object"},
        "failedNode": ref("FailedNode"),
        "nodes": {
            "description": "its nodes, at most 100, if the mapping asks for them",
            "type": "array",
            "items": ref("Node"),
        },
        "truncated": {"description": "something was left out to fit the largest packet", "type": "boolean"},
    }
    meaning = "further facts; keys without a value are left out"
    return {**open_object(properties, ["bridge"], meaning), "not": {"required": ["source"]}}


def _external() -> Schema:
    properties = {
        "bridge": text("id of the bridge that forwards it"),
        "source": fixed("external", "the status came from another system, for a workflow that Argo does not know"),
    }
    return open_object(properties, ["bridge", "source"], "further facts from another system")


def _failed_node() -> Schema:
    properties: dict[str, Schema] = {
        "name": text("of the node"),
        "template": text("of the node"),
        "message": text("Argo's message"),
        "exitCode": {
            "description": "exit code of its main container, null if it had none",
            "type": ["integer", "null"],
        },
    }
    return open_object(properties, [], "the node that made the workflow fail")


def _node() -> Schema:
    properties: dict[str, Schema] = {
        "name": text("display name"),
        "type": text("Argo's type: Pod, Steps, DAG, Suspend, ..."),
        "template": text("name of its template"),
        "phase": text("Argo's phase of the node"),
        "message": text("Argo's message"),
        "startedAt": text("Argo's time", **_TIME),
        "finishedAt": text("Argo's time", **_TIME),
    }
    return closed(properties, [], "one node; keys without a value are left out")


def _report() -> Schema:
    counts: Schema = {"type": "object", "additionalProperties": _COUNT}
    seconds: Schema = {"type": ["integer", "null"], "minimum": 0}
    window: dict[str, Schema] = {
        "ended": {"description": "workflows that finished within this time", **_COUNT},
        "succeeded": {"description": "workflows that succeeded", **_COUNT},
        "failed": {"description": "the others", **_COUNT},
        "successRate": {
            "description": "share of finished workflows that succeeded; null if nothing finished",
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
        },
        "p50Seconds": {"description": "median duration", **seconds},
        "p95Seconds": {"description": "95th percentile of the duration", **seconds},
    }
    properties: dict[str, Schema] = {
        "namespace": text("which namespace"),
        "bridge": text("id of the bridge that sent this"),
        "workflows": {"description": "number of current workflows, by phase", **counts},
        "mappings": {
            "description": "the same, by mapping and phase",
            "type": "object",
            "additionalProperties": counts,
        },
        "lastHour": closed(window, window),
        "lastDay": closed(window, window),
        "time": text("when it was made, UTC", **_TIME),
        "truncated": {"description": "the mappings were left out to fit the largest packet", "const": True},
    }
    required = [key for key in properties if key != "truncated"]
    return closed(properties, required, "counts and figures of the workflows of a namespace")


def _listed() -> dict[str, Schema]:
    return {
        "uid": text("which object"),
        "mapping": text("the mapping that started it"),
        "createdAt": text("Argo's time", **_TIME),
        "startedAt": text("Argo's time", **_TIME),
        "finishedAt": text("Argo's time", **_TIME),
    }


def _update() -> Schema:
    properties: dict[str, Schema] = {
        "namespace": text("namespace of the workflow; default: the first of argo.namespaces", minLength=1),
        "workflowId": text("name of the workflow", pattern=_NAME),
        "status": ref("Phase"),
        "progress": text("progress in percent", pattern=_PROGRESS),
        "message": text("a sentence"),
        "details": {"description": "any object without the key bridge", "type": "object"},
        "requestId": ref("RequestId"),
    }
    return closed(properties, ["workflowId", "status"], "another system's status of a workflow")


def _dead_letter() -> Schema:
    properties: dict[str, Schema] = {
        "reason": text("a code"),
        "message": text("a sentence"),
        "topic": text("topic of the message"),
        "connection": text("connection on which it arrived"),
        "time": text("when the bridge gave up, UTC", **_TIME),
        "attempts": {"description": "submissions that failed through the event's own fault", **_COUNT},
        "payloadBytes": {"description": "length of the payload", **_COUNT},
        "payloadSha256": text("digest of the payload", pattern="^[0-9a-f]{64}$"),
        "mapping": text("the mapping concerned, if any"),
        "eventId": text("the event's identity, if it had become an event", pattern="^[0-9a-f]{64}$"),
        "details": {
            "description": "findings, as in an error reply",
            "oneOf": [{"type": "array", "items": {"type": "object"}}, {"type": "object"}],
        },
    }
    required = [key for key in properties if key not in ("mapping", "eventId", "details")]
    return closed(
        properties, required, "a message or event that could not be carried out, with the reason, without its payload"
    )


def _state() -> Schema:
    spool: dict[str, Schema] = {
        "waiting": {"description": "events that wait for submission", **_COUNT},
        "outbox": {"description": "messages that wait for a broker", **_COUNT},
        "deadLetters": {"description": "dead letters", **_COUNT},
        "setAside": {"description": "where a damaged spool was moved at the start", "type": ["string", "null"]},
    }
    argo: dict[str, Schema] = {
        "url": text("the Argo Server"),
        "version": text("its reported version, empty before its first response"),
        "reachable": {"description": "whether it answers requests that need authorisation", "type": "boolean"},
        "problem": text("why it cannot be reached"),
        "schema": text("the release whose schema checks workflows"),
        "schemaFrom": text("how the schema was chosen"),
        "note": text("a note if the schema is not exactly for the server's version"),
    }
    problems: Schema = {"type": "array", "items": ref("Problem")}
    session = {
        "description": "whether the broker had kept the session; null before the first connection",
        "enum": ["new", "resumed", None],
    }
    silent: Schema = {
        "description": "topic filters of mappings that have received nothing since the start, at most 20",
        "type": "array",
        "items": {"type": "string"},
    }
    connection = open_object(
        {"session": session, "problems": problems, "neverReceived": silent}, ["session", "problems", "neverReceived"]
    )
    properties: dict[str, Schema] = {
        "version": text("of the bridge"),
        "argo": open_object(argo, ["url", "version", "reachable", "schema", "schemaFrom"], "the Argo Server"),
        "spool": open_object(spool, list(spool), "number of rows in the spool"),
        "mappings": {"description": "number of loaded mappings", **_COUNT},
        "connections": {"description": "by name", "type": "object", "additionalProperties": connection},
        "waiting": {
            "description": "what waits because of a problem in the cluster or the configuration, with the cause",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "problems": {"description": "other problems", **problems},
    }
    return open_object(properties, list(properties), "the state of the bridge")
