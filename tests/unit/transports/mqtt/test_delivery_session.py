"""Acknowledgements leave in order, once, and only on the connection that their message came on."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.core.model import Message
from bridge.transports.mqtt.session import DeliverySession, MqttDelivery


def message(number: int, payload: bytes = b"") -> Message:
    """One message."""
    return Message("plant", "t", payload, 1, packet_id=number)


class Acknowledging(RuleBasedStateMachine):
    """Arrivals, acknowledgements in any order, and reconnects, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.late = 0
        self.session = DeliverySession(lambda: None, self._count_late)
        self.session.begin()
        self.current: list[MqttDelivery] = []
        self.earlier: list[MqttDelivery] = []
        self.number = 0
        self.expected_late = 0

    def _count_late(self) -> None:
        self.late += 1

    @rule(qos=st.sampled_from([0, 1]), size=st.integers(0, 50))
    def arrive(self, qos: int, size: int) -> None:
        self.number += 1
        packet = b"%d;" % self.number if qos else b""
        delivery = self.session.arrived(message(self.number, b"x" * size), packet)
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
        expected = b""
        while self.current and self.current[0].is_acked:
            expected += self.current.pop(0).acknowledgement
        assert self.session.take_acknowledgements() == expected

    @rule()
    def reconnect(self) -> None:
        self.session.begin()
        self.earlier += self.current
        self.current = []
        assert self.session.take_acknowledgements() == b""

    @invariant()
    def counts_what_the_broker_waits_for(self) -> None:
        assert self.session.count == len(self.current)
        assert self.session.size_bytes == sum(delivery.size_bytes for delivery in self.current)
        assert self.late == self.expected_late


TestAcknowledging = Acknowledging.TestCase


def test_another_thread_wakes_the_owner_and_the_owner_does_not() -> None:
    """An acknowledgement from elsewhere must not wait for traffic; the owner's own needs no system call."""
    woken: list[int] = []
    session = DeliverySession(lambda: woken.append(threading.get_ident()), lambda: None)
    session.begin()
    session.arrived(message(1), b"1").ack()
    assert woken == []
    other = threading.Thread(target=session.arrived(message(2), b"2").ack)
    other.start()
    other.join()
    assert len(woken) == 1


@given(st.integers(1, 5))
def test_a_second_ack_does_nothing(times: int) -> None:
    """ack() may be called again; one acknowledgement leaves."""
    session = DeliverySession(lambda: None, lambda: None)
    session.begin()
    delivery = session.arrived(message(1), b"1")
    for _ in range(times):
        delivery.ack()
    assert session.take_acknowledgements() == b"1"
    delivery.ack()
    assert session.take_acknowledgements() == b""


def test_qos_0_needs_no_ack() -> None:
    """It counts as acknowledged from the start, and a call does nothing, after a reconnect neither."""
    late: list[int] = []
    session = DeliverySession(lambda: None, lambda: late.append(1))
    session.begin()
    delivery = session.arrived(message(0), b"")
    session.begin()
    delivery.ack()
    assert delivery.is_acked
    assert late == []
    assert "unacknowledged=0" in repr(session)
