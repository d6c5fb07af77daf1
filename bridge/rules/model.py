"""What rules work on: the readings of one key, three kinds of time, and the form in which state is kept.

A rule is a frozen object with pure functions ``(state, what comes, now) -> (state, what goes on)``. State is JSON-ready
and small, and None where there is nothing to remember.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple, Protocol

from bridge.core.record import record

Kept = list[Any]
"""A message in its JSON-ready form, its payload first, as text or None. Rules keep it and pass it on."""

Readings = tuple[Kept, ...]
"""What goes on from one rule to the next: () = nothing, several = one event made of many."""


@record(frozen=True, slots=True)
class Now:
    """The time of a step, in seconds.

    Attributes:
        age_s: on the bridge's own clock, which goes on while the bridge is away.
        known_s: the same without the time in which the bridge or its link was down: nobody knows what happened then.
        wall_s: since 1970, as the machine shows it.
    """

    age_s: float
    known_s: float
    wall_s: float


class Due(NamedTuple):
    """When a state changes by time alone, in seconds on each clock; infinity = never."""

    age_s: float = inf
    known_s: float = inf

    def is_reached(self, now: Now) -> bool:
        """Whether it is time."""
        return self.age_s <= now.age_s or self.known_s <= now.known_s

    def or_earlier(self, other: Due) -> Due:
        """Return the earlier time on each clock."""
        return Due(min(self.age_s, other.age_s), min(self.known_s, other.known_s))


NEVER = Due()


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading as its mapping sees it.

    Attributes:
        holds: whether `when` is true.
        rearms: whether `until` is true.
        value: of `of`, for the trigger ``change``.
        keep: returns the message in the form that is kept.
    """

    holds: bool
    keep: Callable[[], Kept]
    rearms: bool = False
    value: Any = None


class Rule(Protocol):
    """One rule behind the trigger.

    Attributes:
        name: its key in a mapping, and in the state.
    """

    name: str

    def take(self, state: Any, readings: Readings, now: Now) -> tuple[Any, Readings]:
        """Return the state after `readings` came, and what goes on."""

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return the state after time passed, and what goes on."""

    def due(self, state: Any) -> Due:
        """Return when `tick` has something to do."""
