"""The workflow controller: turns runs into status, labels and ends, when they are due.

One heap of due times serves all workflows; the owner of the loop calls `run_due` when `next_due_s` has come. It does
not check manifests (`validation` does) and does not sleep. Owned by the simulator's loop thread. Source: Argo v4.1
workflow/controller/operator.go; shapes as recorded.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bridge.simulator.controller.behaviour import Behaviour, WallClock
from bridge.simulator.controller.nodes import FULFILLED
from bridge.simulator.controller.run import WorkflowRun, resolve_spec
from bridge.simulator.controller.writing import StatusWriter
from bridge.simulator.objects.archive import ARCHIVED, ARCHIVING_LABEL, Archive
from bridge.simulator.objects.objects import LABEL
from bridge.simulator.objects.store import Key, Object, Store
from bridge.simulator.objects.versions import Release


@dataclass(frozen=True, slots=True)
class ControllerOptions:
    """Options of the controller.

    Attributes:
        release: The simulated release.
        container_s: Default duration of a container.
        reaction_s: Time from a create to the controller's first write.
        retention: Number of finished workflows to keep; the oldest are deleted. None keeps all.
        archive: The archive for finished workflows; None archives nothing.
        archive_delay_s: Time from a workflow's end to its archiving.
    """

    release: Release
    container_s: float
    reaction_s: float
    retention: int | None = None
    archive: Archive | None = None
    archive_delay_s: float = 0.0


@dataclass(slots=True)
class _Followed:
    """A followed workflow: its run until it ends, then the times of its archiving and deletion.

    `version` is the last seen resource version; a different one means that someone else has written.
    """

    key: Key
    version: str
    run: WorkflowRun | None = None
    ended: bool = False
    archives_s: float | None = None
    expires_s: float | None = None


class Controller:
    """Runs all workflows of a store.

    Args:
        store: The stored workflows.
        options: See `ControllerOptions`.
        clock: Monotonic seconds.
        wall: For timestamps.
        random: For trace ids.

    Attributes:
        away: While true nothing is done, as if the controller were down; due work waits.
        on_unexpected: Called with an exception in the handling of one workflow, which is then no longer handled.
    """

    def __init__(
        self, store: Store, options: ControllerOptions, clock: Callable[[], float], wall: WallClock, random: Random
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._wall = wall
        self._writer = StatusWriter(options.release, wall, random, archives=options.archive is not None)
        self._heap: list[tuple[float, int, str]] = []
        self._count = itertools.count()
        self._followed: dict[str, _Followed] = {}
        self._finished: deque[tuple[Key, str]] = deque()
        self.away = False
        self.on_unexpected: Callable[[Exception], None] = lambda _: None

    @property
    def next_due_s(self) -> float | None:
        """When `run_due` has work, on the controller's clock; None if there is none."""
        return self._heap[0][0] if self._heap and not self.away else None

    def follow(self, workflow: Object) -> None:
        """Begin to follow a new workflow. One that claims to be completed is ignored, as in Argo."""
        metadata = workflow["metadata"]
        if metadata.get("labels", {}).get(f"{LABEL}completed") == "true":
            return
        key = (metadata["namespace"], metadata["name"])
        self._followed[metadata["uid"]] = _Followed(key, metadata["resourceVersion"])
        self._schedule(self._clock() + self._options.reaction_s, metadata["uid"])

    def touch(self, workflow: Object) -> None:
        """Note that someone has written to a workflow: look at it soon, even if it had ended and runs again."""
        metadata = workflow["metadata"]
        followed = self._followed.get(metadata["uid"])
        completed = metadata.get("labels", {}).get(f"{LABEL}completed") == "true"
        if completed and (followed is None or followed.ended):
            return
        if followed is None or followed.ended:
            self._followed[metadata["uid"]] = _Followed((metadata["namespace"], metadata["name"]), "")
        self._schedule(self._clock() + self._options.reaction_s, metadata["uid"])

    def forget(self, workflow: Object) -> None:
        """Stop following a deleted workflow."""
        self._followed.pop(workflow["metadata"]["uid"], None)

    def run_due(self, limit: int = 1000) -> int:
        """Do the work that is due.

        Args:
            limit: Maximum number of workflows to handle, so that the caller's loop can serve others in between.

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
        if followed.ended:
            self._look_at_ended(workflow, followed, now_s)
            return
        run = followed.run
        if run is None:
            run = followed.run = self._start(workflow)
        if workflow["metadata"]["resourceVersion"] != followed.version:
            run.adopt(workflow, resolve_spec(workflow, self._base_spec(workflow)))
        if run.reconcile(now_s):
            workflow = self._store.put(self._writer.written(workflow, run))
        followed.version = workflow["metadata"]["resourceVersion"]
        if run.phase in FULFILLED:
            self._end(uid, followed, now_s)
        elif run.next_due_s is not None:
            self._schedule(run.next_due_s, uid)

    def _look_at_ended(self, workflow: Object, followed: _Followed, now_s: float) -> None:
        if followed.archives_s is not None and followed.archives_s <= now_s:
            followed.archives_s = None
            self._archive(workflow)
        if followed.expires_s is not None and followed.expires_s <= now_s:
            self._delete(workflow)
        elif followed.archives_s is None and followed.expires_s is None:
            self._followed.pop(workflow["metadata"]["uid"])

    def _start(self, workflow: Object) -> WorkflowRun:
        metadata = workflow["metadata"]
        template = self._referred(workflow)
        annotations = metadata.get("annotations", {})
        if template is not None:
            annotations = {**template["metadata"].get("annotations", {}), **annotations}
        behaviour = Behaviour(self._options.release, self._options.container_s, self._wall, annotations)
        lookup = self._store.lookup_in(metadata["namespace"])
        return WorkflowRun(workflow, resolve_spec(workflow, self._base_spec(workflow)), behaviour, lookup)

    def _base_spec(self, workflow: Object) -> Object | None:
        """Return the spec of the template that a workflow refers to, as it was when the workflow first ran."""
        if "workflowTemplateRef" not in workflow["spec"]:
            return None
        stored: Object | None = workflow["status"].get("storedWorkflowTemplateSpec")
        template = self._referred(workflow) if stored is None else None
        return stored if template is None else template["spec"]

    def _referred(self, workflow: Object) -> Object | None:
        reference = workflow["spec"].get("workflowTemplateRef")
        if reference is None:
            return None
        lookup = self._store.lookup_in(workflow["metadata"]["namespace"])
        return lookup(reference.get("name", ""), bool(reference.get("clusterScope")))

    # -- ending ----------------------------------------------------------------------------------------------------

    def _end(self, uid: str, followed: _Followed, now_s: float) -> None:
        run, followed.run, followed.ended = followed.run, None, True
        ttl_s = None if run is None else _ttl_s(run.ttl_strategy, run.phase)
        if self._options.archive is not None:
            followed.archives_s = now_s + self._options.archive_delay_s
            self._schedule(followed.archives_s, uid)
        if ttl_s is not None:
            followed.expires_s = now_s + ttl_s
            self._schedule(followed.expires_s, uid)
        if followed.archives_s is None and followed.expires_s is None:
            self._followed.pop(uid)
        if self._options.retention is not None:
            self._finished.append((followed.key, uid))
            while len(self._finished) > self._options.retention:
                key, oldest = self._finished.popleft()
                kept = self._store.get(*key)
                if kept is not None and kept["metadata"]["uid"] == oldest and kept["status"].get("phase") in FULFILLED:
                    self._delete(kept)

    def _archive(self, workflow: Object) -> None:
        """Copy a finished workflow into the archive, and mark it as archived."""
        if self._options.archive is not None:
            self._options.archive.add(workflow)
            metadata = workflow["metadata"]
            labels = {**metadata.get("labels", {}), ARCHIVING_LABEL: ARCHIVED}
            changed = {**metadata, "labels": dict(sorted(labels.items()))}
            self._store.put({**workflow, "metadata": {**changed, "generation": metadata.get("generation", 1) + 1}})

    def _delete(self, workflow: Object) -> None:
        metadata = workflow["metadata"]
        self.forget(workflow)
        self._store.remove(metadata["namespace"], metadata["name"])


def _ttl_s(strategy: Object, phase: str) -> float | None:
    """Return the seconds from a workflow's end to its deletion; None if it stays."""
    special = "secondsAfterSuccess" if phase == "Succeeded" else "secondsAfterFailure"
    seconds = strategy.get(special, strategy.get("secondsAfterCompletion"))
    return None if seconds is None else float(seconds)
