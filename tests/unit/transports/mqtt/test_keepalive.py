"""Pings leave before the broker gives up, and a silent broker is noticed."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.transports.mqtt.keepalive import KeepAlive


def test_a_ping_is_due_after_three_quarters_of_silence() -> None:
    """Sending nothing, or hearing nothing, for 0.75 of the keep alive makes a ping due."""
    alive = KeepAlive(10, 0)
    assert not alive.is_ping_due(7.4)
    assert alive.is_ping_due(7.5)
    alive.sent(7.0)
    assert alive.is_ping_due(7.5), "nothing was heard: the connection may be half-open"
    alive.heard(7.0)
    assert not alive.is_ping_due(7.5)
    assert alive.next_check_s(7.5) == 7.0


def test_unheard_pings_go_out_at_the_same_rate() -> None:
    """While the bridge does not read on purpose, pings go on, one each 0.75 of the keep alive."""
    alive, pings = KeepAlive(10, 0), []
    for tenth in range(1000):
        now_s = tenth / 10
        if alive.is_ping_due(now_s):
            alive.pinged(now_s)
            pings.append(now_s)
    gaps = {round(later - earlier, 3) for earlier, later in itertools.pairwise(pings)}
    assert gaps == {7.5}


def test_a_silent_broker_is_dead_after_one_and_a_half() -> None:
    """Reading and hearing nothing for 1.5 times the keep alive is the end; a byte puts it off."""
    alive = KeepAlive(10, 0)
    assert not alive.is_dead(14.9)
    assert alive.is_dead(15)
    alive.heard(14)
    assert not alive.is_dead(28.9)
    assert alive.is_dead(29)


def test_zero_turns_it_off() -> None:
    """A keep alive of 0 means no pings, and no end for silence (MQTT 5.0 section 3.1.2.10)."""
    alive = KeepAlive(0, 0)
    assert not alive.is_ping_due(1e9)
    assert not alive.is_dead(1e9)
    assert alive.next_check_s(5) == 3600


@given(st.floats(1, 100), st.lists(st.tuples(st.sampled_from("sh"), st.floats(0, 50)), max_size=20))
def test_waiting_for_the_next_check_makes_a_ping_due(interval_s: float, events: list[tuple[str, float]]) -> None:
    """After `next_check_s` a ping is due unless something happened: the thread neither oversleeps nor spins."""
    alive, now_s = KeepAlive(interval_s, 0), 0.0
    for kind, passed_s in events:
        now_s += passed_s
        (alive.sent if kind == "s" else alive.heard)(now_s)
    wait_s = alive.next_check_s(now_s)
    assert alive.is_ping_due(now_s + wait_s + 1e-6)
    assert wait_s == 0 or not alive.is_ping_due(now_s + wait_s - 1e-3)
