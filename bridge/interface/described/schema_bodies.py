"""JSON Schemas of what the bridge tells unasked, and of status updates that other systems send. Pure; any thread."""

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
    """Yield name and schema of every body that no operation has."""
    yield "Phase", {"description": "Argo's phase; Pending also while it has none", "enum": list(PHASES)}
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
            "description": "plain text, no JSON; offline is also the last will",
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
        "progress": text("percentage of Argo's N/M", pattern=_PROGRESS),
        "message": text("a sentence, empty when there is none"),
    }


def _details() -> Schema:
    properties: dict[str, Schema] = {
        "bridge": text("id of the bridge that says so; no other system sets it"),
        "uid": text("which object"),
        "mapping": text("the mapping that started it"),
        "startedAt": text("Argo's time", **_TIME),
        "finishedAt": text("Argo's time", **_TIME),
        "suspended": {"description": "while it is suspended", "type": "boolean"},
        "stopping": {"description": "it was told to stop, and runs its exit handler", "type": "boolean"},
        "terminating": {"description": "it was told to end at once", "type": "boolean"},
        "outputs": {"description": "global output parameters by name, in the last message", "type": "object"},
        "failedNode": ref("FailedNode"),
        "nodes": {
            "description": "its nodes, at most 100, where the mapping asks for them",
            "type": "array",
            "items": ref("Node"),
        },
        "truncated": {"description": "something was cut to fit the largest packet", "type": "boolean"},
    }
    meaning = "what is known beside the five keys; keys without a value are left out"
    return {**open_object(properties, ["bridge"], meaning), "not": {"required": ["source"]}}


def _external() -> Schema:
    properties = {
        "bridge": text("id of the bridge that passes it on"),
        "source": fixed("external", "another system said so, of a workflow that Argo does not know"),
    }
    return open_object(properties, ["bridge", "source"], "what another system told beside the five keys")


def _failed_node() -> Schema:
    properties: dict[str, Schema] = {
        "name": text("of the node"),
        "template": text("of the node"),
        "message": text("what Argo says of it"),
        "exitCode": {"description": "of its main container, null where it had none", "type": ["integer", "null"]},
    }
    return open_object(properties, [], "the node that made the workflow fail")


def _node() -> Schema:
    properties: dict[str, Schema] = {
        "name": text("as people see it"),
        "type": text("Argo's: Pod, Steps, DAG, Suspend, ..."),
        "template": text("what it runs"),
        "phase": text("Argo's phase of the node"),
        "message": text("what Argo says of it"),
        "startedAt": text("Argo's time", **_TIME),
        "finishedAt": text("Argo's time", **_TIME),
    }
    return closed(properties, [], "one node; keys without a value are left out")


def _report() -> Schema:
    counts: Schema = {"type": "object", "additionalProperties": _COUNT}
    seconds: Schema = {"type": ["integer", "null"], "minimum": 0}
    window: dict[str, Schema] = {
        "ended": {"description": "workflows that ended within this time", **_COUNT},
        "succeeded": {"description": "those that ended well", **_COUNT},
        "failed": {"description": "the others", **_COUNT},
        "successRate": {
            "description": "succeeded of ended; null where nothing ended",
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
        },
        "p50Seconds": {"description": "half of them took no longer", **seconds},
        "p95Seconds": {"description": "19 of 20 took no longer", **seconds},
    }
    properties: dict[str, Schema] = {
        "namespace": text("which namespace"),
        "bridge": text("id of the bridge that says so"),
        "workflows": {"description": "how many are there now, by phase", **counts},
        "mappings": {
            "description": "the same, by mapping and phase",
            "type": "object",
            "additionalProperties": counts,
        },
        "lastHour": closed(window, window),
        "lastDay": closed(window, window),
        "time": text("when it was made, UTC", **_TIME),
        "truncated": {"description": "the mappings had to be left out to fit the largest packet", "const": True},
    }
    required = [key for key in properties if key != "truncated"]
    return closed(properties, required, "how the workflows of a namespace went")


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
        "namespace": text("namespace of the workflow; absent: the first of argo.namespaces", minLength=1),
        "workflowId": text("name of the workflow", pattern=_NAME),
        "status": ref("Phase"),
        "progress": text("how far it is", pattern=_PROGRESS),
        "message": text("a sentence"),
        "details": {"description": "the sender's own; without the key bridge", "type": "object"},
        "requestId": ref("RequestId"),
    }
    return closed(properties, ["workflowId", "status"], "what another system says of a workflow")


def _dead_letter() -> Schema:
    properties: dict[str, Schema] = {
        "reason": text("a code"),
        "message": text("a sentence"),
        "topic": text("where the message came from"),
        "connection": text("on which connection it came"),
        "time": text("when it was given up, UTC", **_TIME),
        "attempts": {"description": "submissions that failed by the event's own fault", **_COUNT},
        "payloadBytes": {"description": "length of the payload", **_COUNT},
        "payloadSha256": text("digest of the payload", pattern="^[0-9a-f]{64}$"),
        "mapping": text("the mapping that it concerns, where there is one"),
        "eventId": text("the event's identity, where it had become one", pattern="^[0-9a-f]{64}$"),
        "details": {
            "description": "findings, as in an error reply",
            "oneOf": [{"type": "array", "items": {"type": "object"}}, {"type": "object"}],
        },
    }
    required = [key for key in properties if key not in ("mapping", "eventId", "details")]
    return closed(properties, required, "what could not be done, and why; without its payload")


def _state() -> Schema:
    spool: dict[str, Schema] = {
        "waiting": {"description": "events that wait for submission", **_COUNT},
        "outbox": {"description": "messages that wait for a broker", **_COUNT},
        "deadLetters": {"description": "dead letters", **_COUNT},
        "setAside": {"description": "where a damaged spool was put at the start", "type": ["string", "null"]},
    }
    argo: dict[str, Schema] = {
        "url": text("the Argo Server"),
        "version": text("what it says it is, empty before its first answer"),
        "reachable": {"description": "whether it answers", "type": "boolean"},
        "problem": text("why it cannot be reached"),
        "schema": text("which release's schema checks workflows"),
        "schemaFrom": text("how that was chosen"),
        "note": text("where the schema is not exactly that release's"),
    }
    problems: Schema = {"type": "array", "items": ref("Problem")}
    session = {"description": "whether the broker had kept it; null before the first", "enum": ["new", "resumed", None]}
    silent: Schema = {
        "description": "topic filters of mappings for which no message came since the start, the first 20",
        "type": "array",
        "items": {"type": "string"},
    }
    connection = open_object(
        {"session": session, "problems": problems, "neverReceived": silent}, ["session", "problems", "neverReceived"]
    )
    properties: dict[str, Schema] = {
        "version": text("of the bridge"),
        "argo": open_object(argo, ["url", "version", "reachable", "schema", "schemaFrom"], "the Argo Server"),
        "spool": open_object(spool, list(spool), "rows that it holds"),
        "mappings": {"description": "how many are loaded", **_COUNT},
        "connections": {"description": "by name", "type": "object", "additionalProperties": connection},
        "waiting": {
            "description": "what waits because the cluster or the configuration is at fault, with the cause",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "problems": {"description": "what else is wrong", **problems},
    }
    return open_object(properties, list(properties), "how the bridge is doing")
