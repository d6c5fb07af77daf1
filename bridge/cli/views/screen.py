"""A picture on a terminal that is repainted a few times a second, and the parts that pictures share.

Thread: the command's main thread.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

_REPAINT_S = 0.25
_STYLES = {"Succeeded": "green", "Failed": "red", "Error": "red", "Running": "cyan", "Pending": "dim"}


class Screen(ABC):
    """Paints on a terminal from entering the context to leaving it; the last picture stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._painted_at_s = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.update(self._picture(), refresh=True)
        self._live.__exit__(*error)

    @abstractmethod
    def _picture(self) -> RenderableType:
        """Return the current picture."""

    def _paint(self) -> None:
        """Paint if it is time."""
        now_s = time.monotonic()
        if now_s - self._painted_at_s >= _REPAINT_S:
            self._painted_at_s = now_s
            self._live.update(self._picture(), refresh=True)


def phase_style(phase: str) -> str:
    """Return the style of a phase, "" for one that Argo does not have."""
    return _STYLES.get(phase, "")


def plain_table() -> Table:
    """Return a table without lines, as wide as the terminal."""
    return Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
