"""Admits new workflows from all endpoints: checks, names, stores and records them.

Used by create, submit, resubmit and the retry of an archived workflow; the endpoints parse requests. Run on the
simulator's loop thread. Source: Argo v4.1 server/workflow/workflow_server.go; texts as recorded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import already_exists, not_found
from bridge.simulator.objects.store import Lookup, Object
from bridge.simulator.objects.validation import check_metadata, check_place, find_template
from bridge.simulator.objects.world import World


@dataclass(frozen=True, slots=True)
class Created:
    """One accepted workflow, recorded permanently.

    Attributes:
        namespace: Its namespace.
        name: Its name, which can be reused after it is deleted.
        uid: Its uid.
        labels: The given labels.
        annotations: The given annotations.
        parameters: The given arguments, by name.
        created_at_s: Monotonic seconds.
    """

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]
    parameters: dict[str, str]
    created_at_s: float


class Admission:
    """Admits new workflows.

    Args:
        world: The state they are added to.

    Attributes:
        created: Every workflow that was admitted.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._stored_templates: dict[tuple[str, str], Object] = {}
        self.created: list[Created] = []

    def admit(
        self, manifest: Object, caller: Caller, namespace: str, *, dry_run: bool = False, server_dry_run: bool = False
    ) -> Object:
        """Store a new workflow and let it run.

        Args:
            manifest: Decoded.
            caller: The sender.
            namespace: The target namespace.
            dry_run: Only check the manifest, and return it.
            server_dry_run: Do everything except storing it.

        Raises:
            ApiError: 400, 403, 404 or 409.
        """
        world = self._world
        world.access.known(caller)
        lookup = world.store.lookup_in(namespace)
        self._require_template(manifest["spec"], caller, namespace)
        world.validator.check_workflow(manifest, lookup)
        world.access.require(caller, "create", namespace)
        stored = self._stored_of(manifest["spec"], lookup)
        named = world.factory.with_name(manifest)
        if dry_run:
            return world.factory.with_shells(manifest)
        check_place(manifest["metadata"], namespace)
        if namespace not in world.namespaces:
            raise not_found("namespaces", namespace)
        check_metadata("Workflow", named["metadata"], world.release)
        if (namespace, named["metadata"]["name"]) in world.store.workflows:
            raise already_exists("workflows", named["metadata"]["name"], generated="generateName" in named["metadata"])
        workflow = world.factory.workflow(named, namespace, caller.creator_labels(), stored)
        if server_dry_run:
            del workflow["metadata"]["resourceVersion"]
            return workflow
        world.store.put(workflow)
        world.controller.follow(workflow)
        self._remember(workflow)
        return workflow

    def readmit(self, manifest: Object, caller: Caller, namespace: str) -> Object:
        """Store a new workflow that continues where an archived one stopped.

        Args:
            manifest: The archived one with the changes of the retry; no live one has its name.
            caller: The sender.
            namespace: The target namespace.

        Raises:
            ApiError: 400 or 403.
        """
        world = self._world
        world.access.require(caller, "create", namespace)
        check_place(manifest["metadata"], namespace)
        workflow = world.store.put(world.factory.workflow(manifest, namespace, caller.creator_labels(), {}))
        world.controller.touch(workflow)
        self._remember(workflow)
        return workflow

    def _require_template(self, spec: Object, caller: Caller, namespace: str) -> None:
        """Before 3.7, the template that a workflow refers to is read with the caller's rights."""
        reference = spec.get("workflowTemplateRef")
        if reference is not None and not self._world.release.template_cache:
            cluster = bool(reference.get("clusterScope"))
            resource = "clusterworkflowtemplates" if cluster else "workflowtemplates"
            where = "" if cluster else namespace
            self._world.access.require_templates(caller, "get", resource, where, reference.get("name", ""))

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

    def _stored_of(self, spec: Object, lookup: Lookup) -> Object:
        """Return `status.storedTemplates` of a workflow that refers to a template: the templates it can reach there."""
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


def _reachable(spec: Object, entrypoint: str) -> Object:
    """Return the templates reachable from an entrypoint, by name."""
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
