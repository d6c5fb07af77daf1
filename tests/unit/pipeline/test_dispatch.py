"""One event, one workflow, whatever Argo answers; and no turn of the loop for nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from dispatch_fakes import ASKED, DispatchBench, asked, hexed
from pipeline_fakes import event

from bridge.argo.gate import GateOptions
from bridge.core.errors import PermanentError
from bridge.core.model import ReplyAddress, WorkflowOrder
from bridge.pipeline.dispatch.dispatcher import EXPIRY_PAGE
from bridge.spool.records import Postponed


@pytest.fixture
def bench(tmp_path: Path) -> DispatchBench:
    """A dispatcher that has not taken a turn yet."""
    return DispatchBench(tmp_path)


def test_a_row_becomes_a_workflow_and_its_sender_is_told(bench: DispatchBench) -> None:
    """Created once, marked done, answered, and whoever sends the outbox is called."""
    bench.store(asked(1), event(2))
    bench.run_until_ended()
    assert bench.argo.created == {hexed(1): 1, hexed(2): 1}
    assert bench.replies() == {"replies/1": [{"status": "Workflow triggered successfully", "workflowId": "w-1"}]}
    assert bench.outbox_calls == 1
    assert bench.reasons() == {}


def test_a_workflow_says_whose_it_is(bench: DispatchBench) -> None:
    """Label and annotations name the bridge, the event, the mapping, the topic and the connection."""
    bench.store(event(1, status_topic="sensors/a/workflow"))
    bench.run_until_ended()
    metadata = bench.argo.workflows["w-1"]
    assert metadata["labels"]["argo-bridge/bridge"] == "plant-1"
    assert metadata["annotations"] == {
        "argo-bridge/event": hexed(1),
        "argo-bridge/mapping": "m",
        "argo-bridge/topic": "sensors/a",
        "argo-bridge/connection": "plant",
        "argo-bridge/status-topic": "sensors/a/workflow",
    }


@pytest.mark.parametrize("fate", ["cut after", "504 after", "not-argo after"])
def test_a_create_whose_answer_is_lost_is_not_repeated(bench: DispatchBench, fate: str) -> None:
    """The name is looked up first; it is ours, so the row is done."""
    bench.argo.script.extend(["ok", fate])
    bench.store(asked(1))
    bench.run_until_ended()
    assert bench.argo.created == {hexed(1): 1}
    assert bench.posts() == 1
    assert list(bench.replies()["replies/1"][0]) == ["status", "workflowId"]


def test_a_crash_after_the_create_makes_no_second_workflow(bench: DispatchBench) -> None:
    """What the process knew is gone: the create is answered 409, the look-up says that it is ours."""
    bench.argo.script.extend(["ok", "cut after"])
    bench.store(asked(1))
    bench.step(3)
    assert bench.waiting == 1
    bench.restart()
    bench.run_until_ended()
    assert bench.argo.created == {hexed(1): 1}
    assert bench.posts() <= 2
    assert bench.reasons() == {}


def test_a_name_that_another_has_is_refused(bench: DispatchBench) -> None:
    """Permanent, with the name in the sentence and code 409."""
    bench.argo.script.extend(["ok", "theirs"])
    bench.store(asked(1))
    bench.run_until_ended()
    assert bench.reasons() == {"name-taken": 1}
    assert bench.argo.created == {}
    assert "already exists" in bench.replies()["replies/1"][0]["error"]


def test_a_request_is_told_at_once_and_a_mapping_waits(bench: DispatchBench) -> None:
    """A missing template is an error for the sender; for a mapping it is a cause, at last with a probe a minute."""
    bench.argo.script.extend(["ok", *["no template"] * 100])
    bench.store(asked(1), *(event(number, "bad") for number in range(2, 7)))
    bench.run_s(120)
    posts = bench.posts()
    bench.run_s(600)
    assert 9 <= bench.posts() - posts <= 15
    assert bench.reasons() == {"template-not-found": 1}
    assert "error" in bench.replies()["replies/1"][0]
    assert 'workflowtemplates.argoproj.io "t" not found' in bench.dispatcher.causes["bad"]


def test_one_lanes_trouble_holds_up_no_other(bench: DispatchBench) -> None:
    """While one mapping waits for its template the others are submitted, and it goes on at the next probe."""
    bench.argo.script.extend(["ok", "no template"])
    bench.store(event(1, "bad"))
    bench.step(2)
    bench.store(*(event(number, "good") for number in range(2, 52)), event(99, "bad"))
    while len(bench.argo.created) < 50:
        bench.step()
    assert list(bench.dispatcher.causes) == ["bad"]
    bench.run_s(5)
    assert bench.waiting == 0
    assert bench.dispatcher.causes == {}


@pytest.mark.parametrize("change", ["token", "told", "success elsewhere"])
def test_a_change_lets_a_waiting_mapping_try_at_once(bench: DispatchBench, change: str) -> None:
    """After an hour of refusals, a new token, a hint from elsewhere or another mapping's success is not waited out."""
    bench.argo.otherwise, bench.argo.spares_version = "401", True
    bench.store(event(1, "a"), event(2, "b"))
    bench.run_s(3600)
    bench.argo.otherwise = "ok"
    if change == "token":
        bench.exchanges.token_renewals += 1
    elif change == "told":
        bench.dispatcher.changed()
    else:
        while bench.waiting == 2:
            bench.step()
    bench.run_s(1.2)
    assert bench.waiting == 0


def test_a_mapping_that_waits_is_not_tried_at_each_success_elsewhere(bench: DispatchBench) -> None:
    """Only what may have changed something is a reason to try before the time."""
    bench.store(event(1, "bad"))
    bench.argo.script.extend(["ok", "401"])
    bench.step(2)
    assert bench.dispatcher.causes
    bench.argo.otherwise = "ok"
    bench.argo.poison.add("w-1")
    for number in range(2, 42):
        bench.store(event(number, "good"))
        bench.step()
    assert bench.posts() - len(bench.argo.created) == 1


def test_a_manifest_that_the_cluster_does_not_know_is_refused_before_it_is_sent(bench: DispatchBench) -> None:
    """Checked by what the cluster runs now: dead-lettered with the findings, nothing is sent."""

    def refuse(_order: WorkflowOrder) -> None:
        raise PermanentError("Invalid workflow definition for Argo 9", code="invalid-workflow", details=({"at": 1},))

    bench.schema.check = refuse
    bench.store(asked(1))
    bench.run_until_ended()
    assert bench.posts() == 0
    assert bench.replies()["replies/1"] == [{"error": "Invalid workflow definition for Argo 9", "details": [{"at": 1}]}]
    assert bench.schema.versions == ["v4.1.2"]


def test_a_rows_surprise_ends_no_thread(bench: DispatchBench) -> None:
    """An unexpected exception is that row's: dead-lettered, reported, answered; the next row is submitted."""

    def broken(order: WorkflowOrder) -> None:
        if order.name == "w-1":
            raise RuntimeError("boom")

    bench.schema.check = broken
    bench.store(asked(1), event(2))
    bench.run_until_ended()
    assert bench.argo.created == {hexed(2): 1}
    assert bench.reasons() == {"internal-error": 1}
    assert bench.metrics.value("internal_errors_total", where="dispatch") == 1
    assert len(list(bench.folder.glob("report-*-dispatch.json"))) == 1
    assert "unexpected error" in bench.replies()["replies/1"][0]["error"]


def test_an_event_that_argo_has_is_done(bench: DispatchBench) -> None:
    """What the watch saw needs no request; its sender is answered with success."""
    bench.store(asked(1))
    bench.dispatcher.event_seen(event(1).id)
    bench.dispatcher.event_seen(event(77).id)
    bench.run_until_ended()
    assert bench.posts() == 0
    assert bench.replies()["replies/1"][0]["workflowId"] == "w-1"


def test_a_workflow_that_came_and_went_is_not_created_again(bench: DispatchBench) -> None:
    """The create's answer is lost, the workflow is deleted meanwhile, but the watch saw it: done, not created twice."""
    bench.argo.script.extend(["ok", "deleted"])
    bench.store(event(1))
    bench.step(1)
    bench.exchanges.is_holding = True
    bench.step(2)
    bench.dispatcher.event_seen(event(1).id)
    bench.step(1)
    bench.exchanges.is_holding = False
    bench.run_until_ended()
    assert bench.argo.created == {hexed(1): 1}


def test_an_event_seen_while_its_row_is_being_postponed_is_done(bench: DispatchBench) -> None:
    """Seen between the answer and the commit of its postponement: done after that commit, not forgotten."""
    bench.argo.script.extend(["ok", "deleted"])
    bench.store(event(1), event(2))
    bench.step(1)
    bench.exchanges.at_most = 1
    bench.step(1)
    assert bench.settlement.seqs
    bench.exchanges.is_holding = True
    bench.dispatcher.event_seen(event(1).id)
    bench.step(3)
    bench.exchanges.is_holding = False
    bench.run_until_ended()
    assert bench.argo.created == {hexed(1): 1, hexed(2): 1}
    assert bench.reasons() == {}


def test_a_row_is_dead_lettered_when_its_time_is_over(bench: DispatchBench) -> None:
    """An error reply and a dead letter, not a late run."""
    bench.argo.script.extend(["ok"] + ["unreachable"] * 50)
    bench.store(asked(1, max_age_s=20.0), event(2, max_age_s=500.0))
    bench.run_s(25)
    assert bench.reasons() == {"expired": 1}
    assert bench.replies()["replies/1"][0]["error"] == "it was not submitted before it expired"
    bench.argo.script.clear()
    bench.run_until_ended()
    assert bench.argo.created == {hexed(2): 1}


def test_no_expired_row_of_a_large_backlog_runs_late(bench: DispatchBench) -> None:
    """More rows than one pass looks at have expired: none of them is submitted meanwhile."""
    bench.store(*(event(number, max_age_s=5.0) for number in range(1, 1001)))
    bench.clock.advance(10)
    bench.run_until_ended()
    assert bench.posts() == 0
    assert bench.reasons() == {"expired": 1000}


@pytest.mark.parametrize("restarted", [False, True])
def test_nobody_is_told_expired_of_a_workflow_that_runs(bench: DispatchBench, restarted: bool) -> None:
    """A row whose create may have happened is looked up before it is called expired, after a restart too."""
    bench.argo.script.extend(["ok", "504 after"])
    bench.store(asked(1, max_age_s=2.0))
    bench.step(4)
    bench.clock.advance(10)
    if restarted:
        bench.restart()
    bench.run_until_ended()
    assert bench.replies()["replies/1"][0]["workflowId"] == "w-1"
    assert bench.posts() == 1


def test_a_row_that_is_due_when_its_time_is_over_is_looked_up(bench: DispatchBench) -> None:
    """Between two looks for expired rows, too, what was tried before is looked up and not called expired."""
    bench.store(asked(1, max_age_s=0.5))
    (row,) = bench.spool.real.waiting(ASKED, 0, 1)
    bench.spool.real.settle([], [Postponed(row.seq, 1, bench.spool.real.age.now_s() + 0.6)])
    bench.argo.workflows["w-1"] = {"name": "w-1", "annotations": {"argo-bridge/event": hexed(1)}}
    bench.restart()
    bench.run_until_ended()
    assert bench.replies()["replies/1"][0]["workflowId"] == "w-1"


def test_rows_that_cannot_be_looked_up_yet_hide_no_expired_one(bench: DispatchBench) -> None:
    """Argo is away, and more than a page of expired rows may have been created: others expire all the same."""
    bench.argo.otherwise = "unreachable"
    bench.store(*(event(number, max_age_s=1.0) for number in range(1, EXPIRY_PAGE + 50)), asked(999, max_age_s=2.0))
    rows = bench.spool.real.waiting("m", 0, 1000)
    bench.spool.real.settle([], [Postponed(row.seq, 1, 1e6) for row in rows])
    bench.restart()
    bench.run_s(10)
    assert bench.reasons() == {"expired": 1}
    assert "replies/999" in bench.replies()


def test_a_row_that_may_have_been_created_and_was_not_expires(bench: DispatchBench) -> None:
    """The look-up proves that it does not exist: expired, and not created late."""
    bench.argo.script.extend(["ok", "500"])
    bench.store(asked(1, max_age_s=2.0))
    bench.step(4)
    bench.clock.advance(10)
    bench.run_until_ended()
    assert bench.reasons() == {"expired": 1}
    assert bench.argo.created == {}


def test_attempts_outlast_a_restart(bench: DispatchBench) -> None:
    """A row's own backoff goes on where it was."""
    bench.argo.otherwise, bench.argo.spares_version = "cut", True
    bench.store(event(1))
    bench.run_s(60)
    (before,) = bench.spool.real.due("m", 1e12, 1)
    bench.restart()
    bench.run_s(120)
    (after,) = bench.spool.real.due("m", 1e12, 1)
    assert 3 <= before.attempts < after.attempts <= before.attempts + 5


def test_rows_of_an_order_key_run_one_after_the_other(bench: DispatchBench) -> None:
    """At most one of a key is in flight; they are created in order of arrival."""
    bench.store(*(event(number, order_key="m:boiler") for number in range(1, 6)))
    bench.run_until_ended()
    assert list(bench.argo.workflows) == [f"w-{number}" for number in range(1, 6)]
    assert bench.exchanges.most_started == 1


def test_submissions_are_bounded_by_the_gate(bench: DispatchBench) -> None:
    """No more in flight than the gate lets, whatever waits."""
    bench.store(*(event(number) for number in range(1, 501)))
    bench.step(2)
    assert bench.exchanges.most_started <= GateOptions().start_in_flight
    bench.run_until_ended()
    assert len(bench.argo.created) == 500


def test_the_version_is_asked_for_again_after_an_outage(bench: DispatchBench) -> None:
    """Argo may have been upgraded while it was away."""
    bench.argo.script.extend(["ok", "unreachable"])
    bench.store(event(1))
    bench.run_until_ended()
    assert bench.schema.versions == ["v4.1.2", "v4.1.2"]


# Turns of the loop: where nothing can be done, time must pass.


def test_an_idle_dispatcher_turns_once_a_second(bench: DispatchBench) -> None:
    """No rows: a turn a second."""
    bench.step(3)
    assert bench.run_s(100) <= 101


@pytest.mark.parametrize("fate", ["unreachable", "500", "429", "401", "modified"])
def test_a_day_without_argo_is_a_day_of_probes(bench: DispatchBench, fate: str) -> None:
    """Gate closed, rows due and waiting: a few turns a second at most, not a spinning loop."""
    bench.argo.script.extend(["ok", *["500"] * 6])
    bench.argo.otherwise = fate
    bench.argo.spares_version = fate == "500"
    bench.store(*(event(number, f"lane-{number % 5}") for number in range(1, 51)))
    bench.run_s(60)
    assert bench.run_s(600) < 600 * 4
    assert bench.waiting == 50


def test_a_lane_whose_probe_is_under_way_does_not_spin(bench: DispatchBench) -> None:
    """The lane's time is over, but its answer must come first."""
    bench.argo.script.extend(["ok", "no template"])
    bench.store(event(1, "bad"), event(2, "bad"))
    bench.run_s(30)
    bench.argo.script.extend(["no template"] * 10)
    bench.run_s(31)
    bench.exchanges.is_holding = True
    bench.run_s(100)
    assert bench.run_s(100) <= 101


def test_a_full_window_does_not_spin(bench: DispatchBench) -> None:
    """Rows wait and every request is under way: an answer must come first."""
    bench.store(*(event(number) for number in range(1, 100)))
    bench.step(1)
    bench.exchanges.is_holding = True
    assert bench.run_s(100) <= 110


@pytest.mark.parametrize("method", ["waiting", "due", "next_due_s", "settle", "expired", "find_waiting"])
def test_a_failing_spool_is_tried_five_times_a_second(bench: DispatchBench, method: str) -> None:
    """Whatever of it fails: no spinning, and all goes on when it can be used again; nothing twice."""
    bench.store(asked(1), event(2))
    bench.step(1)
    bench.dispatcher.event_seen(event(3).id)
    bench.spool.failing = {method}
    assert bench.run_s(100) <= 100 * 11
    assert bench.spool.calls.count(method) <= 100 * 6
    bench.spool.failing = set()
    bench.run_until_ended()
    assert bench.argo.created == {hexed(1): 1, hexed(2): 1}
    assert len(bench.replies()["replies/1"]) == 1


def test_a_stop_starts_nothing_and_waits_without_spinning(bench: DispatchBench) -> None:
    """While the last answers are awaited, waiting rows neither start nor make the loop spin."""
    bench.store(event(1))
    bench.step(1)
    bench.exchanges.is_holding = True
    bench.step(1)
    bench.store(*(event(number) for number in range(2, 50)))
    bench.dispatcher._stop.set()
    assert bench.run_s(30) <= 31
    assert len(bench.exchanges.started) == 1


@pytest.mark.parametrize("method", ["", "settle"])
def test_stop_ends_the_thread_whatever_the_spool_does(bench: DispatchBench, method: str) -> None:
    """What is under way is marked, or left for the next start if the spool fails; the thread ends, once started."""
    bench.store(event(1))
    bench.step(2)
    bench.spool.failing = {method}
    bench.dispatcher.start()
    assert bench.dispatcher.stop(10.0) == []
    assert "dispatch" not in {thread.name for thread in threading.enumerate()}
    assert bench.exchanges.is_closed
    bench.spool.failing = set()
    if method:
        bench.settlement._events.clear()
    bench.restart()
    bench.run_until_ended()
    assert set(bench.argo.created.values()) == {1}


def test_mapped_events_and_requests_differ_only_by_their_mapping(bench: DispatchBench) -> None:
    """A mapped event with a reply address is still a mapped event: it waits, and is answered when it is done."""
    bench.argo.script.extend(["ok", "401"])
    bench.store(replace(event(1), reply=ReplyAddress("plant", "replies/1")))
    bench.run_s(5)
    assert bench.reasons() == {}
    bench.run_until_ended()
    assert len(bench.replies()["replies/1"]) == 1
