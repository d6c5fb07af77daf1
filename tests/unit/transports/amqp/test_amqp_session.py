"""Acknowledgements leave in order of arrival, as few as can be, and never on another channel."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import Message
from bridge.transports.amqp.session import AmqpSession
from bridge.transports.deliveries import BrokerDelivery


def unacknowledged(session: AmqpSession) -> int:
    """Deliveries that the broker has not received an acknowledgement for."""
    return sum(consumer.count for consumer in session._by_token.values())


class Rig:
    """A session with counters."""

    def __init__(self) -> None:
        self.late = self.woken = 0
        self.session = AmqpSession(self._wake, self._late)

    def _wake(self) -> None:
        self.woken += 1

    def _late(self) -> None:
        self.late += 1

    def arrive(self, token: int, tag: int) -> BrokerDelivery[int]:
        """One delivery, numbered as its tag plus 100."""
        return self.session.arrived(Message("office", "t", b"", 1, packet_id=tag + 100), token, tag)


@given(st.permutations(range(1, 7)))
def test_one_acknowledgement_covers_the_longest_run(order: list[int]) -> None:
    """Whatever the order in which the receiver acknowledges, no tag leaves before all tags under it."""
    rig = Rig()
    rig.session.began(1)
    deliveries = {tag: rig.arrive(1, tag) for tag in range(1, 7)}
    done: set[int] = set()
    last = 0
    for tag in order:
        deliveries[tag].ack()
        done.add(tag)
        for token, up_to in rig.session.take_acknowledgements():
            assert (token, up_to > last) == (1, True)
            assert set(range(1, up_to + 1)) <= done
            last = up_to
    assert last == 6
    assert unacknowledged(rig.session) == 0


def test_queues_do_not_wait_for_each_other() -> None:
    """Each consuming has tags of its own."""
    rig = Rig()
    rig.session.began(1)
    rig.session.began(2)
    rig.arrive(1, 1)
    rig.arrive(2, 1).ack()
    assert rig.session.take_acknowledgements() == [(2, 1)]
    assert unacknowledged(rig.session) == 1


def test_a_late_acknowledgement_is_only_counted() -> None:
    """Its channel is gone, and the same tag may be another message now."""
    rig = Rig()
    rig.session.began(1)
    late = rig.arrive(1, 1)
    rig.session.ended(1)
    rig.session.began(2)
    rig.arrive(2, 1)
    late.ack()
    late.ack()
    assert (rig.late, rig.session.take_acknowledgements()) == (1, [])


def test_what_was_returned_on_purpose_is_not_late() -> None:
    """It may still be acknowledged by the receiver, once it is stored."""
    rig = Rig()
    rig.session.began(1)
    returned = rig.arrive(1, 1)
    rig.session.ended_all(is_returned=True)
    returned.ack()
    assert (rig.late, returned.is_acked) == (0, True)


def test_only_other_threads_wake_the_transport() -> None:
    """Its own thread looks anyway."""
    rig = Rig()
    rig.session.began(1)
    first, second = rig.arrive(1, 1), rig.arrive(1, 2)
    first.ack()
    assert rig.woken == 0
    thread = threading.Thread(target=second.ack)
    thread.start()
    thread.join()
    assert rig.woken == 1


def test_numbers_are_settled_once_the_broker_has_taken_them() -> None:
    """Those up to the tag, each once; those that were not acknowledged stay."""
    rig = Rig()
    rig.session.began(1)
    for tag in (1, 2, 3):
        rig.arrive(1, tag).ack()
    rig.arrive(1, 4)
    assert rig.session.take_acknowledgements() == [(1, 3)]
    assert rig.session.settled(1, 2) == [101, 102]
    assert rig.session.settled(1, 4) == [103]
    assert rig.session.settled(9, 4) == []
