"""A mapping with rules over time: from a reading and the state of its key to the new state and what it starts.

Pure, like `compiled`; `pipeline` keeps the states. A message that rules keep is ``[payload, topic, connection, content
type, user properties, expiry, age]``: the payload as text with one character a byte, or None after a silence.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.core.errors import PermanentError
from bridge.core.model import Message, MessageProperties
from bridge.expressions.cel import EvaluationError
from bridge.expressions.paths import KEY, READINGS, WINDOW, Scope
from bridge.interface.replies import Refusal
from bridge.mapping.compiled import WHEN_FALSE, Fired, Mapping, Quiet, when_error
from bridge.mapping.render import identity
from bridge.rules.chain import Rules, State
from bridge.rules.model import Due, Kept, Now, Readings, Sample
from bridge.rules.trigger import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from bridge.expressions.expression import Condition, Expression

LONGEST_KEY = 128
REPEATED = Quiet("retained")
_LAST = "last"
"""Under this name the state of a key has the digest of its last message, where retained ones count once."""
_DIGEST_DIGITS = 32


class Reading(NamedTuple):
    """A message that a mapping with rules has read.

    Attributes:
        key: its key, at most `LONGEST_KEY` characters; of a longer one the SHA-256.
        payload: decoded.
    """

    key: str
    message: Message
    captures: MappingOf[str, str]
    payload: Any


class Made(NamedTuple):
    """An event that rules let pass: the message it is made of, and the result."""

    message: Message
    result: Fired | Refusal


class Advanced(NamedTuple):
    """What a step leads to.

    Attributes:
        state: of the key, {} for none.
        due: when the state changes by time alone.
        made: the events.
        quiet: why the reading itself started nothing, or None.
    """

    state: State
    due: Due
    made: tuple[Made, ...] = ()
    quiet: Quiet | None = None


@dataclass(frozen=True, slots=True)
class RuledMapping:
    """One mapping and its rules.

    Attributes:
        mapping: without them.
        rules: what a reading passes.
        key: what they tell apart, or None for the concrete topic.
        until: arms a key again, or None.
        of: the value that ``change`` compares, or None for the payload.
        window_of: the number that a reading brings into the window, or None without one.
        skips_repeated: whether a retained message is skipped that is the last one of its key.
    """

    mapping: Mapping
    rules: Rules
    key: Expression | None = None
    until: Condition | None = None
    of: Expression | None = None
    window_of: Expression | None = None
    skips_repeated: bool = False

    def read(self, message: Message, captures: MappingOf[str, str], wall_s: float) -> Reading | Quiet | Refusal:
        """Return the reading of a message, or why it is none. Never raises because of its content."""
        mapping = self.mapping
        if not message.payload and mapping.empty is not None:
            return mapping.empty
        try:
            payload = mapping.decoder.decode(message.payload, message.properties)
            if mapping.schema is not None:
                mapping.schema.check(payload)
            key = message.topic
            if self.key is not None:
                exact = (
                    mapping.decoder.exact(message.payload, payload, message.properties)
                    if self.key.reads_payload
                    else payload
                )
                key = identity("key", self.key, Scope(exact, captures, message, wall_s))
        except PermanentError as error:
            return mapping.refused(error)
        if len(key) > LONGEST_KEY:
            key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return Reading(key, message, captures, payload)

    def take(self, state: State, reading: Reading, now: Now) -> Advanced:
        """Return what a reading leads to. Never raises because of its content."""
        rules = self.rules
        if self.skips_repeated:
            digest = hashlib.sha256(reading.message.payload).hexdigest()[:_DIGEST_DIGITS]
            if reading.message.retain and state.get(_LAST) == digest:
                return Advanced(state, rules.due(state), quiet=REPEATED)
            state = state | {_LAST: digest}
        try:
            scope = Scope(reading.payload, reading.captures, reading.message, now.wall_s, {KEY: reading.key})
            if self.window_of is not None:
                state = rules.with_value(state, _number(self.window_of.value(scope)), now)
                figures = {KEY: reading.key, WINDOW: rules.figures(state, now)}
                scope = Scope(reading.payload, reading.captures, reading.message, now.wall_s, figures)
            sample = Sample(
                holds=_holds(self.mapping.condition, scope),
                rearms=self.until is not None and _holds(self.until, scope),
                value=reading.payload if self.of is None else self.of.value(scope),
                keep=partial(self._kept, reading.message, now),
            )
        except EvaluationError as error:
            return Advanced(state, rules.due(state), quiet=when_error(error))
        step = rules.take(state, sample, now)
        made = tuple(self._made(reading.key, step.state, readings, now) for readings in step.events)
        quiet = None
        if step.stopped_by:
            quiet = WHEN_FALSE if step.stopped_by == "when" else Quiet(step.stopped_by)
        return Advanced(step.state, rules.due(step.state), made, quiet)

    def tick(self, key: str, state: State, now: Now) -> Advanced:
        """Return what the time until now leads to."""
        step = self.rules.tick(state, now)
        made = tuple(self._made(key, step.state, readings, now) for readings in step.events)
        return Advanced(step.state, self.rules.due(step.state), made)

    def _kept(self, message: Message, now: Now) -> Kept:
        payload = None if isinstance(self.rules.trigger, Silent) else message.payload.decode("latin-1")
        properties = message.properties
        user = [list(pair) for pair in properties.user]
        return [
            payload,
            message.topic,
            message.connection,
            properties.content_type,
            user,
            properties.message_expiry_s,
            now.age_s,
        ]

    def _made(self, key: str, state: State, readings: Readings, now: Now) -> Made:
        message = _message(readings[-1], now)
        try:
            is_silence = readings[0][0] is None
            payloads = [] if is_silence else [self._exact(_message(one, now)) for one in readings]
            of_rules = {KEY: key, WINDOW: self.rules.figures(state, now), READINGS: payloads}
            payload = None if is_silence else payloads[-1]
            captures = self.mapping.topics.captured(message.topic) or {}
            return Made(message, self.mapping.fire(Scope(payload, captures, message, now.wall_s, of_rules)))
        except PermanentError as error:
            return Made(message, Refusal(error.code, error.message, error.details))

    def _exact(self, message: Message) -> Any:
        decoder, payload, properties = self.mapping.decoder, message.payload, message.properties
        return decoder.exact(payload, decoder.decode(payload, properties), properties)


def _message(kept: Kept, now: Now) -> Message:
    payload, topic, connection, content_type, user, expiry_s, age_s = kept
    left_s = None if expiry_s is None else max(0.0, expiry_s - (now.age_s - age_s))
    properties = MessageProperties(
        content_type=content_type, message_expiry_s=left_s, user=tuple((name, value) for name, value in user)
    )
    return Message(connection, topic, (payload or "").encode("latin-1"), properties=properties)


def _holds(condition: Condition | None, scope: Scope) -> bool:
    if condition is None:
        return True
    quick = condition.quick(scope.payload, scope.captures)
    return condition.holds(scope) if quick is None else quick


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise EvaluationError("the window's `of` is not a number")
