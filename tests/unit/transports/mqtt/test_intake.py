"""A receiver that cannot store, or that acknowledges late, stops reading; nothing is lost or handed in twice."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import Message
from bridge.transports.base import Delivery, Left
from bridge.transports.deliveries import BrokerDelivery
from bridge.transports.intake import BATCH_COUNT
from bridge.transports.mqtt.intake import SLOW_BATCH_COUNT, MqttIntake
from bridge.transports.mqtt.options import Bounds
from tests.support.clock import FakeClock
from tests.support.transport_ends import reports_of


class Rig:
    """An intake with a receiver that takes `takes_s` for `takes_count` messages at most, and raises `error`."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.intake = MqttIntake(
            "plant",
            self,
            wake=lambda: None,
            metrics=self.metrics,
            reports=reports_of(self.metrics),
            clock=self.clock,
            bounds=bounds or Bounds(),
        )
        self.error: Exception | None = None
        self.takes_s = 0.0
        self.takes_count = 10_000
        self.full: set[bytes] = set()
        self.waiting: list[bytes] = []
        self.received: list[list[bytes]] = []

    def receive(self, batch: Sequence[Delivery], waiting: Sequence[Delivery] = ()) -> Left:
        """See `base.Receiver`."""
        self.clock.advance(self.takes_s)
        if self.error is not None:
            raise self.error
        self.waiting = [delivery.message.payload for delivery in waiting]
        batch, late = batch[: self.takes_count], batch[self.takes_count :]
        self.received.append([delivery.message.payload for delivery in batch])
        left = [delivery for delivery in batch if delivery.message.payload in self.full]
        if self.full:
            for delivery in batch:
                if delivery not in left:
                    delivery.ack()
        return Left(left, late)

    def arrive(self, payload: bytes, qos: int = 1) -> BrokerDelivery[bytes]:
        """One delivery."""
        return self.intake.deliveries.arrived(Message("plant", "t", payload, qos), b"ack" if qos else b"")


def test_a_full_spool_keeps_the_batch_and_tries_each_second() -> None:
    """After SpoolError reading stops; the batch comes again each second, until it is taken."""
    rig = Rig()
    rig.error = SpoolError("store events: disk full", code="spool-full")
    rig.intake.hand_in([rig.arrive(b"1"), rig.arrive(b"2")])
    assert rig.intake.is_paused()
    assert rig.intake.problem is not None
    assert rig.intake.problem.code == "spool-full"
    assert "disk full" in rig.intake.problem.message
    assert rig.intake.next_retry_s() == 1.0
    rig.intake.retry()
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.intake.is_paused()
    rig.error = None
    rig.intake.retry()
    assert rig.intake.is_paused(), "a second has not passed"
    rig.clock.advance(1)
    rig.intake.retry()
    assert not rig.intake.is_paused()
    assert rig.received == [[b"1", b"2"]]
    assert rig.metrics.value("messages_received_total", connection="plant") == 2


def test_qos_0_of_a_kept_batch_is_dropped_and_counted() -> None:
    """QoS 0 gets no promise before the commit, so it does not fill memory while nothing can be stored."""
    rig = Rig()
    rig.error = SpoolError("store events: disk full")
    rig.intake.hand_in([rig.arrive(b"1"), rig.arrive(b"0", qos=0), rig.arrive(b"2")])
    assert rig.metrics.value("qos0_dropped_total", connection="plant") == 1
    rig.error = None
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.received == [[b"1", b"2"]]
    assert rig.metrics.value("qos0_dropped_total", connection="plant") == 1


def test_what_was_acknowledged_before_the_error_does_not_come_again() -> None:
    """A message that led to nothing was acknowledged at once; only the others are kept."""
    rig = Rig()
    batch = [rig.arrive(b"1"), rig.arrive(b"2")]
    batch[0].ack()
    rig.error = SpoolError("store events: disk full")
    rig.intake.hand_in(batch)
    rig.error = None
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.received == [[b"2"]]


def test_an_unexpected_exception_neither_escapes_nor_loses_the_batch() -> None:
    """A fault of the receiver is reported once, however often the batch is tried again, and shown."""
    rig = Rig()
    rig.error = KeyError("bug")
    rig.intake.hand_in([rig.arrive(b"1")])
    assert rig.intake.problem is not None
    assert rig.intake.problem.code == "internal-error"
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.metrics.value("internal_errors_total", where="receive") == 1
    rig.error = None
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.received == [[b"1"]]


def test_a_lost_connection_forgets_the_kept_batch() -> None:
    """The broker sends it again; handing it in too would make two events of one."""
    rig = Rig()
    rig.error = SpoolError("store events: disk full")
    rig.intake.hand_in([rig.arrive(b"1")])
    rig.intake.begin()
    assert not rig.intake.is_paused()
    rig.error = None
    rig.clock.advance(5)
    rig.intake.retry()
    assert rig.received == []


def test_what_has_no_room_waits_while_reading_goes_on() -> None:
    """It comes again each second, before nothing that came after it; QoS 0 is dropped; what has room passes it."""
    rig = Rig()
    rig.full = {b"1", b"3", b"0"}
    rig.intake.hand_in([rig.arrive(b"1"), rig.arrive(b"2"), rig.arrive(b"0", qos=0)])
    assert not rig.intake.is_paused()
    assert rig.intake.problem is not None
    assert rig.intake.problem.code == "spool-full"
    assert rig.metrics.value("qos0_dropped_total", connection="plant") == 1
    rig.intake.hand_in([rig.arrive(b"3"), rig.arrive(b"4"), rig.arrive(b"5", qos=0)])
    assert rig.waiting == [b"1"]
    assert rig.intake.deliveries.take_acknowledged() == [], "acknowledgements leave in order"
    rig.clock.advance(1)
    rig.intake.retry()
    assert (rig.received[-1], rig.waiting) == ([b"1", b"3"], [])
    rig.intake.retry()
    rig.full = {b"3"}
    rig.clock.advance(1)
    rig.intake.retry()
    assert len(rig.received) == 4
    assert len(rig.intake.deliveries.take_acknowledged()) == 2
    rig.full = {b"none"}
    rig.clock.advance(1)
    rig.intake.retry()
    assert (rig.intake.problem, rig.received[-1]) == (None, [b"3"])
    assert len(rig.intake.deliveries.take_acknowledged()) == 2
    assert rig.metrics.value("qos0_dropped_total", connection="plant") == 1


def test_what_waits_for_room_survives_a_failing_spool() -> None:
    """A batch that cannot be stored at all goes behind it, and both are handed in again in order."""
    rig = Rig()
    rig.full = {b"1"}
    rig.intake.hand_in([rig.arrive(b"1")])
    rig.error = SpoolError("store events: disk full", code="disk-full")
    rig.intake.hand_in([rig.arrive(b"2")])
    assert rig.intake.is_paused()
    rig.error, rig.full = None, set()
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.received[-1] == [b"1", b"2"]
    assert not rig.intake.is_paused()


def test_over_the_count_reading_stops_until_half_is_acknowledged() -> None:
    """Above the bound it stops; it goes on at half, not just below the bound."""
    rig = Rig(Bounds(count=10))
    deliveries = [rig.arrive(b"") for _ in range(11)]
    assert rig.intake.is_paused()
    for delivery in deliveries[:5]:
        delivery.ack()
    rig.intake.deliveries.take_acknowledged()
    assert rig.intake.is_paused()
    deliveries[5].ack()
    rig.intake.deliveries.take_acknowledged()
    assert not rig.intake.is_paused()
    rig.arrive(b"")
    assert not rig.intake.is_paused()


def test_the_bound_counts_bytes_too() -> None:
    """Few large messages stop reading as many small ones do."""
    rig = Rig(Bounds(size_bytes=1000))
    rig.arrive(b"x" * 900)
    assert not rig.intake.is_paused()
    rig.arrive(b"x" * 200)
    assert rig.intake.is_paused()


def test_slow_commits_make_larger_batches() -> None:
    """Full batches that take long double the limit, up to a bound; quick ones bring it back."""
    rig = Rig()
    assert rig.intake.batch_limit == BATCH_COUNT
    rig.takes_s = 0.05
    for _ in range(5):
        rig.intake.hand_in([rig.arrive(b"", qos=0)] * rig.intake.batch_limit)
    assert rig.intake.batch_limit == SLOW_BATCH_COUNT
    rig.takes_s = 0.001
    rig.intake.hand_in([rig.arrive(b"")])
    assert rig.intake.batch_limit == BATCH_COUNT


def test_what_the_receiver_leaves_is_handed_in_again_before_anything_is_read() -> None:
    """Its time for one batch is limited; over the bound too what was read goes on, and a lost connection ends it."""
    rig = Rig(Bounds(count=2))
    rig.takes_count = 2
    rig.intake.hand_in([rig.arrive(str(number).encode()) for number in range(5)])
    assert rig.intake.has_left
    assert not rig.intake.is_paused()
    rig.intake.hand_in_left()
    rig.intake.hand_in_left()
    assert rig.received == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
    assert not rig.intake.has_left
    assert rig.intake.is_paused(), "five are unacknowledged"
    rig.intake.hand_in([rig.arrive(b"5"), rig.arrive(b"6"), rig.arrive(b"7")])
    rig.intake.begin()
    assert not rig.intake.has_left


def test_a_spool_that_fails_on_the_second_part_keeps_only_that() -> None:
    """What was taken is not handed in again."""
    rig = Rig()
    rig.takes_count = 1
    deliveries = [rig.arrive(b"1"), rig.arrive(b"2")]
    rig.intake.hand_in(deliveries)
    deliveries[0].ack()
    rig.error = SpoolError("store events: disk full", code="disk-full")
    rig.intake.hand_in_left()
    assert not rig.intake.has_left
    rig.error = None
    rig.clock.advance(1)
    rig.intake.retry()
    assert rig.received == [[b"1"], [b"2"]]
