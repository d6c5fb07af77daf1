"""Who may store how much of the spool. Pure: counts, and decides; stores nothing.

A full spool must not shut out what helps it (`stop`, `terminate`, `delete`), and one lane must not shut out all others.
So beyond spool.max-rows and spool.max-bytes there is a reserve: a quarter of them for lanes that have less than a 16th
each, another 16th for events that are urgent, and, by bytes, another one for messages to send.

Thread: whoever commits, under the writer's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridge.core.errors import SpoolError
from bridge.spool.intake import EncodedEvent
from bridge.spool.ledger import Ledger
from bridge.spool.records import SpoolLimits

SMALL = 1 / 16
FOR_SMALL = 1.25
FOR_URGENT = FOR_SMALL + 1 / 16
FOR_MESSAGES = FOR_URGENT + 1 / 16


class NoRoomError(SpoolError):
    """Nothing was stored, because some events have no room now (``spool-full``); the others would have.

    Attributes:
        events: ids of those that have none.
    """

    def __init__(self, limits: SpoolLimits, waiting: int, events: frozenset[bytes] = frozenset()) -> None:
        super().__init__(
            f"cannot store events: {waiting} wait, and the spool has reached its share of spool.max-rows "
            f"{limits.max_rows} or spool.max-bytes {limits.max_bytes}",
            code="spool-full",
            hint="see why they are not submitted, or raise the limit",
        )
        self.events = events


@dataclass(slots=True)
class _Taken:
    """Rows and bytes of something."""

    rows: int
    size_bytes: int


class Room:
    """What is taken of the spool, by rows and bytes.

    Args:
        ledger: the counts now.
        used_bytes: of the file.
        limits: of the spool.
    """

    def __init__(self, ledger: Ledger, used_bytes: int, limits: SpoolLimits) -> None:
        self._ledger = ledger
        self._limits = limits
        self._all = _Taken(ledger.rows, used_bytes)
        self._lanes: dict[str, _Taken] = {}
        self._manifests: set[bytes] = set()

    @property
    def is_full(self) -> bool:
        """Whether the reserve is all that is left."""
        return self._reaches(self._all, 1)

    @property
    def is_brimful(self) -> bool:
        """Whether not even a message to send has room."""
        return self._all.size_bytes >= self._limits.max_bytes * FOR_MESSAGES

    def has_plenty(self, encoded: Sequence[EncodedEvent]) -> bool:
        """Whether all of these may be stored without a closer look."""
        size_bytes = sum(len(row.body) + len(row.event.order.manifest) for row in encoded)
        return not self._reaches(_Taken(self._all.rows + len(encoded), self._all.size_bytes + size_bytes), 1)

    def admits(self, row: EncodedEvent) -> bool:
        """Whether one more event may be stored."""
        if row.event.is_urgent:
            return not self._reaches(self._all, FOR_URGENT)
        if not self.is_full:
            return True
        return not self._reaches(self._all, FOR_SMALL) and not self._reaches(self._lane(row.event.lane), SMALL)

    def _reaches(self, taken: _Taken, share: float) -> bool:
        # The smallest share is a row.
        rows = max(min(1, self._limits.max_rows), self._limits.max_rows * share)
        return taken.rows >= rows or taken.size_bytes >= self._limits.max_bytes * share

    def take(self, row: EncodedEvent) -> None:
        """Count one more event."""
        manifest = row.event.order.manifest
        size_bytes = len(row.body) + (0 if manifest in self._manifests else len(manifest))
        self._manifests.add(manifest)
        for taken in (self._all, self._lane(row.event.lane)):
            taken.rows += 1
            taken.size_bytes += size_bytes

    def _lane(self, name: str) -> _Taken:
        if name not in self._lanes:
            number = self._ledger.lane_ids.get(name)
            rows, size_bytes = (0, 0) if number is None else (self._ledger.waiting[number], self._ledger.bytes[number])
            self._lanes[name] = _Taken(rows, size_bytes)
        return self._lanes[name]


def groups(encoded: Sequence[EncodedEvent], messages: Sequence[int]) -> Iterator[Sequence[EncodedEvent]]:
    """Give the events of each message together: they are stored together or not at all."""
    first = 0
    for count in messages or (1,) * len(encoded):
        yield encoded[first : first + count]
        first += count
