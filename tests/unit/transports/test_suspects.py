"""What ends the connection is found out, set aside and told; whatever else was on its way gets through."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishResult
from bridge.transports.outgoing import WINDOW, Handed, Outgoing
from bridge.transports.suspects import ENDS_ALONE, SET_ASIDE_S, SUSPECTED_S, Suspects
from tests.support.clock import FakeClock
from tests.support.transport_ends import reports_of


def message(topic: str, payload: bytes = b"x", *, retain: bool = False) -> OutgoingMessage:
    """A message at QoS 1."""
    return OutgoingMessage(topic, payload, retain=retain)


class Bench:
    """A window, its owner who publishes again whatever was lost, and a broker that hangs up on some messages."""

    def __init__(self, poison: frozenset[str]) -> None:
        self.clock = FakeClock()
        self.outgoing = Outgoing(lambda: None, self.clock, reports_of())
        self.poison = poison
        self.results: dict[str, PublishResult] = {}
        self.pending: dict[str, OutgoingMessage] = {}
        self.handed_over: set[str] = set()
        self.ends = 0
        self.most_together: Counter[str] = Counter()
        self.order: list[str] = []

    def put(self, *topics: str, retain: bool = False) -> None:
        """The owner has something new to say."""
        for topic in topics:
            self.pending[topic] = message(topic, retain=retain)

    def _told(self, topic: str, result: PublishResult) -> None:
        self.handed_over.discard(topic)
        if result is not PublishResult.LOST:
            self.results[topic] = result
            self.pending.pop(topic, None)

    def connection(self) -> None:
        """One network connection, from CONNACK until the broker hangs up, or nothing is left to do."""
        self.outgoing.open(65_535)
        while self.pending:
            for topic, value in list(self.pending.items()):
                if topic not in self.handed_over and self.outgoing.offer(
                    value, lambda result, topic=topic: self._told(topic, result)
                ):
                    self.handed_over.add(topic)
            sent: list[Handed] = []
            while (handed := self.outgoing.take()) is not None:
                sent.append(handed)
                self.outgoing.await_confirmed(len(sent), handed)
            assert sent or self.handed_over, "it stands still"
            for packet_id, (value, _) in enumerate(sent, 1):
                self.order.append(value.topic)
                self.most_together[value.topic] = max(self.most_together[value.topic], len(sent))
                if value.topic in self.poison:
                    self.ends += 1
                    self.outgoing.fail_all(is_suspicious=True)
                    return
                self.outgoing.answered(packet_id, PublishResult.CONFIRMED)
        self.outgoing.fail_all()

    def run(self, limit: int) -> None:
        """Connect until everything is done; not more than `limit` times."""
        for _ in range(limit):
            if not self.pending:
                return
            self.connection()
        assert not self.pending, f"{len(self.pending)} still wait"


def test_a_message_alone_that_ends_the_connection_twice_is_set_aside() -> None:
    """Two ends, no more; and nothing of it is sent again."""
    bench = Bench(frozenset({"bad"}))
    bench.put("bad")
    bench.run(3)
    assert (bench.results, bench.ends) == ({"bad": PublishResult.SET_ASIDE}, ENDS_ALONE)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.booleans(), max_size=250), st.booleans())
def test_only_what_ends_the_connection_is_set_aside(kinds: list[bool], is_retained: bool) -> None:
    """However many of each kind: the good ones arrive, the bad ones are set aside, after few ends for each."""
    topics = [f"{'bad' if is_bad else 'good'}/{number}" for number, is_bad in enumerate(kinds)]
    bad = frozenset(topic for topic in topics if topic.startswith("bad"))
    bench = Bench(bad)
    bench.put(*topics, retain=is_retained)
    bench.run(4 * len(topics) + 1)
    wanted = {topic: PublishResult.SET_ASIDE if topic in bad else PublishResult.CONFIRMED for topic in topics}
    assert bench.results == wanted
    assert bench.ends <= (ENDS_ALONE + 1) * len(bad)


def test_the_others_do_not_wait_for_the_suspects() -> None:
    """With a window full of poison, what is new gets through while it is sorted out."""
    bench = Bench(frozenset(f"bad/{number}" for number in range(WINDOW)))
    bench.put(*sorted(bench.poison))
    for number in range(30):
        bench.connection()
        bench.put(f"good/{number}")
    good = [topic for topic in bench.results if topic.startswith("good")]
    assert len(good) >= 25
    assert bench.pending.keys() & bench.poison


def test_suspects_do_not_wait_for_the_others_for_ever() -> None:
    """Under a load that never ends, an innocent suspect has its turn after a window of others."""
    bench = Bench(frozenset({"bad"}))
    bench.put("innocent", "bad")
    bench.connection()
    outgoing, confirmed = bench.outgoing, []
    outgoing.open(65_535)
    outgoing.offer(message("innocent"), lambda _: confirmed.append("innocent"))
    for number in range(3 * WINDOW):
        outgoing.offer(message(f"load/{number}"), lambda _: confirmed.append("load"))
        handed = outgoing.take()
        assert handed is not None
        outgoing.await_confirmed(1, handed)
        outgoing.answered(1, PublishResult.CONFIRMED)
    assert "innocent" in confirmed[: WINDOW + 2]


def test_a_suspect_is_sent_with_nothing_else_on_its_way() -> None:
    """Neither before its answer nor beside what is unanswered: the next end must prove something."""
    outgoing = Outgoing(lambda: None, FakeClock(), reports_of())
    outgoing.open(65_535)
    for packet_id, topic in enumerate(("one", "two"), 1):
        outgoing.offer(message(topic), lambda _: None)
        handed = outgoing.take()
        assert handed is not None
        outgoing.await_confirmed(packet_id, handed)
    outgoing.fail_all(is_suspicious=True)
    outgoing.open(65_535)
    for topic in ("one", "new", "two"):
        outgoing.offer(message(topic), lambda _: None)
    taken = []
    for packet_id in range(1, 4):
        handed = outgoing.take()
        assert handed is not None
        taken.append(handed[0].topic)
        outgoing.await_confirmed(packet_id, handed)
        assert outgoing.take() is None
        outgoing.answered(packet_id, PublishResult.REFUSED)
    assert taken == ["one", "new", "two"]


@pytest.mark.parametrize("is_suspicious", [False, True])
def test_an_end_that_is_nobodys_fault_proves_nothing(is_suspicious: bool) -> None:
    """Silence, a shutdown of the broker, a rival: however often, nothing is set aside for them."""
    results: list[PublishResult] = []
    outgoing = Outgoing(lambda: None, FakeClock(), reports_of())
    for _ in range(ENDS_ALONE):
        outgoing.open(65_535)
        outgoing.offer(message("a"), results.append)
        handed = outgoing.take()
        assert handed is not None
        outgoing.await_confirmed(1, handed)
        outgoing.fail_all(is_suspicious=is_suspicious)
    assert results[-1] is (PublishResult.SET_ASIDE if is_suspicious else PublishResult.LOST)


def set_aside(size: int = 10, *, retain: bool = True) -> tuple[Suspects, FakeClock]:
    """A message of `size` bytes on topic t was set aside."""
    clock = FakeClock()
    suspects = Suspects(clock)
    for _ in range(ENDS_ALONE):
        suspects.accuse([message("t", b"x" * size, retain=retain)])
    return suspects, clock


def test_a_topic_is_set_aside_from_the_size_that_failed() -> None:
    """A smaller message may get through, and so may another topic's."""
    suspects, _ = set_aside(10)
    assert suspects.is_set_aside(message("t", b"y" * 10))
    assert suspects.is_set_aside(message("t", b"y" * 11, retain=True))
    assert not suspects.is_set_aside(message("t", b"y" * 9))
    assert not suspects.is_set_aside(message("u", b"y" * 10))


def test_what_is_set_aside_is_tried_again_ever_more_rarely() -> None:
    """Alone, and one end of the connection is enough; each time it takes twice as long, up to an hour."""
    suspects, clock = set_aside()
    waited_s = []
    for _ in range(9):
        start_s = clock.monotonic_s()
        while suspects.is_set_aside(message("t", b"y" * 10)):
            clock.advance(1.0)
        waited_s.append(clock.monotonic_s() - start_s)
        assert suspects.ends_alone(message("t", b"y" * 10)) == ENDS_ALONE - 1
        assert suspects.accuse([message("t", b"y" * 10)])
    assert waited_s == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_broker_that_is_well_again_is_told_everything_again() -> None:
    """One answer, and nothing is held against the topic any more."""
    suspects, clock = set_aside()
    clock.advance(SET_ASIDE_S)
    suspects.acquit(message("t", b"y" * 10))
    assert suspects.ends_alone(message("t", b"y" * 10)) is None
    assert not suspects.accuse([message("t", b"y" * 10)])


def test_a_newer_value_of_a_retained_topic_inherits_the_suspicion() -> None:
    """The state is another one each second: that it is ended by its topic must be found out all the same."""
    suspects = Suspects(FakeClock())
    assert not suspects.accuse([message("state", b"1", retain=True)])
    assert suspects.accuse([message("state", b"22", retain=True)])


def test_an_answer_acquits() -> None:
    """Whatever the broker says to a message, that was not what ended the connection."""
    suspects = Suspects(FakeClock())
    suspects.accuse([message("t")])
    suspects.acquit(message("t"))
    assert (suspects.ends_alone(message("t")), len(suspects)) == (None, 0)


def test_what_is_not_offered_again_is_forgotten() -> None:
    """A suspect that a newer value replaced must not keep the others few together for ever."""
    clock = FakeClock()
    suspects = Suspects(clock)
    suspects.accuse([message("old"), message("kept")])
    clock.advance(SUSPECTED_S - 1)
    assert suspects.ends_alone(message("kept")) == 0
    clock.advance(2)
    suspects.accuse([message("new"), message("newer")])
    assert suspects.ends_alone(message("old")) is None
    assert suspects.ends_alone(message("kept")) == 0
