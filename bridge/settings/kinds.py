"""Kinds of value that only bridge.yaml has: listen addresses. Pure; any thread."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bridge.configfile.kinds import Kind, Place
from bridge.configfile.nodes import Node, ScalarNode
from bridge.interface.topics import BRIDGE_ROOT, published_problem

# Topic level, label value and queue name in one; 32 characters leave room for what is put around it.
BRIDGE_ID = r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?"
BRIDGE_ID_WORDS = "small letters, digits and - (not first, not last), at most 32 characters"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: `host` ("" for every interface) and `port` (0 lets the system choose)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Listen(Kind):
    """`HOST:PORT`, `[IPV6]:PORT` or `:PORT`."""

    def read(self, node: Node, place: Place) -> Any:
        """A `ListenAddress`."""
        text = node.text if isinstance(node, ScalarNode) else ""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})", text)
        if match is None or int(match[3]) > 65_535:
            return place.must_be(node, self.words())
        return ListenAddress(match[1] or match[2] or "", int(match[3]))

    def schema(self) -> dict[str, Any]:
        """Text that ends in a port."""
        return {"type": "string", "pattern": ":[0-9]{1,5}$"}

    def words(self) -> str:
        """With an example."""
        return "an address such as 127.0.0.1:8080"


def prefix_problem(prefix: str) -> str:
    """Why a text cannot be the interface's prefix, or ""."""
    why = published_problem(prefix)
    if why:
        return why
    levels = prefix.split("/")
    if "" in levels:
        return "it begins or ends with /, or has an empty level"
    if levels[:2] == BRIDGE_ROOT.split("/"):
        return f"topics under {BRIDGE_ROOT} are the bridge's own"
    return "" if prefix.isprintable() else "it has characters that cannot be printed"
