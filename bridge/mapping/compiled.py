"""A compiled mapping, and its result for one message: a workflow to create, nothing, or a dead letter.

Stores nothing, sends nothing, and raises for no message. `compiler` makes these objects. Thread: any; a `Mapping` never
changes, but its decoder remembers the last payload (see `payloads`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.configfile.kinds import DNS_LABEL
from bridge.configfile.nodes import quote
from bridge.core import topic_filter
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowOrder
from bridge.core.record import record
from bridge.expressions.cel import EvaluationError
from bridge.expressions.paths import Scope
from bridge.interface.replies import Refusal
from bridge.interface.status import Notice, StatusRequests
from bridge.interface.topics import published_problem
from bridge.mapping.formats.decoder import UNREADABLE
from bridge.mapping.render import identity, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from bridge.core.model import Message
    from bridge.expressions.expression import Condition, Expression
    from bridge.expressions.topic_pattern import TopicPattern, TopicPatterns
    from bridge.interface.status import NoticeKind
    from bridge.mapping.formats.decoder import Decoder
    from bridge.mapping.payload_schema import PayloadSchema
    from bridge.mapping.render import Template

_NAME = re.compile(DNS_LABEL)
_NOT_IN_LEVEL = re.compile("[/+#\0]")
_LONGEST_KEY = 128


@record(frozen=True, slots=True)
class Fired:
    """The message starts a workflow.

    Attributes:
        order: the workflow; its name is "" unless the mapping gives one.
        event_id: text of the mapping's `event-id`, or None if it has none.
        order_key: "" or a key of which at most one row may be in flight; begins with the mapping's name.
        status_topic: the mapping's own status topic, rendered, or "".
        max_age_s: seconds after which the event expires, or None if the mapping does not say.
    """

    order: WorkflowOrder
    event_id: str | None = None
    order_key: str = ""
    status_topic: str = ""
    max_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Quiet:
    """The message starts nothing: ``when-false``, ``when-error``, ``empty``, ``unreadable``.

    An error has a message for the log.
    """

    cause: str
    message: str = ""


Outcome = Fired | Quiet | Refusal
"""With a `Refusal` the message should have started a workflow but cannot: a dead letter."""
WHEN_FALSE = Quiet("when-false")


def when_error(error: EvaluationError) -> Quiet:
    """Return the outcome of a message whose condition has no result."""
    return Quiet("when-error", f"evaluate when: {error}")


EMPTY_SKIPPED = Quiet("empty")
EMPTY_REFUSED = Refusal("empty-payload", "decode payload: it is empty (payload.empty: dead-letter)")


@dataclass(frozen=True, slots=True)
class WorkflowPlan:
    """The common parts of a mapping's workflows, and the texts that differ.

    Attributes:
        base: prefix of generated names.
        manifest: JSON bytes, see `WorkflowOrder.manifest`.
        name: the name's text, or None to generate one.
        annotations: those that differ between events.
    """

    namespace: str
    base: str
    manifest: bytes
    name: Template | None = None
    parameters: tuple[tuple[str, Template], ...] = ()
    annotations: tuple[tuple[str, Template], ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping, ready to run.

    Attributes:
        connection: the only connection it listens on, or "" for all.
        empty: the result for a message without payload, or None if it is treated like any other.
        skips_unreadable: a payload that cannot be decoded leads to nothing, not to a dead letter.
        condition: the `when`, or None for always.
        event_id: identifies the event, or None.
        order_by: events with equal values run one after the other, or None.
        status_topic: the mapping's own status topic, or None.
        takes_retained: whether a message is read that the broker had retained before the bridge subscribed.
        nodes: whether status messages list the nodes of its workflows.
        notices: topics to notify when its workflows finish, and when.
        max_age_s: seconds after which an event expires, or None.
    """

    name: str
    topics: TopicPatterns
    decoder: Decoder
    plan: WorkflowPlan
    connection: str = ""
    empty: Quiet | Refusal | None = EMPTY_SKIPPED
    skips_unreadable: bool = False
    schema: PayloadSchema | None = None
    condition: Condition | None = None
    event_id: Expression | None = None
    order_by: Expression | None = None
    status_topic: Template | None = None
    takes_retained: bool = False
    nodes: bool = False
    notices: tuple[tuple[TopicPattern, NoticeKind], ...] = ()
    max_age_s: float | None = None

    @property
    def published(self) -> frozenset[str]:
        """Topic filters of everything published for its workflows: status topic and notifications."""
        filters = {pattern.topic_filter for pattern, _ in self.notices}
        if self.status_topic is not None:
            # A value is at most a part of one level (`_status_level`).
            text = "".join(part if isinstance(part, str) else "+" for part in self.status_topic.parts)
            filters.add("/".join("+" if "+" in level else level for level in text.split("/")))
        return frozenset(filters)

    def status_requests(self, topic: str) -> StatusRequests:
        """Return its status options for a workflow started by a message on the concrete `topic`.

        The workflow may be older than the mapping, so `topic` need not be its.
        """
        captured = self.topics.captured(topic) if self.notices and self.topics.matches(topic) else None
        if captured is None:
            return StatusRequests(self.nodes)
        filled = (Notice(topic=pattern.filled(captured), on=on) for pattern, on in self.notices)
        # A level may be empty, or make a topic that begins with $.
        return StatusRequests(self.nodes, tuple(one for one in filled if not published_problem(one.topic)))

    def evaluate(self, message: Message, captures: MappingOf[str, str], wall_s: float) -> Outcome:
        """Return the result for a message that `topics` match, with `captures` from `RouteTable.match`.

        Never raises because of its content. `wall_s` is the variable `now`.
        """
        if not message.payload and self.empty is not None:
            return self.empty
        try:
            payload = self.decoder.decode(message.payload, message.properties)
            if self.schema is not None:
                self.schema.check(payload)
            if self.condition is not None:
                holds = self.condition.quick(payload, captures)
                if holds is None:
                    holds = self.condition.holds(Scope(payload, captures, message, wall_s))
                if not holds:
                    return WHEN_FALSE
            exact = self.decoder.exact(message.payload, payload, message.properties)
            return self.fire(Scope(exact, captures, message, wall_s))
        except EvaluationError as error:
            return when_error(error)
        except PermanentError as error:
            return self.refused(error)

    def refused(self, error: PermanentError) -> Quiet | Refusal:
        """Return the outcome of a message that cannot be handled."""
        if self.skips_unreadable and error.code in UNREADABLE:
            return Quiet("unreadable", error.message)
        return Refusal(error.code, error.message, error.details)

    def fire(self, scope: Scope) -> Fired:
        """Return the event of a message that starts a workflow.

        Raises:
            PermanentError: it should start one but cannot.
        """
        plan = self.plan
        return Fired(
            order=WorkflowOrder(
                namespace=plan.namespace,
                base=plan.base,
                manifest=plan.manifest,
                name="" if plan.name is None else _workflow_name(plan.name, scope),
                parameters={name: _rendered(f'parameter "{name}"', text, scope) for name, text in plan.parameters},
                annotations={key: _rendered(f'annotation "{key}"', text, scope) for key, text in plan.annotations},
            ),
            event_id=None if self.event_id is None else identity("event-id", self.event_id, scope),
            order_key="" if self.order_by is None else self._order_key(self.order_by, scope),
            status_topic="" if self.status_topic is None else _status_topic(self.status_topic, scope),
            max_age_s=self.max_age_s,
        )

    def _order_key(self, order_by: Expression, scope: Scope) -> str:
        text = identity("order-by", order_by, scope)
        if len(text) > _LONGEST_KEY:
            text = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self.name}:{text}"


def _rendered(what: str, template: Template, scope: Scope) -> str:
    try:
        return template.render(scope)
    except EvaluationError as error:
        raise PermanentError(f"render {what}: {error}", code="expression-error") from error
    except PermanentError as error:
        raise PermanentError(f"render {what}: {error.message}", code=error.code) from error


def _workflow_name(template: Template, scope: Scope) -> str:
    name = _rendered("workflow name", template, scope)
    if not _NAME.fullmatch(name):
        rule = "a name must be 1 to 63 characters of a-z, 0-9 and -, and must not begin or end with -"
        message = f"render workflow name: {quote(name, 64)}: {rule}; lowerAscii() and replace() can help"
        raise PermanentError(message, code="invalid-name")
    return name


def _status_topic(template: Template, scope: Scope) -> str:
    topic = "".join([part if isinstance(part, str) else _status_level(part, scope) for part in template.parts])
    problem = topic_filter.name_problem(topic)
    if problem:
        raise PermanentError(f"render status topic: {problem}", code="invalid-status-topic")
    return topic


def _status_level(part: Any, scope: Scope) -> str:
    try:
        value = to_text(part.value(scope))
    except EvaluationError as error:
        raise PermanentError(f"render status topic: {error}", code="expression-error") from error
    if not value or value[0] == "$" or _NOT_IN_LEVEL.search(value):
        message = f"render status topic: {quote(value, 64)} is empty, begins with $, or has one of / + # NUL"
        raise PermanentError(message, code="invalid-status-topic")
    return value
