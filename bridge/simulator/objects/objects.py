"""Makes stored objects from decoded manifests, and printed ones from stored objects.

Fills in what Kubernetes and the server fill in (name, uid, times, managedFields), and restores the empty structs that
Go prints after a `fields` cut. It neither validates nor stores. Run on the simulator's loop thread. Source: shapes as
recorded.
"""

from __future__ import annotations

from random import Random
from typing import Any

from bridge.simulator.controller.behaviour import WallClock
from bridge.simulator.http.fields import FieldFilter
from bridge.simulator.objects.schema import METADATA_ORDER, STATUS_ORDER, structs_of
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.versions import Release

LABEL = "workflows.argoproj.io/"
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_BASE = 58
_MAX_CACHED = 200
_METADATA_RANK = {name: i for i, name in enumerate(METADATA_ORDER)}
_STATUS_RANK = {name: i for i, name in enumerate(STATUS_ORDER)}
OWNED_LABELS = (
    "workflows.argoproj.io/controller-instanceid",
    "workflows.argoproj.io/creator",
    "workflows.argoproj.io/creator-email",
    "workflows.argoproj.io/creator-preferred-username",
)


class ObjectFactory:
    """Makes objects.

    Args:
        release: The simulated release.
        wall: For creation times.
        random: For uids and generated names.
    """

    def __init__(self, release: Release, wall: WallClock, random: Random) -> None:
        self._release = release
        self._wall = wall
        self._random = random
        self._spec_rank = {name: i for i, name in enumerate(structs_of(release.minor)["WorkflowSpec"])}
        self._managed: dict[tuple[Any, ...], list[dict[str, Any]]] = {}

    def with_name(self, manifest: Object) -> Object:
        """Return a manifest whose metadata has a name, made from generateName if there was none."""
        metadata = manifest["metadata"]
        prefix = metadata.get("generateName")
        if metadata.get("name") or not prefix:
            return manifest
        suffix = "".join(self._random.choice(_SUFFIX_LETTERS) for _ in range(5))
        return {**manifest, "metadata": {"name": prefix[:_MAX_GENERATED_BASE] + suffix, **metadata}}

    def workflow(self, manifest: Object, namespace: str, creator: dict[str, str], stored: Object) -> Object:
        """A new workflow.

        Args:
            manifest: Decoded, with a name.
            namespace: The target namespace.
            creator: Labels about the creator.
            stored: `status.storedTemplates`, or empty.
        """
        given = manifest["metadata"].get("labels", {})
        labels = {key: value for key, value in given.items() if key not in OWNED_LABELS} | creator
        status = {"startedAt": None, "finishedAt": None, **manifest.get("status", {})}
        if stored:
            status["storedTemplates"] = stored
        metadata = self._metadata(manifest, namespace, labels, {"f:status": _leaves(status, ("storedTemplates",))})
        return {"metadata": metadata, "spec": manifest["spec"], "status": status}

    def template(self, manifest: Object, namespace: str) -> Object:
        """Return a new template; an empty namespace makes it cluster-scoped."""
        labels = manifest["metadata"].get("labels", {})
        return {"metadata": self._metadata(manifest, namespace, labels, {}), "spec": manifest["spec"]}

    def cron(self, manifest: Object, namespace: str, creator: dict[str, str]) -> Object:
        """Return a new CronWorkflow, which has never run."""
        labels = manifest["metadata"].get("labels", {}) | creator
        status: dict[str, Any] = {"active": None, "lastScheduledTime": None, "conditions": None}
        if self._release.schedules:
            status |= {"succeeded": 0, "failed": 0, "phase": ""}
        metadata = self._metadata(manifest, namespace, labels, {"f:status": {}})
        return {"metadata": metadata, "spec": manifest["spec"], "status": status}

    def updated_template(self, before: Object, manifest: Object) -> Object:
        """Return a template with the spec, labels and annotations of a newer manifest."""
        metadata = {**before["metadata"], "generation": before["metadata"]["generation"] + 1}
        for key in ("labels", "annotations"):
            metadata.pop(key, None)
            if key in manifest["metadata"]:
                metadata[key] = manifest["metadata"][key]
        return {"metadata": metadata, "spec": manifest["spec"]}

    def rewritten(self, workflow: Object, labels: dict[str, str], *parts: str) -> Object:
        """Return a stored workflow after a change by the server: its generation, labels, and managedFields.

        Args:
            workflow: The workflow with the change; its metadata is not modified.
            labels: Labels to add.
            parts: The changed parts: `spec`, `status`.
        """
        before = workflow["metadata"]
        metadata = {**before, "generation": before.get("generation", 1) + 1}
        if labels or "labels" in metadata:
            metadata["labels"] = dict(sorted({**before.get("labels", {}), **labels}.items()))
        others = [entry for entry in metadata.pop("managedFields", []) if not entry["manager"].startswith("argo")]
        entry = {
            "manager": f"argo{self._release.field_manager_suffix}",
            "operation": "Update",
            "apiVersion": "argoproj.io/v1alpha1",
            "time": self._wall.timestamp(),
            "fieldsType": "FieldsV1",
            "fieldsV1": {f"f:{part}": {} for part in parts},
        }
        metadata["managedFields"] = [*others, entry]
        return {**workflow, "metadata": _in_order(metadata, _METADATA_RANK)}

    def _uid(self) -> str:
        """A random UUID, version 4."""
        digits = f"{self._random.getrandbits(128):032x}"
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def _metadata(
        self, manifest: Object, namespace: str, labels: dict[str, str], extra_fields: dict[str, Any]
    ) -> dict[str, Any]:
        given = manifest["metadata"]
        metadata: dict[str, Any] = {"name": given.get("name", "")}
        if "generateName" in given:
            metadata["generateName"] = given["generateName"]
        if namespace:
            metadata["namespace"] = namespace
        metadata["uid"] = self._uid()
        metadata["resourceVersion"] = ""
        metadata["generation"] = 1
        metadata["creationTimestamp"] = self._wall.timestamp()
        if labels:
            metadata["labels"] = dict(sorted(labels.items()))
        if "annotations" in given:
            metadata["annotations"] = dict(sorted(given["annotations"].items()))
        for key in ("ownerReferences", "finalizers"):
            if key in given:
                metadata[key] = given[key]
        metadata["managedFields"] = self._managed_fields(metadata, manifest["spec"], extra_fields)
        return metadata

    def _managed_fields(
        self, metadata: dict[str, Any], spec: Object, extra_fields: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return Kubernetes' managedFields; one object for all equal ones of the same second."""
        time = metadata["creationTimestamp"]
        labels, annotations = metadata.get("labels", {}), metadata.get("annotations", {})
        named = "generateName" in metadata
        key = (time, named, tuple(labels), tuple(annotations), tuple(spec), tuple(extra_fields.get("f:status", ())))
        found = self._managed.get(key)
        if found is None:
            if len(self._managed) >= _MAX_CACHED:
                self._managed.clear()
            owned = {"f:spec": {".": {}, **{f"f:{key}": {} for key in sorted(spec)}}, **extra_fields}
            about = {"f:annotations": annotations, "f:labels": labels}
            fields = {name: _leaves(values, tuple(values)) for name, values in about.items() if values}
            if named:
                fields["f:generateName"] = {}
            if fields:
                owned = {"f:metadata": fields, **owned}
            found = self._managed[key] = [
                {
                    "manager": f"argo{self._release.field_manager_suffix}",
                    "operation": "Update",
                    "apiVersion": "argoproj.io/v1alpha1",
                    "time": time,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": owned,
                }
            ]
        return found

    # -- printing --------------------------------------------------------------------------------------------------

    def cut(self, workflow: Object, fields: FieldFilter | None) -> Object:
        """Return a workflow as get and list print it with a `fields` parameter."""
        return workflow if fields is None else self.with_shells(fields.apply(workflow))

    def with_shells(self, cut: Object) -> Object:
        """Restore the structs that Go prints even if they were cut away."""
        metadata = cut.get("metadata", {})
        if self._release.null_creation_timestamp and "creationTimestamp" not in metadata:
            metadata = {**metadata, "creationTimestamp": None}
        spec = cut.get("spec", {})
        if "arguments" not in spec:
            spec = {**spec, "arguments": {}}
        status = {"startedAt": None, "finishedAt": None, **cut.get("status", {})}
        return {
            "metadata": _in_order(metadata, _METADATA_RANK),
            "spec": _in_order(spec, self._spec_rank),
            "status": _in_order(status, _STATUS_RANK),
        }


def ordered_status(status: Object) -> Object:
    """Return a status with its fields in the order in which Argo prints them; unknown ones come last."""
    return _in_order(status, _STATUS_RANK)


def _in_order(values: Object, rank: dict[str, int]) -> Object:
    return {key: values[key] for key in sorted(values, key=lambda key: rank.get(key, len(rank)))}


def _leaves(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {f"f:{key}": {} for key in keys if key in values}
    return {".": {}, **found} if found else {}
