"""Which waiting row is next: round robin over lanes, so that one failing mapping or namespace starves no other.

A lane (a mapping, or a namespace's trigger messages or operations) reads ahead a page of rows, so memory stays flat
whatever the backlog. A parked lane lets one row through a minute, as its probe, until one succeeds. So does a lane
whose rows failed one after the other, more often: each failure slows the gate, which all lanes share.

Thread: the dispatcher's alone. Reads the spool; writes nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.backoff import Backoff
from bridge.spool.records import WaitingEvent

PAGE = 256
PROBE_S = 60.0
FAILURES = 3
"""Rows of a lane that failed with no success between them, and from then on one row tries at a time."""
SLOW = Backoff(initial_s=0.5, cap_s=5.0)
"""From one try of a failing lane to the next; the cap bounds how late it is seen that the lane works again."""


class WaitingRows(Protocol):
    """The part of the spool that lanes read."""

    def waiting_lanes(self) -> tuple[str, ...]:
        """Return the lanes that have waiting rows."""

    def waiting(self, lane: str, after_seq: int, limit: int) -> tuple[WaitingEvent, ...]:
        """Return rows that were never postponed."""

    def due(self, lane: str, now_s: float, limit: int, skip: Collection[int] = frozenset()) -> tuple[WaitingEvent, ...]:
        """Return postponed rows whose time has come."""

    def next_due_s(self, lane: str) -> float | None:
        """Return when the next postponed row is due."""


@dataclass
class _Lane:
    name: str
    cursor: int = 0
    ready: list[tuple[int, WaitingEvent]] = field(default_factory=list)
    more: bool = True
    look_due: bool = True
    due_s: float | None = None
    parked_until_s: float | None = None
    cause: str = ""
    failures: int = 0
    slow_tries: int = 0
    taken: set[int] = field(default_factory=set)

    def is_idle(self) -> bool:
        return not (self.may_have_rows() or self.taken or self.due_s is not None)

    def may_have_rows(self) -> bool:
        return bool(self.ready) or self.more or self.look_due

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until time alone brings a row; None = something must happen first."""
        rows_at_s = now_s if self.may_have_rows() else self.due_s
        if self.parked_until_s is not None:
            rows_at_s = None if self.taken or rows_at_s is None else max(rows_at_s, self.parked_until_s)
        return None if rows_at_s is None else max(0.0, rows_at_s - now_s)


class Lanes:
    """All lanes that have rows.

    Args:
        rows: the spool.
    """

    def __init__(self, rows: WaitingRows) -> None:
        self._rows = rows
        self._lanes: dict[str, _Lane] = {}
        self._turn: deque[str] = deque()
        self.stored(rows.waiting_lanes())

    def __repr__(self) -> str:
        """Tell each lane's state."""
        states = (f"{lane.name}(ready={len(lane.ready)}, taken={len(lane.taken)})" for lane in self._lanes.values())
        return f"Lanes({', '.join(states)})"

    @property
    def causes(self) -> dict[str, str]:
        """Why each parked lane waits, by lane."""
        return {lane.name: lane.cause for lane in self._lanes.values() if lane.cause}

    def stored(self, lanes: Iterable[str]) -> None:
        """New rows of these lanes were committed."""
        for name in lanes:
            self._lane(name).more = True

    def take(self, now_s: float) -> WaitingEvent | None:
        """Return the next row to submit, or None if none can be now; it stays taken until `settled` or `give_back`."""
        for _ in range(len(self._turn)):
            name = self._turn[0]
            self._turn.rotate(-1)
            lane = self._lanes[name]
            if lane.is_idle():
                self._turn.remove(name)
                del self._lanes[name]
                continue
            event = self._next(lane, now_s)
            if event is not None:
                lane.taken.add(event.seq)
                return event
        return None

    def wait_s(self, now_s: float) -> float | None:
        """Return the seconds until `take` may give a row by time alone (0.0 = now), None if something else must be."""
        return min((wait for lane in self._lanes.values() if (wait := lane.wait_s(now_s)) is not None), default=None)

    def give_back(self, event: WaitingEvent) -> None:
        """The row was not submitted, through no fault of its own: it is the first of its lane again."""
        lane = self._lane(event.event.lane)
        lane.taken.discard(event.seq)
        heapq.heappush(lane.ready, (event.seq, event))

    def settled(self, event: WaitingEvent) -> None:
        """The row was finished or postponed in the spool."""
        lane = self._lane(event.event.lane)
        lane.taken.discard(event.seq)
        lane.look_due = True

    def claim(self, event: WaitingEvent) -> bool:
        """Take a row that is finished from elsewhere; False if it is under way and will be settled anyway."""
        lane = self._lane(event.event.lane)
        if event.seq in lane.taken:
            return False
        lane.ready = [entry for entry in lane.ready if entry[0] != event.seq]
        heapq.heapify(lane.ready)
        lane.taken.add(event.seq)
        return True

    def park(self, lane: str, now_s: float, cause: str) -> None:
        """Hold a lane back: the cluster or the configuration is at fault, and `cause` says how."""
        parked = self._lane(lane)
        parked.parked_until_s = now_s + PROBE_S
        parked.cause = cause

    def unpark(self, lane: str) -> None:
        """A submission of the lane succeeded."""
        parked = self._lanes.get(lane)
        if parked is not None:
            parked.cause = ""
            self.decided(lane)

    def failed(self, lane: str, now_s: float) -> None:
        """A row of the lane failed, and the server as a whole need not be the cause."""
        failing = self._lane(lane)
        failing.failures += 1
        if failing.failures >= FAILURES and failing.parked_until_s is None:
            failing.slow_tries = 1
            failing.parked_until_s = now_s + SLOW.delay_s(1)

    def decided(self, lane: str) -> None:
        """A row of the lane got its end, whatever it is: the lane is not failing."""
        working = self._lanes.get(lane)
        if working is not None and not working.cause:
            working.parked_until_s = None
            working.failures = working.slow_tries = 0

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name)
            self._turn.append(name)
        return lane

    def _next(self, lane: _Lane, now_s: float) -> WaitingEvent | None:
        is_parked = lane.parked_until_s is not None
        # One row probes at a time; the others wait for its outcome.
        if lane.parked_until_s is not None and (lane.parked_until_s > now_s or lane.taken):
            return None
        if not lane.ready:
            self._fill(lane, now_s)
        if not lane.ready:
            return None
        if is_parked:
            lane.slow_tries += 1
            lane.parked_until_s = now_s + (PROBE_S if lane.cause else SLOW.delay_s(lane.slow_tries))
        return heapq.heappop(lane.ready)[1]

    def _fill(self, lane: _Lane, now_s: float) -> None:
        # Nothing is noted before it was read: a spool that fails for a moment must not hide rows until a restart.
        if lane.look_due or (lane.due_s is not None and lane.due_s <= now_s):
            rows = self._rows.due(lane.name, now_s, PAGE, frozenset(lane.taken))
            due_s = self._rows.next_due_s(lane.name)
            # A row in flight counts as due; when it is settled, `look_due` asks again.
            lane.due_s = due_s if due_s is not None and due_s > now_s else None
            lane.look_due = bool(rows)
            if rows:
                lane.ready = [(row.seq, row) for row in rows]
                heapq.heapify(lane.ready)
                return
        if lane.more:
            rows = self._rows.waiting(lane.name, lane.cursor, PAGE)
            lane.more = bool(rows)  # large rows make a short page
            if rows:
                lane.cursor = rows[-1].seq
                lane.ready = [(row.seq, row) for row in rows if row.seq not in lane.taken]
