"""Which topic filters a session should have, has, and was refused. No I/O; owned by the transport's thread.

`want` may be called from any thread; everything else on the transport's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from bridge.core.topic_filter import filter_problem
from bridge.transports.base import ConnectionProblem
from bridge.transports.mqtt_options import FilterMemory
from bridge.transports.mqtt_problems import reason_name

# Brokers limit a SUBSCRIBE by their Maximum Packet Size, hosted ones also by number (AWS IoT: 8).
FILTERS_PER_PACKET = 8
# In place of a packet id while changes are decided and not yet sent.
_PLANNED = -1


class Wanted(NamedTuple):
    """One filter to subscribe; `retained` = with the retained messages that match it."""

    topic_filter: str
    retained: bool


class Subscriptions:
    """Bookkeeping from "wanted" over "sent" to "granted" or "refused", for one session."""

    def __init__(self, memory: FilterMemory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._wanted: dict[str, bool] = {}
        self._revision = 0
        self._sent_revision = -1
        self._sent: dict[str, bool] = {}
        self._in_session = set(memory.known)
        self._reported = memory.known
        self._subscribing: dict[int, tuple[str, ...]] = {}
        self._unsubscribing: dict[int, tuple[str, ...]] = {}
        self._refused: dict[str, ConnectionProblem] = {}
        self.problems: tuple[ConnectionProblem, ...] = ()

    def want(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Make these the wanted filters; a filter in both is subscribed with its retained messages.

        Thread: any.
        """
        wanted = {topic_filter: topic_filter in retained for topic_filter in sorted(filters | retained)}
        with self._lock:
            self._wanted = wanted
            self._revision += 1

    @property
    def is_settled(self) -> bool:
        """Whether the broker answered everything that is wanted now."""
        return self._revision == self._sent_revision and not self._subscribing and not self._unsubscribing

    @property
    def has_news(self) -> bool:
        """Whether something is wanted that was not sent on this connection."""
        return self._revision != self._sent_revision

    def connected(self, *, is_new_session: bool) -> None:
        """A network connection begins: everything wanted is to be sent again, so that nothing is missing after it."""
        self._sent.clear()
        self._sent_revision = -1
        self._subscribing.clear()
        self._unsubscribing.clear()
        if is_new_session:
            self._in_session.clear()

    def changes(self) -> tuple[list[Wanted], list[str]]:
        """Return what to subscribe and what to unsubscribe now, and count it as sent.

        Filters refused earlier are among the first: their rights may have changed.
        """
        # Not settled for a moment in between either: others ask, and what is published then is for nobody.
        self._subscribing[_PLANNED] = ()
        with self._lock:
            wanted, self._sent_revision = self._wanted, self._revision
        for topic_filter in self._refused:
            self._sent.pop(topic_filter, None)
        self._refused = {
            topic_filter: ConnectionProblem("filter-refused", f'topic filter "{topic_filter}" is not valid: {problem}')
            for topic_filter in wanted
            if (problem := filter_problem(topic_filter))
        }
        subscribe = [
            Wanted(topic_filter, retained)
            for topic_filter, retained in wanted.items()
            if topic_filter not in self._refused and self._sent.get(topic_filter) != retained
        ]
        unsubscribe = sorted(self._in_session - wanted.keys())
        self._sent = {name: retained for name, retained in wanted.items() if name not in self._refused}
        self._in_session |= self._sent.keys()
        self._publish_state()
        if not subscribe and not unsubscribe:
            self._subscribing.pop(_PLANNED)
        return subscribe, unsubscribe

    def subscribing(self, packet_id: int, filters: tuple[str, ...]) -> None:
        """SUBSCRIBE `packet_id` was sent for `filters`."""
        self._subscribing[packet_id] = filters
        self._subscribing.pop(_PLANNED, None)

    def unsubscribing(self, packet_id: int, filters: tuple[str, ...]) -> None:
        """UNSUBSCRIBE `packet_id` was sent for `filters`."""
        self._unsubscribing[packet_id] = filters
        self._subscribing.pop(_PLANNED, None)

    def suback(self, packet_id: int, codes: Sequence[int]) -> None:
        """SUBACK arrived, with one reason code a filter, in their order."""
        for topic_filter, code in zip(self._subscribing.pop(packet_id, ()), codes, strict=False):
            if code >= 0x80:
                self._in_session.discard(topic_filter)
                self._refused[topic_filter] = ConnectionProblem(
                    "filter-refused",
                    f'the broker refused topic filter "{topic_filter}": {reason_name(code)}; check its access rules',
                )
            elif code == 0:
                self._refused[topic_filter] = ConnectionProblem(
                    "filter-downgraded",
                    f'the broker grants only QoS 0 for topic filter "{topic_filter}": messages may be lost',
                )
        self._publish_state()

    def unsuback(self, packet_id: int) -> None:
        """UNSUBACK arrived."""
        with self._lock:
            wanted = self._wanted
        self._in_session.difference_update(set(self._unsubscribing.pop(packet_id, ())) - wanted.keys())
        self._publish_state()

    def _publish_state(self) -> None:
        self.problems = tuple(self._refused.values())
        in_session = frozenset(self._in_session)
        if in_session != self._reported:
            self._reported = in_session
            self._memory.changed(in_session)
