"""The topic filters that a session should have, has, and was refused. No I/O; owned by the transport's thread.

`want` may be called from any thread; everything else on the transport's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from bridge.core.model import HealthProblem
from bridge.core.topic_filter import filter_problem
from bridge.transports.mqtt.options import FilterMemory
from bridge.transports.mqtt.problems import reason_name

# Brokers limit a SUBSCRIBE by their Maximum Packet Size, hosted ones also by number (AWS IoT: 8).
FILTERS_PER_PACKET = 8
# Used instead of a packet id while changes are decided but not yet sent.
_PLANNED = -1
_MAX_CUTS = 2


class WantedFilter(NamedTuple):
    """One filter to subscribe; `retained` = with the matching retained messages."""

    topic_filter: str
    retained: bool


class Subscriptions:
    """Tracks filters from "wanted" through "sent" to "granted" or "refused", for one session."""

    def __init__(self, memory: FilterMemory, optional: frozenset[str] = frozenset()) -> None:
        """Create it without wanted filters.

        Args:
            memory: subscriptions of earlier runs.
            optional: filters, with their retained messages, that the bridge can do without: subscribed alone, once all
                others are answered, so that it is noticed if the broker ends the connection because of them.
        """
        self._memory = memory
        self._optional = optional
        self._optional_is_due = False
        self._asking: int | None = None
        self._cuts = 0
        self._lock = threading.Lock()
        self._wanted: dict[str, bool] = {}
        self._revision = 0
        self._sent_revision = -1
        self._sent: dict[str, bool] = {}
        self._in_session = set(memory.known)
        self._reported = memory.known
        self._subscribing: dict[int, tuple[str, ...]] = {}
        self._unsubscribing: dict[int, tuple[str, ...]] = {}
        self._refused: dict[str, HealthProblem] = {}
        self.problems: tuple[HealthProblem, ...] = ()
        self.granted_optional: frozenset[str] = frozenset()

    def want(self, filters: frozenset[str], retained: frozenset[str]) -> None:
        """Set the wanted filters; a filter in both is subscribed with its retained messages. Thread: any."""
        wanted = {topic_filter: topic_filter in retained for topic_filter in sorted(filters | retained)}
        with self._lock:
            self._wanted = wanted
            self._revision += 1

    @property
    def is_settled(self) -> bool:
        """Whether the broker has answered everything that is wanted now."""
        return self._revision == self._sent_revision and not self._subscribing and not self._unsubscribing

    @property
    def has_news(self) -> bool:
        """Whether a wanted filter was not sent on this connection."""
        return self._revision != self._sent_revision

    def connected(self, *, is_new_session: bool) -> bool:
        """Note that a network connection begins: all wanted filters are sent again, so that none is missing.

        Returns whether the broker should have had a session, by what was subscribed earlier, and has none.
        """
        is_lost = is_new_session and bool(self._in_session)
        self._sent.clear()
        self._sent_revision = -1
        self._subscribing.clear()
        self._unsubscribing.clear()
        self._asking = None
        self._optional_is_due = bool(self._optional) and self._cuts < _MAX_CUTS
        self.granted_optional = frozenset()
        if is_new_session:
            self._in_session.clear()
        return is_lost

    def changes(self) -> tuple[list[WantedFilter], list[str]]:
        """Return what to subscribe and unsubscribe now, and mark it as sent.

        Previously refused filters are among the first: their rights may have changed.
        """
        # Never settled in between, not even for a moment: others check, and would publish messages that nobody gets.
        self._subscribing[_PLANNED] = ()
        with self._lock:
            wanted, self._sent_revision = self._wanted, self._revision
        for topic_filter in self._refused:
            self._sent.pop(topic_filter, None)
        self._refused = {
            topic_filter: HealthProblem("filter-refused", f'topic filter "{topic_filter}" is not valid: {problem}')
            for topic_filter in wanted
            if (problem := filter_problem(topic_filter))
        }
        subscribe = [
            WantedFilter(topic_filter, retained)
            for topic_filter, retained in wanted.items()
            if topic_filter not in self._refused and self._sent.get(topic_filter) != retained
        ]
        unsubscribe = sorted(self._in_session - wanted.keys() - self._optional)
        self._sent = {name: retained for name, retained in wanted.items() if name not in self._refused}
        self._in_session |= self._sent.keys()
        self._publish_state()
        if not subscribe and not unsubscribe:
            self._subscribing.pop(_PLANNED)
        return subscribe, unsubscribe

    def optional_changes(self) -> list[WantedFilter]:
        """Return the optional filters, if it is time to subscribe to them; then call `asking`."""
        if not (self._optional_is_due and self.is_settled):
            return []
        self._optional_is_due = False
        self._in_session |= self._optional
        self._publish_state()
        return [WantedFilter(topic_filter, retained=True) for topic_filter in sorted(self._optional)]

    def asking(self, packet_id: int) -> None:
        """Note that SUBSCRIBE `packet_id` was sent for the optional filters."""
        self._asking = packet_id

    @property
    def is_asking(self) -> bool:
        """Whether the broker has not yet answered the request for the optional filters."""
        return self._asking is not None

    def ended(self, *, is_suspicious: bool) -> None:
        """Note that the network connection has ended; `is_suspicious`: possibly because of something we sent."""
        if is_suspicious and self.is_asking:
            self._cuts += 1

    def subscribing(self, packet_id: int, filters: tuple[str, ...]) -> None:
        """Note that SUBSCRIBE `packet_id` was sent for `filters`."""
        self._subscribing[packet_id] = filters
        self._subscribing.pop(_PLANNED, None)

    def unsubscribing(self, packet_id: int, filters: tuple[str, ...]) -> None:
        """Note that UNSUBSCRIBE `packet_id` was sent for `filters`."""
        self._unsubscribing[packet_id] = filters
        self._subscribing.pop(_PLANNED, None)

    def suback(self, packet_id: int, codes: Sequence[int]) -> None:
        """Process a SUBACK, with one reason code per filter, in their order."""
        if packet_id == self._asking:
            self._asking = None
            answered = zip(sorted(self._optional), codes, strict=False)
            self.granted_optional = frozenset(topic_filter for topic_filter, code in answered if code < 0x80)
            self._in_session -= self._optional - self.granted_optional
            self._publish_state()
            return
        for topic_filter, code in zip(self._subscribing.pop(packet_id, ()), codes, strict=False):
            if code >= 0x80:
                self._in_session.discard(topic_filter)
                self._refused[topic_filter] = HealthProblem(
                    "filter-refused",
                    f'the broker refused topic filter "{topic_filter}": {reason_name(code)}; check its access rules',
                )
            elif code == 0:
                self._refused[topic_filter] = HealthProblem(
                    "filter-downgraded",
                    f'the broker grants only QoS 0 for topic filter "{topic_filter}": messages may be lost',
                )
        self._publish_state()

    def unsuback(self, packet_id: int) -> None:
        """Process an UNSUBACK."""
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
