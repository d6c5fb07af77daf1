"""From the keys of a mapping to its rules over time, and what of them cannot be combined.

Thread: whichever loads a configuration.
"""

from __future__ import annotations

from datetime import UTC, time
from math import inf
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bridge.expressions.paths import KEY, READINGS, WINDOW
from bridge.mapping.definition import Otherwise, Retained
from bridge.rules.active import DAYS, Active
from bridge.rules.chain import Rules
from bridge.rules.collect import Collect, Keep
from bridge.rules.concurrency import Concurrency
from bridge.rules.cooldown import Cooldown
from bridge.rules.count import Count
from bridge.rules.trigger import Change, Edge, Silent, Trigger
from bridge.rules.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from bridge.mapping.definition import ActiveDefinition, MappingDefinition
    from bridge.rules.model import Rule

_EDGES = (Trigger.RISING, Trigger.FALLING)


def has_rules(definition: MappingDefinition) -> bool:
    """Whether any of its keys needs a state."""
    rest = (definition.window, definition.count, definition.collect, definition.active, definition.concurrency)
    if definition.retained is Retained.ONCE:
        return True
    return definition.trigger is not Trigger.EVERY or any(
        one is not None for one in (*rest, definition.for_s, definition.cooldown_s)
    )


def variables(definition: MappingDefinition) -> tuple[frozenset[str], frozenset[str]]:
    """Return the variables of `RULE_ROOTS` that its conditions have, and those that its texts have."""
    if not has_rules(definition):
        return frozenset(), frozenset()
    known = {KEY} | ({WINDOW} if definition.window else set())
    collects_all = definition.collect is not None and definition.collect.keep is Keep.ALL
    return frozenset(known), frozenset(known | ({READINGS} if collects_all else set()))


def conflicts(definition: MappingDefinition) -> Iterator[tuple[str, str]]:
    """Return the keys that mean nothing beside the others, each with the reason."""
    trigger, given = definition.trigger, {entry.key for entry in definition.node.entries}
    if "key" in given and not has_rules(definition):
        yield "key", "it is what rules over time tell apart, and this mapping has none"
    if "until" in given and trigger not in _EDGES:
        yield "until", "it arms `trigger: rising` or `trigger: falling` again"
    for key in ("of", "deadband"):
        if key in given and trigger is not Trigger.CHANGE:
            yield key, "it belongs to `trigger: change`"
    if "known" in given and trigger is not Trigger.SILENT:
        yield "known", "it belongs to `trigger: silent`"
    if trigger is Trigger.CHANGE and "for" in given:
        yield "for", "it is how long a condition holds, and a change does not last; use rising or falling"
    if trigger in _EDGES and "when" not in given:
        yield "trigger", f"{trigger} needs a condition that begins and ends: add `when`"
    if definition.for_s is not None and trigger is Trigger.EVERY and "when" not in given:
        yield "for", "it is how long a condition must hold: add `when`"
    if trigger is Trigger.SILENT and definition.for_s is None:
        yield "trigger", "silent needs `for`: how long nothing must come"
    if definition.collect is not None and definition.collect.at_most_s is not None and not definition.collect.quiet_s:
        yield "collect", "at-most belongs to quiet"


def rules_of(definition: MappingDefinition) -> Rules:
    """Return its rules.

    Raises:
        ValueError: ``active.zone`` is no time zone.
    """
    window, limit, rest = definition.window, definition.concurrency, tuple(_rest(definition))
    concurrency = None if limit is None else Concurrency(limit.max_running, limit.when_busy)
    return Rules(
        _trigger(definition),
        rest if concurrency is None else (*rest, concurrency),
        None if window is None else Window(window.last_s, window.at_most),
        concurrency,
    )


def _trigger(definition: MappingDefinition) -> Edge | Change | Silent:
    if definition.trigger is Trigger.CHANGE:
        return Change(definition.deadband or 0.0)
    if definition.trigger is Trigger.SILENT:
        return Silent(definition.for_s or 0.0)
    return Edge(definition.trigger, definition.for_s or 0.0, definition.until is not None)


def _rest(definition: MappingDefinition) -> Iterator[Rule]:
    count, collect = definition.count, definition.collect
    if count is not None:
        yield Count(count.at_least, count.within_s)
    if collect is not None:
        at_most_s = collect.every_s or collect.at_most_s or inf
        yield Collect(collect.quiet_s or inf, at_most_s, collect.count, collect.keep)
    if definition.active is not None:
        yield _active(definition.active)
    if definition.cooldown_s is not None:
        yield Cooldown(definition.cooldown_s)


def _active(active: ActiveDefinition) -> Active:
    begin, end = (time.fromisoformat(text) for text in active.hours.split("-"))
    return Active(_days(active.days), begin, end, _zone(active.zone), active.otherwise is Otherwise.HOLD)


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days.update(day % len(DAYS) for day in range(begin, end + 1 + (len(DAYS) if end < begin else 0)))
    return frozenset(days)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(name) from error
