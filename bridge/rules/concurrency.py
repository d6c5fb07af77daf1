"""``concurrency``: only so many workflows of a key at once. It follows the real workflows, which others tell it of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.rules.model import NEVER, Due, Now, Readings, Rule

MAX_WAITING = 1000

Started = list[str]
"""A workflow that was ordered: its event's id as hexadecimal digits, its namespace, its name."""


class WhenBusy(StrEnum):
    """What happens to readings that would start one workflow too many."""

    QUEUE = "queue"
    DROP = "drop"
    REPLACE = "replace"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Concurrency(Rule):
    """Its state is ``[running, waiting]``: what was ordered and has not ended, and the readings that wait for an end.

    Attributes:
        max_running: how many at once.
        when_busy: what happens to the next; ``replace`` waits likewise, and asks for an end.
    """

    max_running: int
    when_busy: WhenBusy
    name: str = "concurrency"

    def take(self, state: Any, readings: Readings, now: Now) -> tuple[Any, Readings]:  # noqa: ARG002 - as other rules
        """Return the state after readings came, and the readings if there is room.

        They have a place among the running, without a name until `named`.
        """
        running, waiting = state or ([], [])
        if len(running) < self.max_running and not waiting:
            return [[*running, None], []], readings
        if self.when_busy is WhenBusy.QUEUE and len(waiting) < MAX_WAITING:
            return [running, [*waiting, list(readings)]], ()
        if self.when_busy in (WhenBusy.NEWEST, WhenBusy.REPLACE):
            return [running, [list(readings)]], ()
        return state, ()

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:  # noqa: ARG002 - as other rules
        """Return the state, and what waits if there is room."""
        running, waiting = state or ([], [])
        if waiting and len(running) < self.max_running:
            return [[*running, None], waiting[1:]], tuple(waiting[0])
        return state, ()

    def due(self, state: Any) -> Due:
        """Return the beginning of time if there is room for what waits."""
        running, waiting = state or ([], [])
        return Due(age_s=0.0) if waiting and len(running) < self.max_running else NEVER

    def named(self, state: Any, started: Sequence[Started | None]) -> Any:
        """Return the state once the newest of the running have names; None is one that could not be ordered."""
        if not started:
            return state
        running, waiting = state
        return self._kept([*running[: -len(started)], *(one for one in started if one is not None)], waiting)

    def ended(self, state: Any, event_id: str) -> Any:
        """Return the state after one of the running has ended."""
        running, waiting = state or ([], [])
        return self._kept([one for one in running if one[0] != event_id], waiting)

    def to_replace(self, state: Any) -> list[Started]:
        """Return which of the running must be asked for an end."""
        running, waiting = state or ([], [])
        return running[:1] if waiting and self.when_busy is WhenBusy.REPLACE else []

    @staticmethod
    def _kept(running: list[Any], waiting: list[Any]) -> Any:
        return [running, waiting] if running or waiting else None
