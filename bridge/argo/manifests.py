"""Puts an event's own values into a workflow manifest: name, marks and parameters. Sends nothing, validates nothing.

A `Manifests` belongs to one thread (dispatch); the functions are pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.argo.marks import BRIDGE_LABEL, CLUSTER_TEMPLATE_LABEL, TEMPLATE_LABEL, Marks
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowOrder

MAX_LABEL_CHARACTERS = 63

# Source: Kubernetes, ValidateAnnotationsSize: keys and values together.
MAX_ANNOTATION_BYTES = 256 * 1024

_CACHED_MANIFESTS = 256
_CACHED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Plan:
    """A manifest split into dicts, which are copied before a change, and bytes, which never change."""

    metadata: dict[str, Any]
    labels: dict[str, Any]
    annotations: dict[str, Any]
    arguments: dict[str, Any]
    parameters: tuple[dict[str, Any], ...]
    spec_rest: bytes
    rest: bytes


class Manifests:
    """Builds request bodies; remembers the last manifests it split, because many events share one.

    Thread: one owner.
    """

    def __init__(self) -> None:
        self._plans: OrderedDict[bytes, _Plan] = OrderedDict()
        self._size = 0

    def create_body(self, order: WorkflowOrder, marks: Marks) -> bytes:
        """Return the body of ``POST workflows/NAMESPACE``: ``{"workflow": {...}}``.

        `order.parameters` replace entries with the same name in ``spec.arguments.parameters`` (their ``valueFrom`` is
        removed, other keys stay), others are appended. All values are strings, because the Argo Server rounds numbers
        and empties objects (docs/design/argo-server.md).

        Raises:
            PermanentError: ``bad-manifest``: not a JSON object with objects in the expected places, or text that UTF-8
                cannot encode; ``annotations-too-large``: over 256 KiB.
        """
        plan = self._plan(order.manifest)
        annotations = {**plan.annotations, **order.annotations, **marks.annotations}
        metadata = {
            **plan.metadata,
            "name": order.name,
            "namespace": order.namespace,
            "labels": {**plan.labels, BRIDGE_LABEL: marks.bridge_id},
            "annotations": annotations,
        }
        arguments = {**plan.arguments, "parameters": _parameters(plan.parameters, order.parameters)}
        try:
            head = orjson.dumps(metadata)
            middle = orjson.dumps(arguments)
        except TypeError as error:  # orjson's JSONEncodeError: lone surrogates
            raise PermanentError(f"write manifest of {order.name}: {error}", code="bad-manifest") from error
        if len(head) > MAX_ANNOTATION_BYTES:
            _check_annotations(annotations, order.name)
        return b'{"workflow":{"metadata":%b,"spec":{"arguments":%b%b}%b}}' % (head, middle, plan.spec_rest, plan.rest)

    def _plan(self, manifest: bytes) -> _Plan:
        plan = self._plans.get(manifest)
        if plan is not None:
            self._plans.move_to_end(manifest)
            return plan
        plan = _take_apart(manifest)
        self._plans[manifest] = plan
        self._size += len(manifest)
        while len(self._plans) > 1 and (len(self._plans) > _CACHED_MANIFESTS or self._size > _CACHED_BYTES):
            oldest, _ = self._plans.popitem(last=False)
            self._size -= len(oldest)
        return plan


def _take_apart(manifest: bytes) -> _Plan:
    try:
        whole = orjson.loads(manifest)
    except orjson.JSONDecodeError as error:
        raise PermanentError(f"read manifest: {error}", code="bad-manifest") from error
    if whole is None:
        raise PermanentError("read manifest: it is empty", code="bad-manifest")
    whole = _object(whole, "the manifest")
    metadata = _object(whole.pop("metadata", None), "metadata")
    spec = _object(whole.pop("spec", None), "spec")
    arguments = _object(spec.pop("arguments", None), "spec.arguments")
    parameters = arguments.pop("parameters", None)
    if parameters is not None and not isinstance(parameters, list):
        raise PermanentError("read manifest: spec.arguments.parameters is not a list", code="bad-manifest")
    return _Plan(
        labels=_template_label(spec) | _object(metadata.pop("labels", None), "metadata.labels"),
        annotations=_object(metadata.pop("annotations", None), "metadata.annotations"),
        metadata=metadata,
        arguments=arguments,
        parameters=tuple(_as_text(_object(entry, "a parameter")) for entry in parameters or ()),
        spec_rest=_following_members(spec),
        rest=_following_members(whole),
    )


def _template_label(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the label by which Argo's user interface and duration estimates find a template's workflows.

    ``/submit`` sets it; after a create, only controllers from 4.1 on do (recordings ``lifecycle``, five releases).
    """
    reference = spec.get("workflowTemplateRef")
    if not isinstance(reference, dict):
        return {}
    name = reference.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_LABEL_CHARACTERS:
        return {}
    return {CLUSTER_TEMPLATE_LABEL if reference.get("clusterScope") is True else TEMPLATE_LABEL: name}


def _object(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PermanentError(f"read manifest: {what} is not an object", code="bad-manifest")
    return value


def _following_members(members: dict[str, Any]) -> bytes:
    """Return ``,"a":1,"b":2`` to follow another member, or b"" for none."""
    return b"," + orjson.dumps(members)[1:-1] if members else b""


def _as_text(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "value": value_text(entry["value"])} if entry.get("value") is not None else entry


def value_text(value: object) -> str:
    """Return a parameter's value for Argo: text unchanged, everything else as JSON text (``7``, ``{}``)."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _parameters(entries: tuple[dict[str, Any], ...], values: Mapping[str, str]) -> list[dict[str, Any]]:
    if not values:
        return list(entries)
    seen = set()
    merged = []
    for entry in entries:
        name = entry.get("name")
        if isinstance(name, str) and name in values:
            seen.add(name)
            kept = {key: value for key, value in entry.items() if key != "valueFrom"}
            kept["value"] = values[name]
            merged.append(kept)
        else:
            merged.append(entry)
    merged.extend({"name": name, "value": value} for name, value in values.items() if name not in seen)
    return merged


def _check_annotations(annotations: Mapping[str, object], name: str) -> None:
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATION_BYTES:
        text = (
            f"write manifest of {name}: its annotations have {size} bytes, Kubernetes' maximum is "
            f"{MAX_ANNOTATION_BYTES}"
        )
        raise PermanentError(text, code="annotations-too-large")


def template_workflow(template: str, cluster: bool = False) -> dict[str, Any]:
    """Return the workflow object that runs a WorkflowTemplate (`cluster`: a ClusterWorkflowTemplate).

    Uses ``spec.workflowTemplateRef`` instead of ``/submit`` (docs/design/argo-server.md).
    """
    reference: dict[str, Any] = {"name": template}
    if cluster:
        reference["clusterScope"] = True
    return {"metadata": {}, "spec": {"workflowTemplateRef": reference}}


def template_manifest(
    template: str,
    *,
    cluster: bool = False,
    entrypoint: str = "",
    service_account: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Return `template_workflow` as JSON, with what ``submit`` of a trigger message adds ("" and None: nothing)."""
    workflow = template_workflow(template, cluster)
    added = {"entrypoint": entrypoint, "serviceAccountName": service_account}
    workflow["spec"] |= {key: value for key, value in added.items() if value}
    groups = {"labels": dict(labels or {}), "annotations": dict(annotations or {})}
    workflow["metadata"] |= {key: value for key, value in groups.items() if value}
    return orjson.dumps(workflow)
