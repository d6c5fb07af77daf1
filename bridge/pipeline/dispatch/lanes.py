"""Selects the next waiting row: round robin over lanes, so that a failing mapping or namespace blocks no other.

A lane (a mapping, or a namespace's trigger messages or operations) reads one page of rows ahead, so memory stays
constant whatever the backlog. Within a lane, new rows alternate with rows that failed before. A parked lane sends one
row at a time, as its probe, until one succeeds. So does a lane whose rows failed one after the other, because each
failure slows the gate, which all lanes share. Every other probe is the newest row, because older ones may be the cause
of the failures.

Rows that kept failing while others succeeded are in no lane: they are sent one at a time, beside all lanes.

Thread: the dispatcher's alone. Reads the spool; writes nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge.core.backoff import Backoff
from bridge.spool.records import WaitingEvent
from bridge.spool.waiting_rows import WaitingTable

PAGE = 256
PROBE = Backoff(initial_s=1.0, cap_s=60.0)
"""Delay between attempts of a parked lane; short at first, so that a quick repair is noticed soon."""
FAILURES = 3
"""After so many successive failures of a lane, one row at a time is tried."""
SLOW = Backoff(initial_s=0.5, cap_s=5.0)
"""Delay between attempts of a failing lane; the cap limits how late a recovery is noticed."""
QUARANTINE = ""
"""Stands for the lane of the quarantined rows; no other lane has this name."""


_Heap = list[tuple[float, int, WaitingEvent]]


@dataclass
class _Lane:
    name: str
    cursor: int = 0
    fresh: _Heap = field(default_factory=list)
    retried: _Heap = field(default_factory=list)
    more: bool = True
    look_due: bool = True
    due_s: float | None = None
    turn: int = 0
    probes_newest: bool = True
    parked_until_s: float | None = None
    cause: str = ""
    last_failure: str = ""
    failures: int = 0
    slow_tries: int = 0
    taken: set[int] = field(default_factory=set)

    def is_idle(self) -> bool:
        return not (self.may_have_rows() or self.taken or self.due_s is not None)

    def may_have_rows(self) -> bool:
        return bool(self.fresh or self.retried) or self.more or self.look_due

    def is_busy(self) -> bool:
        """Whether a row must come back before the next one can be sent."""
        return bool(self.taken) and (self.parked_until_s is not None or self.name == QUARANTINE)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until time alone gives a row; None = something must happen first."""
        rows_at_s = now_s if self.may_have_rows() else self.due_s
        if rows_at_s is None or self.is_busy():
            return None
        return max(0.0, rows_at_s - now_s, (self.parked_until_s or now_s) - now_s)

    def heap_of(self, event: WaitingEvent) -> _Heap:
        return self.retried if event.not_before_s > 0 else self.fresh

    def forget(self, seq: int) -> None:
        for heap in (self.fresh, self.retried):
            heap[:] = [entry for entry in heap if entry[1] != seq]
            heapq.heapify(heap)


class Lanes:
    """All lanes that have rows.

    Args:
        rows: the spool.
    """

    def __init__(self, rows: WaitingTable) -> None:
        self._rows = rows
        self._lanes: dict[str, _Lane] = {}
        self._turn: deque[str] = deque()
        self._lane(QUARANTINE)
        self.stored(rows.waiting_lanes())

    def __repr__(self) -> str:
        """Return each lane's state."""
        states = (
            f"{one.name or 'quarantine'}(ready={len(one.fresh) + len(one.retried)}, taken={len(one.taken)})"
            for one in self._lanes.values()
        )
        return f"Lanes({', '.join(states)})"

    @property
    def causes(self) -> dict[str, str]:
        """Return why each parked or failing lane waits, and the last failure of a quarantined row, by lane."""
        found = {}
        for lane in self._lanes.values():
            is_slow = lane.parked_until_s is not None or lane.name == QUARANTINE
            if cause := lane.cause or (lane.last_failure if is_slow else ""):
                found[lane.name or "quarantine"] = cause
        return found

    def is_parked(self, lane: str) -> bool:
        """Whether a lane is blocked by the cluster or the configuration."""
        return lane in self._lanes and bool(self._lanes[lane].cause)

    def stored(self, lanes: Iterable[str]) -> None:
        """Note that new rows of these lanes were committed."""
        for name in lanes:
            self._lane(name).more = True

    def take(self, now_s: float) -> WaitingEvent | None:
        """Return the next row to submit, or None; it stays taken until it is finished, postponed or given back."""
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
        """Return the seconds until time alone may give a row (0.0 = now), or None if something must happen first."""
        return min((wait for lane in self._lanes.values() if (wait := lane.wait_s(now_s)) is not None), default=None)

    def give_back(self, event: WaitingEvent) -> None:
        """Return a row that was not submitted, through no fault of its own: it is again the first of its lane."""
        lane = self._of(event)
        lane.taken.discard(event.seq)
        heapq.heappush(lane.heap_of(event), (event.not_before_s, event.seq, event))

    def finished(self, event: WaitingEvent) -> None:
        """Note that a row ended in the spool."""
        lane = self._of(event)
        lane.taken.discard(event.seq)
        lane.look_due = lane.look_due or event.not_before_s > 0
        if event.event.order_key:
            # The next row with its order key is due now; it is in its own lane even if this row was quarantined.
            self._lane(event.event.lane).look_due = True

    def postponed(self, event: WaitingEvent) -> None:
        """Note that a row was postponed in the spool, and may be quarantined now."""
        lane = self._of(event)
        lane.taken.discard(event.seq)
        lane.look_due = self._lane(QUARANTINE).look_due = True

    def claim(self, event: WaitingEvent) -> bool:
        """Take a row that was finished by another part; False if it is in flight and will be settled anyway."""
        lane = self._of(event)
        if event.seq in lane.taken:
            return False
        lane.forget(event.seq)
        lane.taken.add(event.seq)
        return True

    def park(self, lane: str, now_s: float, cause: str) -> None:
        """Park a lane: the cluster or the configuration is at fault, for the reason `cause`."""
        parked = self._lane(lane)
        if not parked.cause:
            parked.slow_tries = 1
        parked.parked_until_s = now_s + PROBE.delay_s(parked.slow_tries)
        parked.cause = cause

    def probe_parked(self, now_s: float) -> None:
        """Let each parked lane try at once, because something changed that it may be waiting for."""
        for lane in self._lanes.values():
            if lane.cause:
                lane.parked_until_s, lane.slow_tries = now_s, 0

    def unpark(self, lane: str) -> None:
        """Note that a submission of the lane succeeded."""
        parked = self._lanes.get(lane)
        if parked is not None:
            parked.cause = ""
            self.decided(lane)

    def failed(self, event: WaitingEvent, now_s: float, cause: str) -> None:
        """Note that a row failed, not necessarily because of the whole server."""
        failing = self._of(event)
        failing.failures += 1
        failing.last_failure = cause
        if failing.failures >= FAILURES and failing.parked_until_s is None and failing.name != QUARANTINE:
            failing.slow_tries = 1
            failing.parked_until_s = now_s + SLOW.delay_s(1)

    def decided(self, lane: str) -> None:
        """Note that a row of the lane got its outcome, whatever it is: the lane is not failing."""
        working = self._lanes.get(lane)
        if working is not None and not working.cause:
            working.parked_until_s = None
            working.failures = working.slow_tries = 0
            working.probes_newest = True

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name, more=name != QUARANTINE)
            self._turn.append(name)
        return lane

    def _of(self, event: WaitingEvent) -> _Lane:
        return self._lane(QUARANTINE if event.is_quarantined else event.event.lane)

    def _next(self, lane: _Lane, now_s: float) -> WaitingEvent | None:
        is_parked = lane.parked_until_s is not None
        if lane.is_busy() or (lane.parked_until_s or 0.0) > now_s:
            return None
        event = self._probe(lane, now_s) if is_parked else self._alternate(lane, now_s)
        if event is not None and is_parked:
            lane.slow_tries += 1
            lane.parked_until_s = now_s + (PROBE if lane.cause else SLOW).delay_s(lane.slow_tries)
        return event

    def _alternate(self, lane: _Lane, now_s: float) -> WaitingEvent | None:
        """Return new rows and retried ones in turn; only one kind if there are none of the other."""
        self._read_due(lane, now_s)
        if not lane.fresh:
            self._read_fresh(lane)
        lane.turn += 1
        heap = lane.retried if lane.retried and (lane.turn % 2 or not lane.fresh) else lane.fresh
        return heapq.heappop(heap)[2] if heap else None

    def _probe(self, lane: _Lane, now_s: float) -> WaitingEvent | None:
        """Return the newest row every other time, otherwise one from `_alternate`."""
        if lane.probes_newest:
            newest = self._rows.newest(lane.name, lane.taken)
            if newest is not None:
                lane.probes_newest = False
                lane.forget(newest.seq)
                return newest
        event = self._alternate(lane, now_s)
        lane.probes_newest = event is not None
        return event

    def _read_due(self, lane: _Lane, now_s: float) -> None:
        if lane.retried or not (lane.look_due or (lane.due_s is not None and lane.due_s <= now_s)):
            return
        # Nothing is noted before it was read: a temporary failure of the spool must not hide rows until a restart.
        skip = frozenset(lane.taken)
        if lane.name == QUARANTINE:
            rows, due_s = self._rows.quarantined(now_s, PAGE, skip), self._rows.next_quarantined_s()
        else:
            rows, due_s = self._rows.due(lane.name, now_s, PAGE, skip), self._rows.next_due_s(lane.name)
        # A row in flight counts as due; when it is settled, `look_due` checks again.
        lane.due_s = due_s if due_s is not None and due_s > now_s else None
        lane.look_due = bool(rows)
        lane.retried = [(row.not_before_s, row.seq, row) for row in rows]
        heapq.heapify(lane.retried)

    def _read_fresh(self, lane: _Lane) -> None:
        if lane.more:
            rows = self._rows.waiting(lane.name, lane.cursor, PAGE)
            lane.more = bool(rows)  # large rows make a short page
            if rows:
                lane.cursor = rows[-1].seq
                lane.fresh = [(0.0, row.seq, row) for row in rows if row.seq not in lane.taken]
