"""Availability, state, inbox, and what the service reads and reports."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from status_fakes import NS, TOPICS, FakeBroker, FakeTransport

from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.core.report import ErrorReports
from bridge.status.decided.transitions import digest_of
from bridge.status.options import ScopeKind, StatusScope
from bridge.status.seen.events import ForeignSeen, LiveSeen, RetainedSeen
from bridge.status.seen.inbox import MAX_WAITING_BYTES, Inbox
from bridge.status.seen.retained import read_live, read_retained
from bridge.status.seen.sources import scope_selector
from bridge.status.shown.availability import Availability
from bridge.status.shown.own_topic import OwnTopic
from bridge.status.shown.state import REPEAT_S, StatePublisher
from bridge.transports.base import PublishResult
from tests.support.clock import FakeClock
from tests.support.machine import scaled

OWN = TOPICS.status_of(NS, "boil-1")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def transport(broker: FakeBroker) -> FakeTransport:
    made = FakeTransport(broker)
    made.is_ready = True
    return made


def made(transport: FakeTransport) -> Availability:
    """Availability alone."""
    own = OwnTopic(TOPICS.availability, "text/plain", [transport], FakeClock(), lambda *_: None)
    return Availability(own)


# -- availability ------------------------------------------------------------------------------------------------


def test_online_after_every_ready_and_offline_at_the_end(broker: FakeBroker, transport: FakeTransport) -> None:
    """`online` is retained at QoS 1 each time a connection is ready; a clean stop leaves `offline`, for good."""
    availability = made(transport)
    availability.ready("plant")
    availability.disconnected("plant")
    availability.ready("plant")
    assert availability.stop(1.0) is True
    availability.ready("plant")
    assert [(m.payload, m.qos, m.retain) for m in broker.messages] == [
        (b"online", 1, True),
        (b"online", 1, True),
        (b"offline", 1, True),
    ]
    assert broker.messages[0].topic == "argo/bridge/plant-1/availability"


def test_online_that_was_not_taken_is_said_again(broker: FakeBroker, transport: FakeTransport) -> None:
    """A full window or a lost publish only delays `online`."""
    availability = made(transport)
    transport.full = True
    availability.ready("plant")
    transport.full, transport.refuse = False, PublishResult.LOST
    availability.retry()
    transport.refuse = None
    availability.retry()
    availability.retry()
    assert [m.payload for m in broker.messages] == [b"online"]


def test_a_connection_that_is_away_says_nothing(broker: FakeBroker, transport: FakeTransport) -> None:
    """Nothing is published without a connection, and the stop does not wait for one."""
    availability = made(transport)
    transport.is_ready = False
    availability.ready("plant")
    availability.disconnected("plant")
    transport.is_ready = True
    availability.retry()
    transport.is_ready = False
    assert availability.stop(0.0) is True
    assert broker.messages == []


def test_an_offline_that_nobody_acknowledges_is_told(transport: FakeTransport) -> None:
    """Without an acknowledgement in time the stop says so instead of waiting."""
    transport.auto = False
    availability = made(transport)
    assert availability.stop(0.0) is False


# -- state -------------------------------------------------------------------------------------------------------


class Board:
    """A state that tests change, or that cannot be read."""

    is_broken = False

    def __init__(self, transport: FakeTransport, folder: Path) -> None:
        self.state: dict[str, object] = {"version": "1", "spool": {"waiting": 0}}
        self.was_read = threading.Event()
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.set_aside: list[tuple[str, OutgoingMessage]] = []
        self.own_availability = self.own(transport, TOPICS.availability, "text/plain")
        self.own_state = self.own(transport, TOPICS.state, "application/json")
        self.availability = Availability(self.own_availability)
        reports = ErrorReports(folder, self.metrics, self.clock)
        self.publisher = StatePublisher(self.own_state, self.read, self.availability, reports)

    def own(self, transport: FakeTransport, topic: str, content_type: str) -> OwnTopic:
        return OwnTopic(topic, content_type, [transport], self.clock, lambda *message: self.set_aside.append(message))

    def read(self) -> dict[str, object]:
        self.was_read.set()
        if self.is_broken:
            raise ValueError("defect")
        return self.state


@pytest.fixture
def board(transport: FakeTransport, tmp_path: Path) -> Board:
    return Board(transport, tmp_path)


def test_state_is_told_on_change_and_once_a_minute(board: Board, broker: FakeBroker) -> None:
    """An unchanged state is published once a minute, a changed one at the next look; retained JSON at QoS 1."""
    for _ in range(30):
        board.publisher.look()
        board.clock.advance(1)
    assert len(broker.messages) == 1
    board.state = {"version": "1", "spool": {"waiting": 5}}
    board.publisher.look()
    board.clock.advance(REPEAT_S)
    board.publisher.look()
    assert [orjson.loads(m.payload)["spool"]["waiting"] for m in broker.messages] == [0, 5, 5]
    assert {(m.topic, m.retain, m.qos) for m in broker.messages} == {("argo/bridge/plant-1/state", True, 1)}


def test_state_reaches_a_connection_that_is_back(board: Board, broker: FakeBroker, transport: FakeTransport) -> None:
    """A state that was lost or could not be handed over is told again."""
    transport.full = True
    board.publisher.look()
    transport.full, transport.refuse = False, PublishResult.LOST
    board.publisher.look()
    transport.refuse = None
    board.publisher.look()
    assert len(broker.messages) == 1
    board.own_state.disconnected("plant")
    transport.is_ready = False
    board.publisher.look()
    transport.is_ready = True
    board.publisher.look()
    assert len(broker.messages) == 2


def test_a_state_that_cannot_be_read_does_not_end_the_thread(board: Board, broker: FakeBroker) -> None:
    """An exception while reading the state is counted, and the thread ends when it is told to."""
    board.is_broken = True
    board.publisher.start()
    assert board.was_read.wait(scaled(10))
    assert board.publisher.stop(5.0) == []
    assert board.metrics.value("internal_errors_total", where="state") >= 1


def test_a_look_says_online_where_it_is_missing(board: Board, broker: FakeBroker, transport: FakeTransport) -> None:
    """An `online` that could not be handed over is said at the next look."""
    transport.full = True
    board.availability.ready("plant")
    transport.full = False
    board.publisher.look()
    assert broker.retained[TOPICS.availability] == b"online"


def test_a_state_publisher_that_never_started_stops(board: Board) -> None:
    """Stopping after a failed start is no error."""
    assert board.publisher.stop(0.1) == []


@pytest.mark.parametrize("result", [PublishResult.REFUSED, PublishResult.SET_ASIDE])
def test_what_is_refused_is_tried_once_a_minute_and_on_the_next_connection(
    board: Board, transport: FakeTransport, result: PublishResult
) -> None:
    """However often the state changes: a broker that does not take it is not asked twice a second, for ever."""
    transport.refuse = result
    attempts: list[str] = []
    publish = transport.publish
    transport.publish = lambda message, done: attempts.append(message.topic) or publish(message, done)
    board.availability.ready("plant")
    for number in range(180):
        board.state = {"spool": {"waiting": number}}
        board.publisher.look()
        board.clock.advance(1)
    assert (attempts.count(TOPICS.availability), attempts.count(TOPICS.state)) == (3, 3)
    assert len(board.set_aside) == (6 if result is PublishResult.SET_ASIDE else 0)
    board.own_state.disconnected("plant")
    board.publisher.look()
    assert attempts.count(TOPICS.state) == 4


def test_what_another_client_retains_as_ours_is_put_right_at_the_next_look(board: Board, broker: FakeBroker) -> None:
    """Availability and state, each look a second after the one before; what comes back of our own is not answered."""
    board.availability.ready("plant")
    board.publisher.look()
    board.own_availability.seen("plant", b"online")
    board.own_state.seen("plant", broker.retained[TOPICS.state])
    board.publisher.look()
    assert len(broker.messages) == 2
    board.own_availability.seen("plant", b"offline")
    board.own_state.seen("plant", b"{}")
    board.publisher.look()
    assert [message.topic for message in broker.messages[2:]] == [TOPICS.availability, TOPICS.state]


# -- inbox -------------------------------------------------------------------------------------------------------


def test_a_full_inbox_makes_argo_wait_and_no_transport() -> None:
    """`put` waits for room, `signal` never does and comes first, and `close` lets everyone go."""
    inbox = Inbox(max_waiting=1)
    inbox.put(ForeignSeen("one", OWN))
    waiting = threading.Thread(target=inbox.put, args=(ForeignSeen("two", OWN),))
    waiting.start()
    inbox.signal(ForeignSeen("signal", OWN))
    assert inbox.take(1.0) == [ForeignSeen("signal", OWN), ForeignSeen("one", OWN)]
    waiting.join(10)
    assert inbox.take(1.0) == [ForeignSeen("two", OWN)]
    inbox.put(ForeignSeen("three", OWN))
    blocked = threading.Thread(target=inbox.put, args=(ForeignSeen("four", OWN),))
    blocked.start()
    inbox.close()
    blocked.join(10)
    assert not blocked.is_alive()
    assert inbox.put(ForeignSeen("five", OWN)) is False
    assert inbox.take(0.0) == [ForeignSeen("three", OWN)]


def test_an_inbox_is_full_of_bytes_too() -> None:
    """A few large frames make Argo wait as many small ones do; one that is larger than the bound gets in."""
    inbox = Inbox()
    inbox.put(ForeignSeen("one", OWN), MAX_WAITING_BYTES * 2)
    waiting = threading.Thread(target=inbox.put, args=(ForeignSeen("two", OWN), 1))
    waiting.start()
    assert inbox.take(1.0) == [ForeignSeen("one", OWN)]
    waiting.join(10)
    assert inbox.take(1.0) == [ForeignSeen("two", OWN)]
    inbox.put(ForeignSeen("three", OWN), MAX_WAITING_BYTES)
    blocked = threading.Thread(target=inbox.put, args=(ForeignSeen("four", OWN), 1))
    blocked.start()
    inbox.close()
    blocked.join(10)
    assert inbox.take(0.0) == [ForeignSeen("three", OWN)]


# -- what a broker has retained -------------------------------------------------------------------------------------


def test_what_is_retained_is_ours_another_bridges_or_nobodys() -> None:
    """Only details.bridge tells whose a retained status is; another topic and an empty payload are no status."""

    def read(topic: str = OWN, **details: object) -> object:
        return read_retained(TOPICS, "plant-1", "plant", topic, orjson.dumps({"details": details}))

    own, nobodys = read(bridge="plant-1", uid="u1"), read(uid="u1")
    assert isinstance(own, RetainedSeen)
    assert (own.is_own, own.ref.uid) == (True, "u1")
    assert isinstance(nobodys, RetainedSeen)
    assert not nobodys.is_own
    assert read(bridge="plant-2", uid="u1") == ForeignSeen("plant", OWN)
    assert read("argo/workflows/status", bridge="plant-1") is None
    assert read_retained(TOPICS, "plant-1", "plant", OWN, b"") is None


@pytest.mark.parametrize("topic", [OWN, TOPICS.report_of(NS)])
def test_a_live_message_is_another_bridges_or_is_compared(topic: str) -> None:
    """Another bridge's is left alone; ours, a copy of ours and nobody's are told apart by what they say."""

    def read(**owner: object) -> object:
        body = owner if topic != OWN else {"details": owner}
        return read_live(TOPICS, "plant-1", "plant", topic, orjson.dumps(body))

    assert read(bridge="plant-2") == ForeignSeen("plant", topic)
    assert isinstance(read(bridge="plant-1"), LiveSeen)
    assert read_live(TOPICS, "plant-1", "plant", topic, b"x") == LiveSeen("plant", topic, digest_of(b"x"))


@given(
    st.binary(max_size=60) | st.sampled_from([b"[]", b"null", b'{"details":[]}', b'{"details":{"bridge":"plant-1"}}'])
)
def test_no_retained_bytes_raise(payload: bytes) -> None:
    """Whatever is retained there, reading it never raises."""
    read_retained(TOPICS, "plant-1", "plant", OWN, payload)
    read_live(TOPICS, "plant-1", "plant", OWN, payload)


@pytest.mark.parametrize(
    ("scope", "expected"), [("bridge", "argo-bridge/bridge=plant-1"), ("namespace", ""), ("selector", "app=x")]
)
def test_the_scope_becomes_a_selector(scope: str, expected: str) -> None:
    """status.scope decides which workflows are followed."""
    assert scope_selector("plant-1", StatusScope(ScopeKind(scope), "app=x")) == expected
