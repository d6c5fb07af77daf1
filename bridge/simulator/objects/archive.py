"""The workflow archive: copies of finished workflows that outlive them.

Holds copies by uid; `controller` decides when something is archived, and list and GET decide how it is shown. Owned by
the simulator's loop thread. Source: Argo v4.1 persist/sqldb; labels as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.simulator.objects.objects import LABEL
from bridge.simulator.objects.store import Object

ARCHIVING_LABEL = f"{LABEL}workflow-archiving-status"
PENDING = "Pending"
ARCHIVED = "Archived"
PERSISTED = "Persisted"
_METADATA = ("name", "namespace", "uid", "creationTimestamp", "labels", "annotations")
_STATUS = ("phase", "startedAt", "finishedAt", "estimatedDuration", "progress", "message", "resourcesDuration")


class Archive:
    """Archived workflows."""

    def __init__(self) -> None:
        self._workflows: dict[str, Object] = {}

    def add(self, workflow: Object) -> None:
        """Archive a workflow in its current state, replacing an earlier copy with the same uid."""
        metadata = workflow["metadata"]
        labels = {**metadata.get("labels", {}), ARCHIVING_LABEL: PERSISTED}
        copy = {**metadata, "labels": dict(sorted(labels.items()))}
        copy.pop("managedFields", None)
        self._workflows[metadata["uid"]] = {**workflow, "metadata": copy}

    def get(self, uid: str) -> Object | None:
        """Return the copy with a uid, or None."""
        return self._workflows.get(uid)

    def newest(self, namespace: str, name: str) -> Object | None:
        """Return the copy of the newest workflow with a name, or None; a name can be reused."""
        found = None
        for workflow in self._workflows.values():
            if (workflow["metadata"]["namespace"], workflow["metadata"]["name"]) == (namespace, name):
                found = workflow
        return found

    def remove(self, uid: str) -> bool:
        """Delete a copy; False if there was none."""
        return self._workflows.pop(uid, None) is not None

    def all(self) -> list[Object]:
        """Return all copies, earliest archived first."""
        return list(self._workflows.values())

    def beside(self, live: Iterable[Object]) -> list[Object]:
        """Return what list shows: live workflows that are not archived, and a short form of every copy.

        Args:
            live: The workflows that exist.
        """
        unarchived = [w for w in live if w["metadata"]["uid"] not in self._workflows]
        return unarchived + [brief_of(w) for w in self.all()]


def brief_of(workflow: Object) -> Object:
    """Return an archived workflow as lists show it: the columns of the database's index."""
    metadata, status = workflow["metadata"], workflow["status"]
    return {
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "spec": {"arguments": {}},
        "status": {key: status[key] for key in _STATUS if key in status},
    }
