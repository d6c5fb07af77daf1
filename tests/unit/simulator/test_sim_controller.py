"""The life of workflows, on a clock that only the test moves."""

from __future__ import annotations

import pytest
from sim_world import CONTAINER, World, dag, one, steps

from bridge.simulator.controller.behaviour import parse_duration


def test_a_container_takes_its_time() -> None:
    """Nothing before the controller's reaction, Running until the duration is over, then Succeeded."""
    world = World()
    world.create(one(CONTAINER))
    world.run(0.09)
    assert "phase" not in world.status()
    world.run(0.5)
    assert (world.status()["phase"], world.status()["progress"]) == ("Running", "0/1")
    world.run(0.6)
    assert (world.status()["phase"], world.status()["progress"]) == ("Succeeded", "1/1")
    workflow = world.store.get("argo", "w")
    assert workflow is not None
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true"


@pytest.mark.parametrize(("duration", "before", "after"), [("3s", 2.9, 0.3), ("500ms", 0.4, 0.3), ("0.2", 0.2, 0.2)])
def test_an_annotation_sets_the_duration(duration: str, before: float, after: float) -> None:
    """The workflow's annotation overrides the default."""
    world = World()
    world.create(one(CONTAINER), duration=duration)
    world.run(before)
    assert world.status()["phase"] == "Running"
    world.run(after)
    assert world.status()["phase"] == "Succeeded"


def test_an_annotation_sets_the_exit_code() -> None:
    """The failed leaf says why; the workflow only says which child failed."""
    world = World()
    world.create(steps([{"name": "a"}], [{"name": "b"}]), **{"exit-code": "3"})
    world.run(5)
    leaf = world.node("a")
    assert (leaf["phase"], leaf["message"], leaf["outputs"]) == (
        "Failed",
        "main: Error (exit code 3)",
        {"exitCode": "3"},
    )
    assert world.status()["message"] == f"child '{leaf['id']}' failed"
    assert "b" not in world.shown()


def test_the_nearest_annotation_wins() -> None:
    """A template's own annotation goes before the workflow's, which goes before that of the WorkflowTemplate."""
    world = World()
    world.put_template(
        one(CONTAINER), **{"simulator.argo-bridge/exit-code": "5", "simulator.argo-bridge/duration": "2"}
    )
    world.create({"workflowTemplateRef": {"name": "t"}}, **{"exit-code": "6"})
    world.run(1.5)
    assert world.status()["phase"] == "Running"
    world.run(1)
    assert world.status()["message"] == "main: Error (exit code 6)"
    mine = {**CONTAINER, "metadata": {"annotations": {"simulator.argo-bridge/exit-code": "7"}}}
    world.create(one(mine), "v", **{"exit-code": "6"})
    world.run(2)
    assert world.status("v")["message"] == "main: Error (exit code 7)"


def test_exit_in_a_script_fails_it() -> None:
    """`exit N` in what would run is the exit code, after parameters were filled in."""
    world = World(version="3.5.15")
    script = {
        "name": "s",
        "inputs": {"parameters": [{"name": "n", "value": "{{workflow.parameters.n}}"}]},
        "script": {"image": "x", "source": "echo a\nexit {{inputs.parameters.n}}"},
    }
    world.create(one(script, arguments={"parameters": [{"name": "n", "value": "9"}]}))
    world.run(2)
    assert world.status()["message"] == "Error (exit code 9)"


def test_a_suspend_without_duration_waits_for_ever() -> None:
    """It stays Running, and costs nothing: nothing is due."""
    world = World()
    world.create(one({"name": "s", "suspend": {}}))
    world.run(1000)
    assert world.status()["phase"] == "Running"
    assert world.controller.next_due_s is None


def test_steps_run_in_order_and_groups_side_by_side() -> None:
    """A group starts when all of the one before has ended; progress grows as steps appear."""
    world = World()
    world.create(steps([{"name": "a"}], [{"name": "b"}, {"name": "c"}]))
    world.run(0.5)
    assert world.shown() == {"w": "Running", "[0]": "Running", "a": "Running"}
    world.run(1)
    assert world.status()["progress"] == "1/3"
    assert world.node("a")["children"] == [world.node("[1]")["id"]]
    world.run(1)
    assert world.status()["phase"] == "Succeeded"
    assert world.status()["progress"] == "3/3"


def test_when_items_and_continue_on() -> None:
    """A false `when` skips, `withItems` expands, and a tolerated failure does not end the workflow."""
    world = World()
    world.create(
        steps(
            [
                {"name": "no", "when": "{{workflow.parameters.x}} == 2"},
                {"name": "yes", "when": "{{workflow.parameters.x}} == 1 && true"},
                {"name": "many", "withItems": ["p", {"k": 1}]},
                {"name": "bad", "template": "bad", "continueOn": {"failed": True}},
                {"name": "counted", "withSequence": {"count": "2"}},
            ],
            arguments={"parameters": [{"name": "x", "value": "1"}]},
        )
    )
    world.run(5)
    shown = world.shown()
    assert shown["no"] == "Skipped"
    assert world.node("no")["message"] == "when '1 == 2' evaluated false"
    assert {"yes", "many(0:p)", "many(1:k:1)", "counted(0:0)", "counted(1:1)"} <= set(shown)
    assert shown["bad"] == "Failed"
    assert world.status()["phase"] == "Succeeded"


def test_a_dag_follows_its_dependencies() -> None:
    """A diamond runs in three waves, and each task follows from those before it."""
    world = World()
    world.create(
        dag(
            {"name": "d", "depends": "b && c"},
            {"name": "a"},
            {"name": "b", "dependencies": ["a"]},
            {"name": "c", "dependencies": ["a"]},
        )
    )
    world.run(0.5)
    assert world.shown() == {"w": "Running", "a": "Running"}
    world.run(1)
    assert set(world.shown()) == {"w", "a", "b", "c"}
    assert set(world.node("a")["children"]) == {world.node("b")["id"], world.node("c")["id"]}
    world.run(2)
    assert world.status()["phase"] == "Succeeded"
    assert world.node("w")["children"] == [world.node("a")["id"]]
    assert world.node("w")["outboundNodes"] == [world.node("d")["id"]]


def test_a_failed_task_omits_those_behind_it() -> None:
    """What depends on its success is omitted, what depends on its failure runs, and the DAG fails."""
    world = World()
    world.create(
        dag(
            {"name": "a", "template": "bad"},
            {"name": "b", "dependencies": ["a"]},
            {"name": "c", "depends": "a.Failed && !a.Succeeded"},
        )
    )
    world.run(5)
    assert world.shown() == {"w": "Failed", "a": "Failed", "b": "Omitted", "c": "Succeeded"}
    assert "message" not in world.status()


def test_outputs_go_to_later_steps_and_to_the_workflow() -> None:
    """A made output reaches the next step's input; a global one the workflow's status."""
    maker = {
        "name": "maker",
        "container": {"image": "x"},
        "outputs": {
            "parameters": [
                {"name": "p", "valueFrom": {"path": "/p"}},
                {"name": "g", "globalName": "answer", "valueFrom": {"path": "/g", "default": "42"}},
            ]
        },
    }
    user = {"name": "user", "inputs": {"parameters": [{"name": "got"}]}, "container": {"image": "x"}}
    value = "<{{steps.make.outputs.parameters.p}}>"
    use = {"name": "use", "template": "user", "arguments": {"parameters": [{"name": "got", "value": value}]}}
    main = {"name": "main", "steps": [[{"name": "make", "template": "maker"}], [use]]}
    world = World()
    world.create({"entrypoint": "main", "templates": [main, maker, user]}, **{"output.p": "hot"})
    world.run(5)
    assert world.node("use")["inputs"]["parameters"] == [{"name": "got", "value": "<hot>"}]
    assert world.status()["outputs"] == {"parameters": [{"name": "answer", "value": "42"}]}


def test_a_workflow_of_a_template_shows_what_it_ran() -> None:
    """Labels and the stored spec appear at the controller's first write, cluster-scoped or not."""
    world = World()
    world.put_template(one(CONTAINER, arguments={"parameters": [{"name": "a", "value": "1"}, {"name": "b"}]}))
    reference = {"workflowTemplateRef": {"name": "t"}, "arguments": {"parameters": [{"name": "b", "value": "2"}]}}
    world.create(reference)
    world.run(0.2)
    workflow = world.store.get("argo", "w")
    assert workflow is not None
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/workflow-template"] == "t"
    stored = world.status()["storedWorkflowTemplateSpec"]
    assert stored["arguments"]["parameters"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert stored["entrypoint"] == "c"


@pytest.mark.parametrize(
    ("strategy", "exit_code", "gone_after_s"),
    [
        ({"secondsAfterCompletion": 5}, "0", 5),
        ({"secondsAfterCompletion": 5, "secondsAfterSuccess": 2}, "0", 2),
        ({"secondsAfterSuccess": 2, "secondsAfterFailure": 7}, "1", 7),
    ],
)
def test_ttl_deletes_after_the_end(strategy: dict[str, int], exit_code: str, gone_after_s: int) -> None:
    """The workflow is there until its time is over, and gone afterwards."""
    world = World()
    world.create(one(CONTAINER, ttlStrategy=strategy), **{"exit-code": exit_code})
    world.run(1.1 + gone_after_s - 0.1)
    assert world.store.get("argo", "w") is not None
    world.run(0.2)
    assert world.store.get("argo", "w") is None


def test_retention_deletes_the_oldest_ends() -> None:
    """Only so many finished workflows are kept; running ones do not count."""
    world = World(retention=2)
    world.create(one({"name": "s", "suspend": {}}), "runs")
    for number in range(4):
        world.create(one(CONTAINER), f"w{number}")
        world.run(2)
    assert {name for _, name in world.store.workflows} == {"runs", "w2", "w3"}


def test_the_exit_handler_runs_after_a_failure() -> None:
    """It runs whatever happened, is marked as a hook, and does not hide why the workflow failed."""
    world = World()
    world.create(steps([{"name": "a", "template": "bad"}], onExit="c"))
    world.run(1.5)
    assert world.status()["phase"] == "Running"
    world.run(1)
    assert world.status()["phase"] == "Failed"
    assert world.node("w.onExit")["nodeFlag"] == {"hooked": True}
    assert world.status()["message"] == f"child '{world.node('a')['id']}' failed"


def test_a_controller_that_is_away_does_nothing_until_it_is_back() -> None:
    """Creates stay without a phase; what fell due is done on its return."""
    world = World()
    world.controller.away = True
    world.create(one(CONTAINER))
    world.run(10)
    assert "phase" not in world.status()
    world.controller.away = False
    world.run(2)
    assert world.status()["phase"] == "Succeeded"


def test_spec_suspend_starts_nothing() -> None:
    """A workflow created with `suspend: true` is Running without any pod."""
    world = World()
    world.create(steps([{"name": "a"}], suspend=True))
    world.run(10)
    assert world.status()["phase"] == "Running"
    assert world.status()["nodes"] == {}


def test_a_workflow_that_says_it_is_completed_is_left_alone() -> None:
    """The controller ignores what carries the label already, as Argo's does."""
    world = World()
    workflow = {"metadata": {"name": "w", "namespace": "argo", "uid": "u", "labels": {}}, "spec": {}, "status": {}}
    workflow["metadata"]["labels"]["workflows.argoproj.io/completed"] = "true"
    world.store.put(workflow)
    world.controller.follow(workflow)
    assert world.controller.next_due_s is None


def test_ten_thousand_workflows_share_one_heap() -> None:
    """Many lives are driven together, and each ends."""
    world = World()
    for number in range(10_000):
        world.create(one(CONTAINER), f"w{number}")
    world.run(5)
    assert {w["status"]["phase"] for w in world.store.workflows.values()} == {"Succeeded"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("x", None), ("5 s", None), ("", None)]
)
def test_durations(text: str, seconds: float | None) -> None:
    """Go's durations and plain seconds; anything else is none."""
    assert parse_duration(text) == seconds
