"""What the verbs make of workflows, and what the controller then does, on a clock that only the test moves."""

from __future__ import annotations

from typing import Any

import pytest
from sim_world import CONTAINER, World, dag, one, steps

from bridge.simulator.controller import verbs
from bridge.simulator.controller.reruns import RetryOptions, resubmission, retry, with_parameters
from bridge.simulator.http.answers import ApiError

WAIT = {"name": "wait", "suspend": {}}


def stop(strategy: str = "Stop") -> Any:
    """A change that stops a workflow."""
    return lambda workflow: verbs.shut_down(workflow, strategy)


def resume(selector: str = "", who: str = "") -> Any:
    """A change that resumes a workflow."""
    return lambda workflow: verbs.resume(workflow, selector, who, "2026-01-01T00:00:00Z")


def retried(world: World, **options: Any) -> Any:
    """A change that retries a workflow."""
    return lambda workflow: retry(workflow, RetryOptions(**options), world.release, world.wall.timestamp())


def test_a_suspended_workflow_starts_nothing_new() -> None:
    """Running pods end, what would follow waits for the resume, and then the workflow goes on to its end."""
    world = World()
    world.create(steps([{"name": "a"}], [{"name": "b"}]))
    world.run(0.5)
    world.change(lambda workflow: verbs.suspend(workflow, world.release))
    world.run(100)
    assert world.shown()["a"] == "Succeeded"
    assert "b" not in world.shown()
    assert world.status()["phase"] == "Running"
    world.change(resume())
    world.run(10)
    assert world.status()["phase"] == "Succeeded"
    assert world.shown()["b"] == "Succeeded"


def test_a_suspended_workflow_does_not_outwait_a_suspend_node() -> None:
    """A suspend node's duration ends it only once the workflow itself is resumed."""
    world = World()
    world.create(one({"name": "s", "suspend": {"duration": "2s"}}))
    world.run(1)
    world.change(lambda workflow: verbs.suspend(workflow, world.release))
    world.run(50)
    assert world.shown() == {"w": "Running"}
    world.change(resume())
    world.run(1)
    assert world.status()["phase"] == "Succeeded"


def test_suspending_twice_changes_nothing() -> None:
    """The second suspend is answered with the workflow as it is, and no new version of it."""
    world = World()
    world.create(one(WAIT))
    world.run(1)
    world.change(lambda workflow: verbs.suspend(workflow, world.release))
    before = world.store.version
    world.change(lambda workflow: verbs.suspend(workflow, world.release))
    assert world.store.version == before


def test_a_stop_ends_pods_and_runs_the_exit_handler() -> None:
    """The pod fails with Argo's text, later steps never come, the handler and all steps in it do; the end is Failed."""
    world = World()
    handler = {"name": "bye", "steps": [[{"name": "x", "template": "c"}]]}
    spec = steps([{"name": "a"}], [{"name": "b"}], onExit="bye")
    spec["templates"].append(handler)
    world.create(spec)
    world.run(0.5)
    world.change(stop())
    world.run(10)
    assert world.node("a")["message"] == "workflow shutdown with strategy:  Stop"
    assert "b" not in world.shown()
    assert world.shown()["x"] == "Succeeded"
    assert (world.status()["phase"], world.status()["message"]) == ("Failed", "Stopped with strategy 'Stop'")


def test_a_terminate_runs_no_exit_handler() -> None:
    """Nor does it let one go on that runs already."""
    world = World()
    world.create(one(CONTAINER, onExit="c"))
    world.run(0.5)
    world.change(stop("Terminate"))
    world.run(10)
    assert world.status()["message"] == "Stopped with strategy 'Terminate'"
    assert set(world.shown()) == {"w"}
    world = World()
    world.create(one(CONTAINER, onExit="c"))
    world.run(1.5)
    assert world.shown() == {"w": "Succeeded", "w.onExit": "Running"}
    world.change(stop("Terminate"))
    world.run(10)
    assert world.shown()["w.onExit"] == "Failed"
    assert world.status()["phase"] == "Succeeded"


def test_tasks_that_had_not_started_fail_when_the_workflow_stops() -> None:
    """A DAG ends after a stop even where a tolerated failure would let more tasks start."""
    world = World()
    world.create(dag({"name": "a", "continueOn": {"failed": True}}, {"name": "b", "depends": "a.Failed"}))
    world.run(0.5)
    world.change(stop())
    world.run(10)
    assert world.node("b")["message"] == "workflow shutdown with strategy: Stop"
    assert world.status()["phase"] == "Failed"


def test_a_stop_of_what_has_ended_is_refused() -> None:
    """With the text that names workflow and namespace, and 500."""
    world = World()
    world.create(one(CONTAINER))
    world.run(10)
    with pytest.raises(
        ApiError, match='cannot shutdown a completed workflow: workflow: "w", namespace: "argo"'
    ) as error:
        world.change(stop())
    assert error.value.status == 500


def test_one_of_two_suspend_nodes_can_be_resumed_or_stopped() -> None:
    """A selector picks the node; the other one, and `spec.suspend`, stay as they are."""
    world = World()
    spec = steps([{"name": "a", "template": "wait"}, {"name": "b", "template": "wait"}])
    world.create({**spec, "templates": [*spec["templates"], WAIT]})
    world.run(1)
    world.change(resume("displayName=a", "Resumed by: map[User:ops]"))
    world.run(1)
    assert (world.node("a")["phase"], world.node("a")["message"]) == ("Succeeded", "Resumed by: map[User:ops]")
    assert world.shown()["b"] == "Running"
    change = verbs.NodeChange("Failed", "not this time")
    world.change(lambda workflow: verbs.change_nodes(workflow, "displayName=b,phase!=Failed", change, "t"))
    world.run(1)
    assert (world.node("b")["phase"], world.node("b")["message"]) == ("Failed", "not this time")
    assert world.status()["phase"] == "Failed"
    with pytest.raises(ApiError, match="no suspend nodes matching nodeFieldSelector: displayName=b") as error:
        world.change(resume("displayName=b"))
    assert error.value.status == 500


SUPPLIED = {
    "name": "ask",
    "suspend": {},
    "outputs": {
        "parameters": [
            {"name": "answer", "globalName": "answer", "valueFrom": {"supplied": {}}},
            {"name": "unit", "globalName": "unit", "valueFrom": {"supplied": {}, "default": "bar"}},
        ]
    },
}


def set_to(**outputs: str) -> Any:
    """A change that supplies outputs."""
    return lambda workflow: verbs.set_nodes(workflow, "name=w", verbs.NodeChange(outputs=outputs), "t")


def test_outputs_are_supplied_by_somebody() -> None:
    """What was set stays when the node ends, what was not falls back to its default, and both are global."""
    world = World()
    world.create(one(SUPPLIED))
    world.run(1)
    assert world.node("w")["outputs"]["parameters"][0]["valueFrom"] == {"supplied": {}}
    world.change(set_to(answer="42"))
    world.change(resume())
    world.run(1)
    found = {p["name"]: p["value"] for p in world.node("w")["outputs"]["parameters"]}
    assert found == {"answer": "42", "unit": "bar"}
    globals_ = {p["name"]: p["value"] for p in world.status()["outputs"]["parameters"]}
    assert globals_ == {"answer": "42", "unit": "bar"}


def test_what_a_node_does_not_expect_cannot_be_set() -> None:
    """An unknown output, one that was set already, a resume while one is missing, and phases that do not exist."""
    world = World()
    world.create(one(SUPPLIED))
    world.run(1)
    with pytest.raises(ApiError, match="raw output parameter 'answer' has not been set and does not have a default"):
        world.change(resume())
    with pytest.raises(ApiError, match="node is not expecting output parameter 'question'"):
        world.change(set_to(question="why"))
    world.change(set_to(answer="42"))
    with pytest.raises(ApiError, match=r"because it does not use valueFrom\.raw or it was already set"):
        world.change(set_to(answer="43"))
    with pytest.raises(ApiError, match="Sleeping is an invalid phase to set to") as error:
        world.change(lambda workflow: verbs.set_nodes(workflow, "name=w", verbs.NodeChange("Sleeping"), "t"))
    assert error.value.status == 400
    world.create(one(WAIT), "plain")
    world.run(1)
    with pytest.raises(ApiError, match="node is not expecting any raw parameters"):
        world.change(lambda w: verbs.set_nodes(w, "name=plain", verbs.NodeChange(outputs={"a": "b"}), "t"), "plain")


def test_a_retry_runs_only_what_failed_and_what_follows() -> None:
    """A pod that succeeded is kept with its times; the failed one and those behind it run again, and may succeed."""
    world = World()
    spec = dag({"name": "a"}, {"name": "b", "template": "flaky", "dependencies": ["a"]}, {"name": "c", "depends": "b"})
    flaky = {"name": "flaky", "container": {"image": "x", "args": ["exit {{workflow.parameters.code}}"]}}
    world.create({**spec, "templates": [*spec["templates"], flaky], "arguments": _arguments("3")})
    world.run(10)
    assert world.shown() == {"w": "Failed", "a": "Succeeded", "b": "Failed", "c": "Omitted"}
    first = world.node("a")["finishedAt"]
    world.change(retried(world, parameters=("code=0",)))
    assert set(world.shown()) == {"w", "a"}
    world.run(10)
    assert world.shown() == {"w": "Succeeded", "a": "Succeeded", "b": "Succeeded", "c": "Succeeded"}
    assert world.node("a")["finishedAt"] == first
    assert world.status()["phase"] == "Succeeded"


def _arguments(code: str) -> dict[str, Any]:
    return {"parameters": [{"name": "code", "value": code}]}


def test_a_retry_runs_the_exit_handler_again() -> None:
    """The handler of the first end is taken away with its pods, and runs after the second."""
    world = World()
    bad = {"name": "bad", "container": {"image": "x", "args": ["exit 1"]}}
    world.create({"entrypoint": "bad", "templates": [bad, CONTAINER], "onExit": "c"})
    world.run(10)
    assert world.shown() == {"w": "Failed", "w.onExit": "Succeeded"}
    world.change(retried(world))
    assert world.shown() == {}
    world.run(10)
    assert world.shown() == {"w": "Failed", "w.onExit": "Succeeded"}


def test_a_succeeded_node_can_be_restarted_by_selector() -> None:
    """With restartSuccessful and a selector a succeeded workflow runs that node, and what followed it, again."""
    world = World()
    world.create(steps([{"name": "a"}], [{"name": "b"}]))
    world.run(10)
    with pytest.raises(ApiError, match="set the options restartSuccessful and nodeFieldSelector"):
        world.change(retried(world))
    world.change(retried(world, restart_successful=True, selector="displayName=b"))
    assert {name for name, phase in world.shown().items() if phase == "Succeeded"} == {"[0]", "a"}
    assert "b" not in world.shown()
    world.run(10)
    assert world.status()["phase"] == "Succeeded"
    assert world.shown()["b"] == "Succeeded"


def test_a_retry_leaves_a_failure_that_was_tolerated() -> None:
    """A step that failed, and after which others succeeded, is not run again."""
    world = World()
    world.create(steps([{"name": "a", "template": "bad", "continueOn": {"failed": True}}], [{"name": "b"}],
                       [{"name": "c", "template": "bad"}]))  # fmt: skip
    world.run(10)
    assert [world.shown()[name] for name in ("a", "b", "c")] == ["Failed", "Succeeded", "Failed"]
    world.change(retried(world))
    assert [world.shown().get(name) for name in ("a", "b", "c")] == ["Failed", "Succeeded", None]


def test_a_node_that_was_resumed_early_falls_due_no_more() -> None:
    """Its duration makes the controller look at its workflow once more at most."""
    world = World()
    spec = steps([{"name": "a", "template": "wait"}], [{"name": "b"}])
    world.create({**spec, "templates": [*spec["templates"], {**WAIT, "suspend": {"duration": "2s"}}]}, duration="50s")
    world.run(1)
    world.change(resume())
    world.run(0.5)
    assert world.shown()["b"] == "Running"
    world.now_s = 10.0
    assert world.controller.run_due(limit=10) <= 1


def test_a_workflow_that_runs_cannot_be_retried() -> None:
    """Its phase is named, also when it has none yet."""
    world = World()
    world.create(one(WAIT))
    with pytest.raises(ApiError, match=r"^Cannot retry a workflow in phase $"):
        world.change(retried(world))
    world.run(1)
    with pytest.raises(ApiError, match=r"^Cannot retry a workflow in phase Running$"):
        world.change(retried(world))


def test_a_retried_workflow_outlives_its_first_end() -> None:
    """A TTL counts from the last end, and retention deletes nothing that runs again."""
    world = World(retention=1)
    bad = {"name": "bad", "container": {"image": "x", "args": ["exit 1"]}}
    world.create(one(bad, ttlStrategy={"secondsAfterFailure": 5}))
    world.run(3)
    world.change(retried(world))
    world.create(one(CONTAINER), "other", duration="0.2s")
    world.run(0.9)
    assert world.status("other")["phase"] == "Succeeded"
    assert world.status()["phase"] == "Running"
    world.run(4)
    assert world.status()["phase"] == "Failed"
    world.run(2)
    assert world.store.get("argo", "w") is None


def test_a_resubmission_inherits_what_is_the_users() -> None:
    """Labels but for Argo's own about the old one's life, annotations, spec without its shutdown, other parameters."""
    world = World()
    world.create(one(CONTAINER, arguments=_arguments("1")), keep="me")
    world.run(0.5)
    world.change(stop())
    world.run(10)
    old = world.store.get("argo", "w")
    assert old is not None
    manifest = resubmission(old, ("code=2", "extra=x=y"), memoized=True)
    assert manifest["metadata"]["generateName"] == "w-"
    assert manifest["metadata"]["labels"] == {"workflows.argoproj.io/resubmitted-from-workflow": "w"}
    assert manifest["metadata"]["annotations"]["simulator.argo-bridge/keep"] == "me"
    assert "shutdown" not in manifest["spec"]
    assert manifest["spec"]["arguments"]["parameters"] == [
        {"name": "code", "value": "2"},
        {"name": "extra", "value": "x=y"},
    ]
    world.create(one(CONTAINER), "good")
    world.run(10)
    with pytest.raises(ApiError, match="workflow must be Failed/Error to resubmit in memoized mode"):
        resubmission(world.store.get("argo", "good") or {}, (), memoized=True)


def test_a_malformed_parameter_is_a_500() -> None:
    """As the real server answers it."""
    with pytest.raises(ApiError, match=r"expected parameter of the form: NAME=VALUE. Received: nope") as error:
        with_parameters({"arguments": {}}, ("nope",))
    assert error.value.status == 500


def test_an_archived_workflow_is_copied_and_says_so() -> None:
    """Pending at its end, Archived after a while; the copy says Persisted and outlives the workflow."""
    world = World(archives=True)
    label = "workflows.argoproj.io/workflow-archiving-status"
    world.create(one(CONTAINER, ttlStrategy={"secondsAfterCompletion": 60}))
    world.run(2)
    workflow = world.store.get("argo", "w")
    assert workflow is not None
    assert workflow["metadata"]["labels"][label] == "Pending"
    world.run(10)
    workflow = world.store.get("argo", "w")
    assert workflow is not None
    assert workflow["metadata"]["labels"][label] == "Archived"
    world.run(100)
    assert world.store.get("argo", "w") is None
    assert world.archive is not None
    copy = world.archive.newest("argo", "w")
    assert copy is not None
    assert copy["metadata"]["labels"][label] == "Persisted"
    assert world.archive.get(copy["metadata"]["uid"]) is copy
