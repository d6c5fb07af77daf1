"""The endpoints of workflows: create, get, list, delete, watch.

Each handler takes a caller and a request and returns a value or raises `ApiError`; routing and bytes are `api`'s
work. Run on the simulator's loop thread. Source: Argo v4.1 server/workflow/workflow_server.go; texts as recorded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bridge.simulator.access import Access, Caller
from bridge.simulator.answers import ApiError, invalid, not_found
from bridge.simulator.controller import Controller
from bridge.simulator.fields import parse_fields
from bridge.simulator.label_selectors import parse_label_selector
from bridge.simulator.listing import parse_int, parse_list_query
from bridge.simulator.manifests import Decoder
from bridge.simulator.objects import ObjectFactory
from bridge.simulator.parsing import Request
from bridge.simulator.store import Object, Store
from bridge.simulator.validation import Validator, check_metadata, find_template
from bridge.simulator.versions import Release
from bridge.simulator.watch import WatchQuery

_MAX_DIGITS = 20
_OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"


@dataclass(frozen=True, slots=True)
class Created:
    """One create that was accepted, kept whatever becomes of the workflow.

    Attributes:
        namespace: Where.
        name: Its name, which another may bear after it was deleted.
        uid: Its uid.
        labels: Labels that were given.
        annotations: Annotations that were given.
        parameters: Arguments that were given, by name.
        created_at_s: Monotonic seconds.
    """

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]
    parameters: dict[str, str]
    created_at_s: float


@dataclass(slots=True)
class World:
    """What the endpoints work on."""

    release: Release
    namespaces: frozenset[str]
    store: Store
    controller: Controller
    factory: ObjectFactory
    decoder: Decoder
    validator: Validator
    access: Access


class WorkflowsApi:
    """Endpoints of workflows.

    Args:
        world: What they work on.

    Attributes:
        created: Every create that was accepted.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._stored_templates: dict[tuple[str, str], Object] = {}
        self.created: list[Created] = []

    def create(self, body: bytes, caller_of: Any, namespace: str) -> Object:
        """POST workflows/NS.

        Args:
            body: The request's body, decoded before anybody asks who calls.
            caller_of: Gives the caller, or raises 401.
            namespace: From the path.
        """
        world = self._world
        request = world.decoder.decode_request(body, "WorkflowCreateRequest")
        caller: Caller = caller_of()
        manifest = request.get("workflow")
        if manifest is None:
            raise invalid("workflow body not specified")
        world.access.known(caller)

        def lookup(name: str, cluster: bool) -> Object | None:
            return world.store.templates.get(("" if cluster else namespace, name))

        world.validator.check_workflow(manifest, lookup)
        world.access.require(caller, "create", namespace)
        stored = self._stored_of(manifest["spec"], lookup)
        named = world.factory.with_name(manifest)
        if request.get("createOptions", {}).get("dryRun"):
            return world.factory.with_shells(manifest)
        if manifest["metadata"].get("namespace", namespace) != namespace:
            raise invalid(_OTHER_NAMESPACE)
        if namespace not in world.namespaces:
            raise not_found("namespaces", namespace)
        check_metadata("Workflow", named["metadata"], world.release)
        if (namespace, named["metadata"]["name"]) in world.store.workflows:
            raise _already_exists("workflows", named["metadata"]["name"], generated="generateName" in named["metadata"])
        workflow = world.factory.workflow(named, namespace, caller.creator_labels(), stored)
        if request.get("serverDryRun"):
            del workflow["metadata"]["resourceVersion"]
            return workflow
        world.store.put(workflow)
        world.controller.follow(workflow)
        self._remember(workflow)
        return workflow

    def _remember(self, workflow: Object) -> None:
        metadata = workflow["metadata"]
        parameters = workflow["spec"]["arguments"].get("parameters", [])
        self.created.append(
            Created(
                namespace=metadata["namespace"],
                name=metadata["name"],
                uid=metadata["uid"],
                labels=metadata.get("labels", {}),
                annotations=metadata.get("annotations", {}),
                parameters={parameter["name"]: parameter.get("value", "") for parameter in parameters},
                created_at_s=time.monotonic(),
            )
        )

    def _stored_of(self, spec: Object, lookup: Any) -> Object:
        """`status.storedTemplates` of a workflow that refers to a template: the templates it can reach there."""
        reference = spec.get("workflowTemplateRef")
        if reference is None:
            return {}
        template = find_template(reference, lookup)
        metadata = template["metadata"]
        entrypoint = spec.get("entrypoint") or template["spec"].get("entrypoint", "")
        key = (metadata["uid"] + metadata["resourceVersion"], entrypoint)
        stored = self._stored_templates.get(key)
        if stored is None:
            scope = "cluster" if reference.get("clusterScope") else "namespaced"
            found = _reachable(template["spec"], entrypoint)
            stored = {f"{scope}/{metadata['name']}/{name}": value for name, value in sorted(found.items())}
            self._stored_templates[key] = stored
        return stored

    def get(self, request: Request, caller: Caller, namespace: str, name: str) -> Object:
        """GET workflows/NS/N."""
        world = self._world
        world.access.require(caller, "get", namespace, name)
        if not name:
            raise ApiError(13, "resource name may not be empty")
        return world.factory.cut(self.find(namespace, name), parse_fields(request.params.get("fields", "")))

    def find(self, namespace: str, name: str) -> Object:
        """A workflow, by name or as `@latest`.

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

    def list(self, request: Request, caller: Caller, namespace: str) -> Object:
        """GET workflows/NS; an empty namespace lists all."""
        world = self._world
        world.access.require(caller, "list", namespace)
        query = parse_list_query(namespace, request.params, world.release)
        workflows, version = world.store.listed()
        page, about = query.page(workflows.values(), world.release)
        answer: Object = {"metadata": {"resourceVersion": str(version), **about}, "items": page or None}
        fields = parse_fields(request.params.get("fields", ""))
        if fields is None:
            return answer
        cut = fields.apply(answer)
        items = cut.get("items")
        shells = None if items is None else [world.factory.with_shells(item) for item in items]
        return {"metadata": cut.get("metadata", {}), "items": shells}

    def delete(self, request: Request, caller: Caller, namespace: str, name: str) -> Object:
        """DELETE workflows/NS/N."""
        del request
        world = self._world
        rights = None if caller.identity is None else caller.identity.rights
        verb = "delete" if rights is None or "get" in rights.get(namespace, frozenset()) else "get"
        world.access.require(caller, verb, namespace, name)
        workflow = self.find(namespace, name)
        self.remove(workflow)
        return {}

    def remove(self, workflow: Object) -> None:
        """Delete a workflow."""
        metadata = workflow["metadata"]
        self._world.controller.forget(workflow)
        self._world.store.remove(metadata["namespace"], metadata["name"])

    def watch_query(self, request: Request, caller: Caller, namespace: str) -> WatchQuery:
        """GET workflow-events/NS: what is watched."""
        params = request.params
        timeout_s = parse_int(params, "listOptions.timeoutSeconds")
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
            raise invalid(f'resourceVersion: Invalid value: "{version}": {text}')
        return WatchQuery(
            namespace=namespace,
            selects=parse_label_selector(params.get("listOptions.labelSelector", "")),
            name=name,
            version=int(version) if version not in ("", "0") else None,
            fields=parse_fields(params.get("fields", "")),
            sse=is_sse(request),
            bookmarks=params.get("listOptions.allowWatchBookmarks") == "true",
            timeout_s=None if timeout_s is None else float(timeout_s),
        )


def is_sse(request: Request) -> bool:
    """Whether a watch is asked for as server-sent events; the header must be exactly that."""
    return request.headers.get("accept") == "text/event-stream"


def _already_exists(resource: str, name: str, *, generated: bool) -> ApiError:
    more = ", the server was not able to generate a unique name for the object" if generated else ""
    return ApiError(6, f'{resource}.argoproj.io "{name}" already exists{more}')


def _reachable(spec: Object, entrypoint: str) -> Object:
    """Templates that can be reached from an entrypoint, by name."""
    templates = {template.get("name", ""): template for template in spec.get("templates", [])}
    found: Object = {}
    waiting = [entrypoint]
    while waiting:
        name = waiting.pop()
        template = templates.get(name)
        if template is None or name in found:
            continue
        found[name] = template
        calls = [step for group in template.get("steps", []) for step in group]
        waiting += [call.get("template", "") for call in [*calls, *template.get("dag", {}).get("tasks", [])]]
    return found
