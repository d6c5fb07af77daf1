"""The endpoints of the verbs on workflows: suspend, resume, stop, terminate, set, retry, resubmit.

Each looks up the workflow, applies `verbs` or `reruns`, stores the result and informs the controller, like the Argo
Server; the response is the workflow before the controller reacts. Run on the simulator's loop thread. Source: Argo v4.1
server/workflow/workflow_server.go; texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.api.workflows import WorkflowsApi
from bridge.simulator.controller import reruns, verbs
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import ApiError, invalid
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.routing import CallerOf, Endpoint
from bridge.simulator.objects.admission import Admission
from bridge.simulator.objects.manifests import bad_json, parse_json
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.world import World

_SET_PREFIX = "unable to parse output parameter set request: "


class VerbsApi:
    """Endpoints of the verbs.

    Args:
        world: The state they work on.
        workflows: Finds workflows.
        admission: Admits resubmitted workflows.

    Attributes:
        endpoints: By verb.
    """

    def __init__(self, world: World, workflows: WorkflowsApi, admission: Admission) -> None:
        self._world = world
        self._workflows = workflows
        self._admission = admission
        self.endpoints: dict[str, Endpoint] = {
            "suspend": self._suspend,
            "resume": self._resume,
            "stop": self._stop,
            "terminate": self._terminate,
            "set": self._set,
            "retry": self._retry,
            "resubmit": self._resubmit,
        }

    def _suspend(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        self._world.decoder.decode_request(request.body, "WorkflowSuspendRequest")
        caller = caller_of()
        workflow = self._found(caller, namespace, name)
        changed = verbs.suspend(workflow, self._world.release)
        return self._store(workflow, changed, caller, "update", "Suspend")

    def _resume(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        options = self._world.decoder.decode_request(request.body, "WorkflowResumeRequest")
        caller = caller_of()
        workflow = self._found(caller, namespace, name)
        selector, now = options.get("nodeFieldSelector", ""), self._world.wall.timestamp()
        changed = verbs.resume(workflow, selector, caller.resumed_by(), now)
        return self._store(workflow, changed, caller, "update", "Resume")

    def _stop(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        options = self._world.decoder.decode_request(request.body, "WorkflowStopRequest")
        caller = caller_of()
        workflow = self._found(caller, namespace, name)
        selector = options.get("nodeFieldSelector", "")
        if not selector:
            return self._store(workflow, verbs.shut_down(workflow, "Stop"), caller, "patch", "Stop")
        change = verbs.NodeChange("Failed", options.get("message", ""))
        changed = verbs.change_nodes(workflow, selector, change, self._world.wall.timestamp())
        return self._store(workflow, changed, caller, "update", "Stop")

    def _terminate(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        self._world.decoder.decode_request(request.body, "WorkflowTerminateRequest")
        caller = caller_of()
        workflow = self._found(caller, namespace, name)
        return self._store(workflow, verbs.shut_down(workflow, "Terminate"), caller, "patch", "Terminate")

    def _set(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        options = self._world.decoder.decode_request(request.body, "WorkflowSetRequest")
        caller = caller_of()
        workflow = self._found(caller, namespace, name)
        outputs = _outputs_of(options.get("outputParameters", ""))
        change = verbs.NodeChange(options.get("phase", ""), options.get("message", ""), outputs)
        selector = options.get("nodeFieldSelector", "")
        changed = verbs.set_nodes(workflow, selector, change, self._world.wall.timestamp())
        return self._store(workflow, changed, caller, "update", "")

    def _retry(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        options = self._world.decoder.decode_request(request.body, "WorkflowRetryRequest")
        caller = caller_of()
        workflow = self._found(caller, namespace, name)
        changed = reruns.retry(workflow, retry_options(options), self._world.release, self._world.wall.timestamp())
        return self._store(workflow, changed, caller, "update", "Retry")

    def _resubmit(self, request: ParsedRequest, caller_of: CallerOf, namespace: str, name: str) -> Object:
        options = self._world.decoder.decode_request(request.body, "WorkflowResubmitRequest")
        caller = caller_of()
        self._world.access.require(caller, "get", namespace, name)
        workflow = self._workflows.find_any(namespace, name)
        parameters = tuple(options.get("parameters", ()))
        manifest = reruns.resubmission(workflow, parameters, memoized=bool(options.get("memoized")))
        return self._admission.admit(manifest, caller, namespace)

    def _found(self, caller: Caller, namespace: str, name: str) -> Object:
        self._world.access.require(caller, "get", namespace, name)
        if not name:
            raise ApiError(13, "resource name may not be empty")
        return self._workflows.find(namespace, name)

    def _store(self, before: Object, changed: Object, caller: Caller, right: str, action: str) -> Object:
        """Store a changed workflow; an unchanged one is returned as it is."""
        if changed is before:
            return before
        world, metadata = self._world, before["metadata"]
        world.access.require(caller, right, metadata["namespace"], metadata["name"])
        labels = caller.actor_labels(action) if world.release.actor_labels else {}
        ordered = {**changed, "spec": world.decoder.ordered(changed["spec"], "WorkflowSpec")}
        workflow = world.store.put(world.factory.rewritten(ordered, labels, "spec", "status"))
        world.controller.touch(workflow)
        return workflow


def retry_options(options: Object) -> reruns.RetryOptions:
    """Return the options in a retry's body."""
    return reruns.RetryOptions(
        restart_successful=bool(options.get("restartSuccessful")),
        selector=options.get("nodeFieldSelector", ""),
        parameters=tuple(options.get("parameters", ())),
    )


def _outputs_of(text: str) -> dict[str, str]:
    """Return the output parameters of a `set`, given as JSON in a string."""
    if not text:
        return {}
    try:
        value = parse_json(text.encode())
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise bad_json("json: cannot unmarshal into Go value of type map[string]string")
    except ApiError as error:
        raise invalid(_SET_PREFIX + error.message) from error
    return value
