"""The life of one workflow: its phase, deadline and exit handler, around the walk over its templates.

It never waits and never writes to the store: the controller calls it when something is due. Owned by the simulator's
loop thread. Source: Argo v4.1 workflow/controller/operator.go; texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.controller.behaviour import Behaviour
from bridge.simulator.controller.calls import Call, Scope, Source, Stopping
from bridge.simulator.controller.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.controller.template_runs import TemplateRuns
from bridge.simulator.objects.store import Lookup, Object
from bridge.simulator.objects.validation import merge_parameters

DEADLINE_MESSAGE = "Step exceeded its deadline"
TERMINATE = "Terminate"


class WorkflowRun:
    """The life of one workflow from the controller's first look to its end.

    Args:
        workflow: The stored object.
        spec: Its spec, or that of its template with the workflow's own fields over it.
        behaviour: How long things take and how they end.
        lookup: `(name, cluster scope)` to a stored template, for `templateRef`.

    Attributes:
        table: The nodes.
        phase: Empty before the first reconcile, then Running, then Succeeded, Failed or Error.
        message: Why it failed.
        next_due_s: When reconcile has work; None if it waits for something else.
    """

    def __init__(self, workflow: Object, spec: Object, behaviour: Behaviour, lookup: Lookup) -> None:
        self._workflow = workflow
        self._spec = spec
        self._behaviour = behaviour
        self._name: str = workflow["metadata"]["name"]
        # The controller runs a nameless copy of the template that a workflow refers to.
        scope = "local/" + ("" if "workflowTemplateRef" in workflow["spec"] else self._name)
        templates = {template.get("name", ""): template for template in spec.get("templates", [])}
        self._source = Source(scope, templates, lookup)
        self._deadline_s: float | None = None
        self._scope = self._global_scope()
        self.table = NodeTable(self._name)
        strategy = spec.get("templateDefaults", {}).get("retryStrategy", spec.get("retryStrategy"))
        self._walker = TemplateRuns(self.table, behaviour, strategy if isinstance(strategy, dict) else None)
        self._leaves = self._walker.leaves
        self.phase = ""
        self.message = ""
        self.next_due_s: float | None = None

    def adopt(self, workflow: Object, spec: Object) -> None:
        """Take over what others wrote to the workflow since the last look: its spec, nodes and outputs.

        Args:
            workflow: The stored object.
            spec: See the class.
        """
        self._workflow, self._spec = workflow, spec
        status = workflow["status"]
        self.table.load(status.get("nodes", {}))
        self._leaves.forget_ended()
        for parameter in status.get("outputs", {}).get("parameters", []):
            if "value" in parameter:
                self._leaves.outputs[parameter["name"]] = parameter["value"]
        for node in self.table.nodes.values():
            if node["type"] == "Suspend" and node["phase"] == "Succeeded":
                self._leaves.publish(node.get("outputs", {}))

    def reconcile(self, now_s: float) -> bool:
        """Update the nodes.

        Args:
            now_s: The controller's clock.

        Returns:
            Whether anything changed.
        """
        self._leaves.now_s = now_s
        first = not self.phase
        if first:
            self.phase = "Running"
            seconds = self._spec.get("activeDeadlineSeconds")
            self._deadline_s = None if seconds is None else now_s + seconds
        self._leaves.stopping = self._reason_to_stop(now_s)
        self._leaves.stop()
        if self._spec.get("suspend"):
            self._leaves.end_due_pods()
        else:
            root = self._walker.execute(self._entry_call())
            if root["phase"] in FULFILLED:
                self._finish(root)
        changed = first or self.table.changed or self.phase != "Running"
        self.table.changed = False
        self.next_due_s = self._earliest(now_s)
        return changed

    @property
    def _shutdown(self) -> str:
        return str(self._spec.get("shutdown", ""))

    def _reason_to_stop(self, now_s: float) -> Stopping | None:
        if self._shutdown:
            text = f"Stopped with strategy '{self._shutdown}'"
            pods = f"workflow shutdown with strategy:  {self._shutdown}"  # Argo writes two spaces here
            return Stopping(text, pods, pods.replace("  ", " "), spares_exit=self._shutdown != TERMINATE)
        if self._deadline_s is not None and now_s >= self._deadline_s:
            return Stopping(DEADLINE_MESSAGE, DEADLINE_MESSAGE, DEADLINE_MESSAGE)
        return None

    @property
    def stored_spec(self) -> Object | None:
        """Return the spec that runs, if it is not the workflow's own."""
        return self._spec if "workflowTemplateRef" in self._workflow["spec"] else None

    @property
    def outputs(self) -> dict[str, str]:
        """Global output parameters so far, by name."""
        return self._leaves.outputs

    @property
    def ttl_strategy(self) -> Object:
        """Return `spec.ttlStrategy`, or an empty object."""
        return self._spec.get("ttlStrategy", {})  # type: ignore[no-any-return]  # decoded as a struct

    def _entry_call(self) -> Call:
        entrypoint = self._spec.get("entrypoint", "")
        arguments = self._spec["arguments"].get("parameters", [])
        return Call(self._name, self._name, {"template": entrypoint}, self._source, arguments, self._scope)

    def _global_scope(self) -> Scope:
        metadata = self._workflow["metadata"]
        scope = {
            "workflow.name": self._name,
            "workflow.namespace": metadata["namespace"],
            "workflow.uid": metadata["uid"],
            "workflow.creationTimestamp": metadata["creationTimestamp"],
            "workflow.serviceAccountName": self._spec.get("serviceAccountName", "default"),
            "workflow.status": "Running",
        }
        for parameter in self._spec["arguments"].get("parameters", []):
            scope[f"workflow.parameters.{parameter['name']}"] = self._behaviour.parameter_value(parameter)
        for kind in ("labels", "annotations"):
            for key, value in metadata.get(kind, {}).items():
                scope[f"workflow.{kind}.{key}"] = value
        return scope

    def _finish(self, root: Node) -> None:
        """End the workflow once its exit handler, if there is one, has also ended."""
        hook, arguments = self._exit_handler()
        final = root
        if hook and self._shutdown != TERMINATE:
            scope = {**self._scope, "workflow.status": root["phase"]}
            name = f"{self._name}.onExit"
            call = Call(name, name, hook, self._source, arguments, scope, flags={"hooked": True}, exiting=True)
            handler = self._walker.execute(call)
            if handler["phase"] not in FULFILLED:
                return
            if handler["phase"] in FAILED and root["phase"] not in FAILED:
                final = handler
        self.phase = final["phase"] if final["phase"] in FAILED else "Succeeded"
        self.message = final.get("message", "") if final["phase"] in FAILED else ""
        if root["phase"] in FAILED and self._shutdown:
            self.message = f"Stopped with strategy '{self._shutdown}'"

    def _exit_handler(self) -> tuple[Object, list[Object]]:
        """Return what runs at the end (empty for nothing), and its arguments."""
        hook: Object = self._spec.get("hooks", {}).get("exit", {})
        if hook:
            return hook, hook["arguments"].get("parameters", [])
        on_exit = self._spec.get("onExit")
        return ({"template": on_exit} if on_exit else {}), self._spec["arguments"].get("parameters", [])

    def _earliest(self, now_s: float) -> float | None:
        if self.phase != "Running":
            return None
        paused = bool(self._spec.get("suspend"))
        leaves = ((self.table.nodes[identifier], leaf) for identifier, leaf in self._leaves.running.items())
        dues = [leaf.due_s for node, leaf in leaves if leaf.due_s is not None and (not paused or node["type"] == "Pod")]
        if self._deadline_s is not None and self._deadline_s > now_s:
            dues.append(self._deadline_s)
        return min(dues, default=None)


def resolve_spec(workflow: Object, base: Object | None) -> Object:
    """Return the spec that runs: the workflow's own fields over `base`, the spec of its template."""
    own: Object = workflow["spec"]
    if base is None:
        return own
    parameters = merge_parameters(own["arguments"].get("parameters", []), base["arguments"].get("parameters", []))
    merged = {**base, **{key: value for key, value in own.items() if key != "arguments"}}
    merged["arguments"] = {"parameters": parameters} if parameters else {}
    return merged
