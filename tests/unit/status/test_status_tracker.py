"""The tracker: what each kind of answer leads to, seen on a fake broker."""

from __future__ import annotations

import pytest
from status_fakes import NS, STREAM, TOPICS, Bench, FakeBroker, FakeTransport, failed_nodes, workflow

from bridge.core.model import WorkflowRef
from bridge.interface.status import percentage
from bridge.spool.records import RetainedTopic
from bridge.status.seen.events import LookedUp

OWN = TOPICS.status_of(NS, "boil-1")
REF = WorkflowRef(NS, "boil-1", "u1")
DEVICE = "sensors/a/boiler/7/workflow"
NAMES_DEVICE = {"argo-bridge/status-topic": DEVICE}
PERSISTED = {"workflows.argoproj.io/workflow-archiving-status": "Persisted"}
EVENT = "ab" * 32


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def bench(broker: FakeBroker) -> Bench:
    """A bridge that is connected and has listed an empty namespace; the start is over."""
    made = Bench(FakeTransport(broker))
    made.connect()
    made.list()
    made.wait(15, step_s=1.0)
    return made


def phases(broker: FakeBroker, topic: str) -> list[object]:
    return [body.get("status", "cleared") for body in broker.bodies(topic)]


def test_a_workflow_shows_from_its_first_frame_to_its_deletion(bench: Bench, broker: FakeBroker) -> None:
    """Each phase is retained and told on the stream; a DELETED frame clears the retained one and its row."""
    bench.frame(workflow(version=1), "ADDED")
    bench.wait(2)
    bench.frame(workflow(version=2, phase="Running"))
    bench.wait(2)
    bench.frame(workflow(version=3, phase="Succeeded"))
    assert len(bench.store.rows) == 1
    bench.frame(workflow(version=4, phase="Succeeded"), "DELETED")
    assert phases(broker, OWN) == ["Pending", "Running", "Succeeded", "cleared"]
    assert phases(broker, STREAM) == ["Pending", "Running", "Succeeded"]
    assert broker.retained == {}
    assert bench.store.rows == {}
    assert len(bench.tracker._registry) == 0


@pytest.mark.parametrize("others", [{"labels": {"argo-bridge/bridge": "plant-2"}}, {"labels": PERSISTED}])
def test_a_name_that_another_workflow_has_by_now_is_cleared(
    bench: Bench, broker: FakeBroker, others: dict[str, object]
) -> None:
    """Its deletion was missed, and GET finds a workflow of that name that is not ours to show: ours is gone."""
    bench.frame(workflow(version=1, phase="Running", annotations=NAMES_DEVICE))
    bench.wait(2)
    assert set(broker.retained) == {OWN, DEVICE}
    bench.list()
    bench.answer(REF, workflow(uid="u2", version=9, phase="Running", **others))
    bench.wait(2)
    assert broker.retained == {}
    assert (len(bench.tracker._registry), bench.store.rows) == (0, {})


def test_a_burst_within_a_second_is_two_messages(bench: Bench, broker: FakeBroker) -> None:
    """The first change goes out at once and the last one after a second; what was between is merged."""
    for version in range(1, 10):
        bench.frame(workflow(version=version, phase="Running", progress=f"{version}/10"))
    assert [body["progress"] for body in broker.bodies(OWN)] == ["10%"]
    bench.wait(1.2)
    assert [body["progress"] for body in broker.bodies(OWN)] == ["10%", percentage("9/10")]


def test_the_end_does_not_wait_for_the_second(bench: Bench, broker: FakeBroker) -> None:
    """A workflow that ends within the second of its first message is told at once."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.frame(workflow(version=2, phase="Succeeded"))
    assert phases(broker, OWN) == ["Running", "Succeeded"]


def test_the_end_of_the_bridge_releases_what_waits(bench: Bench, broker: FakeBroker) -> None:
    """A change that waits for its second goes out before a clean stop."""
    bench.frame(workflow(version=1, phase="Running", progress="1/10"))
    bench.frame(workflow(version=2, phase="Running", progress="2/10"))
    bench.tracker.release_all()
    bench.run()
    assert broker.bodies(OWN)[-1]["progress"] == "20%"


def test_an_older_state_never_overwrites_a_newer_one(bench: Bench, broker: FakeBroker) -> None:
    """A lagging list or a repeated frame is not news."""
    bench.frame(workflow(version=9, phase="Succeeded"))
    bench.frame(workflow(version=8, phase="Running"))
    bench.list(workflow(version=7), starts_watch=False)
    bench.wait(2)
    assert phases(broker, OWN) == ["Succeeded"]


def test_a_failed_workflow_waits_for_its_failed_node(bench: Bench, broker: FakeBroker) -> None:
    """A failed end asks for the nodes once; the one message has the sentence and details.failedNode."""
    bench.frame(workflow(version=2, phase="Failed", message="child 'boil-1-2' failed", startedAt="s"))
    assert bench.open == {REF: True}
    assert broker.bodies(OWN) == []
    failed = workflow(version=2, phase="Failed", message="child 'boil-1-2' failed", startedAt="s", nodes=failed_nodes())
    bench.answer(REF, failed)
    bench.frame(workflow(version=3, phase="Failed", message="child 'boil-1-2' failed", startedAt="s"))
    bench.wait(5)
    (body,) = broker.bodies(OWN)
    assert body["message"] == 'step "measure" (template probe) failed with exit code 3'
    assert body["details"]["failedNode"]["exitCode"] == 3
    assert bench.open == {}


def test_a_failed_node_that_cannot_be_read_delays_the_message_two_seconds(bench: Bench, broker: FakeBroker) -> None:
    """With GET out of order the failure is told without its node, and again when the node is known."""
    bench.frame(workflow(version=2, phase="Failed", message="child 'x' failed", startedAt="s"))
    bench.wait(1.5)
    assert broker.bodies(OWN) == []
    bench.wait(1)
    assert broker.bodies(OWN)[0]["message"] == "child 'x' failed"
    bench.answer(REF, workflow(version=2, phase="Failed", startedAt="s", nodes=failed_nodes()))
    assert "exit code 3" in broker.bodies(OWN)[-1]["message"]


def test_absence_from_a_list_proves_nothing(bench: Bench, broker: FakeBroker) -> None:
    """A list without the workflow only asks: GET 200 keeps it, GET 404 clears it."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.list(starts_watch=False)
    bench.answer(REF, workflow(version=1, phase="Running"))
    assert OWN in broker.retained
    bench.list(starts_watch=True)
    bench.answer(REF, None)
    assert OWN not in broker.retained


def test_a_lagging_list_does_not_bring_back_the_dead(bench: Bench, broker: FakeBroker) -> None:
    """A periodic list that still shows a deleted workflow only asks."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.frame(workflow(version=2, phase="Running"), "DELETED")
    bench.list(workflow(version=1, phase="Running"), starts_watch=False)
    assert broker.retained == {}
    bench.answer(REF, None)
    assert broker.retained == {}


def test_an_answer_that_a_deletion_overtook_does_not_bring_back_the_dead(bench: Bench, broker: FakeBroker) -> None:
    """A GET that was answered before the DELETED frame came is not believed; a state after it is (a selector)."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.frame(workflow(version=3, phase="Running"), "DELETED")
    bench.handle(LookedUp(REF, workflow(version=2, phase="Running"), nodes=True))
    assert broker.retained == {}
    bench.frame(workflow(version=4, phase="Running"), "ADDED")
    assert set(broker.retained) == {OWN}


def test_only_get_tells_whether_an_archived_workflow_lives(bench: Bench, broker: FakeBroker) -> None:
    """`Persisted` in a list says nothing; from GET it says that the workflow is gone."""
    bench.frame(workflow(version=1, phase="Succeeded"))
    archived = workflow(version=1, phase="Succeeded", labels=PERSISTED)
    bench.list(archived, starts_watch=False)
    bench.answer(REF, workflow(version=1, phase="Succeeded"))
    assert OWN in broker.retained
    bench.list(archived, starts_watch=False)
    bench.answer(REF, archived)
    assert broker.retained == {}


def test_a_name_used_again_belongs_to_the_new_workflow(bench: Bench, broker: FakeBroker) -> None:
    """A second workflow of the same name takes the topic over, and the late end of the first does not clear it."""
    bench.frame(workflow(version=1, phase="Succeeded"))
    bench.frame(workflow(uid="u2", version=5, phase="Running", created="2026-11-24T15:00:00Z"))
    bench.frame(workflow(version=4, phase="Succeeded"), "DELETED")
    assert broker.bodies(OWN)[-1]["details"]["uid"] == "u2"
    bench.frame(workflow(version=3, phase="Running"))
    bench.wait(2)
    assert broker.bodies(OWN)[-1]["details"]["uid"] == "u2"
    assert next(iter(bench.store.rows.values())).uid == "u2"


def test_a_device_topic_shows_the_newest_workflow(bench: Bench, broker: FakeBroker) -> None:
    """The newest workflow that names it shows there; older ones update only their own; its end clears it."""
    old = {"name": "old", "uid": "u1", "annotations": NAMES_DEVICE}
    new = {"name": "new", "uid": "u2", "annotations": NAMES_DEVICE, "created": "2026-11-24T15:00:00Z"}
    bench.frame(workflow(**old, version=1, phase="Running"))
    bench.frame(workflow(**new, version=2, phase="Running"))
    bench.wait(2)
    bench.frame(workflow(**old, version=3, phase="Succeeded"))
    assert [body["workflowId"] for body in broker.bodies(DEVICE)] == ["old", "new"]
    bench.frame(workflow(**new, version=4), "DELETED")
    bench.frame(workflow(**old, version=5, phase="Running"))
    bench.wait(2)
    assert DEVICE not in broker.retained
    assert broker.bodies(TOPICS.status_of(NS, "old"))[-1]["status"] == "Running"


@pytest.mark.parametrize("topic", ["a/+/b", "a/#", "$SYS/x", "argo/workflows/trigger", "argo/bridge/plant-1/state", ""])
def test_a_topic_that_a_status_may_not_go_to_is_not_used(bench: Bench, broker: FakeBroker, topic: str) -> None:
    """Wildcards, $-topics and the interface's own topics are never published to, whatever the annotation says."""
    bench.frame(workflow(version=1, phase="Running", annotations={"argo-bridge/status-topic": topic}))
    assert {message.topic for message in broker.messages} == {OWN, STREAM}


def test_another_bridges_workflow_does_not_choose_a_topic(bench: Bench, broker: FakeBroker) -> None:
    """A followed workflow that is not ours shows in PREFIX/status only, and its event is not ours."""
    annotations = {**NAMES_DEVICE, "argo-bridge/event": EVENT}
    bench.frame(workflow(version=1, labels={"argo-bridge/bridge": "other"}, annotations=annotations))
    assert DEVICE not in broker.retained
    assert bench.events_seen == []


@pytest.mark.parametrize("is_answered_first", [False, True], ids=["by-the-watch", "by-a-get"])
def test_an_event_is_reported_once(bench: Bench, is_answered_first: bool) -> None:
    """The first frame of our workflow reports its event, and no later one: what came since with its id may be new.

    A DELETED of an unknown one does.
    """
    annotations = {"argo-bridge/event": EVENT}
    for version in range(1, 4):
        bench.frame(workflow(version=version, annotations=annotations))
    bench.list(starts_watch=False)
    if is_answered_first:
        bench.answer(REF, None)
    bench.frame(workflow(version=4, annotations=annotations), "DELETED")
    bench.frame(workflow(version=4, annotations=annotations), "DELETED")
    assert bench.events_seen == [(bytes.fromhex(EVENT), NS, "boil-1")]
    bench.frame(workflow("other", "u2", 9, annotations={"argo-bridge/event": "cd" * 32}), "DELETED")
    assert bench.events_seen[1:] == [(bytes.fromhex("cd" * 32), NS, "other")]


def restart(bench: Bench, broker: FakeBroker) -> Bench:
    bench.disconnect()
    return Bench(FakeTransport(broker), store=bench.store, clock=bench.clock)


def test_what_was_deleted_while_the_bridge_was_down_is_cleared(bench: Bench, broker: FakeBroker) -> None:
    """Rows whose workflow is not in the first list are asked for, and cleared on 404; a device's topic too."""
    bench.frame(workflow(version=1, phase="Succeeded", annotations=NAMES_DEVICE))
    assert set(broker.retained) == {OWN, DEVICE}
    after = restart(bench, broker)
    after.connect()
    after.list()
    assert set(broker.retained) == {OWN, DEVICE}
    after.answer(REF, None)
    after.wait(2)
    assert broker.retained == {}
    assert after.store.rows == {}


def test_a_restart_does_not_repeat_what_the_broker_holds(bench: Bench, broker: FakeBroker) -> None:
    """After a restart nothing is published that the broker already has, neither retained nor on the stream."""
    bench.frame(workflow(version=1, phase="Succeeded"))
    before = list(broker.messages)
    after = restart(bench, broker)
    after.connect()
    after.list(workflow(version=1, phase="Succeeded"))
    after.wait(3)
    assert broker.messages == before
    assert after.publisher.is_settled


def test_a_change_while_the_bridge_was_down_is_told_once(bench: Bench, broker: FakeBroker) -> None:
    """What changed meanwhile is retained and told on the stream after the start."""
    bench.frame(workflow(version=1, phase="Running"))
    after = restart(bench, broker)
    after.connect()
    after.list(workflow(version=2, phase="Succeeded"))
    after.wait(3)
    assert phases(broker, OWN) == phases(broker, STREAM) == ["Running", "Succeeded"]


def test_a_failed_workflow_needs_no_second_look_after_a_restart(bench: Bench, broker: FakeBroker) -> None:
    """What the retained message says of the failed node is believed, so a restart publishes nothing."""
    failed = {"version": 2, "phase": "Failed", "message": "child 'boil-1-2' failed", "startedAt": "s"}
    bench.frame(workflow(**failed))
    bench.answer(REF, workflow(**failed, nodes=failed_nodes()))
    before = list(broker.messages)
    after = restart(bench, broker)
    after.connect()
    after.list(workflow(**failed))
    after.wait(5)
    assert after.open == {}
    assert broker.messages == before


def test_our_own_retained_message_without_a_row_is_found(bench: Bench, broker: FakeBroker) -> None:
    """A spool that was lost does not leave a retained status behind: it is asked for and cleared."""
    bench.frame(workflow(version=1, phase="Running"))
    bench.disconnect()
    after = Bench(FakeTransport(broker), clock=bench.clock)
    after.connect()
    after.list()
    after.answer(REF, None)
    after.wait(2)
    assert broker.retained == {}


def test_a_namespace_that_is_not_followed_any_more_is_cleared(broker: FakeBroker) -> None:
    """A retained status that nobody would bring up to date is cleared without asking."""
    topic = TOPICS.status_of("left", "boil-1")
    broker.retained[topic] = b"{}"
    bench = Bench(FakeTransport(broker))
    bench.store.rows["plant", topic] = RetainedTopic("plant", topic, "left", "boil-1", "u1")
    again = restart(bench, broker)
    again.connect()
    again.wait(2)
    assert broker.retained == {}
    assert again.store.rows == {}


def test_a_row_of_a_connection_that_is_gone_stays(broker: FakeBroker) -> None:
    """What is retained on a connection that the config no longer has is kept in mind, and hurts nobody."""
    bench = Bench(FakeTransport(broker))
    bench.store.rows["old", OWN] = RetainedTopic("old", OWN, NS, "boil-1", "u1")
    again = restart(bench, broker)
    again.connect()
    again.list()
    assert ("old", OWN) in again.store.rows
    assert again.open == {}
