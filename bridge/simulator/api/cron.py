"""The endpoints of CronWorkflows: create, get, list, update, delete, lint, suspend, resume.

CronWorkflows are stored and can be submitted; they never fire by themselves. Each handler takes a caller and a request
and returns a value or raises `ApiError`. Run on the simulator's loop thread. Source: Argo v4.1 server/cronworkflow,
workflow/validate (ValidateCronWorkflow); texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.api.label_selectors import parse_label_selector
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import ApiError, already_exists, invalid, not_found
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.objects.cron_schedules import fault_in
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.validation import check_metadata, check_place, check_version
from bridge.simulator.objects.world import World

_RESOURCE = "cronworkflows"
_NOT_FOUND = 5


class CronApi:
    """Endpoints of CronWorkflows.

    Args:
        world: The state they work on.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def create(self, request: ParsedRequest, caller: Caller, namespace: str) -> Object:
        """POST cron-workflows/NS."""
        world = self._world
        manifest = self._manifest(request, "CreateCronWorkflowRequest")
        self._check(manifest, namespace)
        world.access.require_other(caller, "create", _RESOURCE, namespace)
        check_place(manifest["metadata"], namespace)
        if namespace not in world.namespaces:
            raise not_found("namespaces", namespace)
        named = world.factory.with_name(manifest)
        check_metadata("CronWorkflow", named["metadata"], world.release)
        name = named["metadata"]["name"]
        if (namespace, name) in world.store.crons:
            raise already_exists(_RESOURCE, name)
        return world.store.put_cron(world.factory.cron(named, namespace, caller.creator_labels()))

    def lint(self, request: ParsedRequest, caller: Caller, namespace: str) -> Object:
        """POST cron-workflows/NS/lint."""
        del caller
        manifest = self._manifest(request, "LintCronWorkflowRequest")
        self._check(manifest, namespace)
        return manifest

    def get(self, request: ParsedRequest, caller: Caller, namespace: str, name: str) -> Object:
        """GET cron-workflows/NS/N."""
        del request
        self._world.access.require_other(caller, "get", _RESOURCE, namespace, name)
        return self._find(namespace, name)

    def list(self, request: ParsedRequest, caller: Caller, namespace: str) -> Object:
        """GET cron-workflows/NS; an empty namespace lists all."""
        store = self._world.store
        self._world.access.require_other(caller, "list", _RESOURCE, namespace)
        selects = parse_label_selector(request.params.get("listOptions.labelSelector", ""))
        found = [
            cron
            for (where, _), cron in sorted(store.crons.items())
            if namespace in ("", where) and (selects is None or selects(cron["metadata"].get("labels", {})))
        ]
        return {"metadata": {"resourceVersion": str(store.version)}, "items": found or None}

    def update(self, request: ParsedRequest, caller: Caller, namespace: str, name: str) -> Object:
        """PUT cron-workflows/NS/N."""
        world = self._world
        manifest = self._manifest(request, "UpdateCronWorkflowRequest")
        world.access.require_other(caller, "get", _RESOURCE, namespace, name)
        before = self._find(namespace, name)
        self._check(manifest, namespace)
        world.access.require_other(caller, "update", _RESOURCE, namespace, name)
        check_version(_RESOURCE, before["metadata"], manifest["metadata"])
        changed = world.factory.updated_template(before, manifest)
        return world.store.put_cron({**changed, "status": before["status"]})

    def delete(self, request: ParsedRequest, caller: Caller, namespace: str, name: str) -> Object:
        """DELETE cron-workflows/NS/N."""
        del request
        for verb in ("get", "delete"):
            self._world.access.require_other(caller, verb, _RESOURCE, namespace, name)
        self._find(namespace, name)
        self._world.store.remove_cron(namespace, name)
        return {}

    def suspend(self, request: ParsedRequest, caller: Caller, namespace: str, name: str) -> Object:
        """PUT cron-workflows/NS/N/suspend."""
        self._world.decoder.decode_request(request.body, "CronWorkflowSuspendRequest")
        return self._set_suspend(caller, namespace, name, suspend=True)

    def resume(self, request: ParsedRequest, caller: Caller, namespace: str, name: str) -> Object:
        """PUT cron-workflows/NS/N/resume."""
        self._world.decoder.decode_request(request.body, "CronWorkflowResumeRequest")
        return self._set_suspend(caller, namespace, name, suspend=False)

    def _set_suspend(self, caller: Caller, namespace: str, name: str, *, suspend: bool) -> Object:
        world = self._world
        world.access.require_other(caller, "patch", _RESOURCE, namespace, name)
        before = self._find(namespace, name)
        spec = {key: value for key, value in before["spec"].items() if key != "suspend"}
        if suspend:
            spec["suspend"] = True
        if spec == before["spec"]:
            return before
        changed = {**before, "spec": world.decoder.ordered(spec, "CronWorkflowSpec")}
        return world.store.put_cron(world.factory.rewritten(changed, {}, "spec", "status"))

    def _manifest(self, request: ParsedRequest, struct: str) -> Object:
        manifest: Object | None = self._world.decoder.decode_request(request.body, struct).get("cronWorkflow")
        if manifest is None:
            raise ApiError(_NOT_FOUND, "cron workflow was not found in the request body")
        return manifest

    def _find(self, namespace: str, name: str) -> Object:
        cron = self._world.store.crons.get((namespace, name))
        if cron is None:
            raise not_found(_RESOURCE, name)
        return cron

    def _check(self, manifest: Object, namespace: str) -> None:
        spec, several = manifest["spec"], self._world.release.schedules
        schedules = [*([spec["schedule"]] if spec.get("schedule") else []), *spec.get("schedules", [])]
        if not schedules and several:
            raise invalid("cron workflow must have at least one schedule")
        for schedule in schedules or [""]:
            fault = fault_in(schedule)
            if fault:
                raise invalid(f"cron schedule {f'{schedule} ' if several else ''}is malformed: {fault}")
        workflow = {"metadata": {}, "spec": spec["workflowSpec"]}
        self._world.validator.check_workflow(workflow, self._world.store.lookup_in(namespace))
