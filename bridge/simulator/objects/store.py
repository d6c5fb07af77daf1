"""The simulator's etcd: objects, resource versions, the history for watches, the lagging view for lists.

Stored objects are never changed, only replaced, so every event keeps its object. It knows nothing about HTTP or about
running workflows. Owned by the simulator's loop thread; others read through `Simulator`.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]
Lookup = Callable[[str, bool], Object | None]
"""Finds a stored template by its name and whether it is cluster-scoped."""

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"

FIRST_VERSION = 100


class Event:
    """One change of a workflow.

    Attributes:
        version: Resource version of the change.
        kind: ADDED, MODIFIED or DELETED.
        object: The workflow after the change.
        namespace: Its namespace.
        labels: Its labels.
        labels_before: Its labels before the change; None if it is new.
        at_s: Time of the change on the store's clock.
        frames: Encoded frames, by query; shared by all watchers.
    """

    __slots__ = ("at_s", "frames", "kind", "labels", "labels_before", "namespace", "object", "version")

    def __init__(self, version: int, kind: str, workflow: Object, labels_before: Object | None, at_s: float) -> None:
        metadata = workflow["metadata"]
        self.version = version
        self.kind = kind
        self.object = workflow
        self.namespace: str = metadata["namespace"]
        self.labels: dict[str, str] = metadata.get("labels", {})
        self.labels_before = labels_before
        self.at_s = at_s
        self.frames: dict[str, bytes] = {}


class EventLog:
    """The latest events in order, addressed by a fixed position.

    Args:
        window: Minimum number of kept events; at most twice as many are kept.
    """

    def __init__(self, window: int) -> None:
        self._window = max(1, window)
        self._events: list[Event] = []
        self._base = 0
        self.compacted_version = FIRST_VERSION

    @property
    def end(self) -> int:
        """Position after the newest event."""
        return self._base + len(self._events)

    @property
    def start(self) -> int:
        """Position of the oldest kept event."""
        return self._base

    def append(self, event: Event) -> None:
        """Add the newest event."""
        self._events.append(event)

    @property
    def overfull(self) -> bool:
        """Whether `prune` has work."""
        return len(self._events) > 2 * self._window

    def at(self, position: int) -> Event:
        """Return the event at a position from `start` up to, not including, `end`."""
        return self._events[position - self._base]

    def after(self, version: int) -> int:
        """Return the position of the first event newer than a resource version.

        Raises:
            LookupError: Events after that version are no longer kept.
        """
        if version < self.compacted_version:
            raise LookupError(version)
        return self._base + bisect_right(self._events, version, key=lambda event: event.version)

    def prune(self, keep: int | None = None) -> None:
        """Remove all except the last `keep` events (the window, if None)."""
        keep = self._window if keep is None else keep
        surplus = len(self._events) - keep
        if surplus > 0:
            self.compacted_version = self._events[surplus - 1].version
            del self._events[:surplus]
            self._base += surplus


class Mirror:
    """The view of lists: the workflows as they were some time ago.

    Args:
        log: Source of the changes.
        lag_s: Lag of the view, in seconds.
    """

    def __init__(self, log: EventLog, lag_s: float) -> None:
        self._log = log
        self._lag_s = lag_s
        self._position = log.end
        self.version = FIRST_VERSION
        self.workflows: dict[Key, Object] = {}

    def advance(self, now_s: float) -> None:
        """Apply all changes that are older than the lag."""
        while self._position < self._log.end and self._log.at(self._position).at_s <= now_s - self._lag_s:
            self._apply(self._log.at(self._position))
            self._position += 1

    def advance_to(self, position: int) -> None:
        """Apply all changes before a position, whatever their age (they are about to be removed)."""
        while self._position < position:
            self._apply(self._log.at(self._position))
            self._position += 1

    def _apply(self, event: Event) -> None:
        metadata = event.object["metadata"]
        key = (event.namespace, metadata["name"])
        if event.kind == DELETED:
            self.workflows.pop(key, None)
        else:
            self.workflows[key] = event.object
        self.version = event.version


class Store:
    """All objects.

    Args:
        window: Number of events kept for watches.
        list_lag_s: Lag of lists, in seconds.
        clock: Monotonic seconds.

    Attributes:
        workflows: By namespace and name.
        templates: By namespace (empty for cluster-scoped ones) and name.
        crons: CronWorkflows, by namespace and name.
        on_change: Called after each change of a workflow.
    """

    def __init__(self, window: int, list_lag_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = max(1, window)
        self._version = FIRST_VERSION
        self.log = EventLog(window)
        self.mirror = Mirror(self.log, list_lag_s)
        self.workflows: dict[Key, Object] = {}
        self.templates: dict[Key, Object] = {}
        self.crons: dict[Key, Object] = {}
        self.on_change: Callable[[], None] = lambda: None

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    def next_version(self) -> int:
        """Return the next resource version; every write of any object takes one."""
        self._version += 1
        return self._version

    def get(self, namespace: str, name: str) -> Object | None:
        """Return a workflow in its current state."""
        return self.workflows.get((namespace, name))

    def put(self, workflow: Object) -> Object:
        """Store a new or changed workflow.

        Args:
            workflow: The whole object; its `metadata.resourceVersion` is set here, so its metadata must not be shared.

        Returns:
            The stored object; it must not be changed any more.
        """
        metadata = workflow["metadata"]
        key = (metadata["namespace"], metadata["name"])
        before = self.workflows.get(key)
        version = self.next_version()
        metadata["resourceVersion"] = str(version)
        self.workflows[key] = workflow
        labels_before = None if before is None else before["metadata"].get("labels", {})
        self._record(Event(version, ADDED if before is None else MODIFIED, workflow, labels_before, self._clock()))
        return workflow

    def remove(self, namespace: str, name: str) -> Object | None:
        """Delete a workflow; returns its last state, or None if it did not exist."""
        before = self.workflows.pop((namespace, name), None)
        if before is None:
            return None
        version = self.next_version()
        metadata = {**before["metadata"], "resourceVersion": str(version)}
        last = {**before, "metadata": metadata}
        self._record(Event(version, DELETED, last, metadata.get("labels", {}), self._clock()))
        return before

    def put_template(self, template: Object) -> Object:
        """Store a new or changed template, namespaced or not; sets its resource version."""
        metadata = template["metadata"]
        metadata["resourceVersion"] = str(self.next_version())
        self.templates[(metadata.get("namespace", ""), metadata["name"])] = template
        return template

    def lookup_in(self, namespace: str) -> Lookup:
        """Return a function with which a workflow of a namespace finds stored templates."""

        def lookup(name: str, cluster: bool) -> Object | None:
            return self.templates.get(("" if cluster else namespace, name))

        return lookup

    def remove_template(self, namespace: str, name: str) -> bool:
        """Delete a template; False if it did not exist."""
        if self.templates.pop((namespace, name), None) is None:
            return False
        self.next_version()
        return True

    def put_cron(self, cron: Object) -> Object:
        """Store a new or changed CronWorkflow; sets its resource version."""
        metadata = cron["metadata"]
        metadata["resourceVersion"] = str(self.next_version())
        self.crons[(metadata["namespace"], metadata["name"])] = cron
        return cron

    def remove_cron(self, namespace: str, name: str) -> None:
        """Delete an existing CronWorkflow."""
        del self.crons[(namespace, name)]
        self.next_version()

    def listed(self) -> tuple[dict[Key, Object], int]:
        """Return the workflows that a list sees now, and the resource version it reports."""
        self.mirror.advance(self._clock())
        return self.mirror.workflows, self.mirror.version

    def compact(self) -> None:
        """Discard the history: watches from any older resource version are refused."""
        self.mirror.advance_to(self.log.end)
        self.log.prune(0)
        self.log.compacted_version = self._version

    def _record(self, event: Event) -> None:
        self.log.append(event)
        if self.log.overfull:
            self.mirror.advance_to(self.log.end - self._window)
            self.log.prune()
        self.on_change()
