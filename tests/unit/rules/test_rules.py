"""Rules over time against a model that is slow and obvious: random readings, restarts, outages, clock jumps."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import orjson
from hypothesis import event, given, settings
from hypothesis import strategies as st

from bridge.rules.chain import Rules, State
from bridge.rules.collect import Collect, Keep
from bridge.rules.concurrency import Concurrency, WhenBusy
from bridge.rules.cooldown import Cooldown
from bridge.rules.count import Count
from bridge.rules.model import Kept, Now, Readings, Rule, Sample
from bridge.rules.trigger import Change, Edge, Silent, Trigger
from tests.support.rules_reference import Reference, Told

SECONDS = st.integers(1, 6)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    """Any rules that may stand together in a mapping, two behind the trigger at most: more let too little through."""
    trigger = draw(st.sampled_from([trigger.value for trigger in Trigger]))
    is_edge = trigger in ("rising", "falling")
    rest = draw(st.sets(st.sampled_from(["count", "collect", "cooldown", "concurrency"]), max_size=2))
    reference = Reference(
        trigger=trigger,
        for_s=draw(SECONDS) if trigger == "silent" or (trigger != "change" and draw(st.booleans())) else 0,
        has_until=is_edge and draw(st.booleans()),
        deadband=draw(st.sampled_from([0.0, 0.5, 2.0])) if trigger == "change" else 0.0,
    )
    if "count" in rest:
        reference.count = draw(st.tuples(st.integers(2, 4), SECONDS))
    if "collect" in rest:
        reference.collect = draw(st.tuples(st.sampled_from(["quiet", "every", "count"]), st.integers(2, 6), keeps()))
    if "cooldown" in rest:
        reference.cooldown = draw(SECONDS)
    if "concurrency" in rest:
        reference.concurrency = draw(st.tuples(st.integers(1, 2), st.sampled_from([one.value for one in WhenBusy])))
    return reference


def keeps() -> st.SearchStrategy[str]:
    return st.sampled_from([keep.value for keep in Keep])


def rules_of(reference: Reference) -> Rules:
    """The same rules, as the bridge has them."""
    trigger: Edge | Change | Silent = Edge(Trigger(reference.trigger), float(reference.for_s), reference.has_until)
    if reference.trigger == "change":
        trigger = Change(reference.deadband)
    elif reference.trigger == "silent":
        trigger = Silent(float(reference.for_s))
    rest: list[Rule] = [] if reference.count is None else [Count(*reference.count)]
    if reference.collect is not None:
        kind, number, keep = reference.collect
        rest.append(
            Collect(
                quiet_s=number if kind == "quiet" else inf,
                at_most_s=number if kind == "every" else inf,
                count=number if kind == "count" else None,
                keep=Keep(keep),
            )
        )
    rest += [Cooldown(reference.cooldown)] if reference.cooldown else []
    limit = reference.concurrency
    concurrency = None if limit is None else Concurrency(limit[0], WhenBusy(limit[1]))
    return Rules(trigger, (*rest, concurrency) if concurrency else tuple(rest), concurrency=concurrency)


class Subject:
    """The rules and the state of one key, which is stored and read again after each step."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state: State = {}
        self.running: list[str] = []
        self.names = 0

    def advance(self, step: Callable[[State], Any]) -> list[Readings]:
        """Do a step, and order what it leads to."""
        done = step(self.state)
        started = []
        for _ in done.events:
            self.names += 1
            started.append([str(self.names), "ns", f"w{self.names}"])
        if self.rules.concurrency is not None:
            self.running += [one[0] for one in started]
        self.state = orjson.loads(orjson.dumps(self.rules.named(done.state, started)))
        return list(done.events)

    def end(self) -> None:
        """The oldest workflow ends."""
        if self.running:
            self.state = self.rules.ended(self.state, self.running.pop(0))


READINGS = [
    None,
    None,
    *((holds, rearms, value) for holds in (True, True, False) for rearms in (False, True) for value in (0.0, 0.4, 7.5)),
]
MOMENTS = st.fixed_dictionaries(
    {
        "away": st.sampled_from([0] * 9 + [20]),  # seconds that nobody knows of, before
        "reading": st.sampled_from(READINGS),
        "end": st.sampled_from([False, False, True]),
        "wall": st.sampled_from([0, 0, -(10**9), 10**9]),
    }
)


@settings(max_examples=300, deadline=None)
@given(references(), st.lists(MOMENTS, min_size=40, max_size=60))
def test_rules_mean_what_the_model_says(reference: Reference, moments: list[dict[str, Any]]) -> None:
    """Second by second the same events of the same readings, whatever was between; and time alone leaves no rest."""
    subject = Subject(rules_of(reference))
    age = wall = number = 0
    for known, moment in enumerate(moments, 1):
        age += 1 + moment["away"]
        wall += 1 + moment["wall"]
        now = Now(float(age), float(known), float(wall))
        told = None
        if moment["reading"] is not None:
            number += 1
            told = Told(number, known, *moment["reading"])
        expected = reference.step(age, known, told, moment["end"])
        if moment["end"]:
            subject.end()
        found = subject.advance(lambda state, now=now: subject.rules.tick(state, now))
        assert not subject.rules.due(subject.state).is_reached(now)
        if told is not None:
            kept: Kept = [str(told.number)]
            sample = Sample(told.holds, lambda kept=kept: kept, told.rearms, told.value)
            found += subject.advance(lambda state, now=now, sample=sample: subject.rules.take(state, sample, now))
        assert [[int(one[0]) for one in readings] for readings in found] == expected
        event(f"{reference.trigger}: {len(found)} events")
