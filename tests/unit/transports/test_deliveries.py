"""Acknowledgements leave in order, once, and only on the channel that their message came on."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.core.model import Message
from bridge.transports.deliveries import BrokerDelivery, Deliveries


def message(number: int, payload: bytes = b"") -> Message:
    """One message."""
    return Message("plant", "t", payload, 1, packet_id=number)


class Acknowledging(RuleBasedStateMachine):
    """Arrivals, acknowledgements in any order, and reconnects, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.late = 0
        self.deliveries: Deliveries[bytes] = Deliveries(lambda: None, self._count_late)
        self.current: list[BrokerDelivery[bytes]] = []
        self.earlier: list[BrokerDelivery[bytes]] = []
        self.number = 0
        self.expected_late = 0

    def _count_late(self) -> None:
        self.late += 1

    @rule(qos=st.sampled_from([0, 1]), size=st.integers(0, 50))
    def arrive(self, qos: int, size: int) -> None:
        self.number += 1
        packet = b"%d;" % self.number if qos else b""
        delivery = self.deliveries.arrived(message(self.number, b"x" * size), packet)
        if qos:
            self.current.append(delivery)

    @precondition(lambda self: self.current)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.current)).ack()

    @precondition(lambda self: self.earlier)
    @rule(data=st.data())
    def acknowledge_late(self, data: st.DataObject) -> None:
        delivery = data.draw(st.sampled_from(self.earlier))
        self.expected_late += not delivery.is_acked
        delivery.ack()

    @rule()
    def send(self) -> None:
        expected = []
        while self.current and self.current[0].is_acked:
            expected.append(self.current.pop(0))
        assert self.deliveries.take_acknowledged() == expected

    @rule()
    def reconnect(self) -> None:
        over = self.deliveries
        over.end()
        self.deliveries = Deliveries(lambda: None, self._count_late)
        self.earlier += self.current
        self.current = []
        assert over.take_acknowledged() == self.deliveries.take_acknowledged() == []

    @invariant()
    def counts_what_the_broker_waits_for(self) -> None:
        assert self.deliveries.count == len(self.current)
        assert self.deliveries.size_bytes == sum(delivery.size_bytes for delivery in self.current)
        assert self.late == self.expected_late


TestAcknowledging = Acknowledging.TestCase


def test_another_thread_wakes_the_owner_and_the_owner_does_not() -> None:
    """An acknowledgement from elsewhere must not wait for traffic; the owner's own needs no system call."""
    woken: list[int] = []
    deliveries: Deliveries[bytes] = Deliveries(lambda: woken.append(threading.get_ident()), lambda: None)
    deliveries.arrived(message(1), b"1").ack()
    assert woken == []
    other = threading.Thread(target=deliveries.arrived(message(2), b"2").ack)
    other.start()
    other.join()
    assert len(woken) == 1


@given(st.integers(1, 5))
def test_a_second_ack_does_nothing(times: int) -> None:
    """ack() may be called again; one acknowledgement leaves."""
    deliveries: Deliveries[bytes] = Deliveries(lambda: None, lambda: None)
    delivery = deliveries.arrived(message(1), b"1")
    for _ in range(times):
        delivery.ack()
    assert deliveries.take_acknowledged() == [delivery]
    delivery.ack()
    assert deliveries.take_acknowledged() == []


def test_qos_0_needs_no_ack() -> None:
    """It counts as acknowledged from the start, and a call does nothing, after a reconnect neither."""
    late: list[int] = []
    deliveries: Deliveries[bytes] = Deliveries(lambda: None, lambda: late.append(1))
    delivery = deliveries.arrived(message(0), b"")
    deliveries.end()
    delivery.ack()
    assert delivery.is_acked
    assert late == []
    assert deliveries.count == 0
