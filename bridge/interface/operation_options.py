"""The table of operations: the options and replies of each.

The parser, the JSON Schemas, the commands and the tests of the reference are all derived from it. Pure; decides nothing
about a request.

Source: docs/design/argo-server.md, Operations (the options are those of the Argo Server's own endpoints).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.core.model import Phase
from bridge.interface.operations import Operation

MAX_TEXT = 4096
MAX_LINES = 10_000
MAX_PAGE = 500
OPERATION_MAX_AGE_S = 300.0
"""A spooled operation that Argo has not accepted within this time is answered with ``expired``."""


class Kind(Enum):
    """The type of a value; the enum value is its name in words.

    PARAMETERS: an object of values by name, or Argo's own list of texts ``NAME=VALUE``. OUTPUTS: an object of values
    by name, or Argo's own JSON text of one. PHASES: one phase or a list of them.
    """

    TEXT = "text"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    TIME = "time (RFC 3339)"
    PARAMETERS = "object of values"
    OUTPUTS = "object of outputs"
    PHASES = "phase or list of phases"
    OBJECT = "object"
    LIST = "list of objects"


PHASES = tuple(phase.value for phase in Phase if phase is not Phase.ABSENT)
SET_PHASES = ("Succeeded", "Failed", "Error")


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a request.

    Attributes:
        key: as in the body.
        kind: type of its value.
        meaning: a sentence for the reference, without a full stop.
        default: meaning of its absence, None for "nothing".
        least: smallest integer, or None.
        most: largest integer, or None.
        choices: the only accepted texts, () = any.
        required: whether a request without it is refused.
    """

    key: str
    kind: Kind
    meaning: str
    default: object = None
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    required: bool = False

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of its value, which accepts what the parser accepts."""
        schema: dict[str, Any] = {"description": self.meaning, **_SCHEMAS[self.kind]}
        if self.choices:
            schema["enum"] = list(self.choices)
        bounds = {"minimum": self.least, "maximum": self.most, "default": self.default}
        return schema | {key: value for key, value in bounds.items() if value is not None}


_VALUES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"not": {"type": "null"}},
}
_SCHEMAS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.TIME: {"type": "string", "format": "date-time"},
    Kind.PARAMETERS: {
        "oneOf": [_VALUES, {"type": "array", "items": {"type": "string", "pattern": "^[^=]+="}}],
    },
    Kind.OUTPUTS: {"oneOf": [_VALUES, {"type": "string", "contentMediaType": "application/json"}]},
    Kind.PHASES: {
        "oneOf": [{"enum": list(PHASES)}, {"type": "array", "minItems": 1, "items": {"enum": list(PHASES)}}],
    },
    Kind.OBJECT: {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class ReplyKey:
    """One key of a success reply.

    Attributes:
        key: as in the body.
        kind: type of its value.
        meaning: a sentence for the reference, without a full stop.
        always: whether every success reply has it.
    """

    key: str
    kind: Kind
    meaning: str
    always: bool = True


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """One operation.

    Attributes:
        operation: the operation.
        meaning: a sentence for the reference, without a full stop.
        success: the text of ``status`` in its success reply.
        name_key: the key that names the object (required), or "".
        options: the keys besides ``namespace``, the name, ``requestId`` and ``eventId``.
        is_spooled: stored before it is acknowledged, retried over restarts, expires after `OPERATION_MAX_AGE_S`;
            otherwise answered at once.
        reply: the keys of its success reply besides ``status`` and ``requestId``.
        streams: whether one request may get several replies (``follow``).
    """

    operation: Operation
    meaning: str
    success: str
    name_key: str = ""
    options: tuple[Option, ...] = ()
    is_spooled: bool = True
    reply: tuple[ReplyKey, ...] = ()
    streams: bool = False

    @property
    def name_meaning(self) -> str:
        """Describe its `name_key` in a sentence without a full stop."""
        return f"name of the {_NOUNS[self.name_key]}"


_SELECTOR = "field selector for nodes, e.g. `displayName=approve`"
_NODES = Option("nodeFieldSelector", Kind.TEXT, _SELECTOR)
_PARAMETERS = Option(
    "parameters", Kind.PARAMETERS, "values that override the workflow's own, by name; or a list of `NAME=VALUE`"
)
_LABELS = Option("labels", Kind.TEXT, "Kubernetes label selector, e.g. `line=3,shift!=night`")
_PREFIX = Option("prefix", Kind.TEXT, "only names that begin with this")
_LIMIT = Option("limit", Kind.INTEGER, "maximum number of items; fewer if the packet is full", 50, 1, MAX_PAGE)
_CONTINUE = Option("continue", Kind.TEXT, "the value of `continue` in the previous reply, to get the next page")
_CLUSTER = Option("cluster", Kind.BOOLEAN, "ClusterWorkflowTemplates instead of the namespace's own", False)

_NAMED = ReplyKey("workflowId", Kind.TEXT, "name of the workflow")
_NEW = ReplyKey("workflowId", Kind.TEXT, "name of the new workflow")
_CRON = ReplyKey("cron", Kind.TEXT, "name of the CronWorkflow")
_CUT = ReplyKey(
    "details", Kind.OBJECT, "`truncated: true` where something was left out to fit the largest packet", False
)
_MORE = ReplyKey("continue", Kind.TEXT, "token for the next page; absent on the last page", False)
_NOUNS = {"workflowId": "workflow", "template": "template", "cron": "CronWorkflow"}


def _on_workflow(
    operation: Operation, meaning: str, done: str, *options: Option, reply: tuple[ReplyKey, ...] = (_NAMED,)
) -> OperationSpec:
    return OperationSpec(
        operation, meaning, f"Workflow {done} successfully", name_key="workflowId", options=options, reply=reply
    )


_LOG_OPTIONS = (
    Option("podName", Kind.TEXT, "only this pod"),
    Option("container", Kind.TEXT, "name of the container in each pod", "main"),
    Option("selector", Kind.TEXT, "label selector for pods"),
    Option("grep", Kind.TEXT, "only lines that match this regular expression"),
    Option("tailLines", Kind.INTEGER, "number of last lines", 100, 1, MAX_LINES),
    Option("sinceSeconds", Kind.INTEGER, "only lines from this many last seconds", None, 1, 10 * 365 * 86_400),
    Option("timestamps", Kind.BOOLEAN, "begin each line with its time", False),
    Option("previous", Kind.BOOLEAN, "the log of the container before its restart", False),
    Option("limitBytes", Kind.INTEGER, "maximum number of bytes per container", None, 1, 16 * 1024 * 1024),
    Option("follow", Kind.BOOLEAN, "continue with new lines until the workflow finishes, at most 10 minutes", False),
)

SPECS: dict[Operation, OperationSpec] = {
    spec.operation: spec
    for spec in (
        _on_workflow(
            Operation.STOP,
            "stops a workflow; its exit handler runs. With a selector, it instead fails the selected suspend nodes",
            "stopped",
            _NODES,
            Option("message", Kind.TEXT, "message for the selected nodes"),
        ),
        _on_workflow(Operation.TERMINATE, "stops a workflow at once, without its exit handler", "terminated"),
        _on_workflow(Operation.SUSPEND, "suspends a workflow: no further step starts until it is resumed", "suspended"),
        _on_workflow(Operation.RESUME, "resumes a suspended workflow, or its suspend nodes", "resumed", _NODES),
        _on_workflow(
            Operation.RETRY,
            "reruns the failed part of a workflow, under the same name",
            "retried",
            Option("restartSuccessful", Kind.BOOLEAN, "also rerun the selected nodes that succeeded", False),
            _NODES,
            _PARAMETERS,
        ),
        _on_workflow(
            Operation.RESUBMIT,
            "starts a copy of a workflow",
            "resubmitted",
            _PARAMETERS,
            reply=(_NEW,),
        ),
        _on_workflow(
            Operation.DELETE,
            "deletes a workflow",
            "deleted",
            Option("force", Kind.BOOLEAN, "delete it even if a finalizer holds it", False),
        ),
        _on_workflow(
            Operation.SET,
            "sets the phase, message or outputs of suspend nodes",
            "set",
            Option("nodeFieldSelector", Kind.TEXT, _SELECTOR, required=True),
            Option("phase", Kind.TEXT, "final phase of the nodes", choices=SET_PHASES),
            Option("message", Kind.TEXT, "message for the nodes"),
            Option("outputParameters", Kind.OUTPUTS, "output parameters by name; or the JSON text of such an object"),
        ),
        OperationSpec(
            Operation.GET,
            "reads one workflow as Argo has it",
            "Workflow read successfully",
            name_key="workflowId",
            options=(
                Option(
                    "fields", Kind.TEXT, "comma-separated paths to include; with `-` before the first, to leave out"
                ),
                Option("uid", Kind.TEXT, "required uid of the workflow, since a name can be reused"),
            ),
            is_spooled=False,
            reply=(
                _NAMED,
                ReplyKey("workflow", Kind.OBJECT, "the workflow, without metadata.managedFields"),
                ReplyKey("workflowStatus", Kind.OBJECT, "the five keys of a status message"),
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.LIST,
            "lists workflows, newest first",
            "Workflows listed successfully",
            options=(
                _LIMIT,
                _CONTINUE,
                Option("phase", Kind.PHASES, "only workflows in this phase, or in one of these phases"),
                _LABELS,
                _PREFIX,
                Option("createdAfter", Kind.TIME, "only workflows created later"),
                Option("finishedBefore", Kind.TIME, "only workflows that finished earlier"),
            ),
            is_spooled=False,
            reply=(
                ReplyKey("workflows", Kind.LIST, "each with the five keys of a status message, and `details`"),
                _MORE,
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.LINT,
            "checks a workflow as the bridge and Argo would, without starting it",
            "Workflow is valid",
            options=(Option("workflow", Kind.OBJECT, "the workflow, as in a trigger message", required=True),),
            is_spooled=False,
        ),
        OperationSpec(
            Operation.LOGS,
            "reads the logs of a workflow's containers",
            "Logs read successfully",
            name_key="workflowId",
            options=_LOG_OPTIONS,
            is_spooled=False,
            reply=(
                _NAMED,
                ReplyKey("lines", Kind.LIST, "in order of time, each with `pod` and `text`"),
                ReplyKey("more", Kind.BOOLEAN, "whether another reply to this request follows"),
                ReplyKey(
                    "ended",
                    Kind.TEXT,
                    "why following ended before the workflow: `time-limit`, `too-much`, `bridge-stopping`",
                    False,
                ),
                _CUT,
            ),
            streams=True,
        ),
        OperationSpec(
            Operation.LIST_TEMPLATES,
            "lists the templates that may be triggered, by name",
            "Templates listed successfully",
            options=(_LIMIT, _CONTINUE, _LABELS, _PREFIX, _CLUSTER),
            is_spooled=False,
            reply=(
                ReplyKey(
                    "templates", Kind.LIST, "each with `template` (its name), `description`, `entrypoint`, `parameters`"
                ),
                _MORE,
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.GET_TEMPLATE,
            "reads one template as Argo has it",
            "Template read successfully",
            name_key="template",
            options=(_CLUSTER,),
            is_spooled=False,
            reply=(
                ReplyKey("template", Kind.TEXT, "name of the template"),
                ReplyKey("manifest", Kind.OBJECT, "the template, without metadata.managedFields"),
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.SUSPEND_CRON,
            "suspends a CronWorkflow: it starts no workflows until it is resumed",
            "CronWorkflow suspended successfully",
            name_key="cron",
            reply=(_CRON,),
        ),
        OperationSpec(
            Operation.RESUME_CRON,
            "resumes a CronWorkflow: it starts workflows on schedule again",
            "CronWorkflow resumed successfully",
            name_key="cron",
            reply=(_CRON,),
        ),
        OperationSpec(
            Operation.TRIGGER_CRON,
            "starts a workflow from a CronWorkflow now",
            "CronWorkflow triggered successfully",
            name_key="cron",
            options=(
                _PARAMETERS,
                Option("entrypoint", Kind.TEXT, "template to begin with; default: its own"),
                Option("serviceAccount", Kind.TEXT, "service account of the pods; default: its own"),
            ),
            reply=(_NEW,),
        ),
    )
}
"""Every operation except `trigger`, whose message has a different format (`bridge.interface.messages`)."""

INTERFACE_KEYS = frozenset({"namespace", "workflow", "submit", "requestId", "eventId"}).union(
    (spec.name_key for spec in SPECS.values() if spec.name_key),
    (option.key for spec in SPECS.values() for option in spec.options),
)
"""Every key that any request may have: a key of another operation is accepted."""
