"""What cannot be stored is given back and tried again; what need not be remembered is forgotten in time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from test_amqp_session import unacknowledged

from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import Message
from bridge.transports.amqp.intake import (
    FORGET_EVERY_S,
    GRACE_S,
    PATIENCE_S,
    UNSEEN_S,
    AmqpIntake,
)
from bridge.transports.amqp.messages import Arrival, MessageReader, Origin
from bridge.transports.amqp.options import AmqpOptions, QueueKind
from bridge.transports.amqp.session import AmqpSession
from bridge.transports.base import Delivery, Left
from bridge.transports.intake import RETRY_S
from tests.support.amqp_memory import DeliveryNotes
from tests.support.clock import FakeClock
from tests.support.transport_ends import reports_of

HEADER = b"\0\0"


class FlakyNotes(DeliveryNotes):
    """A memory that cannot be reached on demand."""

    error: Exception | None = None
    commits = 0

    def begin(self) -> int:
        """See `DeliveryMemory`."""
        self._fail()
        return super().begin()

    def forget(self, numbers: Sequence[int]) -> None:
        """See `DeliveryMemory`."""
        self._fail()
        self.commits += 1
        super().forget(numbers)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class Rig:
    """An intake whose receiver acknowledges, or raises `error`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.notes = FlakyNotes()
        self.late = 0
        self.session = AmqpSession(lambda: None, self._count_late)
        self.session.began(1)
        self.given_back = 0
        self.strays = 0
        self.error: Exception | None = None
        self.takes_count = 10_000
        self.full: set[bytes] = set()
        self.waiting: list[bytes] = []
        self.batches: list[list[Message]] = []
        options = AmqpOptions(name="office", url="amqp://localhost", bridge_id="plant-1")
        self.intake = AmqpIntake(
            name="office",
            receiver=self,
            session=self.session,
            reader=MessageReader(options),
            memory=self.notes,
            metrics=self.metrics,
            reports=reports_of(self.metrics),
            clock=self.clock,
            give_back=self._give_back,
            misrouted=self._misrouted,
        )

    def _count_late(self) -> None:
        self.late += 1

    def _give_back(self) -> None:
        self.given_back += 1

    def _misrouted(self) -> None:
        self.strays += 1

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """See `base.Receiver`."""
        if self.error is not None:
            raise self.error
        self.waiting = [delivery.message.payload for delivery in waiting]
        batch, late = batch[: self.takes_count], batch[self.takes_count :]
        left = [delivery for delivery in batch if delivery.message.payload in self.full]
        self.batches.append([delivery.message for delivery in batch if delivery not in left])
        for delivery in batch:
            if delivery not in left:
                delivery.ack()
        return Left(left, late)

    def arrive(
        self,
        *bodies: bytes,
        token: int = 1,
        redelivered: bool = False,
        origin: Origin = Origin(QueueKind.EVENTS, "x", "t"),  # noqa: B008 - it is frozen
    ) -> None:
        """One batch."""
        first = sum(len(batch) for batch in self.batches) + 1
        self.intake.hand_in(
            [Arrival(token, origin, first + n, redelivered, HEADER, body) for n, body in enumerate(bodies)]
        )

    @property
    def numbers(self) -> list[int]:
        """The numbers of what was received."""
        return [message.packet_id for batch in self.batches for message in batch]


def test_what_the_bridge_said_of_itself_is_no_request() -> None:
    """It is acknowledged, counted, and told to whoever minds the exchange; the receiver never sees it."""
    rig = Rig()
    rig.arrive(b"online", origin=Origin(QueueKind.REQUESTS, "x", "argo.bridge.plant-1.availability"))
    assert (rig.strays, rig.batches, rig.session.take_acknowledgements()) == (1, [], [(1, 1)])
    assert rig.metrics.value("messages_skipped_total", cause="misrouted") == 1


def test_numbers_are_never_used_twice() -> None:
    """Not even those of an earlier run, whose deliveries may come again."""
    rig = Rig()
    rig.notes.stored = {41: ("t", b"old")}
    rig.arrive(b"a", b"b")
    rig.arrive(b"c")
    assert rig.numbers == [42, 43, 44]
    rig.intake.begin()
    rig.arrive(b"d")
    assert rig.numbers[-1] == 45


def test_only_a_redelivery_gets_an_old_number() -> None:
    """A new message that looks like a stored one is another."""
    rig = Rig()
    rig.notes.stored = {7: ("t", b"same")}
    rig.arrive(b"same")
    rig.arrive(b"same", b"same", redelivered=True)
    assert rig.numbers == [8, 7, 9]


def test_what_cannot_be_stored_is_given_back_and_stored_from_the_copy() -> None:
    """Given back once, tried each second, and consuming begins again after it was stored."""
    rig = Rig()
    rig.error = SpoolError("store events: disk full")
    rig.arrive(b"a", b"b")
    assert (rig.given_back, unacknowledged(rig.session)) == (1, 0)
    assert rig.intake.problem is not None
    assert rig.intake.problem.code == "spool-unusable"
    assert not rig.intake.retry()
    for _ in range(3):
        rig.clock.advance(RETRY_S)
        assert not rig.intake.retry()
    rig.error = None
    assert not rig.intake.retry()
    rig.clock.advance(RETRY_S)
    assert rig.intake.retry()
    assert [message.payload for message in rig.batches[0]] == [b"a", b"b"]
    assert (rig.intake.problem, rig.given_back, rig.late) == (None, 1, 0)
    before = rig.notes.begun
    rig.session.began(2)
    rig.arrive(b"c", token=2)
    assert rig.notes.begun == before + 1


def test_what_has_no_room_waits_while_consuming_goes_on() -> None:
    """Nothing is given back; it is tried each second, with what came later behind it."""
    rig = Rig()
    rig.full = {b"a"}
    rig.arrive(b"a", b"b")
    assert (rig.given_back, rig.intake.is_paused, unacknowledged(rig.session)) == (0, False, 2)
    assert rig.intake.problem is not None
    assert rig.intake.problem.code == "spool-full"
    rig.arrive(b"c")
    assert rig.waiting == [b"a"]
    rig.full = set()
    rig.clock.advance(RETRY_S)
    assert not rig.intake.retry(), "consuming never stopped"
    assert [message.payload for batch in rig.batches for message in batch] == [b"b", b"c", b"a"]
    assert (rig.intake.problem, rig.given_back) == (None, 0)


def test_what_waits_for_room_for_long_is_given_back() -> None:
    """The broker would close the channel: it is treated as what cannot be stored, and stored from the copy."""
    rig = Rig()
    rig.full = {b"a"}
    rig.arrive(b"a")
    for _ in range(int(PATIENCE_S) + 1):
        rig.clock.advance(RETRY_S)
        assert not rig.intake.retry()
    assert (rig.given_back, rig.intake.is_paused, unacknowledged(rig.session)) == (1, True, 0)
    rig.full = set()
    rig.clock.advance(RETRY_S)
    assert rig.intake.retry()
    assert (rig.intake.problem, rig.intake.is_paused, rig.given_back) == (None, False, 1)


def test_what_waits_for_room_ends_with_its_channel() -> None:
    """It comes again: stored from the copy too, it would be two events."""
    rig = Rig()
    rig.full = {b"a"}
    rig.arrive(b"a")
    rig.session.ended(1)
    rig.intake.begin()
    rig.full = set()
    rig.clock.advance(RETRY_S)
    rig.intake.retry()
    assert [batch for batch in rig.batches if batch] == []
    assert rig.intake.problem is None


def test_what_the_receiver_leaves_is_handed_in_in_the_next_turn() -> None:
    """So that what it took is acknowledged first; a copy of what was given back is stored whole before consuming."""
    rig = Rig()
    rig.takes_count = 2
    rig.arrive(b"a", b"b", b"c")
    assert rig.session.take_acknowledgements() == [(1, 2)]
    assert rig.intake.has_left
    rig.intake.hand_in_left()
    assert not rig.intake.has_left
    assert rig.session.take_acknowledgements() == [(1, 3)]
    rig.error = SpoolError("store events: disk full")
    rig.arrive(b"d", b"e", b"f")
    rig.error = None
    rig.clock.advance(RETRY_S)
    assert rig.intake.retry()
    assert not rig.intake.has_left
    assert (rig.given_back, rig.intake.is_paused) == (1, False)
    assert [len(batch) for batch in rig.batches] == [2, 1, 2, 1]


def test_what_is_left_of_a_channel_that_ended_is_dropped() -> None:
    """The broker takes it back and sends it again."""
    rig = Rig()
    rig.takes_count = 1
    rig.arrive(b"a", b"b")
    rig.session.ended(1)
    rig.intake.hand_in_left()
    assert [message.payload for batch in rig.batches for message in batch] == [b"a"]


def test_what_still_arrives_of_an_ended_consuming_is_dropped() -> None:
    """The broker takes it back and sends it again."""
    rig = Rig()
    rig.error = SpoolError("store events: disk full")
    rig.arrive(b"a")
    rig.error = None
    rig.arrive(b"b")
    assert rig.batches == []


def test_a_fault_of_the_receiver_loses_nothing() -> None:
    """It is reported once, and the batch is tried again each second."""
    rig = Rig()
    rig.error = ValueError("surprise")
    rig.arrive(b"a")
    rig.clock.advance(RETRY_S)
    assert not rig.intake.retry()
    assert rig.metrics.value("internal_errors_total", where="receive") == 1
    rig.error = None
    rig.clock.advance(RETRY_S)
    assert rig.intake.retry()
    assert len(rig.batches) == 1


def test_a_fault_while_reading_costs_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed in with a flaw, to be refused: met again, it would end the connection again."""
    rig = Rig()
    read = MessageReader.read

    def surprise(self: MessageReader, arrival: Arrival, now_s: float) -> object:
        if arrival.body == b"poison":
            raise RecursionError("surprise")
        return read(self, arrival, now_s)

    monkeypatch.setattr(MessageReader, "read", surprise)
    rig.arrive(b"a", b"poison", b"b")
    (batch,) = rig.batches
    assert [message.flaw and message.flaw.code for message in batch] == [None, "internal-error", None]
    assert batch[1].payload == b"poison"
    assert rig.metrics.value("internal_errors_total", where="amqp") == 1


def test_a_memory_that_cannot_be_read_stops_consuming() -> None:
    """Without it a redelivery would be a new event."""
    rig = Rig()
    rig.notes.error = SpoolError("read deliveries: disk gone", code="read-only")
    rig.arrive(b"a")
    assert rig.batches == []
    assert rig.intake.problem is not None
    assert rig.intake.problem.code == "read-only"
    rig.clock.advance(RETRY_S)
    assert not rig.intake.retry()
    rig.notes.error = None
    rig.clock.advance(RETRY_S)
    assert rig.intake.retry()


def test_a_taken_acknowledgement_is_forgotten_a_little_later() -> None:
    """Not before it is on the broker's disk, and again later if it cannot be written."""
    rig = Rig()
    rig.arrive(b"a", b"b")
    rig.session.take_acknowledgements()
    rig.intake.settled(1, 1)
    rig.intake.forget_due()
    assert rig.notes.forgotten == []
    assert rig.intake.next_due_s() <= GRACE_S + FORGET_EVERY_S
    rig.clock.advance(GRACE_S + FORGET_EVERY_S)
    rig.notes.error = SpoolError("forget: disk full")
    rig.intake.forget_due()
    rig.notes.error = None
    rig.intake.forget_due()
    assert rig.notes.forgotten == []
    rig.clock.advance(GRACE_S + FORGET_EVERY_S)
    rig.intake.forget_due()
    assert rig.notes.forgotten == [1]
    rig.intake.settled(1, 2)
    rig.intake.forget_due(everything=True)
    assert rig.notes.forgotten == [1, 2]


def test_forgetting_under_load_is_one_commit_a_second() -> None:
    """Each is an fsync: not one for every batch."""
    rig = Rig()
    rig.arrive(*(b"%d" % number for number in range(100)))
    rig.session.take_acknowledgements()
    for tag in range(1, 101):
        rig.intake.settled(1, tag)
        rig.intake.forget_due()
        rig.clock.advance(0.1)
    assert len(rig.notes.forgotten) >= 50
    assert rig.notes.commits <= 10


def test_what_does_not_come_again_is_forgotten_a_minute_after_the_last_redelivery() -> None:
    """Redeliveries come before anything else."""
    rig = Rig()
    rig.arrive(b"a")
    rig.clock.advance(UNSEEN_S - 1)
    rig.intake.forget_due()
    rig.arrive(b"b", redelivered=True)
    rig.clock.advance(UNSEEN_S - 1)
    rig.intake.forget_due()
    assert rig.notes.unseen == 0
    rig.clock.advance(1)
    rig.intake.forget_due()
    rig.intake.forget_due()
    assert rig.notes.unseen == 1
