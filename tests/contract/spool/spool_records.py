"""Builds spool records for tests: an event is told by a small number. No test lives here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from bridge.core.model import OutgoingMessage, ReplyAddress, WorkflowOrder
from bridge.spool.records import Finished, NewDeadLetter, NewEvent, NewRows, OutboxMessage, Outcome, WaitingEvent
from bridge.spool.store import Spool

MakeSpool = Callable[..., Spool]

MANIFEST = b'{"metadata":{},"spec":{"workflowTemplateRef":{"name":"inspect-boiler"}}}'


def identity(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def event(number: int, lane: str = "boiler", *, manifest: bytes = MANIFEST, value: str = "95", **more: Any) -> NewEvent:
    order = WorkflowOrder("factory", "boiler", manifest, f"boiler-{number}", {"value": value}, {"note": "ä"})
    digest = more.pop("payload_digest", identity(-1))
    return NewEvent(identity(number), lane, order, lane, f"sensors/{number}", "plant", digest, **more)


def apart(*events: NewEvent) -> list[NewRows]:
    """What a message each leads to."""
    return [NewRows(events=[one]) for one in events]


def reply(number: int) -> ReplyAddress:
    return ReplyAddress("plant", f"answers/{number}", bytes([0, 255, number]), f'"{number}"')


def message(text: str, connection: str = "plant") -> OutboxMessage:
    sent = OutgoingMessage(
        f"to/{text}", text.encode() + b"\xff", 1, False, b"\x00\xfe", "text/plain", (("code", "200"),)
    )
    return OutboxMessage(connection, sent)


def letter(
    reason: str = "invalid-payload", mapping: str = "boiler", payload: bytes = b"\xff{", **more: Any
) -> NewDeadLetter:
    topic = more.pop("topic", "sensors/1")
    return NewDeadLetter(reason, "no good", topic, more.pop("connection", "plant"), mapping, payload, **more)


def done(seq: int, *texts: str, **more: Any) -> Finished:
    return Finished(seq, Outcome.DONE, outbox=tuple(message(text) for text in texts), **more)


def dead(seq: int, code: str = "name-taken", **more: Any) -> Finished:
    return Finished(seq, Outcome.DEAD, "the name is taken", code, dead_letter=letter(code), **more)


def rows_waiting(spool: Spool, lane: str = "boiler") -> list[WaitingEvent]:
    rows: list[WaitingEvent] = []
    while page := spool.waiting(lane, rows[-1].seq if rows else 0, 1_000_000):
        rows += page
    return rows


def seqs_waiting(spool: Spool, lane: str = "boiler") -> list[int]:
    return [row.seq for row in rows_waiting(spool, lane)]


def numbers_waiting(spool: Spool, lane: str = "boiler") -> list[str]:
    return [row.event.order.name.removeprefix("boiler-") for row in rows_waiting(spool, lane)]
