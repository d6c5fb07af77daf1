"""The shared state of a simulator's endpoints.

Holds references only. Used on the simulator's loop thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulator.controller.behaviour import WallClock
from bridge.simulator.controller.controller import Controller
from bridge.simulator.http.access import Access
from bridge.simulator.objects.archive import Archive
from bridge.simulator.objects.manifests import ManifestDecoder
from bridge.simulator.objects.objects import ObjectFactory
from bridge.simulator.objects.store import Store
from bridge.simulator.objects.validation import Validator
from bridge.simulator.objects.versions import Release


@dataclass(slots=True)
class World:
    """The state the endpoints work on; `archive` is None if none is configured."""

    release: Release
    namespaces: frozenset[str]
    store: Store
    controller: Controller
    factory: ObjectFactory
    decoder: ManifestDecoder
    validator: Validator
    access: Access
    wall: WallClock
    archive: Archive | None = None
