"""Writes the state of a run into its workflow: status, labels and annotations, like Argo's controller.

Makes new objects from old ones and never changes those; it neither runs nor stores anything. Owned by the simulator's
loop thread. Source: Argo v4.1 workflow/controller/operator.go (persistUpdates, markWorkflowPhase); shapes as recorded.
"""

from __future__ import annotations

from random import Random
from typing import Any

from bridge.simulator.controller.behaviour import WallClock
from bridge.simulator.controller.nodes import FULFILLED
from bridge.simulator.controller.run import WorkflowRun
from bridge.simulator.objects.archive import ARCHIVING_LABEL, PENDING
from bridge.simulator.objects.objects import LABEL
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.versions import Release

_REPOSITORY = {"default": True, "artifactRepository": {}}
_ARTIFACT_GC = {"notSpecified": True}


class StatusWriter:
    """Writes for all workflows of a controller.

    Args:
        release: The simulated release.
        wall: For timestamps.
        random: For trace ids.
        archives: Whether finished workflows will be archived.
    """

    def __init__(self, release: Release, wall: WallClock, random: Random, *, archives: bool) -> None:
        self._release = release
        self._wall = wall
        self._random = random
        self._archives = archives
        self._managed: tuple[str, dict[str, Any]] = ("", {})

    def written(self, workflow: Object, run: WorkflowRun) -> Object:
        """Return the workflow after a look at its run.

        Args:
            workflow: The stored workflow.
            run: Its run, after `reconcile`.
        """
        table = run.table
        table.refresh_progress()
        durations = table.refresh_durations()
        table.changed = False
        status = self._new_status(workflow, run, durations)
        return {**workflow, "metadata": self._new_metadata(workflow, run), "status": status}

    def _new_status(self, workflow: Object, run: WorkflowRun, durations: dict[str, int] | None) -> dict[str, Any]:
        """Return the status of a run, with its keys in the order in which Argo prints them."""
        before, finished = workflow["status"], run.phase in FULFILLED
        now = self._wall.timestamp()
        status: dict[str, Any] = {
            "phase": run.phase,
            "startedAt": before.get("startedAt") or now,
            "finishedAt": now if finished else None,
            "progress": run.table.progress(),
        }
        if run.message:
            status["message"] = run.message
        status["nodes"] = dict(sorted(run.table.nodes.items()))
        if "storedTemplates" in before:
            status["storedTemplates"] = before["storedTemplates"]
        if run.outputs:
            status["outputs"] = {"parameters": [{"name": name, "value": value} for name, value in run.outputs.items()]}
        pods = [node for node in run.table.nodes.values() if node["type"] == "Pod"]
        conditions = _new_conditions(before, pods, finished=finished)
        if conditions:
            status["conditions"] = conditions
        if durations is not None:
            status["resourcesDuration"] = durations
        stored = before.get("storedWorkflowTemplateSpec") or run.stored_spec
        if stored is not None:
            status["storedWorkflowTemplateSpec"] = stored
        status["artifactRepositoryRef"] = _REPOSITORY
        status["artifactGCStatus"] = _ARTIFACT_GC
        if self._release.task_results_map:
            results = dict.fromkeys(sorted(node["id"] for node in pods if "hostNodeName" in node), True)
            if results:
                status["taskResultsCompletionStatus"] = results
        return status

    def _new_metadata(self, workflow: Object, run: WorkflowRun) -> dict[str, Any]:
        metadata = dict(workflow["metadata"])
        metadata["generation"] = metadata.get("generation", 1) + 1
        labels = dict(metadata.get("labels", {}))
        if run.phase in FULFILLED:
            labels[f"{LABEL}completed"] = "true"
            if self._archives:
                labels[ARCHIVING_LABEL] = PENDING
        elif workflow["status"].get("phase") != run.phase:  # before 4.0, a retry sets the phase but no label
            labels[f"{LABEL}completed"] = "false"
        labels[f"{LABEL}phase"] = run.phase
        reference = workflow["spec"].get("workflowTemplateRef")
        if reference is not None and self._release.template_label:
            kind = "cluster-workflow-template" if reference.get("clusterScope") else "workflow-template"
            labels[LABEL + kind] = reference.get("name", "")
        metadata["labels"] = dict(sorted(labels.items()))
        metadata["annotations"] = self._new_annotations(metadata)
        own = [entry for entry in metadata.get("managedFields", []) if entry["manager"].startswith("argo")]
        metadata.pop("managedFields", None)
        metadata["managedFields"] = [*own, self._managed_fields()]
        return metadata

    def _new_annotations(self, metadata: dict[str, Any]) -> dict[str, str]:
        annotations = dict(metadata.get("annotations", {}))
        annotations[f"{LABEL}pod-name-format"] = "v2"
        if self._release.last_seen_annotation:
            annotations[f"{LABEL}last-seen-version"] = metadata["resourceVersion"]
        if self._release.trace_annotation and f"{LABEL}trace-id" not in annotations:
            annotations[f"{LABEL}trace-id"] = f"{self._random.getrandbits(128):032x}"
        return dict(sorted(annotations.items()))

    def _managed_fields(self) -> dict[str, Any]:
        """Return the controller's entry; one object for all workflows written in the same second."""
        second = self._wall.timestamp()
        if self._managed[0] != second:
            entry = {
                "manager": f"workflow-controller{self._release.field_manager_suffix}",
                "operation": "Update",
                "apiVersion": "argoproj.io/v1alpha1",
                "time": second,
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}, "f:status": {"f:phase": {}, "f:nodes": {".": {}}}},
            }
            self._managed = (second, entry)
        return self._managed[1]


def _new_conditions(before: Object, pods: list[Object], *, finished: bool) -> list[Object]:
    """Return the conditions of a status; existing ones keep their place."""
    known: dict[str, str] = {condition["type"]: condition["status"] for condition in before.get("conditions", [])}
    if finished or pods or before.get("phase"):
        running = not finished and any(node["phase"] not in FULFILLED for node in pods)
        known["PodRunning"] = "True" if running else "False"
    if finished:
        known["Completed"] = "True"
    return [{"type": kind, "status": status} for kind, status in known.items()]
