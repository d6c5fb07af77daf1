"""The endpoints of the archive: list, get, delete, retry, resubmit.

Each handler takes a caller and a request and returns a value or raises `ApiError`. Without an archive they answer like
an Argo Server without persistence. Run on the simulator's loop thread. Source: Argo v4.1 server/workflowarchive; texts
as recorded.
"""

from __future__ import annotations

from bridge.simulator.api.listing import parse_list_query
from bridge.simulator.api.verbs import retry_options
from bridge.simulator.controller import reruns
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import ApiError, invalid
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.routing import CallerOf
from bridge.simulator.objects.admission import Admission
from bridge.simulator.objects.archive import Archive, brief_of
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.world import World

_INTERNAL = 13
_NOT_FOUND = 5
_EXISTS = 6
_LIVES = "Workflow already exists on cluster, use argo retry {name} instead"  # the braces are Argo's


class ArchiveApi:
    """Endpoints of the archive.

    Args:
        world: The state they work on.
        admission: Admits resubmitted workflows.
    """

    def __init__(self, world: World, admission: Admission) -> None:
        self._world = world
        self._admission = admission

    def list(self, request: ParsedRequest, caller: Caller) -> Object:
        """GET archived-workflows."""
        world, params = self._world, request.params
        namespace, prefix = params.get("namespace", ""), params.get("namePrefix", "")
        world.access.require_archived(caller, "list", namespace)
        if world.archive is None:
            return {"metadata": {}, "items": None}
        query = parse_list_query(namespace, params, world.release)
        if prefix:
            query.tests.append(lambda workflow: workflow["metadata"]["name"].startswith(prefix))
        page, about = query.page([brief_of(w) for w in world.archive.all()], world.release, counts_on=query.limit > 0)
        return {"metadata": about, "items": page or None}

    def get(self, request: ParsedRequest, caller: Caller, uid: str) -> Object:
        """GET archived-workflows/UID."""
        params = request.params
        return self._find(caller, "get", uid, params.get("namespace", ""), params.get("name", ""))

    def delete(self, request: ParsedRequest, caller: Caller, uid: str) -> Object:
        """DELETE archived-workflows/UID."""
        del request
        self._find(caller, "delete", uid, "", "")
        self._archive().remove(uid)
        return {}

    def resubmit(self, request: ParsedRequest, caller_of: CallerOf, uid: str) -> Object:
        """PUT archived-workflows/UID/resubmit."""
        options = self._world.decoder.decode_request(request.body, "ResubmitArchivedWorkflowRequest")
        caller, namespace = caller_of(), options.get("namespace", "")
        copy = self._find(caller, "get", uid, namespace, options.get("name", ""))
        parameters = tuple(options.get("parameters", ()))
        manifest = reruns.resubmission(copy, parameters, memoized=bool(options.get("memoized")))
        return self._admission.admit(manifest, caller, _given(namespace))

    def retry(self, request: ParsedRequest, caller_of: CallerOf, uid: str) -> Object:
        """PUT archived-workflows/UID/retry: creates a workflow of the old name that goes on where that one failed."""
        world = self._world
        options = world.decoder.decode_request(request.body, "RetryArchivedWorkflowRequest")
        caller, namespace = caller_of(), options.get("namespace", "")
        copy = self._find(caller, "get", uid, namespace, options.get("name", ""))
        name = copy["metadata"]["name"]
        if world.store.get(copy["metadata"]["namespace"], name) is not None:
            raise ApiError(_EXISTS, _LIVES)
        manifest = reruns.retry(copy, retry_options(options), world.release, world.wall.timestamp())
        return self._admission.readmit(manifest, caller, _given(namespace))

    def _archive(self) -> Archive:
        if self._world.archive is None:
            raise ApiError(_INTERNAL, "getting archived workflows not supported")
        return self._world.archive

    def _find(self, caller: Caller, verb: str, uid: str, namespace: str, name: str) -> Object:
        self._world.access.known(caller)
        archive = self._archive()
        copy = archive.newest(namespace, name) if name else archive.get(uid)
        if copy is None:
            raise ApiError(_NOT_FOUND, "not found")
        self._world.access.require_archived(caller, verb, copy["metadata"]["namespace"])
        return copy


def _given(namespace: str) -> str:
    """Return the namespace in a request's body, which Kubernetes requires."""
    if not namespace:
        raise invalid("an empty namespace may not be set during creation")
    return namespace
