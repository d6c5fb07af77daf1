"""The keys of `web` in bridge.yaml. Frozen; any thread."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bridge.configfile.containers import Nullable
from bridge.configfile.fields import declare, section
from bridge.configfile.kinds import Kind, Place
from bridge.configfile.nodes import Node, ScalarNode


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Address to listen on: `host` ("" for every interface) and `port` (0 lets the system choose)."""

    host: str
    port: int


@dataclass(frozen=True)
class Listen(Kind):
    """`HOST:PORT`, `[IPV6]:PORT` or `:PORT`."""

    words = "an address such as 127.0.0.1:8080"

    def read(self, node: Node, place: Place) -> Any:
        """A `ListenAddress`."""
        text = node.text if isinstance(node, ScalarNode) else ""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})", text)
        if match is None or int(match[3]) > 65_535:
            return place.must_be(node, self.words)
        return ListenAddress(match[1] or match[2] or "", int(match[3]))

    def schema(self) -> dict[str, Any]:
        """Text that ends with a port."""
        return {"type": "string", "pattern": ":[0-9]{1,5}$"}


@section
class WebOptions:
    """Health, metrics and dashboard."""

    listen: ListenAddress | None = declare(
        Nullable(Listen()), "Address to listen on; null disables it.", default="127.0.0.1:8080"
    )
