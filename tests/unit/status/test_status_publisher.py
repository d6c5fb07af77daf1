"""The publisher: rows before publishes, one value a topic, and every way in which a connection fails."""

from __future__ import annotations

import pytest
from status_fakes import NS, STREAM, TOPICS, Bench, FakeBroker, FakeStore, FakeTransport, workflow

from bridge.status.decided.transitions import digest_of
from bridge.status.seen.events import LiveSeen
from bridge.status.shown.destination import WINDOW
from bridge.status.shown.publisher import MEND_PAUSE_S
from bridge.transports.base import PublishResult, Session

OWN = TOPICS.status_of(NS, "boil-1")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def ready(broker: FakeBroker, *, auto: bool = True, store: FakeStore | None = None) -> Bench:
    transport = FakeTransport(broker)
    transport.auto = auto
    bench = Bench(transport, store=store)
    bench.connect()
    bench.list()
    bench.wait(15, step_s=1.0)
    return bench


def statuses(broker: FakeBroker, topic: str = OWN) -> list[object]:
    return [body.get("status", "cleared") for body in broker.bodies(topic)]


def test_the_row_is_committed_before_the_publish(broker: FakeBroker) -> None:
    """With a spool that cannot be written no new topic is retained, and it is said so; then it heals."""
    store = FakeStore()
    bench = ready(broker, store=store)
    store.broken = True
    bench.frame(workflow(version=1, phase="Running"))
    assert OWN not in broker.retained
    assert statuses(broker, STREAM) == ["Running"]
    assert bench.publisher.problem is not None
    assert bench.publisher.problem.code == "status-spool"
    store.broken = False
    bench.wait(3)
    assert statuses(broker) == ["Running"]
    assert bench.publisher.problem is None


def test_a_known_topic_needs_no_spool(broker: FakeBroker) -> None:
    """A topic that has its row is brought up to date although the spool is full."""
    bench = ready(broker)
    bench.frame(workflow(version=1, phase="Running"))
    bench.store.broken = True
    bench.frame(workflow(version=2, phase="Succeeded"))
    assert statuses(broker) == ["Running", "Succeeded"]


def test_the_row_goes_after_the_clearing_was_acknowledged(broker: FakeBroker) -> None:
    """A clear that the broker has not acknowledged keeps its row, so that a crash does not lose it."""
    bench = ready(broker, auto=False)
    transport = bench.transports["plant"]
    bench.frame(workflow(version=1, phase="Running"))
    transport.settle()
    bench.frame(workflow(version=2), "DELETED")
    assert [message.payload for message, _ in transport.waiting] == [b""]
    assert len(bench.store.rows) == 1
    transport.settle()
    bench.run()
    assert bench.store.rows == {}


def test_nothing_is_handed_to_a_connection_that_is_away(broker: FakeBroker) -> None:
    """While disconnected values only replace each other; afterwards the last one is told once, stream included."""
    bench = ready(broker)
    bench.disconnect()
    for version in range(1, 5):
        bench.frame(workflow(version=version, phase="Running", progress=f"{version}/10"))
        bench.wait(2)
    assert broker.messages == []
    bench.connect(session=Session.RESUMED)
    assert [body["progress"] for body in broker.bodies(OWN)] == ["40%"]
    assert [body["progress"] for body in broker.bodies(STREAM)] == ["40%"]


def test_a_topic_has_one_publish_on_its_way(broker: FakeBroker) -> None:
    """While a publish waits for its acknowledgement newer values wait too, and only the last of them is sent."""
    bench = ready(broker, auto=False)
    transport = bench.transports["plant"]
    for version in range(1, 5):
        bench.frame(workflow(version=version, phase="Running", progress=f"{version}/10"))
        bench.wait(2)
    assert [message.topic for message, _ in transport.waiting] == [OWN, STREAM]
    transport.settle()
    bench.run()
    transport.settle()
    assert [body["progress"] for body in broker.bodies(OWN)] == ["10%", "40%"]


def test_at_most_a_window_is_on_its_way(broker: FakeBroker) -> None:
    """A thousand changed topics put no more than a window into the client, and all arrive."""
    bench = ready(broker, auto=False)
    transport = bench.transports["plant"]
    for number in range(500):
        bench.frame(workflow(f"w-{number}", f"u-{number}", 1, phase="Running"))
    assert len(transport.waiting) == WINDOW
    while transport.waiting:
        transport.settle(50)
        bench.run()
        assert len(transport.waiting) <= WINDOW
    assert len(broker.retained) == 500
    assert bench.store.commits < 100


def test_a_full_window_of_others_is_waited_for(broker: FakeBroker) -> None:
    """A transport that takes nothing now is asked again shortly."""
    bench = ready(broker)
    bench.transports["plant"].full = True
    bench.frame(workflow(version=1, phase="Running"))
    assert broker.messages == []
    assert 0 < bench.publisher.next_due_s() < 0.2
    bench.transports["plant"].full = False
    bench.wait(0.2)
    assert statuses(broker) == ["Running"]


def test_a_refused_publish_is_not_hammered(broker: FakeBroker) -> None:
    """What the broker refuses (an ACL) is tried again after half a minute, not in a loop."""
    bench = ready(broker)
    transport = bench.transports["plant"]
    transport.refuse = PublishResult.REFUSED
    attempts: list[str] = []
    publish = transport.publish
    transport.publish = lambda message, done: attempts.append(message.topic) or publish(message, done)
    bench.frame(workflow(version=1, phase="Running"))
    bench.wait(25, step_s=1.0)
    assert attempts == [OWN, STREAM]
    transport.refuse = None
    bench.wait(10, step_s=1.0)
    assert statuses(broker) == ["Running"]


def test_a_lost_acknowledgement_is_a_repeat_not_a_loss(broker: FakeBroker) -> None:
    """A publish that was cut off is sent again after the reconnect."""
    bench = ready(broker, auto=False)
    bench.frame(workflow(version=1, phase="Running"))
    bench.disconnect(reached=0)
    bench.transports["plant"].auto = True
    bench.connect(session=Session.RESUMED)
    assert statuses(broker) == ["Running"]


def test_a_broker_that_lost_its_data_gets_everything_again(broker: FakeBroker) -> None:
    """After a new session every retained value is published again, ended workflows too; the stream is not."""
    bench = ready(broker)
    bench.frame(workflow(version=1, phase="Succeeded"))
    bench.wait(300, step_s=10.0)
    bench.disconnect()
    broker.retained.clear()
    bench.connect(session=Session.NEW)
    assert statuses(broker) == ["Succeeded", "Succeeded"]
    assert statuses(broker, STREAM) == ["Succeeded"]
    assert OWN in broker.retained


def test_what_a_broker_may_have_lost_in_its_last_seconds_is_sent_again(broker: FakeBroker) -> None:
    """A broker that fell back to its last save, session and all, gets what it had acknowledged shortly before."""
    bench = ready(broker)
    saved = dict(broker.retained)
    annotations = {"argo-bridge/status-topic": "dev/1"}
    bench.frame(workflow(version=1, phase="Running", annotations=annotations))
    bench.disconnect()
    broker.retained = saved
    bench.connect(session=Session.RESUMED)
    assert set(broker.retained) == {OWN, "dev/1"}
    saved = dict(broker.retained)
    bench.frame(workflow(version=2, phase="Running", annotations=annotations), "DELETED")
    bench.disconnect()
    broker.retained = saved
    bench.connect(session=Session.RESUMED)
    assert broker.retained == {}


def test_two_connections_are_told_independently(broker: FakeBroker) -> None:
    """A connection that is away holds up no other, and catches up when it is back."""
    other = FakeBroker()
    bench = Bench(FakeTransport(broker), FakeTransport(other, "office"))
    bench.connect("plant")
    bench.list(workflow(version=1, phase="Running"))
    bench.wait(2)
    assert statuses(broker) == ["Running"]
    assert other.messages == []
    bench.connect("office")
    bench.wait(2)
    assert statuses(other) == ["Running"]
    assert set(bench.store.rows) == {("plant", OWN), ("office", OWN)}


def test_a_message_larger_than_the_connection_takes_is_cut(broker: FakeBroker) -> None:
    """Each connection gets at most its own maximum, with details.truncated."""
    bench = ready(broker)
    bench.transports["plant"].max_publish_bytes = 600
    outputs = {"parameters": [{"name": "log", "value": "x" * 2000}]}
    bench.frame(workflow(version=1, phase="Succeeded", outputs=outputs))
    (body,) = broker.bodies(OWN)
    assert body["details"]["truncated"] is True
    assert len(broker.retained[OWN]) <= 600


def test_workflows_that_came_and_went_unsent_do_not_pile_up(broker: FakeBroker) -> None:
    """With a broker that is away for long, gone workflows leave at most a bounded number of last states."""
    bench = ready(broker)
    bench.disconnect()
    for number in range(1500):
        bench.frame(workflow(f"w-{number}", f"u-{number}", 1, phase="Succeeded"))
        bench.frame(workflow(f"w-{number}", f"u-{number}", 2, phase="Succeeded"), "DELETED")
    assert bench.unpublished <= 1000
    bench.connect(session=Session.RESUMED)
    assert len(broker.bodies(STREAM)) == 1000
    assert broker.retained == {}
    assert bench.unpublished == 0


def test_a_foreign_change_of_our_topic_is_put_right(broker: FakeBroker) -> None:
    """When a broker delivers something else than our value, our value is published again."""
    bench = ready(broker)
    bench.frame(workflow(version=1, phase="Running"))
    true = broker.retained[OWN]
    bench.disconnect()
    bench.clock.advance(1000)
    broker.retained[OWN] = true.replace(b"Running", b"Failed")
    bench.connect(session=Session.RESUMED)
    bench.wait(2)
    assert broker.retained[OWN] == true


def overwrite(bench: Bench, payload: bytes, topic: str = OWN) -> None:
    """Another client retains something on a topic of ours, and the broker delivers it."""
    broker = bench.transports["plant"].broker
    broker.retained[topic] = payload
    bench.handle(LiveSeen("plant", topic, digest_of(payload)))


def echo(bench: Bench, *payloads: bytes, topic: str = OWN) -> None:
    """The broker delivers what we published."""
    bench.handle(*(LiveSeen("plant", topic, digest_of(payload)) for payload in payloads))


@pytest.mark.parametrize("spoof", [b"{}", b"", b'{"status": "Succeeded", "details": {"bridge": "plant-1"}}'])
def test_what_another_client_retains_on_our_topic_is_put_right_at_once(broker: FakeBroker, spoof: bytes) -> None:
    """Whatever it is, and not only when our value changes next."""
    bench = ready(broker)
    bench.frame(workflow(version=1, phase="Running"))
    true = broker.retained[OWN]
    echo(bench, true)
    overwrite(bench, spoof)
    assert broker.retained[OWN] == true


@pytest.mark.parametrize("spoof", [b"{}", b""])
def test_what_is_overwritten_soon_after_a_start_is_put_right(broker: FakeBroker, spoof: bytes) -> None:
    """Also where the new process has just read its own value there, and has nothing to send."""
    bench = ready(broker)
    running = workflow(version=1, phase="Running")
    bench.frame(running)
    true = broker.retained[OWN]
    bench.disconnect()
    again = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock)
    again.connect()
    again.list(running)
    overwrite(again, spoof)
    again.wait(15, step_s=1.0)
    assert broker.retained[OWN] == true


def test_what_comes_back_to_us_is_not_answered(broker: FakeBroker) -> None:
    """Also late, when a newer value was published meanwhile: nothing is published for it."""
    bench = ready(broker)
    for version in (1, 2, 3):
        bench.frame(workflow(version=version, phase="Running", progress=f"{version}/3"))
        bench.wait(2)
    values = [message.payload for message in broker.messages if message.topic == OWN]
    echo(bench, *values)
    assert [message.payload for message in broker.messages if message.topic == OWN] == values
    overwrite(bench, values[0])
    assert broker.retained[OWN] == values[-1], "but a copy of an old one, later, is not ours"


def test_a_client_that_goes_on_overwriting_costs_one_publish_a_second(broker: FakeBroker) -> None:
    """The last word is ours all the same, a second later."""
    bench = ready(broker)
    bench.frame(workflow(version=1, phase="Running"))
    true, before = broker.retained[OWN], len(broker.bodies(OWN))
    echo(bench, true)
    for number in range(100):
        overwrite(bench, b"%d" % number)
        echo(bench, true)
    assert len(broker.bodies(OWN)) == before + 1
    bench.wait(MEND_PAUSE_S + 0.1)
    assert broker.retained[OWN] == true


def test_on_a_topic_where_we_show_nothing_nobody_is_answered(broker: FakeBroker) -> None:
    """A status of another system's workflow, or of none, is not ours to clear."""
    bench = ready(broker)
    overwrite(bench, b"{}", TOPICS.status_of(NS, "other"))
    assert broker.messages == []


def test_the_end_of_an_older_publish_is_not_that_of_a_newer_one(broker: FakeBroker) -> None:
    """What was cut off is sent again after the reconnect; its late end must not stand for the second publish."""
    bench = ready(broker, auto=False)
    bench.frame(workflow(version=1, phase="Running"))
    first = bench.publisher._links["plant"].in_flight[OWN, ""]
    bench.disconnect()
    bench.connect(session=Session.RESUMED)
    bench.publisher.ended("plant", (OWN, ""), first, is_confirmed=True)
    bench.run()
    bench.frame(workflow(version=2, phase="Running", progress="1/2"))
    bench.wait(2)
    waiting = [message.topic for message, _ in bench.transports["plant"].waiting]
    assert waiting.count(OWN) == 1, "the second publish is on its way still"


def test_a_mappings_own_topic_is_told_again_at_the_start(broker: FakeBroker) -> None:
    """Nobody tells the bridge what is retained there, as it does on PREFIX/status: what was lost must come again."""
    store = FakeStore()
    wanted = workflow(version=1, phase="Running", annotations={"argo-bridge/status-topic": "plant/7/workflow"})
    bench = ready(broker, store=store)
    bench.frame(wanted)
    true = broker.retained.pop("plant/7/workflow")
    again = Bench(FakeTransport(broker), store=store)
    again.connect(session=Session.RESUMED)
    again.list(wanted)
    assert broker.retained["plant/7/workflow"] == true, "at once: nothing is waited for"
    again.wait(15, step_s=1.0)
    assert statuses(broker) == ["Running"], "what the broker still has is not told again"


def test_a_status_on_which_the_broker_ends_the_connection_is_handed_on(broker: FakeBroker) -> None:
    """It is dead-lettered by whoever keeps dead letters, once."""
    bench = ready(broker)
    transport = bench.transports["plant"]
    transport.refuse = PublishResult.SET_ASIDE
    bench.frame(workflow(version=1, phase="Running"))
    transport.refuse = PublishResult.REFUSED
    bench.wait(100, step_s=1.0)
    assert [message.topic for _, message in bench.set_aside] == [OWN, STREAM]
