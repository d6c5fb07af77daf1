"""A store and a controller on a clock that only the test moves, and specs for it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import orjson

from bridge.simulator.controller.behaviour import WallClock
from bridge.simulator.controller.controller import Controller, ControllerOptions
from bridge.simulator.objects.archive import Archive
from bridge.simulator.objects.manifests import ManifestDecoder
from bridge.simulator.objects.objects import ObjectFactory
from bridge.simulator.objects.store import Store
from bridge.simulator.objects.versions import find_release

CONTAINER = {"name": "c", "container": {"image": "x"}}


class World:
    """A store and a controller on one clock."""

    def __init__(self, *, version: str = "4.1.2", retention: int | None = None, archives: bool = False) -> None:
        self.now_s = 0.0
        release = self.release = find_release(version)
        self.archive = Archive() if archives else None
        wall = self.wall = WallClock(lambda: 1_000_000.0 + self.now_s)
        self.store = Store(1000, 0.0, lambda: self.now_s)
        options = ControllerOptions(release, 1.0, 0.1, retention, self.archive, archive_delay_s=5.0)
        self.controller = Controller(self.store, options, lambda: self.now_s, wall, Random(1))
        self.factory = ObjectFactory(release, wall, Random(2))
        self.decoder = ManifestDecoder(release.minor)

    def create(self, spec: dict[str, Any], name: str = "w", **annotations: str) -> None:
        """Store a workflow and let the controller know."""
        metadata = {"name": name, "annotations": {f"simulator.argo-bridge/{k}": v for k, v in annotations.items()}}
        body = orjson.dumps({"workflow": {"metadata": metadata, "spec": spec}})
        manifest = self.decoder.decode_request(body, "WorkflowCreateRequest")["workflow"]
        workflow = self.factory.workflow(manifest, "argo", {}, {})
        self.store.put(workflow)
        self.controller.follow(workflow)

    def change(self, make: Callable[[Any], Any], name: str = "w") -> None:
        """Do what a verb does: store what `make` makes of a workflow, and let the controller know."""
        before = self.store.get("argo", name)
        changed = make(before)
        if changed is not before:
            self.controller.touch(self.store.put(self.factory.rewritten(changed, {}, "spec")))

    def put_template(self, spec: dict[str, Any], namespace: str = "argo", **annotations: str) -> None:
        """Store a template named t."""
        metadata = {"name": "t", "annotations": annotations}
        body = orjson.dumps({"template": {"metadata": metadata, "spec": spec}})
        manifest = self.decoder.decode_request(body, "WorkflowTemplateCreateRequest")["template"]
        self.store.put_template(self.factory.template(manifest, namespace))

    def run(self, seconds: float) -> None:
        """Let time pass, doing what falls due when it falls due."""
        end_s = self.now_s + seconds
        while (due_s := self.controller.next_due_s) is not None and due_s <= end_s:
            self.now_s = max(self.now_s, due_s)
            self.controller.run_due()
        self.now_s = end_s

    def status(self, name: str = "w") -> dict[str, Any]:
        """A workflow's status."""
        workflow = self.store.get("argo", name)
        assert workflow is not None
        return workflow["status"]

    def node(self, display: str) -> dict[str, Any]:
        """The node of that display name."""
        return next(node for node in self.status()["nodes"].values() if node["displayName"] == display)

    def shown(self) -> dict[str, str]:
        """Phases by display name."""
        return {node["displayName"]: node["phase"] for node in self.status()["nodes"].values()}


def one(template: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A spec of one template."""
    return {"entrypoint": template["name"], "templates": [template], **spec}


def dag(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A spec of a DAG whose tasks use a container, or one that fails."""
    bad = {"name": "bad", "container": {"image": "x", "args": ["exit 4"]}}
    main = {"name": "main", "dag": {"tasks": [{"template": "c", **task} for task in tasks]}}
    return {"entrypoint": "main", "templates": [main, CONTAINER, bad]}


def steps(*groups: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """A spec of steps whose steps use a container."""
    main = {"name": "main", "steps": [[{"template": "c", **step} for step in group] for group in groups]}
    bad = {"name": "bad", "container": {"image": "x", "args": ["exit 4"]}}
    return {"entrypoint": "main", "templates": [main, CONTAINER, bad], **spec}
