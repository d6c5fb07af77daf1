"""What publish() took is told of exactly once, and no more is taken than the window allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.transports.base import PublishResult
from bridge.transports.outgoing import CLOSES_WITHIN_S, WINDOW, Outgoing
from bridge.transports.suspects import SET_ASIDE_S
from tests.support.clock import FakeClock
from tests.support.transport_ends import Outcomes, reports_of

MESSAGE = OutgoingMessage("t", b"x")


def opened(receive_maximum: int = 65_535) -> Outgoing:
    """A connected one."""
    outgoing = Outgoing(lambda: None, FakeClock(), reports_of())
    outgoing.open(receive_maximum)
    return outgoing


def test_closed_it_takes_nothing() -> None:
    """Before the connection and after it, the answer is False and nothing is told."""
    outcomes = Outcomes()
    outgoing = Outgoing(lambda: None, FakeClock(), reports_of())
    assert not outgoing.offer(MESSAGE, outcomes)
    outgoing.open(10)
    assert outgoing.offer(MESSAGE, outcomes)
    outgoing.fail_all()
    assert not outgoing.offer(MESSAGE, outcomes)
    assert outcomes.results == [PublishResult.LOST]


def test_the_window_counts_what_waits_and_what_is_unconfirmed() -> None:
    """A confirmation makes room for one more."""
    outgoing, outcomes = opened(), Outcomes()
    assert sum(outgoing.offer(MESSAGE, outcomes) for _ in range(WINDOW + 10)) == WINDOW
    for packet_id in range(1, WINDOW + 1):
        taken = outgoing.take()
        assert taken is not None
        outgoing.await_confirmed(packet_id, taken)
    assert not outgoing.offer(MESSAGE, outcomes)
    outgoing.answered(1, PublishResult.CONFIRMED)
    outgoing.answered(1, PublishResult.CONFIRMED)
    assert outcomes.results == [PublishResult.CONFIRMED]
    assert outgoing.offer(MESSAGE, outcomes)
    assert not outgoing.offer(MESSAGE, outcomes)


def test_the_brokers_receive_maximum_holds() -> None:
    """No more are unconfirmed than the broker said (MQTT 5.0 section 4.9); the rest waits."""
    outgoing, outcomes = opened(2), Outcomes()
    for packet_id in (1, 2, 3):
        assert outgoing.offer(MESSAGE, outcomes)
        if packet_id < 3:
            taken = outgoing.take()
            assert taken is not None
            outgoing.await_confirmed(packet_id, taken)
    assert outgoing.take() is None
    outgoing.answered(2, PublishResult.REFUSED)
    assert outgoing.take() is not None
    assert outcomes.results == [PublishResult.REFUSED]


def test_qos_0_is_done_when_its_last_byte_is_written() -> None:
    """Half a packet in the socket is not written."""
    outgoing, outcomes = opened(), Outcomes()
    outgoing.await_written(100, (MESSAGE, outcomes))
    outgoing.await_written(150, (MESSAGE, outcomes))
    outgoing.written(99)
    assert outcomes.results == []
    outgoing.written(149)
    assert outcomes.results == [PublishResult.CONFIRMED]
    outgoing.written(150)
    assert outcomes.results == [PublishResult.CONFIRMED] * 2


def test_a_lost_connection_fails_all_that_was_taken() -> None:
    """Waiting, unwritten and unconfirmed messages are each told False once."""
    outgoing = opened()
    waiting, unwritten, unconfirmed = Outcomes(), Outcomes(), Outcomes()
    assert outgoing.offer(MESSAGE, waiting)
    outgoing.await_written(10, (MESSAGE, unwritten))
    outgoing.await_confirmed(7, (MESSAGE, unconfirmed))
    outgoing.fail_all()
    outgoing.fail_all()
    assert [each.results for each in (waiting, unwritten, unconfirmed)] == [[PublishResult.LOST]] * 3
    assert outgoing.count == 0


def test_a_message_that_the_broker_refused_by_ending_the_channel_is_not_met_again() -> None:
    """Nor is what follows to its topic and is as large: it is refused without being sent; other topics go on."""
    outgoing, refused, later, other = opened(), Outcomes(), Outcomes(), Outcomes()
    outgoing.await_confirmed(7, (MESSAGE, refused))
    outgoing.refused(7)
    outgoing.refused(7)
    outgoing.offer(MESSAGE, later)
    outgoing.offer(replace(MESSAGE, topic="other"), other)
    taken = outgoing.take()
    assert taken is not None
    assert taken[0].topic == "other"
    assert [each.results for each in (refused, later, other)] == [[PublishResult.REFUSED], [PublishResult.REFUSED], []]


@pytest.mark.parametrize(
    ("way", "pause_s", "is_set_aside"),
    [
        ("denied", 1.0, True),
        ("denied", CLOSES_WITHIN_S + 1, False),
        ("denied, then another answer", 1.0, False),
        ("nacked", 1.0, False),
    ],
)
def test_a_denied_message_is_the_cause_of_an_end_that_follows_at_once(
    way: str, pause_s: float, is_set_aside: bool
) -> None:
    """Its topic is set aside then, and what was on its way beside it is not suspected; a nack is no cause of an end."""
    clock = FakeClock()
    outgoing, outcomes, again = Outgoing(lambda: None, clock, reports_of()), Outcomes(), Outcomes()
    outgoing.open(10)
    for packet_id in (1, 2, 3):
        outgoing.await_confirmed(packet_id, (replace(MESSAGE, topic=f"t/{packet_id}"), outcomes))
    if way == "nacked":
        outgoing.answered(1, PublishResult.REFUSED)
    else:
        outgoing.denied(1)
    if "another" in way:
        outgoing.answered(2, PublishResult.CONFIRMED)
    clock.advance(pause_s)
    outgoing.fail_all(is_suspicious=True)
    outgoing.open(10)
    outgoing.offer(replace(MESSAGE, topic="t/1"), again)
    sent = outgoing.take()
    assert (sent is None) == is_set_aside
    assert again.results == ([PublishResult.REFUSED] if is_set_aside else [])


def test_the_end_of_a_channel_sets_a_topic_aside_for_a_minute_only() -> None:
    """The refusal and the end of the channel are one event: the time is not doubled."""
    clock = FakeClock()
    outgoing, outcomes = Outgoing(lambda: None, clock, reports_of()), Outcomes()
    outgoing.open(10)
    outgoing.await_confirmed(7, (MESSAGE, outcomes))
    outgoing.refused(7)
    outgoing.fail_all(is_suspicious=True)
    outgoing.open(10)
    clock.advance(SET_ASIDE_S + 1)
    outgoing.offer(MESSAGE, outcomes)
    assert outgoing.take() is not None


def test_a_callback_that_raises_is_contained() -> None:
    """A publisher's fault neither ends the thread nor keeps the others from being told."""

    def broken(_: bool) -> None:
        raise RuntimeError("publisher's fault")

    outgoing, outcomes = opened(), Outcomes()
    outgoing.await_confirmed(1, (MESSAGE, broken))
    outgoing.await_confirmed(2, (MESSAGE, outcomes))
    outgoing.fail_all()
    assert outcomes.results == [PublishResult.LOST]


def test_the_sender_is_woken() -> None:
    """Each taken message wakes the thread that sends."""
    woken: list[int] = []
    outgoing = Outgoing(lambda: woken.append(1), FakeClock(), reports_of())
    outgoing.offer(MESSAGE, Outcomes())
    assert woken == []
    outgoing.open(1)
    outgoing.offer(MESSAGE, Outcomes())
    assert woken == [1]


def test_a_callback_that_fails_is_reported_and_holds_up_nothing(tmp_path: Path) -> None:
    """An unexpected error of whoever published leaves a report file; the next message is sent all the same."""
    metrics = Metrics()
    outgoing = Outgoing(lambda: None, FakeClock(), ErrorReports(tmp_path, metrics, FakeClock()))
    outgoing.open(10)

    def fails(_result: PublishResult) -> None:
        raise ValueError("defect")

    assert outgoing.offer(MESSAGE, fails)
    taken = outgoing.take()
    assert taken is not None
    outgoing.await_confirmed(1, taken)
    outgoing.answered(1, PublishResult.CONFIRMED)
    assert metrics.value("internal_errors_total", where="publish") == 1
    assert len(list(tmp_path.glob("report-*-publish.json"))) == 1
    assert outgoing.offer(MESSAGE, Outcomes())
