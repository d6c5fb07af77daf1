"""The counts that each commit stores with its rows, and the limits computed from them. No I/O.

A full spool must not block operations that help (`stop`, `terminate`, `delete`), and one lane must not block all
others. So beyond spool.max-rows and spool.max-bytes there is a reserve: a quarter of them for lanes with less than a
16th each, another 16th for urgent events, and, by bytes, another one for messages to send.

Thread: the writer changes a copy under the database's lock; a published ledger never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bridge.core.errors import SpoolError
from bridge.spool.options import SpoolOptions
from bridge.spool.records import NewEvent

SMALL = 1 / 16
FOR_SMALL = 1.25
FOR_URGENT = FOR_SMALL + 1 / 16
FOR_MESSAGES = FOR_URGENT + 1 / 16


@dataclass(slots=True)
class Ledger:
    """Counters and lanes.

    Attributes:
        next_seq: the next number for rows, lanes and manifests; none is reused.
        rows: event rows, including ended ones.
        outbox: rows.
        dead_letters: rows.
        dead_bytes: their bytes.
        ended_early: see `SpoolFigures`.
        dead_dropped: see `SpoolFigures.dead_letters_dropped`.
        lane_ids: number of each lane.
        waiting: waiting rows by lane number.
        bytes: their bytes by lane number.
        changed_lanes: lanes whose row this commit writes.
    """

    next_seq: int
    rows: int
    outbox: int
    dead_letters: int
    dead_bytes: int
    ended_early: int
    dead_dropped: int
    lane_ids: dict[str, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    bytes: dict[int, int] = field(default_factory=dict)
    changed_lanes: set[int] = field(default_factory=set)

    def copy(self) -> Ledger:
        """Return a copy that can be changed independently."""
        return replace(
            self,
            lane_ids=dict(self.lane_ids),
            waiting=dict(self.waiting),
            bytes=dict(self.bytes),
            changed_lanes=set(),
        )

    def take_seqs(self, count: int) -> int:
        """Reserve `count` numbers; return the first."""
        first = self.next_seq
        self.next_seq += count
        return first

    def lane_id(self, name: str) -> int:
        """Return the number of lane `name`, a new one if it has none."""
        lane = self.lane_ids.get(name)
        if lane is None:
            lane = self.lane_ids[name] = self.take_seqs(1)
            self.waiting[lane] = self.bytes[lane] = 0
        return lane

    def count_waiting(self, lane: int, rows: int, size_bytes: int) -> None:
        """Add or subtract `rows` waiting rows of `size_bytes` in lane number `lane`."""
        self.waiting[lane] += rows
        self.bytes[lane] += size_bytes
        self.changed_lanes.add(lane)

    def named_changes(self) -> list[tuple[int, str, int, int]]:
        """Return ``(number, name, waiting, bytes)`` of each lane that changed."""
        changed = self.changed_lanes
        if not changed:
            return []
        return [
            (lane, name, self.waiting[lane], self.bytes[lane])
            for name, lane in self.lane_ids.items()
            if lane in changed
        ]

    def by_lane(self) -> dict[str, int]:
        """Return the number of waiting rows of each lane that has any."""
        return {name: self.waiting[lane] for name, lane in sorted(self.lane_ids.items()) if self.waiting[lane]}

    def total_waiting(self) -> int:
        """Return the number of all waiting rows."""
        return sum(self.waiting.values())


class NoRoomError(SpoolError):
    """Nothing was stored, because some events have no room now (``spool-full``); the others would have room.

    Attributes:
        events: ids of the events without room.
    """

    def __init__(self, limits: SpoolOptions, waiting: int, events: frozenset[bytes] = frozenset()) -> None:
        super().__init__(
            f"cannot store events: {waiting} wait, and the spool has reached its share of spool.max-rows "
            f"{limits.max_rows} or spool.max-bytes {limits.max_bytes}",
            code="spool-full",
            hint="find out why they are not submitted, or raise the limit",
        )
        self.events = events


@dataclass(slots=True)
class _Taken:
    """Rows and bytes of something."""

    rows: int
    size_bytes: int


class Room:
    """The used part of the spool, in rows and bytes.

    Args:
        ledger: the current counts.
        used_bytes: of the file.
        limits: of the spool.
    """

    def __init__(self, ledger: Ledger, used_bytes: int, limits: SpoolOptions) -> None:
        self._ledger = ledger
        self._limits = limits
        self._all = _Taken(ledger.rows, used_bytes)
        self._lanes: dict[str, _Taken] = {}
        self._manifests: set[bytes] = set()

    @property
    def is_full(self) -> bool:
        """Whether only the reserve is left."""
        return self._reaches(self._all, 1)

    @property
    def is_brimful(self) -> bool:
        """Whether there is not even room for a message to send."""
        return self._all.size_bytes >= self._limits.max_bytes * FOR_MESSAGES

    def has_plenty(self, encoded: Sequence[tuple[NewEvent, bytes]]) -> bool:
        """Whether all of these can be stored without further checks."""
        size_bytes = sum(len(body) + len(event.order.manifest) for event, body in encoded)
        return not self._reaches(_Taken(self._all.rows + len(encoded), self._all.size_bytes + size_bytes), 1)

    def admits(self, event: NewEvent) -> bool:
        """Whether one more event can be stored."""
        if event.is_urgent:
            return not self._reaches(self._all, FOR_URGENT)
        if not self.is_full:
            return True
        return not self._reaches(self._all, FOR_SMALL) and not self._reaches(self._lane(event.lane), SMALL)

    def _reaches(self, taken: _Taken, share: float) -> bool:
        # The smallest share is one row.
        rows = max(min(1, self._limits.max_rows), self._limits.max_rows * share)
        return taken.rows >= rows or taken.size_bytes >= self._limits.max_bytes * share

    def take(self, event: NewEvent, body: bytes) -> None:
        """Count one more event."""
        manifest = event.order.manifest
        size_bytes = len(body) + (0 if manifest in self._manifests else len(manifest))
        self._manifests.add(manifest)
        for taken in (self._all, self._lane(event.lane)):
            taken.rows += 1
            taken.size_bytes += size_bytes

    def _lane(self, name: str) -> _Taken:
        if name not in self._lanes:
            number = self._ledger.lane_ids.get(name)
            rows, size_bytes = (0, 0) if number is None else (self._ledger.waiting[number], self._ledger.bytes[number])
            self._lanes[name] = _Taken(rows, size_bytes)
        return self._lanes[name]
