"""The counts that each commit stores beside its rows, so that figures and limits never count rows. No I/O.

Thread: the writer changes a copy under the database's lock; a published ledger is never changed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class Ledger:
    """Counters and lanes.

    Attributes:
        next_seq: the next number for rows, lanes and manifests; none is used twice.
        rows: event rows, ended ones included.
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
        """Return a ledger that can be changed without changing this one."""
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
        """Return the number of lane `name`, a new one where it has none."""
        lane = self.lane_ids.get(name)
        if lane is None:
            lane = self.lane_ids[name] = self.take_seqs(1)
            self.waiting[lane] = self.bytes[lane] = 0
        return lane

    def count_waiting(self, lane: int, rows: int, size_bytes: int) -> None:
        """Add `rows` waiting rows of `size_bytes`, or take them away, of lane number `lane`."""
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
        """Return the waiting rows of each lane that has any."""
        return {name: self.waiting[lane] for name, lane in sorted(self.lane_ids.items()) if self.waiting[lane]}

    def total_waiting(self) -> int:
        """Return all waiting rows."""
        return sum(self.waiting.values())
