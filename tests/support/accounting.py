"""Counts what became of numbered events: each must have led to exactly one workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EVENT_ANNOTATION = "argo-bridge/event"
NUMBER = "n"
"""The workflow parameter that carries the publisher's own number of the event."""


@dataclass(frozen=True)
class Account:
    """The result of a count.

    events: events that the broker confirmed.
    workflows: creates that Argo accepted.
    waiting: events that wait in the spool.
    dead: events that were dead-lettered.
    lost: confirmed events that are none of these.
    duplicated: events that are more than one of these, or one of them more than once.
    foreign: events that nobody published.
    same_annotation: values of the event annotation that more than one workflow bears.
    """

    events: int
    workflows: int
    waiting: int
    dead: int
    lost: tuple[int, ...]
    duplicated: tuple[int, ...]
    foreign: tuple[int, ...]
    same_annotation: tuple[str, ...]

    def __str__(self) -> str:
        """The figures in one line."""
        return (
            f"events {self.events} = workflows {self.workflows} + waiting {self.waiting} + dead-lettered {self.dead}, "
            f"lost {len(self.lost)}, duplicated {len(self.duplicated)}"
        )

    @property
    def is_exact(self) -> bool:
        """Whether every event is one workflow, waits or is dead, and nothing else is."""
        return not (self.lost or self.duplicated or self.foreign or self.same_annotation)


@dataclass(frozen=True)
class Kept:
    """Events that a bridge kept to itself, by their numbers, one entry a row.

    waiting: those that wait in its spool.
    dead: those that it dead-lettered.
    """

    waiting: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()


def account(
    confirmed: Iterable[int], created: Iterable[Mapping[str, Any]], unsure: Iterable[int] = (), kept: Kept | None = None
) -> Account:
    """Count.

    Args:
        confirmed: numbers of the events that were published and confirmed by the broker.
        created: what the simulator accepted, as ``GET /simulator/created`` has it.
        unsure: numbers of events that were published and never confirmed: they may or may not have arrived.
        kept: what is left in the spool; None = nothing.
    """
    wanted = set(confirmed)
    known = wanted | set(unsure)
    rows = list(created)
    kept = kept or Kept()
    numbers = Counter(int(row["parameters"][NUMBER]) for row in rows) + Counter(kept.waiting) + Counter(kept.dead)
    annotations = Counter(row["annotations"][EVENT_ANNOTATION] for row in rows)
    return Account(
        events=len(wanted),
        workflows=len(rows),
        waiting=len(kept.waiting),
        dead=len(kept.dead),
        lost=tuple(sorted(wanted - set(numbers))),
        duplicated=tuple(sorted(number for number, count in numbers.items() if count > 1)),
        foreign=tuple(sorted(set(numbers) - known)),
        same_annotation=tuple(sorted(value for value, count in annotations.items() if count > 1)),
    )
