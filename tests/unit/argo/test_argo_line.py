"""A call's time and its end, with a fake clock and a socket that only remembers."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from bridge.argo.line import Line
from bridge.argo.options import ArgoOptions
from bridge.argo.trust import Trust


class Remembering:
    """What a line does to a socket."""

    def __init__(self, error: OSError | None = None) -> None:
        self.done: list[str] = []
        self._error = error

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_RDWR
        self.done.append("shutdown")
        if self._error:
            raise self._error

    def setblocking(self, blocks: bool) -> None:
        self.done.append(f"blocks {blocks}")

    def connect_ex(self, address: Any) -> int:
        self.done.append(f"connect {address}")
        return 115


def fake(error: OSError | None = None) -> Any:
    return cast(Any, Remembering(error))


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def line(now: list[float]) -> Line:
    return Line(Trust(ArgoOptions("http://argo.invalid")), 5.0, monotonic=lambda: now[0])


def test_each_wait_gets_what_is_left_of_the_call(line, now):
    """A byte now and then does not add time."""
    line.begin(30.0)
    assert (line.remaining_s(), line.connect_remaining_s()) == (30.0, 5.0)
    now[0] += 4.0
    assert (line.remaining_s(), line.connect_remaining_s()) == (26.0, 1.0)
    now[0] += 1.0
    with pytest.raises(TimeoutError):
        line.connect_remaining_s()
    now[0] += 25.0
    with pytest.raises(TimeoutError):
        line.remaining_s()


def test_connecting_gets_no_more_than_the_call(line):
    """A request with a short time of its own is not held by the connect timeout."""
    line.begin(0.5)
    assert line.connect_remaining_s() == 0.5


def test_a_new_call_has_sent_nothing(line):
    """What the last call sent makes no outcome of this one unknown."""
    line.begin(1.0)
    line.is_sent = True
    line.begin(1.0)
    assert not line.is_sent


@pytest.mark.parametrize("error", [None, OSError(107, "not connected")])
def test_a_cut_ends_the_wait_and_every_later_one(line, error):
    """The socket is shut down, and a call that begins afterwards does not get to wait."""
    held, late = fake(error), fake()
    line.begin(1.0)
    line.hold(held)
    line.cut()
    assert held.done == ["shutdown"]
    for step in (line.remaining_s, line.connect_remaining_s, lambda: line.hold(late), lambda: line.dial(late, "there")):
        with pytest.raises(ConnectionAbortedError):
            step()
    line.begin(1.0)
    with pytest.raises(ConnectionAbortedError):
        line.remaining_s()
    assert late.done == []


def test_dialling_begins_without_waiting_and_can_be_cut(line):
    """The race: a cut between taking the socket and connecting it would leave a connect that nobody ends."""
    dialled = fake()
    line.begin(1.0)
    assert line.dial(dialled, "there") == 115
    line.cut()
    assert dialled.done == ["blocks False", "connect there", "shutdown"]
