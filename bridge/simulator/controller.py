"""The workflow controller: turns runs into status, labels and ends, at the times they fall due.

One heap of due times serves all workflows; whoever owns the loop calls `run_due` when `next_due_s` has come. It does
not judge manifests (that is `validation`) and does not sleep. Owned by the simulator's loop thread. Source: Argo v4.1
workflow/controller/operator.go; shapes as recorded.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from bridge.simulator.behaviour import Behaviour, WallClock
from bridge.simulator.nodes import FULFILLED
from bridge.simulator.run import WorkflowRun, resolve_spec
from bridge.simulator.store import Key, Object, Store
from bridge.simulator.versions import Release

LABEL = "workflows.argoproj.io/"
_REPOSITORY = {"default": True, "artifactRepository": {}}
_ARTIFACT_GC = {"notSpecified": True}
_COMPLETED = [{"type": "PodRunning", "status": "False"}, {"type": "Completed", "status": "True"}]


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """How the controller behaves.

    Attributes:
        release: The release that is played.
        container_s: How long a container runs by default.
        reaction_s: From a create to the controller's first write.
        retention: Finished workflows that are kept; the oldest are deleted. None keeps all.
    """

    release: Release
    container_s: float
    reaction_s: float
    retention: int | None = None


@dataclass(slots=True)
class _Followed:
    """A workflow that is followed: its run, until it has ended; then when it is deleted."""

    key: Key
    run: WorkflowRun | None = None
    expires_s: float | None = None


class Controller:
    """Runs all workflows of a store.

    Args:
        store: Where they are.
        options: How it behaves.
        clock: Monotonic seconds.
        wall: For timestamps.
        random: For trace ids.

    Attributes:
        away: While true nothing is done, as if the controller were down; what is due waits.
        on_unexpected: Called with an exception while looking at one workflow, which is then left alone.
    """

    def __init__(
        self, store: Store, options: ControllerOptions, clock: Callable[[], float], wall: WallClock, random: Random
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._wall = wall
        self._random = random
        self._heap: list[tuple[float, int, str]] = []
        self._count = itertools.count()
        self._followed: dict[str, _Followed] = {}
        self._managed: tuple[str, dict[str, Any]] = ("", {})
        self._finished: deque[tuple[Key, str]] = deque()
        self.away = False
        self.on_unexpected: Callable[[Exception], None] = lambda _: None

    @property
    def next_due_s(self) -> float | None:
        """When `run_due` has something to do, on the controller's clock; None while there is nothing."""
        return self._heap[0][0] if self._heap and not self.away else None

    def follow(self, workflow: Object) -> None:
        """Take up a new workflow. One that says it is completed is left alone, as Argo leaves it."""
        metadata = workflow["metadata"]
        if metadata.get("labels", {}).get(f"{LABEL}completed") == "true":
            return
        self._followed[metadata["uid"]] = _Followed((metadata["namespace"], metadata["name"]))
        self._schedule(self._clock() + self._options.reaction_s, metadata["uid"])

    def forget(self, workflow: Object) -> None:
        """Let go of a workflow that was deleted."""
        self._followed.pop(workflow["metadata"]["uid"], None)

    def run_due(self, limit: int = 1000) -> int:
        """Do what is due.

        Args:
            limit: Workflows to look at, at most, so that the caller's loop can serve others in between.

        Returns:
            How many were looked at.
        """
        now_s, done = self._clock(), 0
        while not self.away and self._heap and self._heap[0][0] <= now_s and done < limit:
            uid = heapq.heappop(self._heap)[2]
            followed = self._followed.get(uid)
            if followed is not None:
                self._look_safely(uid, followed, now_s)
                done += 1
        return done

    def _schedule(self, due_s: float, uid: str) -> None:
        heapq.heappush(self._heap, (due_s, next(self._count), uid))

    def _look_safely(self, uid: str, followed: _Followed, now_s: float) -> None:
        try:
            self._look_at(uid, followed, now_s)
        except Exception as error:  # noqa: BLE001  # one workflow must not stop all others
            self._followed.pop(uid, None)
            self.on_unexpected(error)

    def _look_at(self, uid: str, followed: _Followed, now_s: float) -> None:
        workflow = self._store.get(*followed.key)
        if workflow is None or workflow["metadata"]["uid"] != uid:
            del self._followed[uid]
            return
        if followed.expires_s is not None:
            if followed.expires_s <= now_s:
                self._delete(workflow)
            return
        run = followed.run
        if run is None:
            run = followed.run = self._start(workflow)
        if run.reconcile(now_s):
            self._write(workflow, run)
        if run.phase in FULFILLED:
            self._end(uid, followed, now_s)
        elif run.next_due_s is not None:
            self._schedule(run.next_due_s, uid)

    def _start(self, workflow: Object) -> WorkflowRun:
        metadata = workflow["metadata"]
        template = self._referred(workflow)
        annotations = dict(metadata.get("annotations", {}))
        if template is not None:
            annotations = {**template["metadata"].get("annotations", {}), **annotations}
        behaviour = Behaviour(self._options.release, self._options.container_s, self._wall, annotations)
        namespace = metadata["namespace"]

        def lookup(name: str, cluster: bool) -> Object | None:
            return self._store.templates.get(("" if cluster else namespace, name))

        return WorkflowRun(workflow, resolve_spec(workflow, template), behaviour, lookup)

    def _referred(self, workflow: Object) -> Object | None:
        reference = workflow["spec"].get("workflowTemplateRef")
        if reference is None:
            return None
        namespace = "" if reference.get("clusterScope") else workflow["metadata"]["namespace"]
        return self._store.templates.get((namespace, reference.get("name", "")))

    # -- writing ---------------------------------------------------------------------------------------------------

    def _write(self, workflow: Object, run: WorkflowRun) -> None:
        table = run.table
        table.refresh_progress()
        durations = table.refresh_durations()
        table.changed = False
        status = self._new_status(workflow, run, durations)
        self._store.put({**workflow, "metadata": self._new_metadata(workflow, run), "status": status})

    def _new_status(self, workflow: Object, run: WorkflowRun, durations: dict[str, int] | None) -> dict[str, Any]:
        """The status of a run, its keys in the order in which Argo prints them."""
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
        if finished:
            status["conditions"] = _COMPLETED
        elif pods:
            running = any(node["phase"] not in FULFILLED for node in pods)
            status["conditions"] = [{"type": "PodRunning", "status": "True" if running else "False"}]
        if durations is not None:
            status["resourcesDuration"] = durations
        stored = before.get("storedWorkflowTemplateSpec") or run.stored_spec
        if stored is not None:
            status["storedWorkflowTemplateSpec"] = stored
        status["artifactRepositoryRef"] = _REPOSITORY
        status["artifactGCStatus"] = _ARTIFACT_GC
        if self._options.release.task_results_map:
            results = dict.fromkeys(sorted(node["id"] for node in pods if "hostNodeName" in node), True)
            if results:
                status["taskResultsCompletionStatus"] = results
        return status

    def _new_metadata(self, workflow: Object, run: WorkflowRun) -> dict[str, Any]:
        metadata = dict(workflow["metadata"])
        metadata["generation"] = metadata.get("generation", 1) + 1
        labels = dict(metadata.get("labels", {}))
        labels[f"{LABEL}completed"] = "true" if run.phase in FULFILLED else "false"
        labels[f"{LABEL}phase"] = run.phase
        reference = workflow["spec"].get("workflowTemplateRef")
        if reference is not None:
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
        if self._options.release.last_seen_annotation:
            annotations[f"{LABEL}last-seen-version"] = metadata["resourceVersion"]
        if self._options.release.trace_annotation and f"{LABEL}trace-id" not in annotations:
            annotations[f"{LABEL}trace-id"] = f"{self._random.getrandbits(128):032x}"
        return dict(sorted(annotations.items()))

    def _managed_fields(self) -> dict[str, Any]:
        """The controller's entry; one object for all workflows written in the same second."""
        second = self._wall.timestamp()
        if self._managed[0] != second:
            entry = {
                "manager": f"workflow-controller{self._options.release.field_manager_suffix}",
                "operation": "Update",
                "apiVersion": "argoproj.io/v1alpha1",
                "time": second,
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}, "f:status": {"f:phase": {}, "f:nodes": {".": {}}}},
            }
            self._managed = (second, entry)
        return self._managed[1]

    # -- ending ----------------------------------------------------------------------------------------------------

    def _end(self, uid: str, followed: _Followed, now_s: float) -> None:
        run = followed.run
        followed.run = None
        ttl_s = None if run is None else _ttl_s(run.ttl_strategy, run.phase)
        if ttl_s is not None:
            followed.expires_s = now_s + ttl_s
            self._schedule(followed.expires_s, uid)
        else:
            self._followed.pop(uid)
        if self._options.retention is not None:
            self._finished.append((followed.key, uid))
            while len(self._finished) > self._options.retention:
                key, oldest = self._finished.popleft()
                kept = self._store.get(*key)
                if kept is not None and kept["metadata"]["uid"] == oldest:
                    self._delete(kept)

    def _delete(self, workflow: Object) -> None:
        metadata = workflow["metadata"]
        self.forget(workflow)
        self._store.remove(metadata["namespace"], metadata["name"])


def _ttl_s(strategy: Object, phase: str) -> float | None:
    """Seconds from a workflow's end to its deletion; None when it stays."""
    special = "secondsAfterSuccess" if phase == "Succeeded" else "secondsAfterFailure"
    seconds = strategy.get(special, strategy.get("secondsAfterCompletion"))
    return None if seconds is None else float(seconds)
