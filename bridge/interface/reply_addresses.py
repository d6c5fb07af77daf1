"""Which addresses a request may give for its reply: an allow-list, and never a place of the bridge's own. Pure.

A client that may only ask could otherwise let the bridge, with the bridge's rights, publish to any topic or queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bridge.core.topic_filter import matches
from bridge.interface.operations import Operation
from bridge.interface.options import InterfaceOptions
from bridge.interface.topics import Topics, published_problem

MAX_TOPIC_BYTES = 1024
MAX_TOPIC_LEVELS = 20
"""Mosquitto closes the connection of a client that publishes to a topic of more than 200 levels; nobody needs many."""
DIRECT_REPLY = "amq.rabbitmq.reply-to."
"""The address of a client that waits on its own channel, as RabbitMQ gives it. It reaches nobody else."""


class ReplyAddresses:
    """Judges the addresses that requests bring along.

    Args:
        topics: the bridge's.
        interface: what the operator allows.
        own_topics: filters of all that the bridge publishes or listens to outside of its interface, on any connection:
            two connections can lead to one broker.
        own_queues: queues that the bridge consumes.
    """

    def __init__(
        self,
        topics: Topics,
        interface: InterfaceOptions,
        own_topics: frozenset[str] = frozenset(),
        own_queues: frozenset[str] = frozenset(),
    ) -> None:
        allowed = interface.response_topics
        self._topics = topics
        self._allowed = (f"{topics.prefix}/response/#",) if allowed is None else allowed
        self._own_topics = own_topics
        self._own_queues = own_queues
        self._defaults = frozenset({topics.status_response, *(topics.response(one) for one in Operation)})
        self._queue = _any_of(interface.reply_queues)

    def topic_problem(self, topic: str, default: str) -> str:
        """Return why a reply may not go to the Response Topic `topic`, or "".

        Args:
            topic: as the request carries it.
            default: where the reply goes without one; it may be named.
        """
        if topic == default:
            return ""
        problem = published_problem(topic)
        if problem:
            return problem
        if len(topic.encode()) > MAX_TOPIC_BYTES or topic.count("/") >= MAX_TOPIC_LEVELS:
            return f"a Response Topic may have at most {MAX_TOPIC_BYTES} bytes and {MAX_TOPIC_LEVELS} levels"
        # RabbitMQ's MQTT plugin takes a dot for a slash.
        if self._is_own(topic) or self._is_own(topic.replace(".", "/")):
            return "the bridge itself publishes or subscribes to this topic"
        if not any(matches(allowed, topic) for allowed in self._allowed):
            return "it is not one of interface.response-topics"
        return ""

    def queue_problem(self, queue: str) -> str:
        """Return why a reply may not go to the queue `queue`, or ""."""
        if queue in self._own_queues:
            return "the bridge itself consumes this queue"
        if queue.startswith(DIRECT_REPLY) or self._queue.fullmatch(queue):
            return ""
        return "it is not one of interface.reply-queues"

    def _is_own(self, topic: str) -> bool:
        if topic.startswith(f"{self._topics.prefix}/response/"):
            return topic in self._defaults
        return self._topics.is_interface(topic) or any(matches(own, topic) for own in self._own_topics)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what matches each of `patterns`; with none, nothing."""
    each = (".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns)
    return re.compile("|".join(f"(?:{one})" for one in each) or "(?!)", re.DOTALL)
