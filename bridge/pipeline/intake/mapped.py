"""Makes events of sensor messages: every mapping that matches is evaluated, and each that fires is one event.

Thread: the transport's, through ingest. Does no I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from bridge.argo.names import workflow_name
from bridge.core.clock import Clock
from bridge.core.errors import PermanentError
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Counter, Metrics
from bridge.core.model import Message, WorkflowOrder
from bridge.interface.replies import Refusal
from bridge.mapping.compiled import Fired, Mapping, Quiet
from bridge.mapping.mapping_set import MappingSet
from bridge.mapping.routes import Match
from bridge.pipeline.intake import identity
from bridge.pipeline.intake.requests import DEFAULT_MAX_AGE_S
from bridge.spool.records import NewEvent
from bridge.validation.policy import BRACES, check_braces

_log = logger(__name__)


class MappedEvents:
    """Evaluates the mappings of one bridge.

    Args:
        bridge_id: part of every identity.
        mappings: compiled.
        metrics: where expression errors and quiet messages are counted.
        clock: for log lines that come seldom.
    """

    def __init__(self, bridge_id: str, mappings: MappingSet, metrics: Metrics, clock: Clock) -> None:
        self._bridge_id = bridge_id
        self._mappings = mappings
        self._metrics = metrics
        self._skipped: dict[str, Counter] = {}
        self._clock = clock
        self._seldom = SeldomLog(_log, clock.monotonic_s)

    def matches(self, message: Message) -> tuple[Match, ...]:
        """Return every mapping that `message` belongs to, in the order of the mapping files."""
        found = self._mappings.route(message.connection, message.topic)
        if not found:
            self._metrics.messages_skipped.labels("no-mapping").inc()
        return found

    def takes_retained(self, message: Message) -> bool:
        """Whether a mapping of `message` reads what the broker had retained before the bridge subscribed."""
        return any(match.mapping.takes_retained for match in self._mappings.route(message.connection, message.topic))

    def result(self, match: Match, message: Message, delivery: identity.DeliveryIdentity) -> NewEvent | Refusal | None:
        """Return what one mapping makes of `message`: an event, nothing, or why it cannot be one."""
        result = match.mapping.evaluate(message, match.captures, self._clock.wall_s())
        if isinstance(result, Quiet):
            self.quiet(match.mapping, message, result)
            return None
        return result if isinstance(result, Refusal) else self.event(match.mapping, message, result, delivery.id)

    def event(
        self, mapping: Mapping, message: Message, fired: Fired, delivery_id: Callable[[], bytes]
    ) -> NewEvent | Refusal:
        """Return the event that a message is, or why it cannot be one; without ``event-id`` it is its delivery."""
        # What the mapping's texts took from the message was looked at when they were rendered.
        if BRACES in message.topic or BRACES in fired.status_topic:
            try:
                check_braces({"topic": message.topic, "status topic": fired.status_topic})
            except PermanentError as error:
                return Refusal(error.code, f"the {error.message}", error.details)
        if fired.event_id is None:
            event_id = identity.delivered_event(delivery_id(), mapping.name)
        else:
            event_id = identity.mapped_event(self._bridge_id, mapping.name, message.topic, fired.event_id)
        order = fired.order
        if not order.name:
            name = workflow_name(order.base, event_id)
            order = WorkflowOrder(
                order.namespace, order.base, order.manifest, name, order.parameters, order.annotations
            )
        max_age = DEFAULT_MAX_AGE_S if fired.max_age_s is None else fired.max_age_s
        expiry = message.properties.message_expiry_s
        return NewEvent(
            id=event_id,
            lane=mapping.name,
            order=order,
            mapping=mapping.name,
            topic=message.topic,
            connection=message.connection,
            payload_digest=hashlib.sha256(message.payload).digest(),
            status_topic=fired.status_topic,
            order_key=fired.order_key,
            max_age_s=max_age if expiry is None else min(expiry, max_age),
        )

    def quiet(self, mapping: Mapping, message: Message, quiet: Quiet) -> None:
        """Count a message that starts nothing, and log an error in a condition."""
        skipped = self._skipped.get(quiet.cause)
        if skipped is None:
            skipped = self._skipped[quiet.cause] = self._metrics.messages_skipped.labels(quiet.cause)
        skipped.inc()
        if not quiet.message:
            return
        if quiet.cause == "when-error":
            self._metrics.expression_errors.labels(mapping.name).inc()
        keys = fields(action="evaluate", mapping=mapping.name, topic=message.topic)
        self._seldom.warning(f"{mapping.name} {quiet.cause}", "did not trigger: %s", quiet.message, **keys)
