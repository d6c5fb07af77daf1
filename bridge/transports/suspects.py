"""Which outgoing messages may be what ends a connection, and which topics are set aside because one did. Pure.

A broker may close the connection on a message that it will not have: a topic of too many levels, a packet above its
limit, a topic that its policy forbids. Sent again after the reconnect, such a message would keep the bridge offline.

Whatever was unanswered when the broker ended the connection is suspected, and from then on sent alone, so that the
next end proves something. Alone twice when that happens, a message is set aside, and so is whatever else of its topic
is as large or larger: a value that is retained would only come again. After a minute the topic is tried once more,
alone, then after two, four, and so on: the broker's rules may be others, or it was ill and is well again.

Nothing of this outlives the process: after a restart the same is found out again, by two ends of the connection.

Thread: any, one at a time: `Outgoing` holds its lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.core.clock import Clock
from bridge.core.model import OutgoingMessage

ENDS_ALONE = 2
"""How often a message, alone on its way, must have seen the end of the connection to be set aside."""
SUSPECTED_S = 60.0
"""A suspect that is not offered again for so long was replaced by a newer value, and is forgotten."""
SET_ASIDE_S, MAX_SET_ASIDE_S = 60.0, 3600.0
"""For how long a topic is set aside the first time, and at most; each time twice as long."""
MAX_REMEMBERED = 1000
"""Suspects, and topics set aside; the oldest are forgotten first."""

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Suspect:
    ends_alone: int
    seen_s: float


@dataclass(frozen=True, slots=True)
class _Aside:
    size_bytes: int
    until_s: float
    for_s: float


class Suspects:
    """What is known of one connection's outgoing messages, over all of its network connections.

    Args:
        clock: monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._suspects: dict[_Key, _Suspect] = {}
        self._aside: dict[str, _Aside] = {}

    def __len__(self) -> int:
        """How many messages are suspected."""
        return len(self._suspects)

    def ends_alone(self, message: OutgoingMessage) -> int | None:
        """Return how often the connection ended while `message` alone was on its way; None = it is not suspected."""
        found = self._suspects.get(_key(message)) if self._suspects else None
        if found is not None:
            found.seen_s = self._clock.monotonic_s()
            return found.ends_alone
        if self._aside_for(message) is not None and not self.is_set_aside(message):
            return ENDS_ALONE - 1
        return None

    def is_set_aside(self, message: OutgoingMessage) -> bool:
        """Whether a message to the same topic, of this size or smaller, is set aside now."""
        found = self._aside_for(message)
        return found is not None and self._clock.monotonic_s() < found.until_s

    def _aside_for(self, message: OutgoingMessage) -> _Aside | None:
        found = self._aside.get(_place(message)) if self._aside else None
        return found if found is not None and len(message.payload) >= found.size_bytes else None

    def acquit(self, message: OutgoingMessage) -> None:
        """The broker answered `message`, whatever it said."""
        if self._suspects:
            self._suspects.pop(_key(message), None)
        if self._aside_for(message) is not None and not self.is_set_aside(message):
            del self._aside[_place(message)]

    def accuse(self, messages: Sequence[OutgoingMessage]) -> bool:
        """The broker ended the connection while these were unanswered; True if the only one is set aside now."""
        now_s = self._clock.monotonic_s()
        self._forget_before(now_s - SUSPECTED_S)
        for message in messages:
            before = self.ends_alone(message) or 0
            self._suspects.setdefault(_key(message), _Suspect(before, now_s)).seen_s = now_s
        if len(messages) == 1:
            (message,) = messages
            suspect = self._suspects[_key(message)]
            suspect.ends_alone += 1
            if suspect.ends_alone >= ENDS_ALONE:
                self.set_aside(message)
                return True
        return False

    def set_aside(self, message: OutgoingMessage) -> None:
        """This message is what the broker will not have."""
        place, size_bytes, for_s = _place(message), len(message.payload), SET_ASIDE_S
        before = self._aside.pop(place, None)
        if before is not None:
            size_bytes, for_s = min(size_bytes, before.size_bytes), min(2 * before.for_s, MAX_SET_ASIDE_S)
        self.acquit(message)
        self._aside[place] = _Aside(size_bytes, self._clock.monotonic_s() + for_s, for_s)
        _drop_oldest(self._aside)

    def _forget_before(self, limit_s: float) -> None:
        for key in [key for key, suspect in self._suspects.items() if suspect.seen_s < limit_s]:
            del self._suspects[key]
        _drop_oldest(self._suspects)


def _drop_oldest(known: dict[_Key, _Suspect] | dict[str, _Aside]) -> None:
    while len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]  # type: ignore[arg-type]  # mypy loses which of the two it is


def _place(message: OutgoingMessage) -> str:
    return message.queue or message.topic


def _key(message: OutgoingMessage) -> _Key:
    if message.retain:
        # A newer value of a retained topic stands for the one before it.
        return (message.topic,)
    digest = hashlib.sha256(message.payload).hexdigest()
    return (_place(message), message.correlation_data.hex(), digest)
