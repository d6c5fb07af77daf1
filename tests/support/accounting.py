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
    lost: confirmed events without a workflow.
    duplicated: events with more than one workflow.
    foreign: workflows of events that nobody published.
    same_annotation: values of the event annotation that more than one workflow bears.
    """

    events: int
    workflows: int
    lost: tuple[int, ...]
    duplicated: tuple[int, ...]
    foreign: tuple[int, ...]
    same_annotation: tuple[str, ...]

    def __str__(self) -> str:
        """The figures in one line."""
        return (
            f"events {self.events}, workflows {self.workflows}, lost {len(self.lost)}, "
            f"duplicated {len(self.duplicated)}"
        )

    @property
    def is_exact(self) -> bool:
        """Whether every event led to one workflow, and nothing else did."""
        return not (self.lost or self.duplicated or self.foreign or self.same_annotation)


def account(confirmed: Iterable[int], created: Iterable[Mapping[str, Any]], unsure: Iterable[int] = ()) -> Account:
    """Count.

    Args:
        confirmed: numbers of the events that were published and confirmed by the broker.
        created: what the simulator accepted, as ``GET /simulator/created`` has it.
        unsure: numbers of events that were published and never confirmed: they may or may not have arrived.
    """
    wanted = set(confirmed)
    known = wanted | set(unsure)
    rows = list(created)
    numbers = Counter(int(row["parameters"][NUMBER]) for row in rows)
    annotations = Counter(row["annotations"][EVENT_ANNOTATION] for row in rows)
    return Account(
        events=len(wanted),
        workflows=len(rows),
        lost=tuple(sorted(wanted - set(numbers))),
        duplicated=tuple(sorted(number for number, count in numbers.items() if count > 1)),
        foreign=tuple(sorted(set(numbers) - known)),
        same_annotation=tuple(sorted(value for value, count in annotations.items() if count > 1)),
    )
