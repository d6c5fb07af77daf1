"""From a batch of deliveries to one commit and its acknowledgements (docs/design/promises.md).

Each message becomes a `Draft`: what it leads to, complete or not at all. The drafts of a batch are committed
together; then, and only then, the deliveries are acknowledged. One message that cannot be handled, whatever its
bytes do, is dead-lettered as ``internal-error`` and never met again.

What it never does: speak HTTP, wait for anything but the commit, or keep a message that is stored.

Thread: each transport's own. What is kept between batches belongs to one connection each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from bridge.core.clock import Clock
from bridge.core.errors import PermanentError, SpoolError, cut
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import Flaw, Message, OutgoingMessage, ReplyAddress
from bridge.core.report import ErrorReports
from bridge.interface import messages, replies
from bridge.interface.operations import Operation
from bridge.interface.replies import Refusal
from bridge.interface.reply_addresses import ReplyAddresses
from bridge.interface.status_updates import is_from_bridge
from bridge.interface.topics import Request, RetainedStatus, StatusStream, Topics
from bridge.mapping.routes import Match
from bridge.mapping.ruled import RuledMapping
from bridge.pipeline.dispatch.operations import operation_of
from bridge.pipeline.intake.drafts import Draft
from bridge.pipeline.intake.identity import REFUSED, Deliveries, DeliveryIdentity, refused_delivery, stored_delivery
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.pipeline.intake.operations import OperationIntake, ReadRequest, is_spooled
from bridge.pipeline.intake.requests import Requests, reply_address
from bridge.pipeline.intake.ruled_events import RuledEvents
from bridge.pipeline.intake.status_updates import StatusUpdates
from bridge.pipeline.reads.reader import BUSY, Reads
from bridge.pipeline.refusals import Refusals
from bridge.spool.ledger import NoRoomError
from bridge.spool.records import Committed, NewEvent, NewRows, OutboxMessage, Outcome, StoredOutcome
from bridge.spool.store import Spool
from bridge.transports.base import Delivery, Left

_log = logger(__name__)

KEPT_BYTES = 16 * 2**20
MAX_READING_S = 0.5
"""How long reading one batch may take before what was read of it is stored and acknowledged: dear messages, many at
once, must not keep the thread from its connection until the broker gives it up."""
STANDS_STILL_S = 60.0
"""A batch that is under way for so long will never end."""


@dataclass(frozen=True, slots=True)
class IngestCallbacks:
    """Whom ingest tells.

    Attributes:
        stored: new rows of these lanes wait for dispatch.
        outbox: there is something to send.
        retained_seen: a retained status message that the broker holds: (connection, topic, payload).
        published: somebody, perhaps the bridge itself, published to a topic of the interface: likewise.
        updates: rows of other systems' statuses wait for status.
    """

    stored: Callable[[frozenset[str]], None]
    outbox: Callable[[], None]
    retained_seen: Callable[[str, str, bytes], None]
    published: Callable[[str, str, bytes], None]
    updates: Callable[[], None]


class Ingest:
    """The `Receiver` of every transport.

    Args:
        topics: the bridge's.
        max_payload_bytes: larger payloads are refused.
        addresses: where requests may want their replies.
        spool: where everything goes.
        requests: reads trigger messages.
        operations: reads the other requests.
        reads: answers those that are not stored.
        mapped: evaluates mappings.
        ruled: evaluates those with rules over time.
        updates: reads status updates of other systems.
        refusals: builds dead letters and error replies.
        metrics: counters.
        reports: report files of unexpected exceptions.
        clock: for throttled log lines and report times.
        callbacks: what follows a commit.

    Attributes:
        received: connection and name of each mapping that a message came for since the start.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        max_payload_bytes: int,
        addresses: ReplyAddresses,
        spool: Spool,
        requests: Requests,
        operations: OperationIntake,
        reads: Reads,
        mapped: MappedEvents,
        ruled: RuledEvents,
        updates: StatusUpdates,
        refusals: Refusals,
        metrics: Metrics,
        reports: ErrorReports,
        clock: Clock,
        callbacks: IngestCallbacks,
    ) -> None:
        self._topics = topics
        self._max_payload_bytes = max_payload_bytes
        self._addresses = addresses
        self._spool = spool
        self._requests = requests
        self._operations = operations
        self._reads = reads
        self._mapped = mapped
        self._ruled = ruled
        self._updates = updates
        self._refusals = refusals
        self._metrics = metrics
        self._reports = reports
        self._clock = clock
        self._tell = callbacks
        self._seldom = SeldomLog(_log, clock.monotonic_s)
        self._problem: SpoolError | None = None
        self._new_sessions: set[str] = set()
        self._kept: dict[str, list[Draft]] = {}
        self._begun_s: dict[str, float] = {}
        self.received: set[tuple[str, str]] = set()

    @property
    def problem(self) -> SpoolError | None:
        """Why the last batch could not be stored, or None. Thread: any."""
        return self._problem

    def session_began(self, connection: str) -> None:
        """The broker forgot the session: its packet ids mean nothing any more. Thread: the transport's."""
        self._new_sessions.add(connection)
        try:
            self._forget_sessions()
        except SpoolError as error:
            self._problem = error  # and once more before the next message

    def standing_still(self) -> list[tuple[str, float]]:
        """Return the connections whose batch is under way for too long, and for how many seconds. Thread: any."""
        now_s = self._clock.monotonic_s()
        return [(name, now_s - at_s) for name, at_s in list(self._begun_s.items()) if now_s - at_s > STANDS_STILL_S]

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """Store what `batch` leads to in one commit, then acknowledge it; after `MAX_READING_S`, what was read by then.

        Raises:
            SpoolError: nothing was acknowledged. The batch is to be handed in again, the same objects: what it leads
                to is decided once, and what of it was stored by then is not stored again.
        """
        connections = {delivery.message.connection for delivery in batch}
        self._begun_s |= dict.fromkeys(connections, self._clock.monotonic_s())
        try:
            with self._ruled.lock:
                return self._receive(batch, waiting)
        finally:
            for connection in connections:
                del self._begun_s[connection]

    def _receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery]) -> Left:
        earlier = self._kept_of(waiting)
        drafts: list[Draft] = []
        places: list[ReadRequest] = []
        try:
            self._forget_sessions()
            for draft in self._drafts(batch):
                drafts.append(draft)  # noqa: PERF402 - those made before a SpoolError are kept
            places += self._places(drafts)
            behind = self._behind(drafts, earlier, is_known=len(earlier) == len(waiting))
            left = self._commit_what_has_room(drafts, behind)
        except Exception as error:
            self._problem = error if isinstance(error, SpoolError) else self._problem
            self._keep([*earlier, *drafts])
            for read in places:
                self._reads.release(read)
            raise
        left_over = []
        for delivery, draft in zip(batch, drafts, strict=False):
            self._kept.pop(delivery.message.connection, None)
            if id(draft) in left:
                left_over.append(delivery)
            elif draft.read is None:
                delivery.ack()
            else:
                self._reads.submit(draft.read, delivery.ack)
        self._keep([*earlier, *(draft for draft in drafts if id(draft) in left)])
        return Left(left_over, batch[len(drafts) :])

    def _kept_of(self, deliveries: Sequence[Delivery]) -> list[Draft]:
        # By the object, not by its content: two messages may be alike.
        wanted = {id(delivery.message) for delivery in deliveries}
        return [draft for drafts in list(self._kept.values()) for draft in drafts if id(draft.message) in wanted]

    def _keep(self, drafts: Sequence[Draft]) -> None:
        """Keep what is handed in again; of what is not stored at all only so many bytes, the rest is made anew.

        So is what changed the state of a rule: by then the time is another, and so may be the state.
        """
        for draft in drafts:
            self._ruled.forget(draft.states)
        drafts = [draft for draft in drafts if not draft.states]
        sizes = accumulate(draft.size_bytes for draft in drafts)
        kept = [draft for draft, size in zip(drafts, sizes, strict=True) if size <= KEPT_BYTES or not draft.events]
        for connection in {draft.message.connection for draft in drafts}:
            self._kept[connection] = [draft for draft in kept if draft.message.connection == connection]

    def _behind(self, drafts: Sequence[Draft], earlier: Sequence[Draft], *, is_known: bool) -> set[int]:
        """Return the drafts that come behind what waits: in its lane, or among what is done in order.

        What is urgent waits only for its own order. `is_known`: `earlier` is all that waits.
        """
        lanes = {event.lane for draft in earlier for event in draft.events}
        keys = {event.order_key for draft in earlier for event in draft.events if event.order_key}

        def waits(event: NewEvent) -> bool:
            return event.order_key in keys or (not event.is_urgent and (not is_known or event.lane in lanes))

        waiting = {id(draft) for draft in drafts if any(waits(event) for event in draft.events)}
        if not is_known:
            waiting |= {id(draft) for draft in drafts if draft.states}
        return self._with_rules(drafts, waiting)

    @staticmethod
    def _with_rules(drafts: Sequence[Draft], left: set[int]) -> set[int]:
        """Return `left` with the drafts whose states were made from those of others in it."""
        size = 0
        while size != len(left):
            size = len(left)
            behind = {state.mapping for draft in drafts if id(draft) in left for state in draft.states}
            left = left | {id(draft) for draft in drafts if any(state.mapping in behind for state in draft.states)}
        return left

    def _commit_what_has_room(self, drafts: Sequence[Draft], left: set[int]) -> set[int]:
        """Commit all that the spool takes but `left`; return those and the drafts that have no room."""
        problem: SpoolError | None = self._problem if left else None
        while True:
            try:
                self._commit([draft for draft in drafts if id(draft) not in left])
            except NoRoomError as error:
                problem = error
                left = left | {id(one) for one in drafts if any(event.id in error.events for event in one.events)}
                left = self._with_rules(drafts, left)
            else:
                self._problem = problem
                return left

    def _places(self, drafts: Iterable[Draft]) -> list[ReadRequest]:
        """Take a place for each read; what finds none is refused."""
        places = []
        for draft in drafts:
            if draft.read is None:
                continue
            if self._reads.reserve(draft.read):
                places.append(draft.read)
            else:
                draft.add(self._refusals.of_read(draft.message, BUSY, draft.read.address))
                draft.read = None
        return places

    def _forget_sessions(self) -> None:
        for connection in list(self._new_sessions):
            self._spool.forget_inflight(connection)
            self._new_sessions.discard(connection)

    def _drafts(self, batch: Sequence[Delivery]) -> Iterable[Draft]:
        deliveries = Deliveries(self._spool.delivery_id)
        kept = {id(draft.message): draft for draft in self._kept_of(batch)}
        until_s = self._clock.monotonic_s() + MAX_READING_S
        for delivery in batch:
            message = delivery.message
            yield kept.get(id(message)) or self._draft(deliveries.of(message), message)
            if self._clock.monotonic_s() >= until_s:
                return

    def _draft(self, delivery: DeliveryIdentity, message: Message) -> Draft:
        draft = Draft(message)
        known = delivery.known()
        if known == REFUSED:
            self._metrics.messages_skipped.labels("redelivered").inc()
            return draft
        try:
            self._read(message, delivery, draft)
        except SpoolError:
            self._ruled.forget(draft.states)
            raise
        except Exception as error:  # noqa: BLE001 - one message's surprise must not end the thread
            self._refuse_wholly(draft, self._internal_error(message, error))
        if known is not None and draft.dead_letters:
            # Committed with whatever else the message led to, when it came for the first time.
            for told in (draft.dead_letters, draft.outbox, draft.inflight):
                told.clear()
        self._remember(delivery, draft)
        return draft

    @staticmethod
    def _remember(delivery: DeliveryIdentity, draft: Draft) -> None:
        """Add the row by which a redelivery is known."""
        if draft.dead_letters and draft.events:
            delivery.id()
        if draft.states:
            draft.inflight += stored_delivery(draft.message, delivery.id())
        elif draft.events and delivery.row is not None:
            draft.inflight.append(delivery.row)
        elif draft.dead_letters and not draft.events and not draft.states and not draft.inflight:
            draft.inflight += refused_delivery(draft.message)

    def _read(self, message: Message, delivery: DeliveryIdentity, draft: Draft) -> None:
        # No mapping ever sees the interface's own topics: with topic "#" its workflows' status would start more.
        meaning = self._topics.parse(message.topic)
        if message.flaw is not None:
            self._flawed(message, message.flaw, meaning, draft)
        elif message.retain and (self._topics.is_interface(message.topic) or not self._mapped.takes_retained(message)):
            self._metrics.messages_skipped.labels("retained").inc()
            if isinstance(meaning, RetainedStatus):
                self._tell.retained_seen(message.connection, message.topic, message.payload)
        elif isinstance(meaning, Request):
            self._request(message, meaning, delivery, draft)
        elif isinstance(meaning, StatusStream):
            self._status_update(message, draft)
        elif self._topics.is_interface(message.topic):
            self._tell.published(message.connection, message.topic, message.payload)
            self._metrics.messages_skipped.labels("interface").inc()
        else:
            self._map(message, delivery, draft)

    def _flawed(self, message: Message, flaw: Flaw, meaning: object, draft: Draft) -> None:
        """Refuse what its transport could not read."""
        if isinstance(meaning, Request):
            draft.reply = self._address(message, self._topics.response(meaning.operation))
        elif isinstance(meaning, StatusStream):
            draft.reply = self._address(message, self._topics.status_response)
        elif message.properties.reply_queue:
            # It has no topic that names an operation, and its sender waits for an answer all the same.
            draft.reply = self._address(message, self._topics.response(Operation.TRIGGER))
        self._refuse_wholly(draft, Refusal(flaw.code, flaw.message))

    def _map(self, message: Message, delivery: DeliveryIdentity, draft: Draft) -> None:
        if len(message.payload) > self._max_payload_bytes:
            draft.add(self._refusals.of_message(message, self._too_large(message)))
            return
        for match in self._mapped.matches(message):
            if message.retain and not match.mapping.takes_retained:
                continue
            self.received.add((message.connection, match.mapping.name))
            ruled = self._ruled.get(match.mapping.name)
            if ruled is not None:
                self._map_ruled(ruled, match, message, delivery, draft)
                continue
            try:
                result = self._mapped.result(match, message, delivery)
            except SpoolError:
                raise
            except Exception as error:  # noqa: BLE001 - the other mappings' events must not be lost with it
                result = self._internal_error(message, error)
            if isinstance(result, Refusal):
                draft.add(self._refusals.of_message(message, result, mapping=match.mapping.name))
            elif result is not None:
                draft.events.append(result)

    def _map_ruled(
        self, ruled: RuledMapping, match: Match, message: Message, delivery: DeliveryIdentity, draft: Draft
    ) -> None:
        if delivery.known() is not None:
            return  # its states and its events were committed together, when it came for the first time
        rows = NewRows()
        try:
            self._ruled.take(ruled, match, message, rows)
        except SpoolError:
            raise
        except Exception as error:  # noqa: BLE001 - as in _map
            self._ruled.forget(rows.states)
            rows = NewRows()
            rows.add(
                self._refusals.of_message(message, self._internal_error(message, error), mapping=match.mapping.name)
            )
        draft.add(rows)

    def _request(self, message: Message, request: Request, delivery: DeliveryIdentity, draft: Draft) -> None:
        draft.reply = address = self._address(message, self._topics.response(request.operation))
        try:
            if len(message.payload) > self._max_payload_bytes:
                refusal = self._too_large(message)
                raise PermanentError(refusal.message, code=refusal.reason)
            body = messages.decode_request(message)
            draft.reply = address = replace(address, request_id=messages.request_id(body.keys))
            self._requests.check_operation(request.operation)
            if not is_spooled(request.operation):
                draft.read = self._operations.read(message, request, body, address)
                return
            reads = self._requests.trigger if request.operation is Operation.TRIGGER else self._operations.event
            event = reads(message, request, body, delivery)
        except PermanentError as error:
            self._refuse_wholly(draft, Refusal(error.code, error.message, error.details))
            return
        draft.events.append(replace(event, reply=address))

    def _status_update(self, message: Message, draft: Draft) -> None:
        if is_from_bridge(message.payload):
            self._metrics.messages_skipped.labels("bridge-status").inc()
            return
        draft.reply = address = self._address(message, self._topics.status_response)
        if len(message.payload) > self._max_payload_bytes:
            self._refuse_wholly(draft, self._too_large(message))
            return
        try:
            body = self._updates.decode(message)
            draft.reply = address = replace(address, request_id=messages.request_id(body.keys))
            draft.external.append(self._updates.read(body))
        except PermanentError as error:
            self._refuse_wholly(draft, Refusal(error.code, error.message, error.details))
            return
        draft.outbox.append(OutboxMessage(address.connection, replies.status_received(address)))
        self._metrics.replies.labels("200").inc()

    def _address(self, message: Message, default_topic: str) -> ReplyAddress:
        address = reply_address(message, default_topic, self._addresses)
        if address.refused:
            self._metrics.replies_unsendable.labels("reply-address").inc()
            key = f"reply-address {message.connection} {address.refused}"
            keys = fields(action="reply", connection=message.connection, topic=message.topic)
            wanted = cut(message.properties.response_topic or message.properties.reply_queue)
            text = 'the reply is not sent to "%s", the address in the request: %s; it is sent to %s'
            self._seldom.warning(key, text, wanted, address.refused, default_topic, **keys)
        return address

    def _too_large(self, message: Message) -> Refusal:
        limit = self._max_payload_bytes
        text = f"the payload has {len(message.payload)} bytes, the maximum is {limit} (interface.max-payload)"
        return Refusal("payload-too-large", text)

    def _internal_error(self, message: Message, error: Exception) -> Refusal:
        facts = {"topic": message.topic, "connection": message.connection, "payload_bytes": len(message.payload)}
        self._reports.unexpected("ingest", error, **facts)
        return Refusal("internal-error", _INTERNAL_TEXT)

    def _refuse_wholly(self, draft: Draft, refusal: Refusal) -> None:
        self._ruled.forget(draft.states)
        draft.clear()
        draft.read = None
        draft.add(self._refusals.of_message(draft.message, refusal, reply=draft.reply))
        draft.inflight += refused_delivery(draft.message)

    def _commit(self, drafts: Sequence[Draft]) -> None:
        drafts = [draft for draft in drafts if not draft.is_empty]
        if not drafts:
            return
        try:
            committed = self._store(drafts)
        except SpoolError:
            raise
        except Exception as error:  # noqa: BLE001 - the spool cannot take one of them; which one?
            self._commit_parts(drafts, error)
        else:
            self._committed(drafts, committed)

    def _commit_parts(self, drafts: Sequence[Draft], error: Exception) -> None:
        middle = len(drafts) // 2
        if middle:
            # By halves: one bad message in a batch of 500 costs some 18 commits, not 500.
            self._commit(drafts[:middle])
            self._commit(drafts[middle:])
            return
        draft = drafts[0]
        if isinstance(error, PermanentError):
            refusal = Refusal(error.code, error.message)
        else:
            refusal = self._internal_error(draft.message, error)
        self._refuse_wholly(draft, refusal)
        try:
            committed = self._store(drafts)
        except SpoolError:
            raise
        except Exception as again:  # noqa: BLE001 - a message that comes again for ever would stop all others
            draft.clear()
            self._internal_error(draft.message, again)
        else:
            self._committed(drafts, committed)

    def _store(self, drafts: Sequence[Draft]) -> Committed:
        with self._metrics.commit_seconds.time():
            return self._spool.commit(*drafts)

    def _committed(self, drafts: Sequence[Draft], committed: Committed) -> None:
        events = [(event, draft) for draft in drafts for event in draft.events]
        for draft in drafts:
            self._ruled.committed(draft.states)
        if events:
            self._tell.stored(frozenset(event.lane for event, _ in events))
        if any(draft.outbox for draft in drafts):
            self._tell.outbox()
        if any(draft.external for draft in drafts):
            self._tell.updates()
        for draft in drafts:
            draft.clear()
        self._known(events, committed.known)
        self._commit(drafts)

    def _known(self, events: Sequence[tuple[NewEvent, Draft]], known: Sequence[StoredOutcome]) -> None:
        """Count what was stored and what was known; answer the known requests that have ended, refuse the others."""
        stored = Counter(event.mapping for event, _ in events)
        by_id: dict[bytes, list[tuple[NewEvent, Draft]]] = {}
        for event, draft in events if known else ():
            by_id.setdefault(event.id, []).append((event, draft))
        # From behind: of several in one batch the first may be the one that was stored.
        for outcome in reversed(known):
            event, draft = by_id[outcome.id].pop()
            stored[event.mapping] -= 1
            if outcome.outcome is not None:
                self._ruled.workflow_ended(outcome.id)
            if outcome.reused:
                self._metrics.event_id_reused.labels(event.mapping).inc()
            if outcome.reused and event.content_digest:
                self._refuse_wholly(draft, _REUSED)
                continue
            self._count_known(event, outcome)
            if event.reply and outcome.outcome is not None:
                answer = self._first_outcome(event.reply, operation_of(event), outcome)
                draft.outbox.append(OutboxMessage(event.reply.connection, answer))
        for mapping, count in stored.items():
            if count:
                self._metrics.events_stored.labels(mapping).inc(count)

    def _count_known(self, event: NewEvent, outcome: StoredOutcome) -> None:
        self._metrics.events_duplicate.labels(event.mapping).inc()
        if not outcome.reused:
            return
        text = "event-id-reused: a known event id came with a different payload"
        keys = fields(action="dedupe", mapping=event.mapping, topic=event.topic)
        self._seldom.warning(f"reused {event.topic}", text, **keys)

    def _first_outcome(self, address: ReplyAddress, operation: Operation, outcome: StoredOutcome) -> OutgoingMessage:
        if outcome.outcome is Outcome.DONE:
            self._metrics.replies.labels("200").inc()
            return replies.done(address, operation, outcome.name)
        self._metrics.replies.labels(str(replies.http_code(outcome.code))).inc()
        return replies.refused(address, Refusal(outcome.code, outcome.error))


_REUSED = Refusal(
    "event-id-reused",
    "its event id was used for a different request on this topic; a repetition may differ in requestId only",
)
_INTERNAL_TEXT = "unexpected error in the bridge with this message; a report was written"
