"""``cooldown``: a pause after each event of a key; readings that come in it go no further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.rules.model import NEVER, Due, Now, Readings, Rule


@dataclass(frozen=True, slots=True)
class Cooldown(Rule):
    """Its state is the age at which the pause ends: the pause goes on while the bridge is away.

    Attributes:
        pause_s: how long.
    """

    pause_s: float
    name: str = "cooldown"

    def take(self, state: Any, readings: Readings, now: Now) -> tuple[Any, Readings]:
        """Return the state after readings came, and the readings if there is no pause."""
        return (state, ()) if state is not None and now.age_s < state else (now.age_s + self.pause_s, readings)

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return no state once the pause is over."""
        return (None if now.age_s >= state else state), ()

    def due(self, state: Any) -> Due:
        """Return when the pause ends."""
        return NEVER if state is None else Due(age_s=state)
