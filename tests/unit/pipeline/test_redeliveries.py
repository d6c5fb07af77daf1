"""A redelivered AMQP message is the event that it was, by its content; each stored delivery answers for one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import Message, MessageProperties
from bridge.pipeline.intake.identity import Deliveries
from bridge.pipeline.intake.redeliveries import Redeliveries
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.support.clock import FakeClock


class Desk:
    """A spool, and how a delivery gets its identity in it."""

    def __init__(self) -> None:
        self.spool = Spool.in_memory(clock=FakeClock())
        self.memory = Redeliveries(self.spool, "office")

    def store(self, number: int, payload: bytes) -> bytes:
        """Store a delivery under a number; returns its identity."""
        return self._identify(Message("office", "t", payload, 1, packet_id=number), is_stored=True)

    def meet(self, payload: bytes) -> bytes:
        """The identity of a redelivery."""
        message = Message("office", "t", payload, 1, dup=True)
        number = self.memory.number(message) or 1_000_000
        return self._identify(Message("office", "t", payload, 1, dup=True, packet_id=number))

    def _identify(self, message: Message, *, is_stored: bool = False) -> bytes:
        delivery_id, row = Deliveries(self.spool.delivery_id).identify(message)
        if is_stored:
            assert row is not None
            self.spool.commit(NewRows(inflight=[row]))
        return delivery_id


def test_a_redelivery_is_the_event_that_was_stored() -> None:
    """By topic and payload, whatever the order; another payload is another event."""
    desk = Desk()
    first, second = desk.store(1, b"first"), desk.store(2, b"second")
    assert desk.memory.begin() == 2
    assert desk.meet(b"second") == second
    assert desk.meet(b"other") not in (first, second)
    assert desk.meet(b"first") == first


@given(st.lists(st.sampled_from([b"a", b"b"]), max_size=8), st.lists(st.sampled_from([b"a", b"b"]), max_size=8))
def test_each_stored_delivery_answers_once(stored: list[bytes], unstored: list[bytes]) -> None:
    """Of equal messages as many are known as were stored: none is lost, none is doubled."""
    desk = Desk()
    known = {desk.store(number, payload) for number, payload in enumerate(stored, 1)}
    desk.memory.begin()
    met = [desk.meet(payload) for payload in stored + unstored]
    assert len(set(met)) == len(met)
    assert sum(identity in known for identity in met) == sum(
        min(Counter(stored)[payload], Counter(stored + unstored)[payload]) for payload in (b"a", b"b")
    )
    desk.spool.close()


def test_what_is_forgotten_is_new() -> None:
    """Given numbers, or whatever did not come again since consuming began."""
    desk = Desk()
    for number in (1, 2, 3):
        desk.store(number, b"%d" % number)
    desk.memory.begin()
    desk.memory.forget([1])
    desk.meet(b"2")
    desk.memory.forget_unseen()
    assert [number for number, _ in desk.spool.deliveries("office")] == [2]
    assert desk.memory.begin() == 2


def test_forgetting_touches_no_other_connection() -> None:
    """Numbers are a connection's own; MQTT's packet ids stay."""
    desk = Desk()
    desk.store(1, b"x")
    row = Deliveries(desk.spool.delivery_id).identify(Message("plant", "t", b"x", 1, packet_id=1))[1]
    assert row is not None
    desk.spool.commit(NewRows(inflight=[row]))
    desk.memory.forget([1, 2, 3])
    assert desk.spool.deliveries("office") == ()
    assert len(desk.spool.deliveries("plant")) == 1


def test_a_message_id_is_the_identity() -> None:
    """On its topic, over connections and redeliveries; nothing need be remembered for it."""

    def identity(topic: str, message_id: str, *, dup: bool = False) -> bytes:
        properties = MessageProperties(message_id=message_id)
        message = Message("office", topic, b"any", 1, dup=dup, packet_id=9, properties=properties)
        found, row = Deliveries(lambda *_: None).identify(message)
        assert row is None
        return found

    assert identity("t", "m") == identity("t", "m", dup=True)
    assert len({identity("t", "m"), identity("u", "m"), identity("t", "n")}) == 3
