"""What messages lead to, from reading them until it is all committed. No I/O.

Thread: the transport's, through ingest.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.core.model import Message, ReplyAddress
from bridge.pipeline.intake.operations import ReadRequest
from bridge.spool.records import NewRows


@dataclass(slots=True)
class Draft(NewRows):
    """What one message leads to and has not led to yet: what is committed is taken out.

    Attributes:
        message: as it came.
        reply: where it is answered, None for a sensor message.
        read: what is to be answered from what Argo has, once all else is committed.
    """

    message: Message
    reply: ReplyAddress | None = None
    read: ReadRequest | None = None

    @property
    def size_bytes(self) -> int:
        """What it holds, roughly: the message, and what was made of it."""
        made = sum(len(value) for event in self.events for value in event.order.parameters.values())
        return len(self.message.payload) * 2 + len(self.message.topic) + made

    def clear(self) -> None:
        """Take out everything that a commit stores: it is committed, or gives way to a refusal."""
        for part in (self.events, self.inflight, self.outbox, self.dead_letters, self.external, self.states):
            part.clear()
