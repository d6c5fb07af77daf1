"""What messages lead to, from reading them until it is all committed. No I/O.

Thread: the transport's, through ingest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge.core.model import Message, ReplyAddress
from bridge.pipeline.intake.operations import Read
from bridge.pipeline.refusals import Refused
from bridge.spool.records import Batch, Inflight, NewDeadLetter, NewEvent, NewExternalStatus, OutboxMessage


@dataclass
class Draft:
    """What one message leads to and has not led to yet: what is committed is taken out.

    Attributes:
        message: as it came.
        reply: where it is answered, None for a sensor message.
        events: to store.
        inflight: its delivery, where an event's identity depends on it.
        outbox: to send.
        dead_letters: to keep.
        external: a status that another system sent.
        read: what is to be answered from what Argo has, once all else is committed.
    """

    message: Message
    reply: ReplyAddress | None = None
    events: list[NewEvent] = field(default_factory=list)
    inflight: list[Inflight] = field(default_factory=list)
    outbox: list[OutboxMessage] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    external: list[NewExternalStatus] = field(default_factory=list)
    read: Read | None = None

    def refuse(self, refused: Refused) -> None:
        """Add a refusal."""
        self.dead_letters.append(refused.dead_letter)
        self.outbox.extend(refused.outbox)

    @property
    def size_bytes(self) -> int:
        """What it holds, roughly: the message, and what was made of it."""
        made = sum(len(value) for event in self.events for value in event.order.parameters.values())
        return len(self.message.payload) * 2 + len(self.message.topic) + made

    def clear(self) -> None:
        """Take out everything that a commit stores: it is committed, or gives way to a refusal."""
        for part in (self.events, self.inflight, self.outbox, self.dead_letters, self.external):
            part.clear()


def joined(drafts: Iterable[Draft]) -> Batch:
    """Return what all of `drafts` lead to, in their order."""
    events: list[NewEvent] = []
    inflight: list[Inflight] = []
    outbox: list[OutboxMessage] = []
    letters: list[NewDeadLetter] = []
    external: list[NewExternalStatus] = []
    messages: list[int] = []
    for draft in drafts:
        if draft.events:
            messages.append(len(draft.events))
        events += draft.events
        inflight += draft.inflight
        outbox += draft.outbox
        letters += draft.dead_letters
        external += draft.external
    return Batch(tuple(events), tuple(inflight), tuple(outbox), tuple(letters), tuple(external), tuple(messages))
