"""A conversation turn by turn, with a link that says what the test tells it: batches, pauses, silence and stops."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from bridge.core.log import SeldomLog, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, OutgoingMessage
from bridge.transports.base import PublishResult
from bridge.transports.deliveries import BrokerDelivery, Deliveries
from bridge.transports.mqtt.conversation import Conversation, Stop
from bridge.transports.mqtt.link import Connack, Puback
from bridge.transports.mqtt.options import FilterMemory, MqttOptions, MqttVersion
from bridge.transports.mqtt.packet_reader import PacketReader
from bridge.transports.mqtt.problems import LinkLost
from bridge.transports.mqtt.subscriptions import Subscriptions
from bridge.transports.outgoing import Outgoing
from tests.support.clock import FakeClock
from tests.support.scripted_broker import publish
from tests.support.transport_ends import RecordingListener, reports_of

KEEPALIVE_S = 10


class FakeSocket:
    """A descriptor that is never ready; `has_bytes` says what TLS says of bytes that it holds."""

    wants_write = False
    written_bytes = 0
    sent_bytes = 0

    def __init__(self, descriptor: int) -> None:
        self.fileno = lambda: descriptor
        self.has_bytes = False
        self.pings = 0

    def write(self, data: bytes) -> None:
        """Count the pings."""
        self.pings += data == b"\xc0\x00"

    def pending(self) -> int:
        """How many bytes wait within TLS."""
        return int(self.has_bytes)


class FakeLink:
    """A link whose broker has sent what the test says."""

    def __init__(self, descriptor: int) -> None:
        self.socket = FakeSocket(descriptor)
        self._reader = PacketReader()
        self.packets = self._reader.packets
        self.answers: deque[Puback] = deque()
        self.connack: Connack | None = None
        self.arriving: deque[bytes] = deque()
        self.is_over = False

    def send(self, *packets: bytes) -> None:
        """The broker sends these at once."""
        self.arriving.append(b"".join(packets))
        self.socket.has_bytes = True

    def read(self) -> bool:
        """Read what arrived."""
        if not self.arriving:
            return False
        self._reader.feed(self.arriving.popleft())
        self.socket.has_bytes = bool(self.arriving)
        return True

    def control(self, packet: bytes) -> None:
        """Take a CONNACK, or the PUBACK of the only message."""
        if packet[0] == 0x20:
            self.connack = Connack(False, 100, None, KEEPALIVE_S)
        else:
            self.answers.append(Puback(1, 0))

    def publish(self, message: OutgoingMessage) -> int:
        """A PUBLISH is written."""
        return 1

    def closed(self, cause: str, *, is_silent: bool = False) -> LinkLost:
        """See `Link.closed`."""
        return LinkLost(HealthProblem("connection-lost", cause), by_peer=True, is_suspicious=not is_silent)

    def disconnect(self, deadline_s: float) -> None:
        """The end in order."""
        self.is_over = True


@dataclass
class FakeIntake:
    """Takes batches; can be full."""

    limits: tuple[int, int] = (1000, 1_000_000)
    is_full: bool = False
    has_left: bool = False
    batches: list[list[bytes]] = field(default_factory=list)
    deliveries: Deliveries[bytes] = field(default_factory=lambda: Deliveries(lambda: None, lambda: None))

    def room(self) -> tuple[int, int]:
        """Messages and bytes of one batch."""
        return self.limits

    def is_paused(self) -> bool:
        """Whether it takes nothing now."""
        return self.is_full

    def next_retry_s(self) -> float:
        """When it tries again."""
        return 0.0

    def retry(self) -> None:
        """It tries again."""

    def hand_in(self, batch: Sequence[BrokerDelivery[bytes]]) -> None:
        """Take one batch."""
        self.batches.append([delivery.message.payload for delivery in batch])


class NoWakeup:
    """A descriptor that is never ready."""

    def __init__(self, descriptor: int) -> None:
        self.fileno = lambda: descriptor

    def clear(self) -> None:
        """Nothing to take back."""


class Bench:
    """One conversation after its CONNACK."""

    def __init__(self, descriptors: tuple[int, int]) -> None:
        self.clock = FakeClock()
        self.link = FakeLink(descriptors[0])
        self.intake = FakeIntake()
        self.outgoing = Outgoing(lambda: None, self.clock, reports_of())
        self.conversation = Conversation(
            self.link,  # type: ignore[arg-type]
            options=MqttOptions(name="plant", url="mqtt://broker", client_id="bridge-1", version=MqttVersion.V311),
            intake=self.intake,  # type: ignore[arg-type]
            outgoing=self.outgoing,
            subscriptions=Subscriptions(FilterMemory()),
            wakeup=NoWakeup(descriptors[1]),  # type: ignore[arg-type]
            listener=RecordingListener(),
            metrics=Metrics(),
            clock=self.clock,
            seldom=SeldomLog(logger(__name__), self.clock.monotonic_s),
        )
        self.link.send(b"\x20\x02\0\0")

    def run(self, *steps: Callable[[], object], at_stop: Callable[[], object] = lambda: None) -> None:
        """Do one step before each turn, then stop, with 10 s for what is under way."""
        script = iter((lambda: None, *steps))

        def stop() -> Stop | None:
            step = next(script, None)
            if step is not None:
                step()
                return None
            at_stop()
            until_s = self.clock.monotonic_s() + 10.0
            return Stop(until_s, until_s)

        self.conversation.run(stop)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A conversation on descriptors on which nothing ever happens."""
    first, second = os.pipe(), os.pipe()
    try:
        yield Bench((first[0], second[0]))
    finally:
        for descriptor in (*first, *second):
            os.close(descriptor)


def messages(*payloads: bytes) -> list[bytes]:
    """PUBLISH packets at QoS 1 on topic t."""
    return [publish("t", payload, number) for number, payload in enumerate(payloads, 1)]


@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        ((2, 1_000_000), [[b"11111", b"22222"], [b"33333", b"44444"], [b"55555"]]),
        ((1000, 12), [[b"11111", b"22222"], [b"33333", b"44444"], [b"55555"]]),
        ((1000, 13), [[b"11111", b"22222", b"33333"], [b"44444", b"55555"]]),
        ((1000, 1), [[b"11111"], [b"22222"], [b"33333"], [b"44444"], [b"55555"]]),
    ],
)
def test_a_batch_ends_at_its_count_and_at_its_bytes(
    bench: Bench, limits: tuple[int, int], batches: list[list[bytes]]
) -> None:
    """What is over is handed in with the next batch, although nothing more is read for it (6 bytes each)."""
    bench.intake.limits = limits
    arrive = lambda: bench.link.send(*messages(b"11111", b"22222", b"33333", b"44444", b"55555"))  # noqa: E731
    bench.run(arrive, *[lambda: None] * 5)
    assert bench.intake.batches == batches


def test_the_broker_is_not_taken_for_dead_after_a_pause(bench: Bench) -> None:
    """While nothing is read nothing is heard: the silence counts from when reading begins again."""

    def pause() -> None:
        bench.intake.is_full = True

    def go_on() -> None:
        bench.clock.advance(100 * KEEPALIVE_S)
        bench.intake.is_full = False

    bench.run(pause, go_on, lambda: bench.clock.advance(1.4 * KEEPALIVE_S))
    assert bench.link.is_over
    assert bench.link.socket.pings


def test_a_broker_that_says_nothing_is_dead(bench: Bench) -> None:
    """After one and a half keep alives of reading and hearing nothing; nobody's message is suspected for it."""
    with pytest.raises(LinkLost) as lost:
        bench.run(lambda: bench.clock.advance(1.5 * KEEPALIVE_S))
    assert not lost.value.is_suspicious


def test_a_broker_whose_packets_are_not_handled_yet_is_not_dead(bench: Bench) -> None:
    """Storing a batch took longer than the keep alive, and the next one is here already: that is no silence."""
    bench.intake.limits = (1, 1_000_000)
    arrive = lambda: bench.link.send(*messages(b"1", b"2", b"3"))  # noqa: E731
    slow = lambda: bench.clock.advance(2 * KEEPALIVE_S)  # noqa: E731
    with pytest.raises(LinkLost, match="no longer answers"):
        bench.run(arrive, slow, *[lambda: None] * 5)
    assert bench.intake.batches == [[b"1"], [b"2"], [b"3"]]


def test_what_arrives_during_a_stop_is_left_to_the_broker(bench: Bench) -> None:
    """Not handed in and not acknowledged: it comes again after the next start. Answers to ours are still heard."""
    results: list[PublishResult] = []

    def at_stop() -> None:
        bench.link.send(*messages(b"late"), b"\x40\x02\0\x01")

    bench.run(lambda: bench.outgoing.offer(OutgoingMessage("t", b"x"), results.append), at_stop=at_stop)
    assert (bench.intake.batches, results) == ([], [PublishResult.CONFIRMED])
    assert bench.link.is_over
