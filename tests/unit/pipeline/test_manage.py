"""Operations are carried out once, whatever is lost, and their senders are told the truth within five minutes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from dispatch_fakes import DispatchBench
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_fakes import OperationsModel, model_of, operation_event

from bridge.interface.operations import OPERATION_MAX_AGE_S, SPECS, Operation

TARGETS = {
    Operation.STOP: "w",
    Operation.TERMINATE: "w",
    Operation.SUSPEND: "w",
    Operation.RESUME: "w",
    Operation.SET: "w",
    Operation.RETRY: "bad",
    Operation.DELETE: "w",
    Operation.RESUBMIT: "bad",
    Operation.TRIGGER_CRON: "nightly",
    Operation.SUSPEND_CRON: "nightly",
    Operation.RESUME_CRON: "nightly",
}
"""Each stored operation, and what it can be asked of."""
LOST = ["cut after", "504 after", "not-argo after"]
SIMPLE = [Operation.STOP, Operation.TERMINATE, Operation.SUSPEND]


@pytest.fixture
def bench(tmp_path: Path) -> DispatchBench:
    """A dispatcher, and Argo with a running and a failed workflow."""
    bench = DispatchBench(tmp_path, OperationsModel())
    model_of(bench).put("w")
    model_of(bench).put("bad", "Failed")
    return bench


def answer(bench: DispatchBench, number: int = 1) -> dict[str, object]:
    """The one reply to a request."""
    (body,) = bench.replies()[f"replies/{number}"]
    return body


def ask(bench: DispatchBench, operation: Operation, target: str = "w", **options: object) -> dict[str, object]:
    """Have one operation carried out to its end, and return its reply."""
    bench.store(operation_event(1, operation, target, **options))
    bench.run_until_ended()
    return answer(bench)


def test_every_stored_operation_has_a_case() -> None:
    """A new one is tried with lost answers before it is offered."""
    assert set(TARGETS) == {operation for operation, spec in SPECS.items() if spec.is_spooled}


@pytest.mark.parametrize("operation", [*SIMPLE, Operation.RETRY, Operation.DELETE])
def test_an_operation_is_carried_out_once_and_told(bench: DispatchBench, operation: Operation) -> None:
    """The seed's style: what was done, and to which workflow."""
    target = TARGETS[operation]
    assert ask(bench, operation, target) == {"status": SPECS[operation].success, "workflowId": target}
    assert model_of(bench).effects == {(operation.value, target): 1}
    assert bench.reasons() == {}


@pytest.mark.parametrize("operation", [Operation.SUSPEND_CRON, Operation.RESUME_CRON])
def test_a_cron_is_told_by_its_name(bench: DispatchBench, operation: Operation) -> None:
    """Crons have a key of their own."""
    assert ask(bench, operation, "nightly") == {"status": SPECS[operation].success, "cron": "nightly"}


@pytest.mark.parametrize("operation", [Operation.RESUME, Operation.SET])
def test_nodes_are_resumed_and_set(bench: DispatchBench, operation: Operation) -> None:
    """With a selector that means some node; without one that is meant it is an error, and says so."""
    model_of(bench).suspend_nodes.add("w")
    assert "status" in ask(bench, operation, nodeFieldSelector="id=x")
    bench.store(operation_event(2, operation, "w", nodeFieldSelector="id=x"))
    bench.run_until_ended()
    assert "no suspend nodes matching" in str(answer(bench, 2)["error"])
    assert bench.reasons() == {"no-such-node": 1}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("is_restarted", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize(("operation", "target"), TARGETS.items())
def test_a_lost_answer_is_success_in_the_end(
    bench: DispatchBench, operation: Operation, target: str, *, is_restarted: bool, lost: str
) -> None:
    """It was carried out, nobody heard; the repeat finds it done, also in a process that knows nothing of the first."""
    model = model_of(bench)
    model.suspend_nodes.add("w")
    looks = 0 if operation in SIMPLE or SPECS[operation].name_key == "cron" else 1
    model.script.extend(["ok", *["ok"] * looks, lost])
    selector = {"nodeFieldSelector": "id=x"} if operation in (Operation.RESUME, Operation.SET) else {}
    bench.store(operation_event(1, operation, target, **selector))
    while not (model.effects or model.created):
        bench.step()
    if operation is Operation.DELETE and is_restarted:
        model.put("w")  # Somebody makes another of that name meanwhile: it must not be deleted.
    if is_restarted:
        bench.restart()
    bench.run_until_ended()
    assert "status" in answer(bench), answer(bench)
    assert bench.reasons() == {}
    if operation in (Operation.RETRY, Operation.DELETE):
        assert model.effects == {(operation.value, target): 1}
    elif not model.effects:
        assert list(model.created.values()) == [1]


@pytest.mark.parametrize("operation", [Operation.STOP, Operation.TERMINATE])
def test_what_has_ended_is_stopped(bench: DispatchBench, operation: Operation) -> None:
    """Argo says 500 of a workflow that has ended; whoever wanted it to end has it."""
    assert ask(bench, operation, "bad") == {"status": SPECS[operation].success, "workflowId": "bad"}


@pytest.mark.parametrize(
    ("operation", "target", "code", "text"),
    [
        (Operation.STOP, "gone", "workflow-not-found", 'workflows.argoproj.io "gone" not found'),
        (Operation.DELETE, "gone", "workflow-not-found", 'workflows.argoproj.io "gone" not found'),
        (Operation.RETRY, "gone", "workflow-not-found", 'workflows.argoproj.io "gone" not found'),
        (Operation.RESUBMIT, "gone", "workflow-not-found", 'workflows.argoproj.io "gone" not found'),
        (Operation.TRIGGER_CRON, "gone", "cron-not-found", 'cronworkflows.argoproj.io "gone" not found'),
        (Operation.SUSPEND_CRON, "gone", "cron-not-found", 'cronworkflows.argoproj.io "gone" not found'),
        (Operation.SUSPEND, "bad", "already-ended", "cannot suspend completed workflows"),
        (Operation.RETRY, "w", "refused-by-argo", "Cannot retry a workflow in phase Running"),
    ],
)
def test_what_argo_refuses_is_told_at_once(
    bench: DispatchBench, operation: Operation, target: str, code: str, text: str
) -> None:
    """An error reply and a dead letter after one try; nothing was changed."""
    bench.store(operation_event(1, operation, target))
    bench.run_s(2)
    assert bench.waiting == 0
    assert text in str(answer(bench)["error"])
    assert bench.reasons() == {code: 1}
    assert not model_of(bench).effects


@pytest.mark.parametrize("operation", [Operation.STOP, Operation.DELETE, Operation.RESUBMIT, Operation.TRIGGER_CRON])
@pytest.mark.parametrize("fate", ["401", "html"])
def test_a_cluster_at_fault_is_told_at_once_too(bench: DispatchBench, operation: Operation, fate: str) -> None:
    """Whoever asks is there to hear it, so the lane never waits for somebody to mend it."""
    bench.argo.script.append("ok")
    bench.argo.otherwise = fate
    bench.store(operation_event(1, operation, "w"))
    bench.run_s(20)
    assert bench.waiting == 0
    assert "error" in answer(bench)
    assert bench.dispatcher.causes == {}


def test_a_resubmission_is_like_the_old_one_and_ours(bench: DispatchBench) -> None:
    """A name from the event, the old one's labels, marks of this event, and a word of where it came from."""
    body = ask(bench, Operation.RESUBMIT, "bad")
    name = str(body["workflowId"])
    assert name.startswith("bad-")
    metadata = model_of(bench).workflows[name]
    assert metadata["labels"] == {
        "line": "3",
        "workflows.argoproj.io/resubmitted-from-workflow": "bad",
        "argo-bridge/bridge": "plant-1",
    }
    assert metadata["annotations"]["argo-bridge/topic"] == "argo/workflows/resubmit"


def test_a_resubmission_survives_its_source(bench: DispatchBench) -> None:
    """Made, and nobody heard; the old workflow is deleted and the process forgets all: the new one is found."""
    model = model_of(bench)
    model.script.extend(["ok", "ok", "cut after"])
    bench.store(operation_event(1, Operation.RESUBMIT, "bad"))
    while not model.created:
        bench.step()
    del model.objects["bad"], model.workflows["bad"]
    bench.restart()
    bench.run_until_ended()
    assert "status" in answer(bench)
    assert list(model.created.values()) == [1]


def test_a_deleted_workflow_that_the_archive_has_is_gone(bench: DispatchBench) -> None:
    """The first try says that there is nothing to delete; a repeat that it is done."""
    model = model_of(bench)
    model.archive("w")
    assert "archive" in str(ask(bench, Operation.DELETE)["error"])
    model.put("z")
    model.script.extend(["ok", "cut"])
    bench.store(operation_event(2, Operation.DELETE, "z"))
    bench.step(4)
    model.archive("z")
    bench.run_until_ended()
    assert "status" in answer(bench, 2)


def test_a_selector_that_means_nothing_is_an_error_after_a_throttle_too(bench: DispatchBench) -> None:
    """What was certainly not carried out is no first try that a second could find done."""
    bench.argo.script.extend(["ok", "ok", "429", "unreachable"])
    assert "no suspend nodes" in str(ask(bench, Operation.RESUME, nodeFieldSelector="id=x")["error"])


@pytest.mark.parametrize("refused", ["429", "unreachable"])
def test_what_a_lost_try_did_is_found_after_a_throttle_too(bench: DispatchBench, refused: str) -> None:
    """Carried out and not heard; that the next try certainly did nothing does not make the one after it the first."""
    model_of(bench).suspend_nodes.add("w")
    bench.argo.script.extend(["ok", "ok", "cut after", "ok", "ok", refused])
    assert "status" in ask(bench, Operation.RESUME, nodeFieldSelector="id=x")
    assert model_of(bench).effects == {("resume", "w"): 1}


def test_operations_on_one_workflow_keep_their_order(bench: DispatchBench) -> None:
    """While the first is not through the second waits; another workflow's goes on."""
    model = model_of(bench)
    model.put("x")
    model.script.extend(["ok", "500"])
    bench.store(
        operation_event(1, Operation.SUSPEND, "w"),
        operation_event(2, Operation.DELETE, "w"),
        operation_event(3, Operation.STOP, "x"),
    )
    bench.run_until_ended()
    done = [request.path.rsplit("/", 1)[1] for request in model.requests if request.method in ("PUT", "DELETE")]
    assert done.index("stop") < done.index("w")
    assert done[-1] == "w"
    assert "status" in answer(bench, 1)
    assert "status" in answer(bench, 2)


@pytest.mark.parametrize("operation", [Operation.STOP, Operation.RETRY, Operation.RESUBMIT, Operation.TRIGGER_CRON])
def test_an_operation_expires_after_five_minutes(bench: DispatchBench, operation: Operation) -> None:
    """Argo is away: an error reply then, and nothing is done when it comes back."""
    bench.argo.script.append("ok")
    bench.argo.otherwise = "unreachable"
    bench.store(operation_event(1, operation, "bad"))
    bench.run_s(290)
    assert bench.waiting == 1
    bench.run_s(20)
    assert answer(bench) == {"error": "it was not submitted before it expired"}
    assert bench.reasons() == {"expired": 1}
    bench.argo.otherwise = "ok"
    bench.run_s(60)
    assert not model_of(bench).effects
    assert not model_of(bench).created


@pytest.mark.parametrize("operation", [Operation.SUSPEND, Operation.RETRY])
def test_an_expiry_does_not_claim_that_nothing_happened(bench: DispatchBench, operation: Operation) -> None:
    """Asked, never answered: it may have been done, and the sender is told so."""
    looks = ["ok"] if operation is Operation.RETRY else []
    bench.argo.script.extend(["ok", *looks, "cut after"])
    bench.argo.otherwise = "cut"
    bench.store(operation_event(1, operation, "bad" if operation is Operation.RETRY else "w"))
    bench.run_s(400)
    assert "may have been carried out" in str(answer(bench)["error"])


def test_an_expiry_behind_a_page_does_not_claim_it_either(bench: DispatchBench) -> None:
    """Done, somebody's page in place of the answer, and no time left to ask again: it may have been done."""
    bench.argo.script.extend(["ok", "not-argo after"])
    bench.store(operation_event(1, Operation.SUSPEND, "w"))
    bench.step()
    bench.exchanges.is_holding = True
    bench.step()
    bench.clock.advance(OPERATION_MAX_AGE_S)
    bench.exchanges.is_holding = False
    bench.run_until_ended()
    assert model_of(bench).effects == {("suspend", "w"): 1}
    assert "may have been carried out" in str(answer(bench)["error"])


@pytest.mark.parametrize("operation", [Operation.RESUBMIT, Operation.TRIGGER_CRON])
def test_what_may_run_is_never_told_to_be_expired(bench: DispatchBench, operation: Operation) -> None:
    """A workflow that was made without an answer is looked up, however long Argo stays away."""
    target = "bad" if operation is Operation.RESUBMIT else "nightly"
    looks = ["ok"] if operation is Operation.RESUBMIT else []
    bench.argo.script.extend(["ok", *looks, "cut after"])
    bench.argo.otherwise = "unreachable"
    bench.store(operation_event(1, operation, target))
    bench.run_s(1000)
    assert bench.waiting == 1
    bench.argo.otherwise = "ok"
    bench.run_until_ended()
    assert "status" in answer(bench)
    assert list(model_of(bench).created.values()) == [1]


def test_a_note_waits_for_the_spool(bench: DispatchBench) -> None:
    """Nothing is asked that a crash could make look like the first time: with a full disk it waits."""
    bench.store(operation_event(1, Operation.DELETE, "w"))
    bench.spool.failing.add("note")
    bench.run_s(5)
    assert not model_of(bench).effects
    bench.spool.failing.clear()
    bench.run_until_ended()
    assert model_of(bench).effects == {("delete", "w"): 1}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([Operation.RETRY, Operation.DELETE, Operation.RESUME, Operation.RESUBMIT, Operation.TRIGGER_CRON]),
    st.lists(
        st.sampled_from(["ok", "cut", "cut after", "500", "504 after", "429", "unreachable", "modified"]), max_size=12
    ),
    st.sets(st.integers(1, 40), max_size=4),
)
def test_whatever_is_lost_it_is_done_once_and_told(operation: Operation, script: list[str], restarts: set[int]) -> None:
    """Any answers in any order, and a process that forgets all at any turn: done once, and the reply says so."""
    with tempfile.TemporaryDirectory() as folder:
        bench = DispatchBench(Path(folder), OperationsModel())
        model = model_of(bench)
        model.put("bad", "Failed")
        model.suspend_nodes.add("bad")
        model.script.extend(script)
        target = "nightly" if operation is Operation.TRIGGER_CRON else "bad"
        selector = {"nodeFieldSelector": "id=x"} if operation is Operation.RESUME else {}
        bench.store(operation_event(1, operation, target, **selector))
        for turn in range(1, 41):
            bench.step()
            if turn in restarts:
                bench.restart()
        bench.run_until_ended()
        done = sum(model.effects.values()) + sum(model.created.values())
        body = answer(bench)
        if "status" in body:
            assert done == 1
        else:
            assert done == 0 or "may have been carried out" in str(body["error"])
