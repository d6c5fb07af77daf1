"""From a batch of deliveries to one commit and its acknowledgements (DESIGN 3).

Each message becomes a `Draft`: what it leads to, complete or not at all. The drafts of a batch are committed
together; then, and only then, the deliveries are acknowledged. One message that cannot be handled, whatever its
bytes do, is dead-lettered as ``internal-error`` and never met again.

What it never does: speak HTTP, wait for anything but the commit, or keep a message.

Thread: each transport's own; the object keeps nothing between batches that two of them could fight over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from bridge.core.clock import Clock
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.log import Throttle, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import Message, OutgoingMessage, ReplyAddress
from bridge.core.report import ReportWriter
from bridge.interface import messages, replies
from bridge.interface.replies import Refusal
from bridge.interface.topics import Request, RetainedStatus, Topics
from bridge.pipeline.identity import Deliveries, DeliveryIdentity
from bridge.pipeline.mapped import MappedEvents, MappedRefusal
from bridge.pipeline.refusals import Refusals, Refused
from bridge.pipeline.requests import Requests, reply_address
from bridge.spool.records import (
    Batch,
    Committed,
    Inflight,
    NewDeadLetter,
    NewEvent,
    OutboxMessage,
    Outcome,
    StoredOutcome,
)
from bridge.spool.store import Spool
from bridge.transports.base import Delivery

_log = logger(__name__)


@dataclass
class Draft:
    """What one message leads to."""

    events: list[NewEvent] = field(default_factory=list)
    inflight: list[Inflight] = field(default_factory=list)
    outbox: list[OutboxMessage] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)

    def refuse(self, refused: Refused) -> None:
        """Add a refusal."""
        self.dead_letters.append(refused.dead_letter)
        self.outbox.extend(refused.outbox)


def _joined(drafts: Iterable[Draft]) -> Batch:
    events: list[NewEvent] = []
    inflight: list[Inflight] = []
    outbox: list[OutboxMessage] = []
    letters: list[NewDeadLetter] = []
    for draft in drafts:
        events += draft.events
        inflight += draft.inflight
        outbox += draft.outbox
        letters += draft.dead_letters
    return Batch(tuple(events), tuple(inflight), tuple(outbox), tuple(letters))


@dataclass(frozen=True, slots=True)
class IngestCallbacks:
    """Whom ingest tells.

    Attributes:
        stored: new rows of these lanes wait for dispatch.
        outbox: there is something to send.
        retained_seen: a retained status message that the broker holds: (connection, topic, payload).
    """

    stored: Callable[[frozenset[str]], None]
    outbox: Callable[[], None]
    retained_seen: Callable[[str, str, bytes], None]


@dataclass(frozen=True, slots=True)
class IngestRules:
    """What ingest works by.

    Attributes:
        topics: the bridge's.
        max_payload_bytes: larger payloads are refused.
        subscriptions: every filter of each connection, by its name; no reply may match one of them.
    """

    topics: Topics
    max_payload_bytes: int
    subscriptions: dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What ingest uses.

    Attributes:
        spool: where everything goes.
        requests: reads trigger messages.
        mapped: evaluates mappings.
        refusals: builds dead letters and error replies.
        metrics: counters.
        reports: report files of unexpected exceptions.
        clock: for throttled log lines and report times.
    """

    spool: Spool
    requests: Requests
    mapped: MappedEvents
    refusals: Refusals
    metrics: Metrics
    reports: ReportWriter
    clock: Clock


class Ingest:
    """The `Receiver` of every transport."""

    def __init__(self, rules: IngestRules, parts: IngestParts, callbacks: IngestCallbacks) -> None:
        self._rules = rules
        self._parts = parts
        self._tell = callbacks
        self._throttle = Throttle()
        self._problem: SpoolError | None = None
        self._new_sessions: set[str] = set()

    @property
    def problem(self) -> SpoolError | None:
        """Why the last batch could not be stored, or None. Thread: any."""
        return self._problem

    def session_began(self, connection: str) -> None:
        """The broker forgot the session: its packet ids mean nothing any more. Thread: the transport's."""
        self._new_sessions.add(connection)

    def receive(self, batch: Sequence[Delivery]) -> None:
        """Store what `batch` leads to in one commit, then acknowledge it.

        Raises:
            SpoolError: nothing was stored and nothing acknowledged.
        """
        self._forget_sessions()
        deliveries = Deliveries(self._parts.spool.delivery_id)
        drafts = [self._draft(deliveries.of(delivery.message), delivery.message) for delivery in batch]
        try:
            self._commit(drafts, [delivery.message for delivery in batch])
        except SpoolError as error:
            self._problem = error
            raise
        self._problem = None
        for delivery in batch:
            delivery.ack()

    def _forget_sessions(self) -> None:
        for connection in list(self._new_sessions):
            self._parts.spool.forget_inflight(connection)
            self._new_sessions.discard(connection)

    def _draft(self, delivery: DeliveryIdentity, message: Message) -> Draft:
        draft = Draft()
        try:
            self._read(message, delivery, draft)
        except Exception as error:  # noqa: BLE001 - one message's surprise must not end the thread
            return self._internal_error(message, error)
        if delivery.row is not None and draft.events:
            draft.inflight.append(delivery.row)
        return draft

    def _read(self, message: Message, delivery: DeliveryIdentity, draft: Draft) -> None:
        # No mapping ever sees the interface's own topics: with topic "#" its workflows' status would start more.
        meaning = self._rules.topics.parse(message.topic)
        if message.retain:
            self._parts.metrics.messages_skipped.labels("retained").inc()
            if isinstance(meaning, RetainedStatus):
                self._tell.retained_seen(message.connection, message.topic, message.payload)
        elif isinstance(meaning, Request):
            self._request(message, meaning, delivery, draft)
        elif not self._rules.topics.is_interface(message.topic):
            self._mapped(message, delivery, draft)

    def _mapped(self, message: Message, delivery: DeliveryIdentity, draft: Draft) -> None:
        if len(message.payload) > self._rules.max_payload_bytes:
            draft.refuse(self._parts.refusals.of_message(message, self._too_large(message)))
            return
        for result in self._parts.mapped.of(message, delivery):
            if isinstance(result, MappedRefusal):
                refused = self._parts.refusals.of_message(message, result.refusal, mapping=result.mapping)
                draft.refuse(refused)
            else:
                draft.events.append(result)

    def _request(self, message: Message, request: Request, delivery: DeliveryIdentity, draft: Draft) -> None:
        address = self._address(message, request)
        try:
            if len(message.payload) > self._rules.max_payload_bytes:
                refusal = self._too_large(message)
                raise PermanentError(refusal.message, code=refusal.reason)
            body = messages.decode_request(message.payload)
            address = replace(address, request_id=messages.request_id(body))
            self._parts.requests.check_operation(request.operation)
            event = self._parts.requests.trigger(message, request, body, delivery)
        except PermanentError as error:
            refusal = Refusal(error.code, error.message, error.details)
            draft.refuse(self._parts.refusals.of_message(message, refusal, reply=address))
            return
        draft.events.append(replace(event, reply=address if address.topic else None))

    def _address(self, message: Message, request: Request) -> ReplyAddress:
        subscriptions = self._rules.subscriptions.get(message.connection, frozenset())
        addressed = reply_address(message, request, self._rules.topics, subscriptions)
        if addressed.problem:
            self._parts.metrics.replies_unsendable.labels("response-topic").inc()
            keys = fields(action="reply", connection=message.connection, topic=message.topic)
            if self._throttle.allow(message.topic, self._parts.clock.monotonic_s())[0]:
                _log.warning("cannot answer at the Response Topic: %s", addressed.problem, extra=keys)
        return addressed.address

    def _too_large(self, message: Message) -> Refusal:
        limit = self._rules.max_payload_bytes
        text = f"the payload has {len(message.payload)} bytes, at most {limit} are taken (interface.max-payload)"
        return Refusal("payload-too-large", text)

    def _internal_error(self, message: Message, error: Exception) -> Draft:
        self._parts.metrics.internal_errors.labels("ingest").inc()
        facts = {"topic": message.topic, "connection": message.connection, "payload_bytes": len(message.payload)}
        path = self._parts.reports.write("ingest", error, self._parts.clock.wall_s(), **facts)
        _log.exception("unexpected error while handling a message; report %s", path, extra=fields(action="ingest"))
        draft = Draft()
        draft.refuse(self._parts.refusals.of_message(message, Refusal("internal-error", _INTERNAL_TEXT)))
        return draft

    def _commit(self, drafts: list[Draft], messages_of: list[Message]) -> None:
        batch = _joined(drafts)
        if not batch:
            return
        try:
            committed = self._store(batch)
        except SpoolError:
            raise
        except Exception:  # noqa: BLE001 - find the one draft that the spool cannot take
            self._commit_one_by_one(drafts, messages_of)
        else:
            self._after(batch, committed)

    def _commit_one_by_one(self, drafts: list[Draft], messages_of: list[Message]) -> None:
        for draft, message in zip(drafts, messages_of, strict=True):
            batch = _joined([draft])
            if not batch:
                continue
            try:
                committed = self._store(batch)
            except SpoolError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                batch = _joined([self._internal_error(message, error)])
                committed = self._store(batch)
            self._after(batch, committed)

    def _store(self, batch: Batch) -> Committed:
        with self._parts.metrics.commit_seconds.time():
            return self._parts.spool.commit(batch)

    def _after(self, batch: Batch, committed: Committed) -> None:
        known = {outcome.id for outcome in committed.known}
        for event in batch.events:
            if event.id not in known:
                self._parts.metrics.events_stored.labels(event.mapping).inc()
        if committed.known:
            self._answer_known(batch, committed.known)
        if batch.events:
            self._tell.stored(frozenset(event.lane for event in batch.events))
        if batch.outbox:
            self._tell.outbox()

    def _answer_known(self, batch: Batch, known: tuple[StoredOutcome, ...]) -> None:
        addresses: dict[bytes, list[NewEvent]] = {}
        for event in batch.events:
            addresses.setdefault(event.id, []).append(event)
        outbox: list[OutboxMessage] = []
        for outcome in known:
            event = addresses[outcome.id].pop()
            self._count_known(event, outcome)
            if event.reply and outcome.outcome is not None:
                outbox.append(OutboxMessage(event.reply.connection, _first_outcome(event.reply, outcome)))
        if outbox:
            self._parts.spool.commit(Batch(outbox=tuple(outbox)))
            self._tell.outbox()

    def _count_known(self, event: NewEvent, outcome: StoredOutcome) -> None:
        self._parts.metrics.events_duplicate.labels(event.mapping).inc()
        if not outcome.reused:
            return
        self._parts.metrics.event_id_reused.labels(event.mapping).inc()
        allowed, held = self._throttle.allow(f"reused {event.topic}", self._parts.clock.monotonic_s())
        if allowed:
            keys = fields(action="dedupe", mapping=event.mapping, topic=event.topic, held_back=held)
            _log.warning("event-id-reused: a known event id came with another payload", extra=keys)


_INTERNAL_TEXT = "the bridge met an unexpected error with this message; a report was written"


def _first_outcome(address: ReplyAddress, outcome: StoredOutcome) -> OutgoingMessage:
    if outcome.outcome is Outcome.DONE:
        return replies.triggered(address, outcome.name)
    return replies.refused(address, Refusal(outcome.code, outcome.error))
