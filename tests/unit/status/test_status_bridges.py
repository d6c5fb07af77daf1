"""Two bridges on one broker and one Argo: neither clears or answers what the other says, over outages too."""

from __future__ import annotations

import pytest
from status_fakes import NS, STREAM, TOPICS, Bench, FakeBroker, FakeTransport, workflow

from bridge.core.model import WorkflowRef
from bridge.spool.records import RetainedTopic
from bridge.status.seen.events import ForeignSeen
from bridge.status.seen.retained import read_retained
from bridge.status.seen.sources import FollowedWorkflows
from bridge.transports.base import Session
from tests.support.clock import FakeClock

OWN = TOPICS.status_of(NS, "boil-1")
REF = WorkflowRef(NS, "boil-1", "u1")
THEIRS = b'{"details":{"bridge":"plant-2"}}'


def ready(broker: FakeBroker, clock: FakeClock, bridge_id: str = "plant-1") -> Bench:
    """A bridge that follows every workflow of the namespace."""
    made = Bench(FakeTransport(broker), clock=clock, follow=FollowedWorkflows(bridge_id, (NS,), ""))
    made.connect()
    made.list()
    made.wait(15, step_s=1.0)
    return made


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def bench(broker: FakeBroker) -> Bench:
    return ready(broker, FakeClock())


def owners(broker: FakeBroker, topic: str) -> list[object]:
    return [body["details"]["bridge"] if body else "cleared" for body in broker.bodies(topic)]


def test_what_another_bridge_shows_is_not_cleared(bench: Bench, broker: FakeBroker) -> None:
    """When the last message of a topic is another bridge's, the end of our workflow only ends our row."""
    bench.frame(workflow(version=1, phase="Running"))
    broker.retained[OWN] = THEIRS
    bench.handle(ForeignSeen("plant", OWN))
    bench.frame(workflow(version=2), "DELETED")
    bench.run()
    assert broker.retained == {OWN: THEIRS}
    assert bench.store.rows == {}


def test_what_is_ours_again_is_cleared(bench: Bench, broker: FakeBroker) -> None:
    """After our next message the topic is ours, and is cleared at the end."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.handle(ForeignSeen("plant", OWN))
    bench.wait(2)
    bench.frame(workflow(version=2, phase="Succeeded"))
    bench.frame(workflow(version=3), "DELETED")
    assert broker.retained == {}


def test_another_bridge_is_never_answered(bench: Bench, broker: FakeBroker) -> None:
    """Its status on a topic that we show too makes us publish nothing: two bridges would go on for ever."""
    bench.frame(workflow(version=1, phase="Running"))
    before = list(broker.messages)
    bench.handle(ForeignSeen("plant", OWN))
    bench.wait(60, step_s=1.0)
    assert broker.messages == before


def test_a_smaller_scope_leaves_the_other_bridges_status_alone(broker: FakeBroker) -> None:
    """A bridge that no longer follows a workflow clears what it retained, unless another bridge shows it by now."""
    broker.retained[OWN] = THEIRS
    bench = Bench(FakeTransport(broker))
    bench.store.rows["plant", OWN] = RetainedTopic("plant", OWN, NS, "boil-1", "u1")
    bench = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock)
    bench.list()
    bench.answer(REF, workflow(version=1, phase="Running", labels={"argo-bridge/bridge": "plant-2"}))
    bench.connect()
    bench.wait(3)
    assert broker.retained == {OWN: THEIRS}
    assert bench.store.rows == {}


def test_two_bridges_side_by_side_come_to_rest(broker: FakeBroker) -> None:
    """Both follow one workflow; each tells each change once, whoever is first, and both let go at its end."""
    clock = FakeClock()
    both = [ready(broker, clock, "plant-1"), ready(broker, clock, "plant-2")]

    def hear() -> None:
        for bench, other in (both, both[::-1]):
            for body in broker.bodies(OWN)[-1:]:
                if body and body["details"]["bridge"] == other.follow.bridge_id:
                    bench.handle(ForeignSeen("plant", OWN))

    for version, phase in enumerate(["Running", "Succeeded"], 1):
        for bench in both:
            bench.frame(workflow(version=version, phase=phase))
            hear()
        for bench in both:
            bench.wait(20, step_s=1.0)
    assert owners(broker, OWN) == ["plant-1", "plant-2"] * 2
    assert owners(broker, STREAM) == ["plant-1", "plant-2"] * 2
    for bench in both:
        bench.frame(workflow(version=9), "DELETED")
    assert broker.retained == {}
    assert owners(broker, OWN)[4:] == ["cleared"]


@pytest.mark.parametrize("session", Session)
def test_a_broker_that_lost_some_of_it_is_mended(bench: Bench, broker: FakeBroker, session: Session) -> None:
    """After a reconnect what the broker does not hold as it should be is retained again, session kept or not."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.frame(workflow("boil-2", "u2", 2, phase="Running"))
    bench.frame(workflow("boil-3", "u3", 3, phase="Running"))
    bench.wait(600, step_s=10)
    was = dict(broker.retained)
    bench.disconnect()
    del broker.retained[OWN]
    broker.retained[TOPICS.status_of(NS, "boil-2")] = b"nobody's"
    bench.connect(session=session)
    bench.wait(3)
    assert broker.retained == was


def test_a_reconnect_repeats_nothing_that_the_broker_holds(bench: Bench, broker: FakeBroker) -> None:
    """With the session kept, and everything where it should be, a reconnect publishes nothing."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.wait(600, step_s=10)
    before = list(broker.messages)
    bench.disconnect()
    bench.connect(session=Session.RESUMED)
    bench.wait(3)
    assert broker.messages == before


def reconnect_slowly(bench: Bench, count: int) -> None:
    """Reconnect with the session kept; the broker takes half a second for each retained message that it delivers."""
    topics = [TOPICS.status_of(NS, f"w-{number}") for number in range(count)]
    payloads = [bench.transports["plant"].broker.retained.get(topic, b"") for topic in topics]
    bench.transports["plant"].is_ready = True
    bench.publisher.connected("plant", Session.RESUMED)
    bench.publisher.ready("plant")
    bench.run()
    for topic, payload in zip(topics, payloads, strict=True):
        bench.wait(0.5)
        event = read_retained(TOPICS, bench.follow.bridge_id, "plant", topic, payload)
        bench.handle(*([event] if event is not None else []))


@pytest.mark.parametrize(("count", "repeats"), [(8, False), (40, True)])
def test_a_broker_that_delivers_slowly_is_waited_for(
    bench: Bench, broker: FakeBroker, count: int, repeats: bool
) -> None:
    """Nothing that it holds is repeated while it still delivers; but ten seconds in all are enough to wait."""
    for number in range(count):
        bench.frame(workflow(f"w-{number}", f"u-{number}", number, phase="Running"))
    bench.wait(600, step_s=10)
    before = len(broker.messages)
    bench.disconnect()
    reconnect_slowly(bench, count)
    bench.wait(3)
    assert (len(broker.messages) > before) == repeats


def test_memory_is_one_value_a_topic_while_the_broker_is_away(bench: Bench) -> None:
    """A thousand changes while it is away leave as many values as there are topics."""
    bench.disconnect()
    for version in range(1000):
        bench.frame(
            workflow(f"w-{version % 10}", f"u-{version % 10}", version, phase="Running", progress=f"{version}/9")
        )
    assert len(bench.publisher._values) == 20  # the retained topic, and the stream, of each of ten workflows
    assert bench.unpublished == 20
