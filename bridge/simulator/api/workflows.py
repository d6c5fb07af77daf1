"""The endpoints of workflows: create, get, list, delete, watch.

Each handler takes a caller and a request and returns a value or raises `ApiError`; routing and bytes are handled by
`api`. Run on the simulator's loop thread. Source: Argo v4.1 server/workflow/workflow_server.go; texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.api.label_selectors import parse_label_selector
from bridge.simulator.api.listing import parse_bool, parse_int, parse_list_query
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import ApiError, invalid, not_found
from bridge.simulator.http.fields import parse_fields
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.routing import CallerOf
from bridge.simulator.http.watch import WatchQuery
from bridge.simulator.objects.admission import Admission
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.world import World

_MAX_DIGITS = 20


class WorkflowsApi:
    """Endpoints of workflows.

    Args:
        world: The state they work on.
        admission: Admits new workflows.
    """

    def __init__(self, world: World, admission: Admission) -> None:
        self._world = world
        self._admission = admission

    def create(self, request: ParsedRequest, caller_of: CallerOf, namespace: str) -> Object:
        """POST workflows/NS."""
        asked = self._world.decoder.decode_request(request.body, "WorkflowCreateRequest")
        caller = caller_of()
        manifest = asked.get("workflow")
        if manifest is None:
            raise invalid("workflow body not specified")
        return self._admission.admit(
            manifest,
            caller,
            namespace,
            dry_run=bool(asked.get("createOptions", {}).get("dryRun")),
            server_dry_run=bool(asked.get("serverDryRun")),
        )

    def get(self, request: ParsedRequest, caller: Caller, namespace: str, name: str) -> Object:
        """GET workflows/NS/N."""
        world = self._world
        world.access.require(caller, "get", namespace, name)
        if not name:
            raise ApiError(13, "resource name may not be empty")
        workflow = self.find_any(namespace, name)
        uid = request.params.get("uid", "")
        if uid and uid != workflow["metadata"]["uid"] and world.release.minor >= (3, 7):
            workflow = self._archived(uid)
        return world.factory.cut(workflow, parse_fields(request.params.get("fields", "")))

    def _archived(self, uid: str) -> Object:
        archive = self._world.archive
        if archive is None:
            raise ApiError(13, "runtime error: invalid memory address or nil pointer dereference")  # a bug in Argo
        copy = archive.get(uid)
        if copy is None:
            raise ApiError(5, "not found")
        return copy

    def find(self, namespace: str, name: str) -> Object:
        """Find a workflow, by name or as `@latest`.

        Raises:
            ApiError: 404.
        """
        store = self._world.store
        if name == "@latest":
            there = [w for (where, _), w in store.workflows.items() if where == namespace]
            if not there:
                raise ApiError(5, "no workflows found")
            return max(there, key=lambda w: (w["metadata"]["creationTimestamp"], int(w["metadata"]["resourceVersion"])))
        workflow = store.get(namespace, name)
        if workflow is None:
            raise not_found("workflows", name)
        return workflow

    def find_any(self, namespace: str, name: str) -> Object:
        """Find a living workflow, or its copy in the archive.

        Raises:
            ApiError: 404.
        """
        try:
            return self.find(namespace, name)
        except ApiError:
            archive = self._world.archive
            copy = None if archive is None else archive.newest(namespace, name)
            if copy is None:
                raise
            return copy

    def list(self, request: ParsedRequest, caller: Caller, namespace: str) -> Object:
        """GET workflows/NS; an empty namespace lists all."""
        world = self._world
        world.access.require(caller, "list", namespace)
        query = parse_list_query(namespace, request.params, world.release)
        workflows, version = world.store.listed()
        archive = world.archive
        visible = workflows.values() if archive is None else archive.beside(workflows.values())
        page, about = query.page(visible, world.release, counts_on=archive is not None)
        answer: Object = {"metadata": {"resourceVersion": str(version), **about}, "items": page or None}
        fields = parse_fields(request.params.get("fields", ""))
        if fields is None:
            return answer
        cut = fields.apply(answer)
        items = cut.get("items")
        shells = None if items is None else [world.factory.with_shells(item) for item in items]
        return {"metadata": cut.get("metadata", {}), "items": shells}

    def delete(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        """DELETE workflows/NS/N; `force` has no effect, because no workflow here has waiting finalizers."""
        parse_bool(request.params, "force")
        caller = caller_of()
        for verb in ("get", "delete"):
            self._world.access.require(caller, verb, namespace, name)
        workflow = self.find(namespace, name)
        self.remove(workflow)
        return {}

    def remove(self, workflow: Object) -> None:
        """Delete a workflow."""
        metadata = workflow["metadata"]
        self._world.controller.forget(workflow)
        self._world.store.remove(metadata["namespace"], metadata["name"])

    def watch_query(self, request: ParsedRequest, caller: Caller, namespace: str) -> WatchQuery:
        """GET workflow-events/NS: parses the parameters of a watch."""
        params = request.params
        timeout_s = parse_int(params, "listOptions.timeoutSeconds")
        bookmarks = parse_bool(params, "listOptions.allowWatchBookmarks")
        self._world.access.require(caller, "watch", namespace)
        name = ""
        for requirement in filter(None, params.get("listOptions.fieldSelector", "").split(",")):
            key, _, value = requirement.replace("==", "=").partition("=")
            if key == "metadata.name":
                name = self.find(namespace, value)["metadata"]["name"]
            elif key != "metadata.namespace":
                raise invalid(f"field label not supported: {key}")
        version = params.get("listOptions.resourceVersion", "")
        if version and not (version.isdecimal() and len(version) < _MAX_DIGITS):
            text = f'strconv.ParseUint: parsing "{version}": invalid syntax'
            raise ApiError(13, f'resourceVersion: Invalid value: "{version}": {text}')  # Kubernetes' own 500, not a 400
        return WatchQuery(
            namespace=namespace,
            selects=parse_label_selector(params.get("listOptions.labelSelector", "")),
            name=name,
            version=int(version) if version not in ("", "0") else None,
            fields=parse_fields(params.get("fields", "")),
            sse=is_sse(request),
            bookmarks=bookmarks,
            timeout_s=None if timeout_s is None else float(timeout_s),
        )


def is_sse(request: ParsedRequest) -> bool:
    """Whether a watch requests server-sent events; the header must match exactly."""
    return request.headers.get("accept") == "text/event-stream"
