"""The endpoints of WorkflowTemplates and ClusterWorkflowTemplates: create, get, list, update, delete.

Each handler takes a caller and a request and returns a value or raises `ApiError`. Run on the simulator's loop thread.
Source: Argo v4.1 server/workflowtemplate, server/clusterworkflowtemplate; texts as recorded.
"""

from __future__ import annotations

import base64
import binascii

from bridge.simulator.api.label_selectors import parse_label_selector
from bridge.simulator.api.listing import parse_int
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import already_exists, invalid, not_found
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.validation import check_metadata, check_place, check_version
from bridge.simulator.objects.world import World


class TemplatesApi:
    """Endpoints of one kind of template.

    Args:
        world: The state they work on.
        cluster: Whether they are cluster-scoped; their namespace is then empty.
    """

    def __init__(self, world: World, *, cluster: bool) -> None:
        self._world = world
        self._kind = "ClusterWorkflowTemplate" if cluster else "WorkflowTemplate"
        self._resource = "clusterworkflowtemplates" if cluster else "workflowtemplates"
        self._title = "cluster workflow template" if cluster else "workflow template"

    def create(self, request: ParsedRequest, caller: Caller, namespace: str = "") -> Object:
        """POST workflow-templates/NS, cluster-workflow-templates."""
        decoded = self._world.decoder.decode_request(request.body, f"{self._kind}CreateRequest")
        self._world.access.require_templates(caller, "create", self._resource, namespace)
        return self.add(self._manifest(decoded), namespace)

    def add(self, manifest: Object, namespace: str) -> Object:
        """Store a new template.

        Args:
            manifest: Decoded.
            namespace: Empty for cluster-scoped ones.

        Raises:
            ApiError: 400, 404 or 409.
        """
        world = self._world
        check_place(manifest["metadata"], namespace)
        named = world.factory.with_name(manifest)
        self._check(named, namespace)
        if namespace and namespace not in world.namespaces:
            raise not_found("namespaces", namespace)
        check_metadata(self._kind, named["metadata"], world.release)
        if (namespace, named["metadata"]["name"]) in world.store.templates:
            raise already_exists(self._resource, named["metadata"]["name"])
        return world.store.put_template(world.factory.template(named, namespace))

    def get(self, request: ParsedRequest, caller: Caller, *where: str) -> Object:
        """GET workflow-templates/NS/N."""
        del request
        world = self._world
        namespace, name = self._place(where)
        world.access.require_templates(caller, "get", self._resource, namespace, name)
        template = self._find(namespace, name)
        if world.release.template_managed_fields:
            return template
        metadata = {key: value for key, value in template["metadata"].items() if key != "managedFields"}
        return {**template, "metadata": metadata}

    def list(self, request: ParsedRequest, caller: Caller, namespace: str = "") -> Object:
        """GET workflow-templates/NS; an empty namespace lists those of all namespaces, or the cluster-scoped ones."""
        world, params = self._world, request.params
        world.access.require_templates(caller, "list", self._resource, namespace)
        selects = parse_label_selector(params.get("listOptions.labelSelector", ""))
        pattern = "" if self._kind == "ClusterWorkflowTemplate" else params.get("namePattern", "")
        limit = parse_int(params, "listOptions.limit") or 0
        found = [
            template
            for (where, name), template in sorted(world.store.templates.items())
            if self._belongs(where, namespace)
            and pattern in name
            and (selects is None or selects(template["metadata"].get("labels", {})))
        ]
        start = _offset_in(params.get("listOptions.continue", ""))
        metadata: Object = {"resourceVersion": str(world.store.version)}
        if limit and start + limit < len(found):
            metadata |= {"continue": _token_for(start + limit), "remainingItemCount": len(found) - start - limit}
        return {"metadata": metadata, "items": found[start : start + limit if limit else None] or None}

    def _belongs(self, where: str, namespace: str) -> bool:
        if self._kind == "ClusterWorkflowTemplate":
            return where == ""
        return where == namespace if namespace else where != ""

    def update(self, request: ParsedRequest, caller: Caller, *where: str) -> Object:
        """PUT workflow-templates/NS/N."""
        world = self._world
        namespace, name = self._place(where)
        decoded = world.decoder.decode_request(request.body, f"{self._kind}UpdateRequest")
        world.access.require_templates(caller, "update", self._resource, namespace, name)
        manifest = self._manifest(decoded)
        manifest["metadata"].setdefault("name", name)
        self._check(manifest, namespace)
        before = self._find(namespace, name)
        check_version(self._resource, before["metadata"], manifest["metadata"])
        return world.store.put_template(world.factory.updated_template(before, manifest))

    def delete(self, request: ParsedRequest, caller: Caller, *where: str) -> Object:
        """DELETE workflow-templates/NS/N."""
        del request
        namespace, name = self._place(where)
        self._world.access.require_templates(caller, "delete", self._resource, namespace, name)
        self._find(namespace, name)
        self._world.store.remove_template(namespace, name)
        return {}

    def lint(self, request: ParsedRequest, caller: Caller, namespace: str = "") -> Object:
        """POST workflow-templates/NS/lint; findings are a 400, unlike a workflow's."""
        del caller
        decoded = self._world.decoder.decode_request(request.body, f"{self._kind}LintRequest")
        manifest = self._manifest(decoded)
        self._check(manifest, namespace)
        return manifest

    def _place(self, where: tuple[str, ...]) -> tuple[str, str]:
        """Return namespace and name from a path; cluster-scoped templates have no namespace there."""
        return ("", where[0]) if self._kind == "ClusterWorkflowTemplate" else (where[0], where[1])

    def _manifest(self, decoded: Object) -> Object:
        manifest = decoded.get("template")
        if manifest is None:
            raise invalid(f"{self._title} was not found in the request body")
        return manifest  # type: ignore[no-any-return]  # decoded as a struct

    def _find(self, namespace: str, name: str) -> Object:
        template = self._world.store.templates.get((namespace, name))
        if template is None:
            raise not_found(self._resource, name)
        return template

    def _check(self, manifest: Object, namespace: str) -> None:
        self._world.validator.check_template(manifest, self._world.store.lookup_in(namespace))


def _token_for(offset: int) -> str:
    """Return a `continue` token that only the server can read, like Kubernetes' token."""
    return base64.urlsafe_b64encode(f"offset:{offset}".encode()).decode()


def _offset_in(token: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("offset:"))
    except (binascii.Error, ValueError) as error:
        raise invalid(f"continue key is not valid: {error}") from error
