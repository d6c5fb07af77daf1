"""The endpoints that take a workflow from another source: submit from a template or CronWorkflow, and lint.

Builds manifests and passes them to admission or validation. Run on the simulator's loop thread. Source: Argo v4.1
server/workflow/workflow_server.go, workflow/common/convert.go; texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.controller.reruns import with_parameters
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import ApiError, invalid, not_found
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.routing import CallerOf
from bridge.simulator.objects.admission import Admission
from bridge.simulator.objects.objects import LABEL
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.world import World

_INTERNAL = 13
_UNKNOWN = 2
_INVALID = 3
_TEMPLATE, _CLUSTER_TEMPLATE, _CRON = "workflow-template", "cluster-workflow-template", "cron-workflow"
_KINDS = {
    **dict.fromkeys(("WorkflowTemplate", "workflowtemplate", "workflowtemplates", "wftmpl"), _TEMPLATE),
    **dict.fromkeys(
        ("ClusterWorkflowTemplate", "clusterworkflowtemplate", "clusterworkflowtemplates", "cwftmpl"),
        _CLUSTER_TEMPLATE,
    ),
    **dict.fromkeys(("CronWorkflow", "cronworkflow", "cronworkflows", "cronwf"), _CRON),
}


class SubmitApi:
    """Endpoints of submit and lint.

    Args:
        world: The state they work on.
        admission: Admits submitted workflows.
    """

    def __init__(self, world: World, admission: Admission) -> None:
        self._world = world
        self._admission = admission

    def submit(self, request: ParsedRequest, caller_of: CallerOf, namespace: str) -> Object:
        """POST workflows/NS/submit."""
        asked = self._world.decoder.decode_request(request.body, "WorkflowSubmitRequest")
        caller = caller_of()
        kind, name = _KINDS.get(asked.get("resourceKind", "")), asked.get("resourceName", "")
        if kind is None:
            raise invalid(f"Resource kind '{asked.get('resourceKind', '')}' is not supported for submitting")
        manifest = self._from_cron(caller, namespace, name) if kind == _CRON else _from_template(kind, name)
        options = asked.get("submitOptions", {})
        return self._admission.admit(
            _with_options(manifest, options, f"{LABEL}{kind}", name),
            caller,
            namespace,
            dry_run=bool(options.get("dryRun")),
            server_dry_run=bool(options.get("serverDryRun")),
        )

    def _from_cron(self, caller: Caller, namespace: str, name: str) -> Object:
        self._world.access.require_other(caller, "get", "cronworkflows", namespace, name)
        cron = self._world.store.crons.get((namespace, name))
        if cron is None:
            raise not_found("cronworkflows", name)
        about = cron["spec"].get("workflowMetadata", {})
        owner = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "CronWorkflow",
            "name": name,
            "uid": cron["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        annotations = {**about.get("annotations", {}), f"{LABEL}scheduled-time": self._world.wall.timestamp()}
        metadata = {
            "generateName": f"{name}-",
            "labels": about.get("labels", {}),
            "annotations": annotations,
            "ownerReferences": [owner],
        }
        return {"metadata": metadata, "spec": cron["spec"]["workflowSpec"]}

    def lint(self, request: ParsedRequest, caller_of: CallerOf, namespace: str) -> Object:
        """POST workflows/NS/lint; findings are reported as a 500 here."""
        del namespace  # the server looks templates up in the manifest's namespace
        world = self._world
        manifest = world.decoder.decode_request(request.body, "WorkflowLintRequest").get("workflow")
        caller = caller_of()
        if manifest is None:
            raise ApiError(_UNKNOWN, "unable to get a workflow")
        where = manifest["metadata"].get("namespace", "")
        try:
            world.validator.check_workflow(manifest, world.store.lookup_in(where), values_required=False)
        except ApiError as error:
            raise ApiError(_UNKNOWN if error.code == _INVALID else error.code, error.message) from error
        labels = {**manifest["metadata"].get("labels", {}), **caller.creator_labels()}
        metadata = {**manifest["metadata"], **({"labels": dict(sorted(labels.items()))} if labels else {})}
        return world.factory.with_shells({**manifest, "metadata": metadata})


def _from_template(kind: str, name: str) -> Object:
    reference = {"name": name, "clusterScope": True} if kind == _CLUSTER_TEMPLATE else {"name": name}
    return {"metadata": {"generateName": f"{name}-"}, "spec": {"arguments": {}, "workflowTemplateRef": reference}}


def _with_options(manifest: Object, options: Object, label: str, name: str) -> Object:
    """Return a manifest with the submit options applied, and the label that names its source."""
    metadata = {**manifest["metadata"]}
    labels = {**metadata.get("labels", {}), label: name, **_pairs(options.get("labels", ""))}
    annotations = {**metadata.get("annotations", {}), **_pairs(options.get("annotations", ""))}
    metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    for key in ("name", "generateName"):
        if options.get(key):
            metadata[key] = options[key]
    if options.get("ownerReference"):
        metadata["ownerReferences"] = [*metadata.get("ownerReferences", []), options["ownerReference"]]
    spec = with_parameters(manifest["spec"], tuple(options.get("parameters", ())))
    fields = {"entryPoint": "entrypoint", "serviceAccount": "serviceAccountName"}
    for option in ("entryPoint", "serviceAccount", "podPriorityClassName", "priority"):
        if options.get(option):
            spec = {**spec, fields.get(option, option): options[option]}
    return {"metadata": metadata, "spec": spec}


def _pairs(text: str) -> dict[str, str]:
    """Parse labels or annotations, given as `a=b,c=d`.

    Raises:
        ApiError: 500: a value must not contain commas or `=`.
    """
    pairs: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not equals or "=" in value:
            raise ApiError(_INTERNAL, f"unexpected label spec: {part}")
        if not key:
            raise ApiError(_INTERNAL, "unexpected empty label key")
        pairs[key] = value
    return pairs
