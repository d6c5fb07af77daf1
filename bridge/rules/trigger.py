"""``trigger``, with ``for``, ``until`` and ``deadband``: which readings of a key start something.

``for`` makes a condition true only once it has held for that long; the triggers work on the condition after that.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.rules.model import NEVER, Due, Now, Readings, Sample

_LONGEST_VALUE = 64
_START = (None, False, True, None)
_NEVER_HELD = (None, True, True, None)


class Trigger(StrEnum):
    """Which readings of a key start a workflow."""

    EVERY = "every"
    RISING = "rising"
    FALLING = "falling"
    CHANGE = "change"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Edge:
    """``every``, ``rising`` and ``falling``.

    Its state is ``[since, is_over, is_armed, last]``: known seconds at which the present stretch of the condition began
    (None = it does not hold), whether this stretch has led to what it leads to, whether `until` has allowed the next
    one, and the last reading of a stretch that is not long enough yet. No state is that of a key that is armed, and
    whose condition does not hold.

    Attributes:
        trigger: which of them.
        for_s: how long the condition must hold.
        has_until: whether a key is armed again only once `until` was true.
    """

    trigger: Trigger = Trigger.EVERY
    for_s: float = 0.0
    has_until: bool = False

    def take(self, state: Any, sample: Sample, now: Now) -> tuple[Any, Readings]:
        """Return the state after a reading, and the reading if it starts something."""
        is_falling = self.trigger is Trigger.FALLING
        if self.trigger is Trigger.EVERY and not self.for_s:
            return None, (sample.keep(),) if sample.holds else ()
        if state is None and is_falling and not sample.holds:
            return list(_NEVER_HELD), ()  # what never held cannot end
        since, is_over, is_armed, _ = _START if state is None else state
        if self.has_until and sample.rearms:
            is_armed = True
        if sample.holds is is_falling:
            return self._kept(None, False, is_armed, None), ()
        if since is None:
            since = now.known_s if self.for_s else 0.0  # without `for`, nobody asks since when
        if is_over or not is_armed:
            return self._kept(since, is_over, is_armed, None), (sample.keep(),) if self._is_each(is_over) else ()
        if now.known_s < since + self.for_s:
            return self._kept(since, False, is_armed, sample.keep()), ()
        return self._fired(since), (sample.keep(),)

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return the state after time passed, and the last reading if the condition has held for long enough."""
        since, _, _, last = state
        if last is None or now.known_s < since + self.for_s:
            return state, ()
        return self._fired(since), (last,)

    def due(self, state: Any) -> Due:
        """Return when the condition will have held for long enough."""
        return NEVER if state is None or state[3] is None else Due(known_s=state[0] + self.for_s)

    def _is_each(self, is_over: bool) -> bool:
        return self.trigger is Trigger.EVERY and is_over

    def _fired(self, since: float) -> Any:
        return self._kept(since, True, not self.has_until, None)

    def _kept(self, since: float | None, is_over: bool, is_armed: bool, last: Any) -> Any:
        kept = (since, is_over, is_armed, last)
        if self.trigger is Trigger.FALLING:
            return list(kept)
        return None if kept == _START else list(kept)


@dataclass(frozen=True, slots=True)
class Change:
    """``change``: readings whose value differs from the last one that passed; the first of a key passes.

    Its state is that value, or its digest if it is long.

    Attributes:
        deadband: numbers that differ by less are equal.
    """

    deadband: float = 0.0

    def take(self, state: Any, sample: Sample, now: Now) -> tuple[Any, Readings]:  # noqa: ARG002 - as Edge
        """Return the state after a reading, and the reading if its value has changed."""
        if not sample.holds:
            return state, ()
        value = _short(sample.value)
        if state is not None and self._is_equal(state[0], value):
            return state, ()
        return [value], (sample.keep(),)

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:  # noqa: ARG002 - as Edge
        """Return the state: time changes nothing."""
        return state, ()

    def due(self, state: Any) -> Due:  # noqa: ARG002 - as Edge
        """Return never."""
        return NEVER

    def _is_equal(self, old: Any, new: Any) -> bool:
        if self.deadband and _is_number(old) and _is_number(new):
            return bool(abs(new - old) < self.deadband)
        return bool(old == new) and isinstance(old, bool) is isinstance(new, bool)


@dataclass(frozen=True, slots=True)
class Silent:
    """``silent``: no reading of a known key for a time; once, until the next reading.

    Its state is ``[heard, is_over, last]``: known seconds until which it was certainly heard, whether its silence has
    been reported, and a message without payload, which names the topic. `heard` is rounded up, so that a key that is
    heard often does not change its state each time: silence is noticed late by up to a sixtieth of `for_s`, but at
    least a second, and never early.

    Attributes:
        for_s: how long.
    """

    for_s: float

    def take(self, state: Any, sample: Sample, now: Now) -> tuple[Any, Readings]:
        """Return the state after a reading."""
        if not sample.holds:
            return state, ()
        step_s = max(1.0, self.for_s / 60)
        heard = math.ceil(now.known_s / step_s) * step_s
        if state is not None and state[0] == heard and not state[1]:
            return state, ()
        return [heard, False, sample.keep()], ()

    def tick(self, state: Any, now: Now) -> tuple[Any, Readings]:
        """Return the state after time passed, and the message that names the topic if it is silent for long enough."""
        heard, is_over, last = state
        if is_over or now.known_s < heard + self.for_s:
            return state, ()
        return [heard, True, last], (last,)

    def due(self, state: Any) -> Due:
        """Return when its silence will have lasted for long enough."""
        return NEVER if state is None or state[1] else Due(known_s=state[0] + self.for_s)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(text) <= _LONGEST_VALUE:
        return value
    return {"sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
