"""The exchange, queues and bindings that a connection needs, as steps, and which of them were refused.

AMQP cannot list a queue's bindings, so those of earlier runs are remembered elsewhere (`FilterMemory`), each as the
text of a JSON array: queue, exchange, binding key.

Thread: the loop's, but `problems` any.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from bridge.core.model import HealthProblem
from bridge.transports.amqp.addresses import MQTT_PLUGIN_EXCHANGE, Addresses, key_problem
from bridge.transports.amqp.options import AmqpOptions, Declare, Queue, QueueKind
from bridge.transports.amqp.problems import (
    ACCESS_REFUSED,
    NOT_DECLARED,
    NOT_FOUND,
    WRONG_EXCHANGE_TYPE,
    not_consumed,
    refused,
    wrong_exchange_type,
)
from bridge.transports.amqp.steps import BrokerCall


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """A queue that receives the exchange's messages with a key."""

    queue: str
    exchange: str
    key: str

    def text(self) -> str:
        """Return it in the remembered form."""
        return json.dumps([self.queue, self.exchange, self.key], ensure_ascii=False)


def read_bindings(texts: Iterable[str]) -> frozenset[Binding]:
    """Return the remembered bindings; unreadable ones are not ours."""
    found = set()
    for text in texts:
        try:
            queue, exchange, key = json.loads(text)
        except (ValueError, TypeError):
            continue
        found.add(Binding(str(queue), str(exchange), str(key)))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class WantedBindings:
    """The bindings that a connection should have, each with its topic filter, and filters that cannot be bound.

    `request_filters` arrive in the request queue, `event_filters` in the queue for mappings.
    """

    bindings: dict[Binding, str]
    problems: tuple[HealthProblem, ...]
    request_filters: tuple[str, ...]
    event_filters: tuple[str, ...]


def wanted_bindings(options: AmqpOptions, filters: frozenset[str], retained: frozenset[str]) -> WantedBindings:
    """Return the bindings for topic filters.

    AMQP has no retained messages: of the `retained` filters a visit gets messages published from now on.
    """
    queues = {queue.kind: queue for queue in options.queues()}
    addresses, head = Addresses(options.exchange), options.prefix + "/"
    bindings, problems, requests, events = {}, [], [], []
    for topic_filter in sorted(filters | retained if options.is_visit else filters):
        key = addresses.binding_of(topic_filter)
        problem = key_problem(key)
        if problem:
            text = f'topic filter "{topic_filter}" cannot be bound: {problem}'
            problems.append(HealthProblem("filter-refused", text))
            continue
        kind = QueueKind.EVENTS
        if options.is_visit:
            kind = QueueKind.VISIT
        elif topic_filter.startswith(head):
            kind = QueueKind.REQUESTS
            requests.append(topic_filter)
        else:
            events.append(topic_filter)
        if queues[kind].is_own:
            bindings[Binding(queues[kind].name, options.exchange, key)] = topic_filter
    return WantedBindings(bindings, tuple(problems), tuple(requests), tuple(events))


class Topology:
    """Declares what a connection needs, and notes refusals.

    Attributes:
        had_queues: whether every queue existed before it was declared; None until known.
        names: of the queues, by kind; chosen by the broker where we left it the choice.
        problems: what was refused, in a stable order.
    """

    def __init__(self, options: AmqpOptions) -> None:
        self._options = options
        self._refused: dict[str, HealthProblem] = {}
        self._unusable: set[str] = set()
        self._exchange_label = f'exchange "{options.exchange}"'
        self._misrouted: HealthProblem | None = None
        self.had_queues: bool | None = None
        self.names = {queue.kind: queue.name for queue in options.queues()}
        self.problems: tuple[HealthProblem, ...] = ()

    def usable_queues(self) -> list[Queue]:
        """Return the queues that exist, and that we may or need not declare."""
        return [queue for queue in self._options.queues() if self._label(queue) not in self._unusable]

    def note(self, label: str, problem: HealthProblem | None) -> None:
        """Note a problem with something, or that there is none."""
        if problem is None:
            self._refused.pop(label, None)
        else:
            self._refused[label] = problem
        self.problems = tuple(self._refused[each] for each in sorted(self._refused))

    @property
    def has_exchange(self) -> bool:
        """Whether the exchange exists and routes by topic, as far as known; otherwise nothing is published to it."""
        problem = self._refused.get(self._exchange_label)
        return problem is None or problem.code not in (NOT_DECLARED, WRONG_EXCHANGE_TYPE)

    def misrouted(self, why: str) -> None:
        """Note that the exchange does not route by topic, until the connection ends."""
        self._misrouted = wrong_exchange_type(self._exchange_label, "topic", why)
        self.note(self._exchange_label, self._misrouted)

    def lost_exchange(self, text: str) -> None:
        """Note that the exchange is gone, with the broker's text, until it is declared again."""
        self.note(self._exchange_label, refused(self._exchange_label, NOT_FOUND, text))

    @staticmethod
    def _label(queue: Queue) -> str:
        return f'queue "{queue.name}"'

    # Declarations.

    def declarations(self) -> list[BrokerCall]:
        """Return the steps that declare everything, or check that it exists."""
        options = self._options
        self._unusable.clear()
        self.had_queues = True
        if options.is_visit:
            exchange = self._exchange(options.exchange, passive=True)
            return [exchange, *self._visit_queue(), *self._look_for_consumer(options.awaited_queue)]
        may_create = options.declaration is Declare.CREATE
        steps = self._main_exchange()
        for queue in options.queues():
            steps += self._queue(queue, may_create=may_create and queue.arguments is not None)
        return steps

    def _main_exchange(self) -> list[BrokerCall]:
        options = self._options
        if options.declaration is Declare.CREATE and not options.exchange.startswith("amq."):
            return [self._exchange(options.exchange, exchange_type="topic", durable=True)]
        return [self._exchange(options.exchange, passive=True), self._ask_exchange_type()]

    def _exchange(self, name: str, **arguments: Any) -> BrokerCall:
        return self._step(f'exchange "{name}"', "exchange_declare", exchange=name, **arguments)

    def _ask_exchange_type(self) -> BrokerCall:
        """Find out the type by declaring the exchange again: a passive declare does not show it."""
        name, label = self._options.exchange, self._exchange_label

        def say(code: int, text: str) -> None:
            problem = refused(label, code, text)
            if problem.code == WRONG_EXCHANGE_TYPE:
                self.note(label, problem)
            elif code == ACCESS_REFUSED and name.startswith("amq.") and name != MQTT_PLUGIN_EXCHANGE:
                self.note(label, wrong_exchange_type(label, "topic", "RabbitMQ's own exchange of this name is not one"))

        arguments = {"exchange": name, "exchange_type": "topic", "durable": True}
        # Declaring a missing one would create it.
        return BrokerCall("exchange_declare", arguments, lambda _: None, say, is_needed=lambda: self.has_exchange)

    def _queue(self, queue: Queue, *, may_create: bool) -> list[BrokerCall]:
        label = self._label(queue)

        def not_found(code: int, text: str) -> None:
            if code == NOT_FOUND:
                self.had_queues = False
            if code != NOT_FOUND or not may_create:
                self._give_up(label, code, text)

        look = self._step(label, "queue_declare", not_found, queue=queue.name, passive=True)
        if not may_create:
            return [look]
        differs, arguments = functools.partial(self._differs, label), dict(queue.arguments or {})
        make = self._step(label, "queue_declare", differs, queue=queue.name, durable=True, arguments=arguments)
        if queue.kind is not QueueKind.REDELIVERED:
            return [look, make]
        exchange = self._options.dead_letter_exchange
        bind = self._bind_step(Binding(queue.name, exchange, ""), f'binding of queue "{queue.name}"')
        return [self._exchange(exchange, exchange_type="fanout", durable=True), look, make, bind]

    def _visit_queue(self) -> list[BrokerCall]:
        if self.names[QueueKind.VISIT]:
            return []  # it lasts as long as the connection

        def named(answer: Any) -> None:
            self.names[QueueKind.VISIT] = answer.method.queue
            self.note("queue", None)

        give_up = functools.partial(self._give_up, self._label(self._options.queues()[0]))
        arguments = {"queue": "", "exclusive": True, "auto_delete": True}
        return [BrokerCall("queue_declare", arguments, named, give_up)]

    def _look_for_consumer(self, queue: str) -> list[BrokerCall]:
        label = "consumer"

        def found(answer: Any) -> None:
            self.note(label, None if answer.method.consumer_count else not_consumed(queue))

        def missing(_code: int, _text: str) -> None:
            self.note(label, not_consumed(queue))

        return [BrokerCall("queue_declare", {"queue": queue, "passive": True}, found, missing)] if queue else []

    def _answered(self, label: str, _answer: Any) -> None:
        self.note(label, self._misrouted if label == self._exchange_label else None)

    def _give_up(self, label: str, code: int, text: str) -> None:
        self._unusable.add(label)
        self._refuse(label, code, text)

    def _differs(self, label: str, code: int, text: str) -> None:
        # A queue with other arguments still receives messages, which must not wait for the operator.
        self._refuse(label, code, text)
        if code == NOT_FOUND:
            self._unusable.add(label)

    def _refuse(self, label: str, code: int, text: str) -> None:
        self.note(label, refused(label, code, text))

    def _step(
        self, label: str, method: str, refused_by: Callable[[int, str], None] | None = None, **arguments: Any
    ) -> BrokerCall:
        refuse = refused_by or functools.partial(self._refuse, label)
        return BrokerCall(method, arguments, functools.partial(self._answered, label), refuse)

    # Bindings.

    def bindings(self, wanted: WantedBindings, stale: Iterable[Binding]) -> list[BrokerCall]:
        """Return the steps that bind what is wanted and unbind what is stale."""
        self._refused = {label: each for label, each in self._refused.items() if not label.startswith("filter ")}
        for problem in wanted.problems:
            self.note(f"filter {problem.message}", problem)
        usable = {self.names[queue.kind] for queue in self.usable_queues()} if self.has_exchange else set()
        steps = [self._unbind_step(each) for each in sorted(stale)]
        for binding, topic_filter in wanted.bindings.items():
            queue = binding.queue or self.names.get(QueueKind.VISIT, "")
            if queue in usable:
                label = f'filter "{topic_filter}"'
                steps.append(self._bind_step(Binding(queue, binding.exchange, binding.key), label))
        self.note("", None)
        return steps

    def verification(self, wanted: WantedBindings) -> list[BrokerCall]:
        """Return the steps that check the exchange, and restore lost bindings."""
        return [*self._main_exchange(), *self.bindings(wanted, ())]

    def _bind_step(self, binding: Binding, label: str) -> BrokerCall:
        is_filter = label.startswith("filter ")

        def say(code: int, text: str) -> None:
            found = refused(f"topic {label}" if is_filter else label, code, text)
            self.note(label, HealthProblem("filter-refused" if is_filter else found.code, found.message))

        step = self._step(label, "queue_bind", say, **_arguments(binding))
        if binding.exchange != self._options.exchange:
            return step
        # An earlier step may have found out that it is missing.
        return replace(step, is_needed=lambda: self.has_exchange)

    def _unbind_step(self, binding: Binding) -> BrokerCall:
        label = f'old binding "{binding.key}" of queue "{binding.queue}"'

        def say(code: int, text: str) -> None:
            # A queue that is gone has no bindings.
            self.note(label, None if code == NOT_FOUND else refused(label, code, text))

        return self._step(label, "queue_unbind", say, **_arguments(binding))


def _arguments(binding: Binding) -> dict[str, str]:
    return {"queue": binding.queue, "exchange": binding.exchange, "routing_key": binding.key}
