"""Reports: what they count, when they are told, what a restart leaves of them; and notices."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from status_fakes import NS, OWN_ONLY, TOPICS, Bench, FakeBroker, FakeStore, FakeTransport, failed_nodes, workflow

from bridge.core.clock import rfc3339
from bridge.core.model import WorkflowRef
from bridge.interface.status import Notice, NoticeKind, StatusRequests
from bridge.spool.records import RetainedTopic
from bridge.status.decided.windows import SLICES, Window
from bridge.status.seen.sources import FollowedWorkflows
from tests.support.clock import FakeClock

REPORT = TOPICS.report_of(NS)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def ready(
    broker: FakeBroker, *, store: FakeStore | None = None, clock: FakeClock | None = None, **more: object
) -> Bench:
    made = Bench(FakeTransport(broker), store=store, clock=clock, **more)
    made.connect()
    made.list()
    made.wait(6, step_s=1.0)
    return made


def ended(bench: Bench, name: str, version: int, took_s: int, phase: str = "Succeeded") -> None:
    """A workflow that ended just now."""
    now = bench.clock.wall_s()
    times = {"startedAt": rfc3339(now - took_s), "finishedAt": rfc3339(now)}
    bench.frame(workflow(name, f"u-{name}", version, phase=phase, **times))


def test_a_report_counts_by_phase_and_mapping(broker: FakeBroker) -> None:
    """Living workflows by phase and mapping; ends of the hour and the day with their rate and durations."""
    bench = ready(broker, reports=True)
    bench.frame(workflow("a", "u-a", 1, phase="Running"))
    bench.frame(workflow("b", "u-b", 2, annotations={"argo-bridge/mapping": ""}))
    for number in range(9):
        ended(bench, f"c-{number}", 10 + number, took_s=10 + number)
    ended(bench, "d", 30, took_s=60, phase="Failed")
    bench.wait(8, step_s=1.0)
    report = broker.bodies(REPORT)[-1]
    assert report["bridge"] == "plant-1"
    assert report["workflows"] == {"Pending": 1, "Running": 1, "Succeeded": 9, "Failed": 1, "Error": 0}
    assert report["mappings"] == {"boiler": {"Running": 1, "Succeeded": 9, "Failed": 1}}
    expected = {"ended": 10, "succeeded": 9, "failed": 1, "successRate": 0.9, "p50Seconds": 14, "p95Seconds": 60}
    assert report["lastHour"] == report["lastDay"] == expected


def test_ends_leave_the_hour_and_then_the_day(broker: FakeBroker) -> None:
    """A deletion takes a workflow out of the counts; its end stays until its time is over."""
    bench = ready(broker, reports=True)
    ended(bench, "a", 1, took_s=5)
    bench.frame(workflow("a", "u-a", 2, phase="Succeeded", startedAt=rfc3339(0)), "DELETED")
    bench.wait(30, step_s=1.0)
    report = broker.bodies(REPORT)[-1]
    assert sum(report["workflows"].values()) == 0
    bench.wait(2 * 3600, step_s=60.0)
    report = broker.bodies(REPORT)[-1]
    assert (report["lastHour"]["ended"], report["lastHour"]["successRate"]) == (0, None)
    assert report["lastDay"]["ended"] == 2  # a second run ended with the deletion: another startedAt
    bench.wait(24 * 3600, step_s=300.0)
    assert broker.bodies(REPORT)[-1]["lastDay"]["ended"] == 0


def test_a_busy_report_is_told_every_few_seconds_and_a_quiet_one_not_at_all(broker: FakeBroker) -> None:
    """A hundred changes in ten seconds are few messages, the last of them true; then there is silence."""
    bench = ready(broker, reports=True)
    before = len(broker.bodies(REPORT))
    for number in range(100):
        bench.frame(workflow(f"w-{number}", f"u-{number}", number, phase="Running"))
        bench.wait(0.1)
    bench.wait(6)
    told = broker.bodies(REPORT)[before:]
    assert len(told) <= 4
    assert told[-1]["workflows"]["Running"] == 100
    bench.wait(600, step_s=5.0)
    assert len(broker.bodies(REPORT)) == before + len(told)


def test_a_restart_counts_the_ends_that_argo_lists(broker: FakeBroker) -> None:
    """Ends before the restart count by their finishedAt, once; what ended long ago does not."""
    bench = ready(broker)
    now = bench.clock.wall_s()
    items = [
        workflow(name, name, 1, phase="Succeeded", startedAt=rfc3339(now - ago - 7), finishedAt=rfc3339(now - ago))
        for name, ago in (("a", 60), ("b", 7200), ("c", 200_000))
    ]
    after = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock, reports=True)
    after.connect()
    after.list(*items)
    after.list(*items)
    after.wait(2)
    report = broker.bodies(REPORT)[-1]
    assert (report["lastHour"]["ended"], report["lastDay"]["ended"]) == (1, 2)
    assert report["workflows"]["Succeeded"] == 3


def test_a_wall_clock_in_1970_counts_ends_as_of_now(broker: FakeBroker) -> None:
    """Argo's times are then far ahead; they are no reason to lose an end, or to keep it for 50 years."""
    bench = ready(broker, clock=FakeClock(wall_s=30.0), reports=True)
    bench.frame(workflow("a", "u-a", 1, phase="Succeeded", startedAt=rfc3339(1.7e9), finishedAt=rfc3339(1.7e9 + 9)))
    bench.wait(8, step_s=1.0)
    assert broker.bodies(REPORT)[-1]["lastHour"]["p50Seconds"] == 9
    bench.wait(2 * 3600, step_s=60.0)
    assert broker.bodies(REPORT)[-1]["lastHour"]["ended"] == 0


def test_a_report_is_retained_like_a_status(broker: FakeBroker) -> None:
    """It has a row; a namespace that is not followed any more has none after the next start."""
    bench = ready(broker, reports=True)
    assert set(broker.retained) == {REPORT}
    left = TOPICS.report_of("left")
    broker.retained[left] = b"{}"
    bench.store.rows["plant", left] = RetainedTopic("plant", left, "left", "", "")
    after = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock, reports=True)
    after.connect()
    after.list()
    after.wait(3)
    assert set(broker.retained) == {REPORT}


def test_hundreds_of_mappings_fit_the_brokers_limit(broker: FakeBroker) -> None:
    """Over the largest packet the mappings give way, and it is said."""
    bench = ready(broker, reports=True)
    for number in range(300):
        bench.frame(workflow(f"w-{number}", f"u-{number}", number, annotations={"argo-bridge/mapping": f"m-{number}"}))
    bench.wait(8, step_s=1.0)
    assert len(broker.bodies(REPORT)[-1]["mappings"]) == 200
    bench.transports["plant"].max_publish_bytes = 1024
    bench.frame(workflow("more", "u-more", 999))
    bench.wait(8, step_s=1.0)
    report = broker.bodies(REPORT)[-1]
    assert (report["mappings"], report["truncated"]) == ({}, True)


def test_a_report_fits_a_limit_that_is_known_later(broker: FakeBroker) -> None:
    """Argo may be listed before the broker tells its largest packet; then each broker gets what fits it."""
    small = FakeBroker()
    bench = Bench(FakeTransport(broker), FakeTransport(small, "tight"), reports=True)
    bench.list(*(workflow(f"w-{n}", f"u-{n}", n, annotations={"argo-bridge/mapping": f"m-{n}"}) for n in range(100)))
    bench.transports["tight"].max_publish_bytes = 1024
    for name in bench.transports:
        bench.connect(name)
    bench.wait(3)
    assert len(orjson.loads(broker.retained[REPORT])["mappings"]) == 100
    assert len(small.retained[REPORT]) <= 1024
    report = orjson.loads(small.retained[REPORT])
    assert (report["workflows"]["Pending"], report["mappings"], report["truncated"]) == (100, {}, True)
    before = [len(one.bodies(REPORT)) for one in (broker, small)]
    bench.wait(600, step_s=5.0)
    assert [len(one.bodies(REPORT)) for one in (broker, small)] == before


@given(st.lists(st.tuples(st.floats(0, 7200), st.integers(0, 10**6)), min_size=1, max_size=50))
def test_a_window_holds_the_last_hour_within_a_slice(ends: list[tuple[float, int]]) -> None:
    """Whatever ends come in whatever order: what is surely inside counts, what is surely outside does not."""
    window, now = Window(3600.0), 10_000.0
    for ago, took_s in ends:
        window.add(now - ago, now, succeeded=True, duration_s=took_s)
    summary = window.summary(now)
    slice_s = 3600 / SLICES
    assert sum(ago < 3600 - slice_s for ago, _ in ends) <= summary["ended"] <= sum(ago <= 3600 for ago, _ in ends)
    inside = [took_s for ago, took_s in ends if ago <= 3600]
    if summary["ended"]:
        assert 0.97 * min(inside) <= summary["p50Seconds"] <= summary["p95Seconds"] <= 1.03 * max(inside)


FAILURES, ENDS, OF_BOILERS = "alarms/failed", "log/ended", "alarms/boilers"


@pytest.fixture
def told(broker: FakeBroker) -> Bench:
    """A bridge with two topics for all, and one for the failures of a mapping."""
    notices = (Notice(topic=FAILURES), Notice(topic=ENDS, on=NoticeKind.ENDED))
    own = StatusRequests(notices=(Notice(topic=OF_BOILERS),))
    follow = FollowedWorkflows("plant-1", (NS,), OWN_ONLY.selector, notices, lambda name, _: own)
    return ready(broker, follow=follow)


def notes(broker: FakeBroker) -> dict[str, list[object]]:
    return {
        topic: [body["workflowId"] for body in broker.bodies(topic)]
        for topic in (FAILURES, ENDS, OF_BOILERS)
        if broker.bodies(topic)
    }


def test_notices_are_told_of_ends_only(told: Bench, broker: FakeBroker) -> None:
    """One message an end, with the whole status, not retained; failures where only those are wanted."""
    told.frame(workflow("good", "u1", 1, phase="Running"))
    told.wait(2)
    told.frame(workflow("good", "u1", 2, phase="Succeeded"))
    assert notes(broker) == {ENDS: ["good"]}
    bad = {"phase": "Failed", "startedAt": "s", "message": "child 'bad-2' failed"}
    told.frame(workflow("bad", "u2", 3, **bad))
    told.answer(WorkflowRef(NS, "bad", "u2"), workflow("bad", "u2", 3, nodes=failed_nodes("bad"), **bad))
    assert notes(broker) == {ENDS: ["good", "bad"], FAILURES: ["bad"], OF_BOILERS: ["bad"]}
    assert not {FAILURES, ENDS, OF_BOILERS} & set(broker.retained)
    assert broker.bodies(FAILURES)[0]["details"]["failedNode"]["exitCode"] == 3


@pytest.mark.parametrize(
    ("bridge", "mapping", "topics"),
    [
        ("plant-1", "boiler", {FAILURES, ENDS, OF_BOILERS}),
        ("plant-2", "boiler", {FAILURES, ENDS}),
        ("plant-1", "", {FAILURES, ENDS}),
        ("", "boiler", {FAILURES, ENDS}),
    ],
)
def test_a_mapping_is_told_of_its_own_workflows_alone(
    told: Bench, broker: FakeBroker, bridge: str, mapping: str, topics: set[str]
) -> None:
    """Another bridge has a mapping of that name too: what ours wants is not for its workflows, nor for anybody's."""
    whose = {"labels": {"argo-bridge/bridge": bridge}, "annotations": {"argo-bridge/mapping": mapping}}
    bad = {"phase": "Failed", "startedAt": "s", "message": "Stopped with strategy 'Stop'"}
    told.frame(workflow("bad", "u2", 3, **bad, **whose))
    told.wait(5)
    assert set(notes(broker)) == topics


def test_an_end_is_told_once_a_run(told: Bench, broker: FakeBroker) -> None:
    """Later changes of an ended workflow are no second end; a retry that ends is."""
    for version in (1, 2):
        told.frame(workflow("a", "u1", version, phase="Succeeded", startedAt="s", message=f"m{version}"))
        told.wait(2)
    assert notes(broker) == {ENDS: ["a"]}
    told.frame(workflow("a", "u1", 3, phase="Succeeded", startedAt="later"))
    assert notes(broker) == {ENDS: ["a", "a"]}


def test_notices_wait_for_the_broker_and_survive_a_restart_once(told: Bench, broker: FakeBroker) -> None:
    """An end while the broker was away is told later; one that was told before a restart is not told again."""
    told.disconnect()
    told.frame(workflow("a", "u1", 1, phase="Succeeded", startedAt="s"))
    told.connect()
    told.wait(2)
    assert notes(broker) == {ENDS: ["a"]}
    after = Bench(FakeTransport(broker), store=told.store, clock=told.clock, follow=told.follow)
    after.connect()
    after.list(
        workflow("a", "u1", 1, phase="Succeeded", startedAt="s"),
        workflow("b", "u2", 2, phase="Succeeded", startedAt="s"),
    )
    after.wait(3)
    assert notes(broker) == {ENDS: ["a", "b"]}


def test_notices_of_workflows_that_went_unsent_do_not_pile_up(told: Bench) -> None:
    """With the broker away, ends of deleted workflows are kept for the last thousand messages only."""
    told.disconnect()
    for number in range(1500):
        told.frame(workflow(f"w-{number}", f"u-{number}", number, phase="Succeeded"))
        told.frame(workflow(f"w-{number}", f"u-{number}", number, phase="Succeeded"), "DELETED")
    assert len(told.publisher._values) <= 1000
