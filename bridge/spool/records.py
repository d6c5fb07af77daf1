"""What the spool stores, as frozen dataclasses. No SQL, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bridge.core.model import NO_PROPERTIES, MessageProperties, OutgoingMessage, ReplyAddress, WorkflowOrder


class Outcome(Enum):
    """How an event ended. The integer is what the database holds."""

    DONE = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation on something that exists already.

    Attributes:
        operation: its topic level, e.g. ``stop``.
        target: name of the workflow or CronWorkflow that is meant.
        options: what it was asked with, JSON-ready.
    """

    operation: str
    target: str
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One event to store; becomes exactly one workflow, or one operation carried out.

    Attributes:
        id: 32 bytes (SHA-256); the UNIQUE column that is the only dedupe.
        lane: what shares its fate in dispatch: the mapping's name, ``trigger:NAMESPACE`` or ``operation:NAMESPACE``.
            A parked lane holds up no other.
        order: the workflow to create, its name fixed; for an operation namespace and name of what it ends up with,
            a workflow it creates or what it is asked on.
        mapping: name of the mapping, or "" for a request.
        topic: the concrete topic of the message.
        connection: where it came from.
        payload_digest: 32 bytes of SHA-256 over the payload.
        status_topic: the mapping's own status topic, rendered, or "".
        order_key: at most one row of a key is in flight ("" = no order); includes the mapping's name.
        max_age_s: seconds from now after which it is dead-lettered instead of run, or None.
        reply: where its outcome goes, or None for mapped events.
        asked: the operation, or None: a workflow is to be created.
        content_digest: of a request, 32 bytes of SHA-256 over what it asks for, which a retry repeats though its
            ``requestId`` is another one; b"" for mapped events.
        is_urgent: it may use the last of the spool. Not stored.
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
"""How much of a digest the spool keeps of a delivery."""


@dataclass(frozen=True, slots=True)
class Inflight:
    """Remembers which delivery a packet id was, so that a DUP=1 of it is the same event.

    Attributes:
        connection: the connection's name.
        packet_id: 1 to 65535 (AMQP: any number above 0).
        digest: 32 bytes: SHA-256 of topic, a NUL byte and the payload. Two live messages can share a packet id.
        delivery_id: 16 random bytes, drawn at the first delivery.
    """

    connection: str
    packet_id: int
    digest: bytes
    delivery_id: bytes


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message that must reach a broker: a reply or a dead-letter notice.

    Attributes:
        connection: which connection sends it.
        message: what is sent.
    """

    connection: str
    message: OutgoingMessage


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """What could not be done, and why.

    Attributes:
        reason: kebab-case code, e.g. ``invalid-payload``, ``name-taken``, ``expired``.
        message: a sentence.
        topic: the concrete topic of the message.
        connection: where it came from.
        mapping: the mapping's name, or "".
        payload: the payload's first 64 KiB (`payload_bytes` tells its whole length).
        payload_bytes: length of the whole payload.
        payload_digest: 32 bytes of SHA-256 of the whole payload.
        event_id: the event's id where it had one, else b"".
        attempts: submissions tried.
        details: findings, JSON-ready.
        properties: those of the message that a replay needs, or None: they were too large to be kept.
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
    """A status that another system sent.

    Attributes:
        namespace: of the workflow that it tells of.
        name: of that workflow.
        body: the status message, JSON.
        keep_s: seconds from now for which it may be shown.
    """

    namespace: str
    name: str
    body: bytes
    keep_s: float


@dataclass(frozen=True, slots=True)
class ExternalStatus:
    """A status of another system as it is kept.

    Attributes:
        namespace: of the workflow that it tells of.
        name: of that workflow.
        body: the status message, JSON.
        expires_at_s: age-clock seconds after which it is shown no longer.
        seq: its number; grows, is never used again.
    """

    namespace: str
    name: str
    body: bytes
    expires_at_s: float
    seq: int


@dataclass(kw_only=True)
class NewRows:
    """Rows that one commit stores together, or none of them: what one message leads to.

    Attributes:
        events: new events, in order.
        inflight: one row for each QoS 1 delivery whose event ids derive from a delivery id.
        outbox: messages decided already (refusals).
        dead_letters: refused messages.
        external: statuses of other systems.
    """

    events: list[NewEvent] = field(default_factory=list)
    inflight: list[Inflight] = field(default_factory=list)
    outbox: list[OutboxMessage] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    external: list[NewExternalStatus] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.events or self.inflight or self.outbox or self.dead_letters or self.external)


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """The outcome of an event that was known before.

    Attributes:
        id: the event's id.
        reused: the stored event has another payload; of a request, another content. Such a request is another one
            under the same name, and has no part in the outcome.
        outcome: None while it still waits (the new reply address was attached to it).
        namespace: of its workflow.
        name: of its workflow.
        error: the sentence that its first sender got, "" unless DEAD.
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
    """What a commit of `NewRows` found.

    Attributes:
        stored: how many of its events were new.
        known: those that were not, in their order.
    """

    stored: int
    known: tuple[StoredOutcome, ...] = ()


QUARANTINE_FAILURES = 3
"""Own failures that put a row apart; the indexes and statements of the spool have the same number."""


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """A row that dispatch takes.

    Attributes:
        seq: its place in the order of arrival; the primary key.
        event: as it was stored.
        replies: every address that waits for its outcome.
        attempts: submissions tried so far, over restarts.
        not_before_s: age-clock seconds before which it is not tried, 0.0 = now.
        expires_at_s: age-clock seconds after which it is dead-lettered, or None.
        stored_at_s: age-clock seconds of its commit.
        note: what `Spool.note` was given, or "".
        size_bytes: of the row and its manifest, which it may share.
        own_failures: those of the attempts that failed while other rows succeeded.
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
        """Whether it is given out beside its lane, by `quarantined`."""
        return self.own_failures >= QUARANTINE_FAILURES


@dataclass(frozen=True, slots=True)
class Finished:
    """An event's end, with all that the same commit stores.

    Attributes:
        seq: the row.
        outcome: DONE or DEAD.
        error: what its senders were told, "" when DONE.
        code: the reason, "" when DONE.
        outbox: its replies and notices.
        dead_letter: its record when DEAD, else None.
        answered: how many of the row's `WaitingEvent.replies` the outbox answers. When more were attached in the
            meantime the row stays as it is and `Spool.settle` returns it again. None = settle it whatever came.
    """

    seq: int
    outcome: Outcome
    error: str = ""
    code: str = ""
    outbox: tuple[OutboxMessage, ...] = ()
    dead_letter: NewDeadLetter | None = None
    answered: int | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A row that failed for now.

    Attributes:
        seq: the row.
        attempts: including the one that failed.
        not_before_s: age-clock seconds of the next try.
        own_failures: as `WaitingEvent.own_failures`, this attempt included.
    """

    seq: int
    attempts: int
    not_before_s: float
    own_failures: int = 0


@dataclass(frozen=True, slots=True)
class RetainedTopic:
    """A retained message that is ours to clear.

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
        rows: all event rows, done ones included.
        bytes: size of the database file and its write-ahead log.
        outbox: messages not yet confirmed by a broker.
        dead_letters: records kept.
        by_lane: waiting rows of each lane that has any.
        ended_early: ended rows that went before keep-done was over, to make room; grows over restarts.
        dead_letters_dropped: dead letters that went because of a bound, those counted on one included; likewise.
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
    """A dead letter as it is kept.

    Attributes:
        seq: its number, for show, replay and purge; grows, is never used again.
        letter: the first of its kind, whole (its payload cut to 64 KiB).
        count: how many it stands for: those with its connection, topic, mapping and reason within a minute after it
            are counted on it, and beyond 100 topics of a mapping and reason those of the topics after it. A message
            that was refused and an event that died later are never counted on each other.
        first_wall_s: wall clock of the first, for display.
        last_wall_s: wall clock of the last one counted, for display.
        kept: how many of its events can be replayed (an eighth of dead-letters.max-bytes a minute is kept); None =
            it stands for messages that never became events, and the first of them can be replayed.
    """

    seq: int
    letter: NewDeadLetter
    count: int
    first_wall_s: float
    last_wall_s: float
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters are meant; all that is given must hold.

    Attributes:
        mapping: name of the mapping ("" = trigger messages), or None.
        reason: kebab-case code, or None.
        older_than_s: how long ago the first one was stored at least, by the age clock, or None.
    """

    mapping: str | None = None
    reason: str | None = None
    older_than_s: float | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did, in the commit that removed the dead letter.

    Attributes:
        waiting: events that wait for dispatch now.
        known: events that were there already: waiting, done or dead; nothing was stored of them.
        lanes: those of the events that wait.
        not_kept: events or messages that the letter only counted.
    """

    waiting: int
    known: int
    lanes: frozenset[str]
    not_kept: int = 0
