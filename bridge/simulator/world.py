"""What the endpoints of a simulator work on, in one place.

Holds references and does nothing with them. Used on the simulator's loop thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulator.access import Access
from bridge.simulator.archive import Archive
from bridge.simulator.behaviour import WallClock
from bridge.simulator.controller import Controller
from bridge.simulator.manifests import Decoder
from bridge.simulator.objects import ObjectFactory
from bridge.simulator.store import Store
from bridge.simulator.validation import Validator
from bridge.simulator.versions import Release


@dataclass(slots=True)
class World:
    """What the endpoints work on; `archive` is None when none is configured."""

    release: Release
    namespaces: frozenset[str]
    store: Store
    controller: Controller
    factory: ObjectFactory
    decoder: Decoder
    validator: Validator
    access: Access
    wall: WallClock
    archive: Archive | None = None
