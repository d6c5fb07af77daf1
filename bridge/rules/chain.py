"""All rules of one mapping, in the order in which a reading passes them.

window, `when`, trigger (with `for` and `until`), count, collect, active, cooldown, concurrency, the event. The state of
a key is a map from a rule's name to its state: a rule without state has no entry, a key without entries none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.rules.concurrency import Concurrency, Started
from bridge.rules.model import NEVER, Due, Now, Readings, Rule, Sample
from bridge.rules.trigger import Change, Edge, Silent
from bridge.rules.window import Window

State = dict[str, Any]
USED = "used"
USED_STEP_S = 3600.0
"""A key that has a state says in which hour of the bridge's own clock it was used last: what is not used goes first."""
_TRIGGER = "trigger"


class Step(NamedTuple):
    """What a step leads to.

    Attributes:
        state: of the key, {} for none.
        events: what goes on: the readings of one event each.
        stopped_by: the rule that a reading did not pass, or "".
    """

    state: State
    events: tuple[Readings, ...]
    stopped_by: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one mapping.

    Attributes:
        trigger: which readings pass.
        rest: what they pass after it, in order, with `concurrency` at the end.
        concurrency: the last of them, or None.
        window: the figures that `when` and texts use, or None.
    """

    trigger: Edge | Change | Silent
    rest: tuple[Rule, ...] = ()
    window: Window | None = None
    concurrency: Concurrency | None = None

    def with_value(self, state: State, value: float, now: Now) -> State:
        """Return the state with one value more in the window."""
        return (
            state
            if self.window is None
            else _with(state, self.window.name, self.window.add(state.get("window"), value, now))
        )

    def figures(self, state: State, now: Now) -> dict[str, float] | None:
        """Return the figures of the window, or None without one."""
        return None if self.window is None else self.window.figures(state.get(self.window.name), now)

    def take(self, state: State, sample: Sample, now: Now) -> Step:
        """Return what a reading leads to, and before it the time until now."""
        events: tuple[Readings, ...] = ()
        if self.due(state).is_reached(now):
            state, events, _ = self.tick(state, now)
        told, readings = self.trigger.take(state.get(_TRIGGER), sample, now)
        state = _with(state, _TRIGGER, told)
        if not readings:
            return Step(self._used(state, now), events, _TRIGGER if sample.holds else "when")
        state, readings, stopped_by = self._pass(state, readings, 0, now)
        return Step(self._used(state, now), (*events, readings) if readings else events, stopped_by)

    def tick(self, state: State, now: Now) -> Step:
        """Return what the time until now leads to."""
        events: list[Readings] = []
        if self.concurrency is not None:
            # What waited for an end comes before what time leads to now.
            state = self._tick_rule(state, len(self.rest) - 1, now, events)
        if self.window is not None:
            state = _with(state, self.window.name, self.window.tick(state.get(self.window.name), now))
        told = state.get(_TRIGGER)
        if self.trigger.due(told).is_reached(now):
            told, readings = self.trigger.tick(told, now)
            state, readings, _ = self._pass(_with(state, _TRIGGER, told), readings, 0, now)
            events += [readings] if readings else []
        for place in range(len(self.rest)):
            state = self._tick_rule(state, place, now, events)
        return Step(self._used(state, now), tuple(events))

    def _tick_rule(self, state: State, place: int, now: Now, events: list[Readings]) -> State:
        rule = self.rest[place]
        while rule.due(told := state.get(rule.name)).is_reached(now):
            told, readings = rule.tick(told, now)
            state, readings, _ = self._pass(_with(state, rule.name, told), readings, place + 1, now)
            events += [readings] if readings else []
        return state

    def named(self, state: State, started: Sequence[Started | None]) -> State:
        """Return the state once the events of a step have names; None is one that could not be ordered."""
        rule = self.concurrency
        return state if rule is None else _with(state, rule.name, rule.named(state.get(rule.name), started))

    def ended(self, state: State, event_id: str) -> State:
        """Return the state after the workflow of an event has ended."""
        rule = self.concurrency
        return state if rule is None else _with(state, rule.name, rule.ended(state.get(rule.name), event_id))

    def due(self, state: State) -> Due:
        """Return when `tick` has something to do."""
        if not state:
            return NEVER
        due = self.trigger.due(state.get(_TRIGGER))
        if self.window is not None:
            due = due.or_earlier(self.window.due(state.get(self.window.name)))
        for rule in self.rest:
            due = due.or_earlier(rule.due(state.get(rule.name)))
        return due

    def _pass(self, state: State, readings: Readings, place: int, now: Now) -> tuple[State, Readings, str]:
        for rule in self.rest[place:]:
            if not readings:
                break
            told, readings = rule.take(state.get(rule.name), readings, now)
            state = _with(state, rule.name, told)
            if not readings:
                return state, (), rule.name
        return state, readings, ""

    @staticmethod
    def _used(state: State, now: Now) -> State:
        if state.keys() <= {USED}:
            return {}
        hour = int(now.age_s // USED_STEP_S)
        return state if state.get(USED) == hour else state | {USED: hour}


def _with(state: State, name: str, told: Any) -> State:
    if state.get(name) == told:
        return state
    if told is None:
        return {key: value for key, value in state.items() if key != name}
    return state | {name: told}
