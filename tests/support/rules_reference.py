"""What rules over time mean, said as slowly and plainly as possible: every answer is found anew in the whole history.

Times are whole seconds. `step` is called once a second, with the reading of that second if there was one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Told:
    """One reading: its number, when it came on the clock that stands still, and what the expressions said of it."""

    number: int
    known: int
    holds: bool
    rearms: bool
    value: float


@dataclass
class Reference:
    """The rules of one key; None or 0 where there is no such rule."""

    trigger: str = "every"
    for_s: int = 0
    has_until: bool = False
    deadband: float = 0.0
    count: tuple[int, int] | None = None
    collect: tuple[str, int, str] | None = None  # (quiet, every or count), its number, keep
    cooldown: int = 0
    concurrency: tuple[int, str] | None = None
    history: list[Told] = field(default_factory=list)
    fired_stretches: list[tuple[int, int]] = field(default_factory=list)  # (begin, length of the history by then)
    changes: list[float] = field(default_factory=list)
    reported: set[int] = field(default_factory=set)
    counted: list[int] = field(default_factory=list)
    collected: list[tuple[int, int]] = field(default_factory=list)  # (reading, age)
    last_event: int | None = None
    running: list[list[int]] = field(default_factory=list)
    waiting: list[list[int]] = field(default_factory=list)

    def step(self, age: int, known: int, told: Told | None, end: bool) -> list[list[int]]:
        """Return the events of one second: the numbers of the readings that each is made of."""
        events: list[list[int]] = []
        if end and self.running:
            self.running.pop(0)
            events += self._admit_waiting()
        events += self._by_time(age, known)
        if told is not None:
            self.history.append(told)
            passed = self._passes(known, is_reading=True)
            events += self._after_trigger(passed, age, known)
        return events

    def _by_time(self, age: int, known: int) -> list[list[int]]:
        events = self._after_trigger(self._passes(known, is_reading=False), age, known)
        if self.collect and self.collected and self.collect[0] != "count":
            since = self.collected[-1 if self.collect[0] == "quiet" else 0][1]
            if age >= since + self.collect[1]:
                events += self._flush(age)
        return events

    # -- trigger ---------------------------------------------------------------------------------------------------

    def _passes(self, known: int, *, is_reading: bool) -> int | None:
        if not self.history:
            return None
        last = self.history[-1]
        if self.trigger == "change":
            return self._changed(last) if is_reading and last.holds else None
        if self.trigger == "silent":
            return None if is_reading else self._fell_silent(known)
        levels = [one.holds != (self.trigger == "falling") for one in self.history]
        if not levels[-1]:
            return None
        begin = max((place + 1 for place, level in enumerate(levels) if not level), default=0)
        if self.trigger == "falling" and not any(one.holds for one in self.history[:begin]):
            return None
        if begin in [stretch for stretch, _ in self.fired_stretches]:
            return last.number if self.trigger == "every" and is_reading else None
        if self.has_until and self.fired_stretches:
            since = self.fired_stretches[-1][1]
            if not any(one.rearms for one in self.history[since:]):
                return None
        if known < self.history[begin].known + self.for_s:
            return None
        self.fired_stretches.append((begin, len(self.history)))
        return last.number

    def _changed(self, last: Told) -> int | None:
        if self.changes:
            difference = abs(last.value - self.changes[-1])
            if difference == 0 or difference < self.deadband:
                return None
        self.changes.append(last.value)
        return last.number

    def _fell_silent(self, known: int) -> int | None:
        heard = [place for place, one in enumerate(self.history) if one.holds]
        if not heard or heard[-1] in self.reported:
            return None
        step = max(1.0, self.for_s / 60)
        if known < math.ceil(self.history[heard[-1]].known / step) * step + self.for_s:
            return None
        self.reported.add(heard[-1])
        return self.history[heard[-1]].number

    # -- what follows it -------------------------------------------------------------------------------------------

    def _after_trigger(self, number: int | None, age: int, known: int) -> list[list[int]]:
        if number is None:
            return []
        if self.count:
            self.counted.append(known)
            recent = [at for at in self.counted if known < at + self.count[1]]
            if len(recent) < self.count[0]:
                return []
            self.counted = []
        if not self.collect:
            return self._after_collect([number], age)
        self.collected.append((number, age))
        kind, limit, _ = self.collect
        return self._flush(age) if kind == "count" and len(self.collected) == limit else []

    def _flush(self, age: int) -> list[list[int]]:
        assert self.collect
        numbers, self.collected = [number for number, _ in self.collected], []
        kept = {"first": numbers[:1], "last": numbers[-1:], "all": numbers}[self.collect[2]]
        return self._after_collect(kept, age)

    def _after_collect(self, numbers: list[int], age: int) -> list[list[int]]:
        if self.cooldown:
            if self.last_event is not None and age < self.last_event + self.cooldown:
                return []
            self.last_event = age
        if not self.concurrency:
            return [numbers]
        limit, when_busy = self.concurrency
        if len(self.running) < limit and not self.waiting:
            self.running.append(numbers)
            return [numbers]
        if when_busy == "queue":
            self.waiting.append(numbers)
        elif when_busy in ("newest", "replace"):
            self.waiting = [numbers]
        return []

    def _admit_waiting(self) -> list[list[int]]:
        admitted: list[list[int]] = []
        while self.concurrency and self.waiting and len(self.running) < self.concurrency[0]:
            self.running.append(self.waiting.pop(0))
            admitted.append(self.running[-1])
        return admitted
