"""The records of the spool, as frozen dataclasses. No SQL, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import inf

from bridge.core.model import NO_PROPERTIES, MessageProperties, OutgoingMessage, ReplyAddress, WorkflowOrder
from bridge.core.record import record


class Outcome(Enum):
    """How an event ended. The database stores the integer."""

    DONE = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation on an existing object.

    Attributes:
        operation: its topic level, e.g. ``stop``.
        name: of the workflow or CronWorkflow.
        options: its options, JSON-ready.
    """

    operation: str
    name: str
    options: dict[str, object] = field(default_factory=dict)


@record(frozen=True, slots=True)
class NewEvent:
    """One event to store; becomes exactly one workflow, or one operation carried out.

    Attributes:
        id: 32 bytes (SHA-256); the UNIQUE column, the only deduplication.
        lane: rows that succeed or fail together in dispatch: the mapping's name, ``trigger:NAMESPACE`` or
            ``operation:NAMESPACE``. A parked lane does not delay others.
        order: the workflow to create, with its name; for an operation, namespace and name of its result: the workflow
            it creates, or its subject.
        mapping: name of the mapping, or "" for a request.
        topic: the concrete topic of the message.
        connection: the connection it came from.
        payload_digest: 32 bytes of SHA-256 over the payload.
        status_topic: the mapping's own status topic, rendered, or "".
        order_key: at most one row per key is in flight ("" = no order); includes the mapping's name.
        max_age_s: seconds from now after which it is dead-lettered instead of run, or None.
        reply: where its outcome is sent, or None for mapped events.
        asked: the operation, or None to create a workflow.
        content_digest: for a request, 32 bytes of SHA-256 over its content, which a retry repeats with a different
            ``requestId``; b"" for mapped events.
        is_urgent: it may use the last part of the spool. Not stored.
    """

    id: bytes
    lane: str
    order: WorkflowOrder
    mapping: str
    topic: str
    connection: str
    payload_digest: bytes
    status_topic: str = ""
    order_key: str = ""
    max_age_s: float | None = None
    reply: ReplyAddress | None = None
    asked: Asked | None = None
    content_digest: bytes = b""
    is_urgent: bool = False


REMEMBERED_DIGEST_BYTES = 16
"""Bytes of a digest that the spool keeps for a delivery."""


@record(frozen=True, slots=True)
class Inflight:
    """Maps a packet id to its delivery, so that a message with DUP=1 is the same event.

    Attributes:
        connection: the connection's name.
        packet_id: 1 to 65535 (AMQP: any number above 0).
        digest: 32 bytes: SHA-256 of topic, a NUL byte and the payload. Two live messages can share a packet id.
        delivery_id: 16 random bytes, chosen at the first delivery.
    """

    connection: str
    packet_id: int
    digest: bytes
    delivery_id: bytes


@record(frozen=True, slots=True)
class OutboxMessage:
    """A message that must reach a broker: a reply or a dead-letter notice.

    Attributes:
        connection: the connection that sends it.
        message: the message.
    """

    connection: str
    message: OutgoingMessage


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """A message or event that could not be carried out, with the reason.

    Attributes:
        reason: kebab-case code, e.g. ``invalid-payload``, ``name-taken``, ``expired``.
        message: a sentence.
        topic: the concrete topic of the message.
        connection: the connection it came from.
        mapping: the mapping's name, or "".
        payload: the payload's first 64 KiB (see `payload_bytes`).
        payload_bytes: length of the whole payload.
        payload_digest: 32 bytes of SHA-256 of the whole payload.
        event_id: the event's id if it had one, else b"".
        attempts: number of submissions tried.
        details: findings, JSON-ready.
        properties: properties needed for a replay, or None if they were too large to keep.
    """

    reason: str
    message: str
    topic: str
    connection: str
    mapping: str = ""
    payload: bytes = b""
    payload_bytes: int = 0
    payload_digest: bytes = b""
    event_id: bytes = b""
    attempts: int = 0
    details: tuple[object, ...] = ()
    properties: MessageProperties | None = NO_PROPERTIES


@dataclass(frozen=True, slots=True)
class NewExternalStatus:
    """A status from another system.

    Attributes:
        namespace: of the workflow.
        name: of the workflow.
        body: the status message, JSON.
        keep_s: seconds from now for which it may be shown.
    """

    namespace: str
    name: str
    body: bytes
    keep_s: float


@dataclass(frozen=True, slots=True)
class ExternalStatus:
    """A stored status from another system.

    Attributes:
        namespace: of the workflow.
        name: of the workflow.
        body: the status message, JSON.
        expires_at_s: age-clock seconds after which it is no longer shown.
        seq: its number; increases, and is never reused.
    """

    namespace: str
    name: str
    body: bytes
    expires_at_s: float
    seq: int


@dataclass(kw_only=True, slots=True)
class NewRows:
    """Rows that one commit stores together or not at all: the results of one message.

    Attributes:
        events: new events, in order.
        inflight: one row for each QoS 1 delivery whose event ids derive from a delivery id.
        outbox: messages decided already (refusals).
        dead_letters: refused messages.
        external: statuses from other systems.
        states: of rules, changed by the message; of a mapping and key the last one counts.
    """

    events: list[NewEvent] = field(default_factory=list)
    inflight: list[Inflight] = field(default_factory=list)
    outbox: list[OutboxMessage] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    external: list[NewExternalStatus] = field(default_factory=list)
    states: list[RuleState] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        first = self.events or self.inflight or self.outbox or self.dead_letters
        return not (first or self.external or self.states)

    def add(self, rows: NewRows) -> None:
        """Take `rows` in as well."""
        self.events += rows.events
        self.inflight += rows.inflight
        self.outbox += rows.outbox
        self.dead_letters += rows.dead_letters
        self.external += rows.external
        self.states += rows.states


@dataclass(frozen=True, slots=True)
class RuleState:
    """The state of the rules of one mapping for one key.

    Attributes:
        key: at most 128 characters.
        state: JSON, b"" for none: the row is deleted.
        due_age_s: when it changes by time alone, on the bridge's own clock; infinity for never.
        due_known_s: likewise, on the clock that stands still while the link is down.
        used: hour of the bridge's own clock in which it was used last.
    """

    mapping: str
    key: str
    state: bytes
    due_age_s: float = inf
    due_known_s: float = inf
    used: int = 0


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """The outcome of an event that was already known.

    Attributes:
        id: the event's id.
        reused: the stored event has a different payload, or for a request, different content. Then the request is a
            different one with the same id, and the outcome is not for it.
        outcome: None while it still waits (the new reply address was attached to it).
        namespace: of its workflow.
        name: of its workflow.
        error: the sentence sent to its first sender, "" unless DEAD.
        code: the kebab-case reason, "" unless DEAD.
    """

    id: bytes
    reused: bool
    outcome: Outcome | None
    namespace: str = ""
    name: str = ""
    error: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """The result of a commit of `NewRows`.

    Attributes:
        stored: how many of its events were new.
        known: the others, in their order.
    """

    stored: int
    known: tuple[StoredOutcome, ...] = ()


QUARANTINE_FAILURES = 3
"""Own failures after which a row is quarantined; the spool's indexes and statements have the same number."""


@record(frozen=True, slots=True)
class WaitingEvent:
    """A row for dispatch.

    Attributes:
        seq: its place in the order of arrival; the primary key.
        event: as stored.
        replies: every address that waits for its outcome.
        attempts: submissions tried so far, including before restarts.
        not_before_s: age-clock seconds before which it is not tried, 0.0 = now.
        expires_at_s: age-clock seconds after which it is dead-lettered, or None.
        stored_at_s: age-clock seconds of its commit.
        note: the text given to `Spool.note`, or "".
        size_bytes: of the row and its manifest, which may be shared.
        own_failures: number of attempts that failed while other rows succeeded.
    """

    seq: int
    event: NewEvent
    replies: tuple[ReplyAddress, ...] = ()
    attempts: int = 0
    not_before_s: float = 0.0
    expires_at_s: float | None = None
    stored_at_s: float = 0.0
    note: str = ""
    size_bytes: int = 0
    own_failures: int = 0

    @property
    def is_quarantined(self) -> bool:
        """Whether it is returned by `quarantined` and not by its lane."""
        return self.own_failures >= QUARANTINE_FAILURES


@record(frozen=True, slots=True)
class Finished:
    """An event's outcome, with everything that the same commit stores.

    Attributes:
        seq: the row.
        outcome: DONE or DEAD.
        error: the sentence sent to its senders, "" if DONE.
        code: the reason, "" if DONE.
        outbox: its replies and notifications.
        dead_letter: its record if DEAD, else None.
        answered: how many of the row's `WaitingEvent.replies` the outbox answers. If more were attached in the
            meantime, the row is unchanged and `Spool.settle` returns it again. None = settle it in any case.
    """

    seq: int
    outcome: Outcome
    error: str = ""
    code: str = ""
    outbox: tuple[OutboxMessage, ...] = ()
    dead_letter: NewDeadLetter | None = None
    answered: int | None = None


@record(frozen=True, slots=True)
class Postponed:
    """A row that failed for now.

    Attributes:
        seq: the row.
        attempts: including the failed one.
        not_before_s: age-clock seconds of the next try.
        own_failures: as `WaitingEvent.own_failures`, including this attempt.
    """

    seq: int
    attempts: int
    not_before_s: float
    own_failures: int = 0


@dataclass(frozen=True, slots=True)
class RetainedTopic:
    """A retained message that the bridge must clear.

    Attributes:
        connection: where it is retained.
        topic: the topic name.
        namespace: of the workflow it shows.
        name: of the workflow it shows.
        uid: of the workflow it shows.
    """

    connection: str
    topic: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SpoolFigures:
    """How full the spool is.

    Attributes:
        waiting: rows that wait for submission.
        rows: all event rows, including done ones.
        bytes: size of the database file and its write-ahead log.
        outbox: messages not yet confirmed by a broker.
        dead_letters: records kept.
        by_lane: waiting rows of each lane that has any.
        ended_early: ended rows deleted before keep-done was over, to make room; continues over restarts.
        dead_letters_dropped: dead letters deleted because of a limit, including counted ones; continues over restarts.
    """

    waiting: int
    rows: int
    bytes: int
    outbox: int
    dead_letters: int
    by_lane: dict[str, int] = field(default_factory=dict)
    ended_early: int = 0
    dead_letters_dropped: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A stored dead letter.

    Attributes:
        seq: its number, for show, replay and purge; increases, and is never reused.
        letter: the first of its kind, complete (its payload cut to 64 KiB).
        count: how many it stands for: those with its connection, topic, mapping and reason within a minute after it are
            counted on it, and beyond 100 topics of a mapping and reason, those of later topics. A refused message and
            an event that failed later are never counted on each other.
        first_wall_s: wall clock of the first, for display.
        last_wall_s: wall clock of the last one counted, for display.
        kept: how many of its events can be replayed (an eighth of dead-letters.max-bytes per minute is kept); None = it
            stands for messages that never became events, and the first of them can be replayed.
    """

    seq: int
    letter: NewDeadLetter
    count: int
    first_wall_s: float
    last_wall_s: float
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Selects dead letters; all given conditions must hold.

    Attributes:
        mapping: name of the mapping ("" = trigger messages), or None.
        reason: kebab-case code, or None.
        older_than_s: minimum age of the first one by the age clock, or None.
    """

    mapping: str | None = None
    reason: str | None = None
    older_than_s: float | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a replay, in the commit that removed the dead letter.

    Attributes:
        waiting: number of events that wait for dispatch now.
        known: number of events that existed already: waiting, done or dead; nothing was stored for them.
        lanes: the lanes of the waiting events.
        not_kept: number of events or messages that the letter only counted.
    """

    waiting: int
    known: int
    lanes: frozenset[str]
    not_kept: int = 0
