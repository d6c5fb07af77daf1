"""The life of one workflow: its phase, deadline and exit handler, around the walk over its templates.

It never waits and never writes to the store: the controller calls it when something is due. Owned by the simulator's
loop thread. Source: Argo v4.1 workflow/controller/operator.go; texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.behaviour import Behaviour
from bridge.simulator.nodes import FAILED, FULFILLED, Node, NodeTable
from bridge.simulator.validation import merge_parameters
from bridge.simulator.walk import Call, Object, Scope, TemplateLookup, TemplateWalker

DEADLINE_MESSAGE = "Step exceeded its deadline"


class WorkflowRun:
    """The life of one workflow from the controller's first look to its end.

    Args:
        workflow: The stored object.
        spec: Its spec, or that of the template it refers to with the workflow's own fields over it.
        behaviour: How long things take and how they end.
        lookup: `(name, cluster scope)` to a stored template, for `templateRef`.

    Attributes:
        table: The nodes.
        phase: Empty before the first reconcile, then Running, then Succeeded, Failed or Error.
        message: Why it failed.
        next_due_s: When reconcile has something to do; None when it waits for something else.
    """

    def __init__(self, workflow: Object, spec: Object, behaviour: Behaviour, lookup: TemplateLookup) -> None:
        self._workflow = workflow
        self._spec = spec
        self._behaviour = behaviour
        self._templates = {template.get("name", ""): template for template in spec.get("templates", [])}
        self._name: str = workflow["metadata"]["name"]
        self._deadline_s: float | None = None
        self._paused = bool(spec.get("suspend"))
        self._scope = self._global_scope()
        self.table = NodeTable(self._name)
        self._walker = TemplateWalker(self.table, self._templates, behaviour, lookup)
        self._walker.halted = self._paused
        self.phase = ""
        self.message = ""
        self.next_due_s: float | None = None

    def reconcile(self, now_s: float) -> bool:
        """Bring the nodes up to date.

        Args:
            now_s: The controller's clock.

        Returns:
            Whether anything changed.
        """
        self._walker.now_s = now_s
        first = not self.phase
        if first:
            self.phase = "Running"
            seconds = self._spec.get("activeDeadlineSeconds")
            self._deadline_s = None if seconds is None else now_s + seconds
        if self._deadline_s is not None and now_s >= self._deadline_s:
            self._stop_leaves(DEADLINE_MESSAGE)
        root = self._walker.execute(self._entry_call())
        if root["phase"] in FULFILLED:
            self._finish(root)
        changed = first or self.table.changed
        self.table.changed = False
        self.next_due_s = self._earliest()
        return changed

    @property
    def stored_spec(self) -> Object | None:
        """The spec that runs, when it is not the workflow's own."""
        return self._spec if "workflowTemplateRef" in self._workflow["spec"] else None

    @property
    def outputs(self) -> dict[str, str]:
        """Global output parameters so far, by name."""
        return self._walker.outputs

    @property
    def ttl_strategy(self) -> Object:
        """`spec.ttlStrategy`, empty when there is none."""
        return self._spec.get("ttlStrategy", {})  # type: ignore[no-any-return]  # decoded as a struct

    def _entry_call(self) -> Call:
        entrypoint = self._spec.get("entrypoint", "")
        arguments = self._spec["arguments"].get("parameters", [])
        return Call(self._name, self._name, self._templates.get(entrypoint, {}), entrypoint, arguments, self._scope)

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
        """End the workflow once its exit handler, if it has one, has ended too."""
        template, arguments = self._exit_handler()
        final = root
        if template:
            self._walker.halted, self._deadline_s = (
                self._paused,
                None,
            )  # the exit handler runs whatever stopped the rest
            scope = {**self._scope, "workflow.status": root["phase"]}
            name = f"{self._name}.onExit"
            call = Call(name, name, self._templates.get(template, {}), template, arguments, scope, hooked=True)
            handler = self._walker.execute(call)
            if handler["phase"] not in FULFILLED:
                return
            if handler["phase"] in FAILED and root["phase"] not in FAILED:
                final = handler
        self.phase = final["phase"] if final["phase"] in FAILED else "Succeeded"
        self.message = final.get("message", "") if final["phase"] in FAILED else ""

    def _exit_handler(self) -> tuple[str, list[Object]]:
        hook = self._spec.get("hooks", {}).get("exit")
        if hook is not None and hook.get("template"):
            return hook["template"], hook["arguments"].get("parameters", [])
        return self._spec.get("onExit", ""), self._spec["arguments"].get("parameters", [])

    def _earliest(self) -> float | None:
        if self.phase != "Running":
            return None
        dues = [leaf.due_s for leaf in self._walker.leaves.values() if leaf.due_s is not None]
        if self._deadline_s is not None and not self._walker.halted:
            dues.append(self._deadline_s)
        return min(dues, default=None)

    def _stop_leaves(self, message: str) -> None:
        self._walker.halted = True
        for leaf in self.table.running_leaves():
            self._walker.leaves.pop(leaf["id"], None)
            synced = self._behaviour.pod_end_fields() if leaf["type"] == "Pod" else {}
            self.table.update(leaf, phase="Failed", message=message, finishedAt=self._behaviour.timestamp(), **synced)


def resolve_spec(workflow: Object, template: Object | None) -> Object:
    """The spec that runs: the workflow's, over that of the template it refers to."""
    own: Object = workflow["spec"]
    if template is None:
        return own
    base = template["spec"]
    parameters = merge_parameters(own["arguments"].get("parameters", []), base["arguments"].get("parameters", []))
    merged = {**base, **{key: value for key, value in own.items() if key != "arguments"}}
    merged["arguments"] = {"parameters": parameters} if parameters else {}
    return merged
