"""Proposes the nearest known names within a budget: a hostile manifest must not buy minutes of edit distances.

Thread: the one that made it; one object for each manifest.
"""

from __future__ import annotations

from collections.abc import Collection

from bridge.core import nearest as core

# About 0.2 s of work; a manifest with ten typos in the largest type needs 500.
_MAX_COMPARISONS = 20_000


class Proposals:
    """Finds nearest names until its budget of comparisons is spent, then proposes nothing."""

    def __init__(self, max_comparisons: int = _MAX_COMPARISONS) -> None:
        self._left = max_comparisons

    @property
    def spent(self) -> bool:
        """Whether nothing more will be proposed."""
        return self._left <= 0

    def nearest(self, word: str, known: Collection[str]) -> str:
        """The nearest of `known`, or "" where none is near or the budget is spent."""
        self._left -= len(known) + 1
        return "" if self._left < 0 else core.nearest(word, known)
