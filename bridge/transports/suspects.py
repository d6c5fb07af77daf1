"""Tracks outgoing messages that may end a connection, and topics set aside because one did. Pure.

A broker may close the connection because of a message that it rejects: a topic with too many levels, a packet above its
limit, a topic that its policy forbids. Sent again after each reconnect, such a message would keep the bridge offline.

Every message unanswered when the broker ended the connection is a suspect, and from then on sent alone, so that the
next end proves something. A message that was alone twice when that happened is set aside, and so is everything on its
topic that is as large or larger, because a retained value would only come again. After a minute the topic is tried
again, alone, then after two, four, and so on: the broker's rules may have changed, or it may have recovered.

None of this survives the process: after a restart it is found out again, by two ends of the connection.

Thread: any, one at a time: `Outgoing` holds its lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.core.clock import Clock
from bridge.core.model import OutgoingMessage

ENDS_ALONE = 2
"""How often the connection must have ended with this message alone in flight before it is set aside."""
SUSPECTED_S = 60.0
"""A suspect that is not offered again within this time was replaced by a newer value, and is forgotten."""
SET_ASIDE_S, MAX_SET_ASIDE_S = 60.0, 3600.0
"""How long a topic is set aside the first time, and at most; doubled each time."""
MAX_REMEMBERED = 1000
"""Maximum number of suspects and of topics set aside; the oldest are forgotten first."""

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
    """The suspects among one connection's outgoing messages, over all of its network connections."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._suspects: dict[_Key, _Suspect] = {}
        self._aside: dict[str, _Aside] = {}

    def __len__(self) -> int:
        """Number of suspects."""
        return len(self._suspects)

    def ends_alone(self, message: OutgoingMessage) -> int | None:
        """Return how often the connection ended with only `message` in flight; None = it is not suspected."""
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
        """Note that the broker answered `message`, in any way."""
        if self._suspects:
            self._suspects.pop(_key(message), None)
        if self._aside_for(message) is not None and not self.is_set_aside(message):
            del self._aside[_place(message)]

    def accuse(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Note that the broker ended the connection while these were unanswered; True if the only one is set aside."""
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
        """Set aside a message that the broker rejects."""
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
        # A newer value of a retained topic replaces the one before it.
        return (message.topic,)
    digest = hashlib.sha256(message.payload).hexdigest()
    return (_place(message), message.correlation_data.hex(), digest)
