"""What is in the outbox is sent until its broker confirmed it: repeated after a crash, never lost, never in a loop."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_fakes import FlakySpool, outbox_row

from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.interface.topics import Topics
from bridge.pipeline.outbox import PAGE, OutboxSender
from bridge.pipeline.refusals import Refusals
from bridge.spool.records import NewRows
from bridge.transports.base import PublishDone, PublishResult
from tests.support.clock import FakeClock
from tests.support.transport_ends import reports_of


class FakeTransport:
    """A broker that takes what fits its window, and confirms when told to."""

    def __init__(self, window: int = 1000) -> None:
        self.is_ready = True
        self.max_publish_bytes = 256 * 1024
        self.window = window
        self.pending: list[tuple[str, PublishDone]] = []
        self.got: list[str] = []
        self.publishes = 0
        self.raises: set[str] = set()
        self.confirms_at_once = False

    def publish(self, message: OutgoingMessage, done: PublishDone) -> bool:
        """Take a message, if there is room."""
        self.publishes += 1
        text = _text(message)
        if text in self.raises:
            raise ValueError(text)
        if not self.is_ready or len(self.pending) >= self.window:
            return False
        self.got.append(text)
        if self.confirms_at_once:
            done(PublishResult.CONFIRMED)
        else:
            self.pending.append((text, done))
        return True

    def confirm(self, result: PublishResult = PublishResult.CONFIRMED) -> None:
        """Answer, or lose, all that is pending."""
        pending, self.pending = self.pending, []
        for _, done in pending:
            done(result)


class OutboxBench:
    """A sender without its thread."""

    def __init__(self, **transports: FakeTransport) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.metrics = Metrics()
        self.transports = transports or {"plant": FakeTransport()}
        self.restart()

    def restart(self) -> None:
        """A new process."""
        refusals = Refusals(Topics("argo/workflows", "plant-1"), self.metrics, self.clock)
        self.sender = OutboxSender(self.spool, self.transports, refusals, self.metrics, reports_of(self.metrics))

    def put(self, *texts: str, connection: str = "plant", topic: str = "replies/me") -> None:
        """Commit messages to send."""
        rows = tuple(outbox_row(text, connection, topic) for text in texts)
        self.spool.real.commit(NewRows(outbox=rows))

    def left(self, connection: str = "plant") -> list[str]:
        """What the outbox still holds."""
        return [_text(row.message) for _, row in self.spool.real.outbox(connection, 0, 10_000)]

    def letters(self) -> list[tuple[str, str, int]]:
        """Reason, topic and size of each dead letter, the newest first."""
        kept = [one.letter for one in self.spool.real.dead_letters()]
        return [(letter.reason, letter.topic, letter.payload_bytes) for letter in kept]


def _text(message: OutgoingMessage) -> str:
    body = json.loads(message.payload)
    return str(body.get("error") or f"notice of {body['topic']}")


def size_of(text: str) -> int:
    """The payload bytes of the message that `OutboxBench.put` makes of a text."""
    return len(outbox_row(text, "plant", "replies/me").message.payload)


@pytest.fixture
def bench() -> OutboxBench:
    """One connection."""
    return OutboxBench()


def test_a_message_goes_when_its_broker_confirmed_it(bench: OutboxBench) -> None:
    """In order, handed over once, deleted after the confirmation and not before."""
    plant = bench.transports["plant"]
    bench.put("a", "b")
    bench.sender.step()
    bench.sender.step()
    assert plant.got == ["a", "b"]
    assert bench.left() == ["a", "b"]
    plant.confirm()
    bench.sender.step()
    assert bench.left() == []


def test_a_crash_repeats_and_never_loses(bench: OutboxBench) -> None:
    """Sent but not confirmed when the process ends: sent once more after the next start."""
    bench.put("a")
    bench.sender.step()
    bench.restart()
    bench.sender.step()
    assert bench.transports["plant"].got == ["a", "a"]
    bench.transports["plant"].confirm()
    bench.sender.step()
    assert bench.left() == []


def test_while_a_broker_is_away_its_messages_wait_in_the_spool() -> None:
    """They are sent after the reconnect; the other connection does not notice."""
    plant, office = FakeTransport(), FakeTransport()
    bench = OutboxBench(plant=plant, office=office)
    plant.is_ready = False
    bench.put("p")
    bench.put("o", connection="office")
    bench.sender.step()
    assert (plant.publishes, office.got) == (0, ["o"])
    plant.is_ready = True
    bench.sender.connected("plant")
    bench.sender.step()
    assert plant.got == ["p"]


def test_what_was_lost_with_its_connection_is_sent_after_the_reconnect(bench: OutboxBench) -> None:
    """Unconfirmed messages come again, once, and those that were confirmed do not."""
    plant = bench.transports["plant"]
    bench.put("a", "b")
    bench.sender.step()
    plant.pending.pop(0)[1](PublishResult.CONFIRMED)
    plant.confirm(PublishResult.LOST)
    bench.sender.connected("plant")
    bench.sender.step()
    bench.sender.step()
    assert plant.got == ["a", "b", "b"]


def test_what_is_under_way_is_not_sent_twice(bench: OutboxBench) -> None:
    """A second word that the connection is ready repeats nothing that its broker has in hand."""
    bench.put("a")
    bench.sender.step()
    bench.sender.connected("plant")
    bench.sender.step()
    assert bench.transports["plant"].got == ["a"]


def test_a_lost_message_is_no_hot_loop(bench: OutboxBench) -> None:
    """What was lost is not offered again before the next connection, and holds up nothing behind it."""
    plant = bench.transports["plant"]
    bench.put("lost")
    bench.sender.step()
    plant.confirm(PublishResult.LOST)
    bench.put("next")
    for _ in range(50):
        bench.sender.step()
    assert plant.got == ["lost", "next"]
    assert bench.left() == ["lost", "next"]


def test_what_the_broker_refuses_is_dropped_and_counted(bench: OutboxBench) -> None:
    """A refusal is an answer (MQTT 5.0 section 4.4): sent once, never again, and the outbox does not grow with it."""
    plant = bench.transports["plant"]
    bench.put("forbidden")
    bench.sender.step()
    plant.confirm(PublishResult.REFUSED)
    bench.sender.step()
    bench.sender.connected("plant")
    bench.sender.step()
    assert plant.got == ["forbidden"]
    assert bench.left() == []
    assert bench.metrics.value("replies_unsendable_total", cause="refused") == 1


def test_a_full_window_goes_on_where_it_stopped() -> None:
    """More messages than a page and than the window: each once, in order."""
    plant = FakeTransport(window=30)
    bench = OutboxBench(plant=plant)
    texts = [f"m{number:04d}" for number in range(3 * PAGE + 7)]
    bench.put(*texts)
    for _ in range(40):
        bench.sender.step()
        plant.confirm()
    bench.sender.step()
    assert plant.got == texts
    assert bench.left() == []


def test_what_no_broker_takes_is_dropped_and_told(bench: OutboxBench) -> None:
    """Errors shrink until they fit; what still is too large is dead-lettered, before it closes the connection."""
    plant = bench.transports["plant"]
    plant.max_publish_bytes = 200
    bench.put("x" * 5000)
    bench.sender.step()
    assert len(plant.got[0]) < 200
    plant.confirm()
    plant.max_publish_bytes = 10
    bench.put("too large", "too large as well")
    bench.sender.step()
    bench.sender.step()
    assert len(plant.got) == 1
    assert bench.left() == []
    assert bench.metrics.value("replies_unsendable_total", cause="too-large") == 4, "two, and the notice of each"
    assert ("set-aside", "replies/me", size_of("too large")) in bench.letters()


def test_a_message_of_exactly_the_brokers_limit_is_sent(bench: OutboxBench) -> None:
    """The limit is what the broker takes, not the first size that it does not."""
    plant = bench.transports["plant"]
    bench.put("just fits")
    plant.max_publish_bytes = size_of("just fits")
    bench.sender.step()
    assert plant.got == ["just fits"]


def test_what_ends_the_connection_is_dead_lettered_in_the_commit_that_drops_it(bench: OutboxBench) -> None:
    """A message that is set aside is told with topic and size, and never sent again; the others go on."""
    plant = bench.transports["plant"]
    bench.put("poison", topic="a/" * 250)
    bench.sender.step()
    bench.spool.failing = {"outbox_sent"}
    plant.confirm(PublishResult.SET_ASIDE)
    bench.put("next")
    bench.sender.step()
    assert ("poison" in bench.left(), bench.letters()) == (True, [])
    bench.spool.failing = set()
    bench.sender.step()
    assert ("poison" in bench.left(), bench.letters()) == (False, [("set-aside", "a/" * 250, size_of("poison"))])
    bench.restart()
    bench.sender.step()
    assert plant.got == ["poison", "next", f"notice of {'a/' * 250}", "next", f"notice of {'a/' * 250}"]
    assert bench.metrics.value("dead_letters_total", reason="set-aside") == 1
    assert bench.metrics.value("replies_unsendable_total", cause="set-aside") == 1


def test_what_another_part_published_is_dead_lettered_too(bench: OutboxBench) -> None:
    """The state, a status, a report: nothing waits in the outbox for them, but what becomes of them is told."""
    bench.sender.set_aside("plant", OutgoingMessage("argo/bridge/plant-1/state", b"{}", retain=True))
    bench.sender.step()
    assert bench.letters() == [("set-aside", "argo/bridge/plant-1/state", 2)]
    bench.sender.step()
    assert bench.transports["plant"].got == ["notice of argo/bridge/plant-1/state"]


def test_a_notice_that_no_broker_takes_leads_to_no_other(bench: OutboxBench) -> None:
    """Its dead letter is all: a notice of it would go the same way, for ever."""
    plant = bench.transports["plant"]
    bench.put("notice", topic="argo/workflows/dead-letter")
    bench.sender.step()
    plant.confirm(PublishResult.SET_ASIDE)
    bench.sender.step()
    bench.sender.step()
    assert (plant.got, bench.left()) == (["notice"], [])
    assert bench.letters() == [("set-aside", "argo/workflows/dead-letter", size_of("notice"))]


def test_a_message_that_breaks_the_transport_breaks_nothing_else(bench: OutboxBench) -> None:
    """Counted, left in the spool, and the next one is sent; no loop."""
    plant = bench.transports["plant"]
    plant.raises = {"bad"}
    bench.put("bad", "good")
    for _ in range(10):
        bench.sender.step()
    assert plant.got == ["good"]
    assert plant.publishes == 2
    assert bench.metrics.value("internal_errors_total", where="outbox") == 1
    assert bench.left() == ["bad", "good"]
    plant.raises = set()
    plant.confirm()
    bench.sender.connected("plant")
    bench.sender.step()
    assert plant.got == ["good", "bad"], "after the next connect it is tried again"


@pytest.mark.parametrize("method", ["outbox", "outbox_sent"])
def test_a_failing_spool_loses_nothing(bench: OutboxBench, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """Confirmed messages are deleted when it can be used again; told once, not at every turn."""
    plant = bench.transports["plant"]
    bench.put("a")
    if method == "outbox_sent":
        bench.sender.step()
        plant.confirm()
    bench.spool.failing = {method}
    for _ in range(20):
        bench.sender.step()
    assert bench.left() == ["a"]
    assert len(caplog.records) == 1
    bench.spool.failing = set()
    bench.sender.step()
    plant.confirm()
    bench.sender.step()
    assert bench.left() == []
    assert plant.got == ["a"]


def test_a_stop_waits_for_confirmations(bench: OutboxBench) -> None:
    """What is sent in the last turn and confirmed in time is not sent again after the next start."""
    plant = bench.transports["plant"]
    plant.confirms_at_once = True
    bench.put("a", "b")
    bench.sender.start()
    assert bench.sender.stop(10.0) == []
    assert bench.left() == []
    assert plant.got == ["a", "b"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["put", "step", "confirm", "refuse", "drop", "back", "crash", "fail", "heal"]), max_size=40
    )
)
def test_every_message_arrives(happenings: list[str]) -> None:
    """Whatever happens, in the end the broker had each message at least once and the outbox is empty."""
    plant = FakeTransport(window=2)
    bench = OutboxBench(plant=plant)
    count = 0
    for what in [*happenings, "heal", "back"]:
        match what:
            case "put":
                count += 1
                bench.put(f"m{count}")
            case "step":
                bench.sender.step()
            case "confirm":
                plant.confirm()
            case "refuse":
                plant.confirm(PublishResult.REFUSED)
            case "drop":
                plant.is_ready = False
                plant.confirm(PublishResult.LOST)
            case "back":
                plant.confirm(PublishResult.LOST)
                plant.is_ready = True
                bench.sender.connected("plant")
            case "crash":
                plant.pending.clear()
                bench.restart()
            case "fail" | "heal":
                bench.spool.failing = {"outbox", "outbox_sent"} if what == "fail" else set()
    for _ in range(count + 2):
        bench.sender.step()
        plant.confirm()
    bench.sender.step()
    assert set(plant.got) == {f"m{number}" for number in range(1, count + 1)}
    assert bench.left() == []
    bench.spool.real.close()
