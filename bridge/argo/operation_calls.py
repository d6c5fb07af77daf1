"""Builds requests to the Argo Server that change a workflow or CronWorkflow. Pure.

Sends nothing and decides nothing: the pipeline decides what a response means for an operation. Any thread. Source:
docs/design/argo-server.md, Operations; the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.argo.handles import HttpRequest
from bridge.argo.marks import (
    ARGO_PREFIX,
    BRIDGE_LABEL,
    CONNECTION_ANNOTATION,
    EVENT_ANNOTATION,
    OWN_PREFIX,
    PREVIOUS_LABEL,
    TOPIC_ANNOTATION,
    Marks,
)
from bridge.argo.options import HEAVY_FIELDS, segment, with_query, workflow_path
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowOrder
from bridge.interface.operations import Operation

# What a resubmitted workflow does not inherit. Source: Argo v4.1 workflow/util FormulateResubmitWorkflow.
_NOT_INHERITED = frozenset(
    ARGO_PREFIX + name
    for name in (
        "creator",
        "creator-email",
        "creator-preferred-username",
        "phase",
        "completed",
        "workflow-archiving-status",
    )
)

BRIEF_LEFT_OUT = ("spec", *HEAVY_FIELDS)
"""Fields left out if only metadata and the small part of a status are wanted."""


def look_at(namespace: str, name: str) -> HttpRequest:
    """Return the request that reads a workflow's metadata and the small part of its status."""
    path = with_query(workflow_path(namespace, name), fields="-" + ",".join(BRIEF_LEFT_OUT))
    return HttpRequest("GET", path, expects=name)


def source_of(namespace: str, name: str) -> HttpRequest:
    """Return the request that reads what a resubmission copies: metadata and spec."""
    path = with_query(workflow_path(namespace, name), fields="-metadata.managedFields,status")
    return HttpRequest("GET", path, expects=name)


def change(operation: Operation, namespace: str, name: str, options: Mapping[str, object]) -> HttpRequest:
    """Return the request that carries out an operation on an existing object; `options` as read by the interface.

    Raises:
        PermanentError: ``bad-name``.
    """
    if operation is Operation.DELETE:
        path = with_query(workflow_path(namespace, name), force="true" if options.get("force") else "")
        return HttpRequest("DELETE", path)
    verb = operation.value.removesuffix("-cron")
    is_cron = verb != operation.value
    path = f"{cron_path(namespace, name)}/{verb}" if is_cron else workflow_path(namespace, name, verb)
    return HttpRequest("PUT", path, orjson.dumps(_verb_body(options)), expects=name)


def cron_path(namespace: str, name: str) -> str:
    """Path of one CronWorkflow; `PermanentError` (``bad-name``) for a name that Kubernetes does not have."""
    return f"/api/v1/cron-workflows/{segment(namespace, 'namespace')}/{segment(name, 'CronWorkflow')}"


def _verb_body(options: Mapping[str, object]) -> dict[str, object]:
    """Return the body of a PUT: options unchanged, except for parameters and outputs, which get Argo's format."""
    body = {key: value for key, value in options.items() if value not in (False, {})}
    parameters, outputs = options.get("parameters"), options.get("outputParameters")
    if isinstance(parameters, dict) and parameters:
        body["parameters"] = _pairs(parameters)
    if isinstance(outputs, dict) and outputs:
        body["outputParameters"] = orjson.dumps(outputs).decode()
    return body


def _pairs(parameters: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in parameters.items()]


@dataclass(frozen=True, slots=True)
class CronSubmission:
    """A workflow to start, with a fixed name, from the CronWorkflow `cron` of its namespace.

    `options` are those of ``parameters``, ``entrypoint``, ``serviceAccount`` that were given.
    """

    namespace: str
    cron: str
    name: str
    options: Mapping[str, object]


def submit_cron(submission: CronSubmission, marks: Marks) -> HttpRequest:
    """Return the request that starts a workflow from a CronWorkflow.

    Uses ``submit``, because then Argo adds label, scheduled time and owner. It takes labels and annotations as one
    comma-separated text each, so an annotation whose value has a comma or ``=`` is left out; the event's has none.

    Raises:
        PermanentError: ``bad-name``.
    """
    options = submission.options
    annotations = {
        EVENT_ANNOTATION: marks.event_id.hex(),
        TOPIC_ANNOTATION: marks.topic,
        CONNECTION_ANNOTATION: marks.connection,
    }
    wanted = {
        "name": submission.name,
        "entryPoint": options.get("entrypoint"),
        "serviceAccount": options.get("serviceAccount"),
        "labels": f"{BRIDGE_LABEL}={marks.bridge_id}",
        "annotations": ",".join(
            f"{key}={value}" for key, value in annotations.items() if value and not set(value) & set(",=")
        ),
    }
    submit: dict[str, object] = {key: value for key, value in wanted.items() if value}
    parameters = options.get("parameters")
    if isinstance(parameters, dict) and parameters:
        submit["parameters"] = _pairs(parameters)
    cron = segment(submission.cron, "CronWorkflow")
    body = {"resourceKind": "CronWorkflow", "resourceName": cron, "submitOptions": submit}
    path = f"/api/v1/workflows/{segment(submission.namespace, 'namespace')}/submit"
    return HttpRequest("POST", path, orjson.dumps(body), expects=submission.name)


def resubmission(source: Mapping[str, Any], order: WorkflowOrder) -> WorkflowOrder:
    """Return `order` with the manifest of a workflow like `source`, copied as by Argo's own resubmit.

    Raises:
        PermanentError: ``not-argo``: it has no metadata or no spec.
    """
    metadata, spec = source.get("metadata"), source.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise PermanentError("read the workflow to resubmit: it has no metadata or no spec", code="not-argo")
    labels = {key: value for key, value in _members(metadata, "labels") if key not in _NOT_INHERITED}
    copied: dict[str, Any] = {
        "labels": {**labels, PREVIOUS_LABEL: metadata.get("name", "")},
        "annotations": dict(_members(metadata, "annotations")),
    }
    if metadata.get("ownerReferences"):
        copied["ownerReferences"] = metadata["ownerReferences"]
    # A terminated workflow of old releases has a deadline of 0, which must not be inherited.
    kept = {key: value for key, value in spec.items() if key != "shutdown" and (key, value) != _TERMINATED}
    return WorkflowOrder(
        namespace=order.namespace,
        base=order.base,
        manifest=orjson.dumps({"metadata": copied, "spec": kept}),
        name=order.name,
        parameters=order.parameters,
    )


_TERMINATED = ("activeDeadlineSeconds", 0)


def _members(metadata: Mapping[str, Any], group: str) -> list[tuple[str, Any]]:
    """Return labels or annotations without the bridge's own marks, which refer to the old event."""
    members = metadata.get(group)
    given = members.items() if isinstance(members, dict) else ()
    return [(key, value) for key, value in given if not key.startswith(OWN_PREFIX)]
