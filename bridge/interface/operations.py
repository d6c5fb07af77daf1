"""The table of operations: the options and replies of each.

The parser, the JSON Schemas, the commands and the reference are all derived from it. Pure; decides nothing about a
request.

Source: docs/design/argo-server.md, Operations (the options are those of the Argo Server's own endpoints).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.interface.keys import (
    ANY_TEXT,
    BOOLEAN,
    NAME,
    OBJECT,
    OUTPUTS,
    PARAMETERS,
    PHASE_OR_PHASES,
    TEXT,
    TIME,
    BodyKey,
    always,
    choice,
    integer,
    list_of,
    referred,
)

OPERATION_MAX_AGE_S = 300.0
"""A spooled operation that Argo has not accepted within this time is answered with ``expired``."""


class Operation(Enum):
    """One operation; the value is its topic level and its name in ``interface.operations``."""

    TRIGGER = "trigger"
    STOP = "stop"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    RESUME = "resume"
    RETRY = "retry"
    RESUBMIT = "resubmit"
    DELETE = "delete"
    SET = "set"
    GET = "get"
    LIST = "list"
    LINT = "lint"
    LOGS = "logs"
    LIST_TEMPLATES = "list-templates"
    GET_TEMPLATE = "get-template"
    SUSPEND_CRON = "suspend-cron"
    RESUME_CRON = "resume-cron"
    TRIGGER_CRON = "trigger-cron"


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """One operation.

    Attributes:
        operation: the operation.
        meaning: a sentence for the reference, without a full stop.
        success: the text of ``status`` in its success reply.
        name_key: the key of `NAMED` that names the object, or "".
        options: the keys besides ``namespace``, the name, ``requestId`` and ``eventId``.
        told: the keys of its success reply besides ``status``, the name and ``requestId``.
        repeat: what a repetition after a lost response does, a sentence for the reference; "" for a read.
        rights: at the Argo Server, beyond those of every bridge, for the reference; "" if there are none.
        creates: whether it makes a workflow, named after its event, which can be looked up.
        ends: whether it asks a workflow to finish; that a finished one cannot be asked is success.
        makes_room: whether it is most needed when the spool and the cluster are full.
        can_wait: whether the command can follow the workflow until it finishes.
    """

    operation: Operation
    meaning: str
    success: str
    name_key: str = ""
    options: tuple[BodyKey, ...] = ()
    told: tuple[BodyKey, ...] = ()
    repeat: str = ""
    rights: str = ""
    creates: bool = False
    ends: bool = False
    makes_room: bool = False
    can_wait: bool = False

    @property
    def is_spooled(self) -> bool:
        """Whether it is stored before it is acknowledged, retried over restarts, and expires after 5 minutes.

        Otherwise it is answered at once.
        """
        return bool(self.repeat)

    @property
    def keys(self) -> tuple[BodyKey, ...]:
        """The keys of its request except those that every request may have."""
        return (*([NAMED[self.name_key]] if self.name_key else ()), *self.options)

    @property
    def reply(self) -> tuple[BodyKey, ...]:
        """The keys of its success reply besides ``status`` and ``requestId``."""
        if self.creates:
            return (always("workflowId", ANY_TEXT, "name of the new workflow"), *self.told)
        named = [always(self.name_key, ANY_TEXT, NAMED[self.name_key].meaning)] if self.name_key else ()
        return (*named, *self.told)


NAMED = {
    key.name: key
    for key in (
        always("workflowId", NAME, "name of the workflow"),
        always("template", NAME, "name of the template"),
        always("cron", NAME, "name of the CronWorkflow"),
    )
}
_SELECTOR = "field selector for nodes, e.g. `displayName=approve`"
_NODES = BodyKey("nodeFieldSelector", TEXT, _SELECTOR)
_PARAMETERS = BodyKey(
    "parameters", PARAMETERS, "values that override the workflow's own, by name; or a list of `NAME=VALUE`"
)
_LABELS = BodyKey("labels", TEXT, "Kubernetes label selector, e.g. `line=3,shift!=night`")
_PREFIX = BodyKey("prefix", TEXT, "only names that begin with this")
_LIMIT = BodyKey("limit", integer(1, 500), "maximum number of items; fewer if the packet is full", 50)
_CONTINUE = BodyKey("continue", TEXT, "the value of `continue` in the previous reply, to get the next page")
_CLUSTER = BodyKey("cluster", BOOLEAN, "ClusterWorkflowTemplates instead of the namespace's own", False)

_CUT = BodyKey("details", referred("Cut"), "`truncated: true` where something was left out to fit the largest packet")
_MORE = BodyKey("continue", ANY_TEXT, "token for the next page; absent on the last page")


_AGAIN = "repeated; if `nodeFieldSelector` no longer matches any node, that is success"
_ENDED = "repeated; on a finished workflow the result is success, also the first time"
_NEW_NAME = (
    "the new workflow's name is derived from the event, as for a trigger message: the bridge looks it up, and creates "
    "it only if it does not exist"
)
_PATCH, _UPDATE = "`workflows`: `patch`", "`workflows`: `update`"


def _on_workflow(operation: Operation, meaning: str, done: str, *options: BodyKey, **more: Any) -> OperationSpec:
    return OperationSpec(operation, meaning, f"Workflow {done} successfully", "workflowId", options, **more)


_LOG_OPTIONS = (
    BodyKey("podName", TEXT, "only this pod"),
    BodyKey("container", TEXT, "name of the container in each pod", "main"),
    BodyKey("selector", TEXT, "label selector for pods"),
    BodyKey("grep", TEXT, "only lines that match this regular expression"),
    BodyKey("tailLines", integer(1, 10_000), "number of last lines", 100),
    BodyKey("sinceSeconds", integer(1, 10 * 365 * 86_400), "only lines from this many last seconds"),
    BodyKey("timestamps", BOOLEAN, "begin each line with its time", False),
    BodyKey("previous", BOOLEAN, "the log of the container before its restart", False),
    BodyKey("limitBytes", integer(1, 16 * 1024 * 1024), "maximum number of bytes per container"),
    BodyKey("follow", BOOLEAN, "continue with new lines until the workflow finishes, at most 10 minutes", False),
)

SPECS: dict[Operation, OperationSpec] = {
    spec.operation: spec
    for spec in (
        _on_workflow(
            Operation.STOP,
            "stops a workflow; its exit handler runs. With a selector, it instead fails the selected suspend nodes",
            "stopped",
            _NODES,
            BodyKey("message", TEXT, "message for the selected nodes"),
            repeat=_ENDED,
            rights=_PATCH,
            ends=True,
            makes_room=True,
            can_wait=True,
        ),
        _on_workflow(
            Operation.TERMINATE,
            "stops a workflow at once, without its exit handler",
            "terminated",
            repeat=_ENDED,
            rights=_PATCH,
            ends=True,
            makes_room=True,
            can_wait=True,
        ),
        _on_workflow(
            Operation.SUSPEND,
            "suspends a workflow: no further step starts until it is resumed",
            "suspended",
            repeat=_AGAIN,
            rights=_UPDATE,
        ),
        _on_workflow(
            Operation.RESUME,
            "resumes a suspended workflow, or its suspend nodes",
            "resumed",
            _NODES,
            repeat=_AGAIN,
            rights=_UPDATE,
            can_wait=True,
        ),
        _on_workflow(
            Operation.RETRY,
            "reruns the failed part of a workflow, under the same name",
            "retried",
            BodyKey("restartSuccessful", BOOLEAN, "also rerun the selected nodes that succeeded", False),
            _NODES,
            _PARAMETERS,
            repeat="success if the workflow runs or has a different start time than before the first attempt; "
            "otherwise repeated",
            rights=f"{_UPDATE}; `pods`: `delete`",
            can_wait=True,
        ),
        _on_workflow(
            Operation.RESUBMIT,
            "starts a copy of a workflow",
            "resubmitted",
            _PARAMETERS,
            repeat=_NEW_NAME,
            creates=True,
            can_wait=True,
        ),
        _on_workflow(
            Operation.DELETE,
            "deletes a workflow",
            "deleted",
            BodyKey("force", BOOLEAN, "delete it even if a finalizer holds it", False),
            repeat="success if the workflow is gone or its name belongs to a new workflow; otherwise repeated. In the "
            "first attempt, a missing workflow is an error",
            rights="`workflows`: `delete` (with `force`: `patch`)",
            makes_room=True,
        ),
        _on_workflow(
            Operation.SET,
            "sets the phase, message or outputs of suspend nodes",
            "set",
            BodyKey("nodeFieldSelector", TEXT, _SELECTOR, required=True),
            BodyKey("phase", choice("Succeeded", "Failed", "Error"), "final phase of the nodes"),
            BodyKey("message", TEXT, "message for the nodes"),
            BodyKey("outputParameters", OUTPUTS, "output parameters by name; or the JSON text of such an object"),
            repeat=_AGAIN,
            rights=_UPDATE,
        ),
        OperationSpec(
            Operation.GET,
            "reads one workflow as Argo has it",
            "Workflow read successfully",
            name_key="workflowId",
            options=(
                BodyKey("fields", TEXT, "comma-separated paths to include; with `-` before the first, to leave out"),
                BodyKey("uid", TEXT, "required uid of the workflow, since a name can be reused"),
            ),
            told=(
                always("workflow", OBJECT, "the workflow, without metadata.managedFields"),
                always("workflowStatus", referred("WorkflowStatus"), "the five keys of a status message"),
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
                BodyKey("phase", PHASE_OR_PHASES, "only workflows in this phase, or in one of these phases"),
                _LABELS,
                _PREFIX,
                BodyKey("createdAfter", TIME, "only workflows created later"),
                BodyKey("finishedBefore", TIME, "only workflows that finished earlier"),
            ),
            told=(
                always(
                    "workflows", list_of("ListedWorkflow"), "each with the five keys of a status message, and `details`"
                ),
                _MORE,
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.LINT,
            "checks a workflow as the bridge and Argo would, without starting it",
            "Workflow is valid",
            options=(BodyKey("workflow", OBJECT, "the workflow, as in a trigger message", required=True),),
        ),
        OperationSpec(
            Operation.LOGS,
            "reads the logs of a workflow's containers",
            "Logs read successfully",
            name_key="workflowId",
            options=_LOG_OPTIONS,
            rights="`pods`: `list`, `watch`; `pods/log`: `get`",
            told=(
                always("lines", list_of("LogLine"), "in order of time, each with `pod` and `text`"),
                always("more", BOOLEAN, "whether another reply to this request follows"),
                BodyKey(
                    "ended",
                    ANY_TEXT,
                    "why following ended before the workflow: `time-limit`, `too-much`, `bridge-stopping`",
                ),
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.LIST_TEMPLATES,
            "lists the templates that may be triggered, by name",
            "Templates listed successfully",
            options=(_LIMIT, _CONTINUE, _LABELS, _PREFIX, _CLUSTER),
            rights="`workflowtemplates`: `list` (cluster-wide: `clusterworkflowtemplates`)",
            told=(
                always(
                    "templates",
                    list_of("ListedTemplate"),
                    "each with `template` (its name), `description`, `entrypoint`, `parameters`",
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
            told=(
                always("manifest", OBJECT, "the template, without metadata.managedFields"),
                _CUT,
            ),
        ),
        OperationSpec(
            Operation.SUSPEND_CRON,
            "suspends a CronWorkflow: it starts no workflows until it is resumed",
            "CronWorkflow suspended successfully",
            name_key="cron",
            repeat=_AGAIN,
            rights="`cronworkflows`: `get`, `update`",
        ),
        OperationSpec(
            Operation.RESUME_CRON,
            "resumes a CronWorkflow: it starts workflows on schedule again",
            "CronWorkflow resumed successfully",
            name_key="cron",
            repeat=_AGAIN,
            rights="`cronworkflows`: `get`, `update`",
        ),
        OperationSpec(
            Operation.TRIGGER_CRON,
            "starts a workflow from a CronWorkflow now",
            "CronWorkflow triggered successfully",
            name_key="cron",
            options=(
                _PARAMETERS,
                BodyKey("entrypoint", TEXT, "template to begin with; default: its own"),
                BodyKey("serviceAccount", TEXT, "service account of the pods; default: its own"),
            ),
            repeat=_NEW_NAME,
            rights="`cronworkflows`: `get`",
            creates=True,
            can_wait=True,
        ),
    )
}
"""Every operation except `trigger`, whose message has a different format (`bridge.interface.messages`)."""
