"""The workflow archive: copies of finished workflows that outlive them.

Holds copies by uid and answers what there is; it decides neither when something is archived (that is `controller`)
nor what list and GET make of it. Owned by the simulator's loop thread. Source: Argo v4.1 persist/sqldb; labels as
recorded.
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
        """Archive a workflow as it is now, in place of an earlier copy of the same uid."""
        metadata = workflow["metadata"]
        labels = {**metadata.get("labels", {}), ARCHIVING_LABEL: PERSISTED}
        copy = {**metadata, "labels": dict(sorted(labels.items()))}
        copy.pop("managedFields", None)
        self._workflows[metadata["uid"]] = {**workflow, "metadata": copy}

    def get(self, uid: str) -> Object | None:
        """The copy of a uid, or None."""
        return self._workflows.get(uid)

    def newest(self, namespace: str, name: str) -> Object | None:
        """The copy of the last workflow of a name, or None; two may bear one name, one after the other."""
        found = None
        for workflow in self._workflows.values():
            if (workflow["metadata"]["namespace"], workflow["metadata"]["name"]) == (namespace, name):
                found = workflow
        return found

    def remove(self, uid: str) -> bool:
        """Delete a copy; False when there was none."""
        return self._workflows.pop(uid, None) is not None

    def all(self) -> list[Object]:
        """Every copy, the earliest archived first."""
        return list(self._workflows.values())

    def beside(self, live: Iterable[Object]) -> list[Object]:
        """What list shows: live workflows that are not archived, and every copy, in brief.

        Args:
            live: The workflows that exist.
        """
        unarchived = [w for w in live if w["metadata"]["uid"] not in self._workflows]
        return unarchived + [brief_of(w) for w in self.all()]


def brief_of(workflow: Object) -> Object:
    """An archived workflow as lists show it: the columns of the database's index."""
    metadata, status = workflow["metadata"], workflow["status"]
    return {
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "spec": {"arguments": {}},
        "status": {key: status[key] for key in _STATUS if key in status},
    }
