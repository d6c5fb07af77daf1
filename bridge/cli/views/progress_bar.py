"""Draws a progress bar as text, for the views of `send` and `demo`. Pure; any thread."""

from __future__ import annotations


def progress_bar(percent: int, cells: int = 20) -> str:
    """Return a bar of `cells` characters for 0 to 100 percent, e.g. ``━━━━━╺╺╺``."""
    full = percent * cells // 100
    return "━" * full + "╺" * (cells - full)
