"""Statuses that other systems sent: shown over Argo's where they may be, kept where Argo knows nothing, and bounded."""

from __future__ import annotations

import pytest
from status_fakes import NS, STREAM, TOPICS, Bench, FakeBroker, FakeStore, FakeTransport, workflow

from bridge.core.model import WorkflowRef
from bridge.status.decided import external
from bridge.transports.base import Session

OWN = TOPICS.status_of(NS, "boil-1")
ASKED = WorkflowRef(NS, "boil-1")


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def bench(broker: FakeBroker) -> Bench:
    made = Bench(FakeTransport(broker))
    made.connect()
    made.list()
    made.wait(15, step_s=1.0)
    return made


def send(bench: Bench, name: str = "boil-1", **body: object) -> None:
    bench.store.send(name, **body)
    bench.handle(bench.tracker.updates_stored)


def shown(broker: FakeBroker) -> tuple[object, object, object]:
    last = broker.bodies(OWN)[-1]
    return last["status"], last["progress"], last["message"]


def test_progress_and_message_are_shown_until_argos_next_change(bench: Bench, broker: FakeBroker) -> None:
    """A running workflow shows what another system says, and Argo's own again once Argo says something new."""
    bench.frame(workflow(version=1, phase="Running", progress="0/2"))
    bench.wait(2)
    send(bench, progress="40%", message="filling")
    bench.wait(2)
    assert shown(broker) == ("Running", "40%", "filling")
    bench.frame(workflow(version=2, phase="Running", progress="0/2", conditions=[]))
    bench.wait(2)
    assert shown(broker) == ("Running", "40%", "filling")
    bench.frame(workflow(version=3, phase="Running", progress="1/2"))
    bench.wait(2)
    assert shown(broker) == ("Running", "50%", "")
    assert bench.store.updates == {}
    assert bench.metrics.value("external_statuses_total", outcome="applied") == 1


def test_what_it_leaves_out_is_argos(bench: Bench, broker: FakeBroker) -> None:
    """An update with a message alone leaves Argo's progress, and the other way round."""
    bench.frame(workflow(version=1, phase="Running", progress="1/2", message="argo's"))
    send(bench, message="filling")
    bench.wait(2)
    assert shown(broker) == ("Running", "50%", "filling")
    send(bench, progress="77%")
    bench.wait(2)
    assert shown(broker) == ("Running", "77%", "argo's")


def test_the_phase_is_argos_alone(bench: Bench, broker: FakeBroker) -> None:
    """Another phase is counted and not shown; the rest of the update is."""
    bench.frame(workflow(version=1, phase="Running"))
    send(bench, status="Failed", message="I think")
    bench.wait(2)
    assert shown(broker) == ("Running", "0%", "I think")
    assert bench.metrics.value("external_statuses_total", outcome="phase-ignored") == 1


def test_an_ended_workflow_is_left_as_it_is(bench: Bench, broker: FakeBroker) -> None:
    """Nothing is shown over an end."""
    bench.frame(workflow(version=1, phase="Succeeded"))
    before = list(broker.messages)
    send(bench, message="late")
    bench.wait(3)
    assert broker.messages == before
    assert bench.store.updates == {}
    assert bench.metrics.value("external_statuses_total", outcome="ended") == 1


def test_a_workflow_that_argo_does_not_know_is_retained_for_a_time(bench: Bench, broker: FakeBroker) -> None:
    """Once GET says 404 the status is retained, not on the stream, with its source; after external-keep it goes."""
    send(bench, keep_s=100, status="Succeeded", progress="100%", details={"line": 4})
    assert broker.messages == []
    bench.answer(ASKED, None)
    bench.wait(2)
    body = broker.bodies(OWN)[-1]
    assert body["status"] == "Succeeded"
    assert body["details"] == {"line": 4, "bridge": "plant-1", "source": "external"}
    assert broker.bodies(STREAM) == []
    bench.wait(90, step_s=1)
    assert OWN in broker.retained
    bench.wait(10, step_s=1)
    assert broker.retained == {}
    assert (bench.store.updates, bench.store.rows) == ({}, {})


def test_a_workflow_that_only_the_archive_knows_counts_as_unknown(bench: Bench, broker: FakeBroker) -> None:
    """GET answers from the archive: the workflow is gone, so what another system says of the name is retained."""
    send(bench, status="Running", message="again")
    archived = {"workflows.argoproj.io/workflow-archiving-status": "Persisted"}
    bench.answer(ASKED, workflow(version=5, phase="Succeeded", labels=archived))
    bench.wait(2)
    assert shown(broker) == ("Running", "0%", "again")
    assert broker.bodies(OWN)[-1]["details"]["source"] == "external"


def test_the_time_goes_on_over_a_restart(bench: Bench, broker: FakeBroker) -> None:
    """What was sent before a restart is still shown after it, published once, and expires when it should."""
    send(bench, keep_s=100)
    bench.answer(ASKED, None)
    bench.wait(50, step_s=1)
    after = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock)
    after.connect()
    after.list()
    after.answer(ASKED, None)
    after.wait(40, step_s=1)
    assert len(broker.bodies(OWN)) == 1
    after.wait(12, step_s=1)
    assert broker.retained == {}
    assert after.store.rows == {}


def test_a_status_that_goes_back_to_what_it_was_is_shown_again(bench: Bench, broker: FakeBroker) -> None:
    """Right after a start too, when it is what the broker had delivered as retained."""
    send(bench, message="first")
    bench.answer(ASKED, None)
    bench.wait(2)
    after = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock)
    after.connect()
    after.list()
    for message in ("second", "first"):
        send(after, message=message)
        after.answer(ASKED, None)
        after.wait(2)
        assert shown(broker)[2] == message


def test_argo_away_decides_nothing(bench: Bench, broker: FakeBroker) -> None:
    """Before the first list and the answer of GET nothing is shown; what is shown then is the newest."""
    fresh = Bench(FakeTransport(broker), clock=bench.clock)
    fresh.connect()
    send(fresh, message="first")
    send(fresh, message="second")
    fresh.wait(5)
    assert broker.messages == []
    assert fresh.open == {}
    fresh.list()
    fresh.answer(ASKED, None)
    fresh.wait(2)
    assert [body["message"] for body in broker.bodies(OWN)] == ["second"]


def test_another_bridges_workflow_is_left_to_it(bench: Bench, broker: FakeBroker) -> None:
    """A workflow that Argo has and this bridge does not follow is shown by nobody here."""
    send(bench)
    bench.answer(ASKED, workflow(version=5, phase="Running", labels={"argo-bridge/bridge": "plant-2"}))
    bench.wait(2)
    assert broker.messages == []
    assert bench.store.updates == {}
    assert bench.metrics.value("external_statuses_total", outcome="not-followed") == 1


def test_a_workflow_that_comes_after_its_status_takes_the_topic(bench: Bench, broker: FakeBroker) -> None:
    """What was said of an unknown name gives way to the workflow of that name, and goes with it."""
    send(bench, status="Succeeded", message="of the past")
    bench.answer(ASKED, None)
    bench.wait(2)
    bench.frame(workflow(version=1, phase="Running"), "ADDED")
    bench.wait(2)
    assert shown(broker) == ("Running", "0%", "")
    bench.frame(workflow(version=2), "DELETED")
    assert broker.retained == {}
    assert (bench.store.updates, bench.store.rows) == ({}, {})


def test_a_status_that_came_before_its_workflow_was_seen_is_applied(bench: Bench, broker: FakeBroker) -> None:
    """A device may be faster than the watch: its update waits for the workflow's first frame."""
    send(bench, progress="10%")
    bench.frame(workflow(version=1, phase="Running"), "ADDED")
    bench.answer(ASKED, workflow(version=1, phase="Running"))
    bench.wait(2)
    assert shown(broker) == ("Running", "10%", "")


def test_a_lost_spool_leaves_no_external_status_behind(bench: Bench, broker: FakeBroker) -> None:
    """What is retained as external and has no row any more is found, asked for, and cleared."""
    send(bench)
    bench.answer(ASKED, None)
    bench.wait(2)
    after = Bench(FakeTransport(broker), clock=bench.clock)
    after.connect()
    after.list()
    after.answer(ASKED, None)
    after.wait(2)
    assert broker.retained == {}


def test_a_broker_that_lost_it_gets_it_again(bench: Bench, broker: FakeBroker) -> None:
    """An external status is mended after an outage like any other."""
    send(bench)
    bench.answer(ASKED, None)
    bench.wait(300, step_s=10)
    was = dict(broker.retained)
    bench.disconnect()
    broker.retained.clear()
    bench.connect(session=Session.RESUMED)
    bench.wait(3)
    assert broker.retained == was


def test_a_flood_of_unknown_names_is_bounded(bench: Bench, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the bound the status that expires first goes, from the broker and the spool too."""
    monkeypatch.setattr(external, "MAX_EXTERNAL", 5)
    for number in range(8):
        send(bench, f"w-{number}", keep_s=1000 + number)
        for ref in list(bench.open):
            bench.answer(ref, None)
        bench.wait(2)
    assert set(broker.retained) == {TOPICS.status_of(NS, f"w-{number}") for number in range(3, 8)}
    assert len(bench.store.updates) == len(bench.store.rows) == 5
    assert bench.metrics.value("external_statuses_total", outcome="dropped") == 3


def test_large_statuses_are_bounded_in_bytes(
    bench: Bench, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However few there are, their bytes have a bound; what goes is told; an update of a known name counts once."""
    monkeypatch.setattr(external, "MAX_EXTERNAL_BYTES", 100_000)
    for number in range(12):
        send(bench, f"w-{number}", keep_s=1000 + number, details={"text": "x" * 24_000})
        send(bench, f"w-{number}", keep_s=1000 + number, details={"text": "y" * 24_000})
        for ref in list(bench.open):
            bench.answer(ref, None)
        bench.wait(2)
    assert set(broker.retained) == {TOPICS.status_of(NS, f"w-{number}") for number in range(8, 12)}
    assert sum(len(row.body) for row in bench.store.updates.values()) < 100_000
    assert bench.metrics.value("external_statuses_total", outcome="dropped") == 8
    assert sum("some are removed early" in record.message for record in caplog.records) == 1


def test_a_namespace_that_is_not_followed_any_more_is_not_shown(bench: Bench, broker: FakeBroker) -> None:
    """An update that was stored for a namespace of an earlier configuration is dropped."""
    send(bench, namespace="left")
    bench.wait(2)
    assert broker.messages == []
    assert bench.store.updates == {}


def test_a_spool_that_cannot_be_read_is_read_later(broker: FakeBroker) -> None:
    """While the spool fails nothing is lost: updates are taken up when it is back."""
    store = FakeStore()
    bench = Bench(FakeTransport(broker), store=store)
    store.broken = True
    bench.connect()
    bench.list()
    send(bench)
    bench.wait(5)
    assert bench.open == {}
    store.broken = False
    bench.wait(5)
    assert bench.open == {ASKED: False}
