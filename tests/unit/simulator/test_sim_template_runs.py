"""What a walk over templates does where a real server has nothing of its own to compare: on a clock of the test."""

from __future__ import annotations

from typing import Any

import pytest
from sim_world import CONTAINER, World, dag, one, steps

from bridge.simulator.controller.reruns import RetryOptions, retry

BAD = {"name": "c", "container": {"image": "x", "args": ["exit 4"]}}


def test_no_more_than_so_many_members_run_at_a_time() -> None:
    """`parallelism` of a template holds the others back until one has ended; all run in the end."""
    world = World()
    main = {"name": "main", "steps": [[{"name": "s", "template": "c", "withItems": list(range(5))}]], "parallelism": 2}
    world.create({"entrypoint": "main", "templates": [main, CONTAINER]})
    for seconds, running in ((0.5, 2), (1.0, 2), (1.0, 1)):
        world.run(seconds)
        pods = [node["phase"] for node in world.status()["nodes"].values() if node["type"] == "Pod"]
        assert pods.count("Running") == running
    world.run(5)
    assert (world.status()["phase"], world.status()["progress"]) == ("Succeeded", "5/5")


@pytest.mark.parametrize(
    ("strategy", "attempts", "message"),
    [
        ({"limit": 1}, 2, "No more retries left"),
        ({"limit": "{{workflow.parameters.n}}"}, 3, "No more retries left"),
        ({"limit": "1", "retryPolicy": "OnFailure"}, 2, "No more retries left"),
        ({"limit": "1", "retryPolicy": "Always"}, 2, "No more retries left"),
        ({"limit": "1", "expression": "true"}, 2, "No more retries left"),
        ({"limit": "1", "retryPolicy": "OnError"}, 1, "main: Error (exit code 4)"),
        ({"limit": "1", "retryPolicy": "OnTransientError"}, 1, "main: Error (exit code 4)"),
        ({}, 101, "No more retries left"),
    ],
)
def test_a_template_is_tried_as_its_strategy_says(strategy: dict[str, Any], attempts: int, message: str) -> None:
    """The limit counts what comes after the first attempt; what never succeeds and has no limit ends all the same."""
    world = World()
    arguments = {"parameters": [{"name": "n", "value": "2"}]}
    world.create(one({**BAD, "retryStrategy": strategy}, arguments=arguments))
    world.run(200)
    assert (world.status()["phase"], world.status()["message"]) == ("Failed", message)
    assert len(world.node("w")["children"]) == attempts


CODES = {"parameters": [{"name": "code-0", "value": "1"}, {"name": "code-1", "value": "0"}]}
BY_ATTEMPT = {"image": "x", "args": ["exit {{workflow.parameters.code-{{retries}}}}"]}
"""Fails at first, and then does not."""


def test_a_retried_node_is_as_its_last_attempt() -> None:
    """`{{retries}}` is 0 at first; the node that stands for all attempts has the last one's phase and outputs."""
    world = World()
    output = {"parameters": [{"name": "o", "valueFrom": {"default": "{{retries}}"}}]}
    tried = {"name": "t", "container": BY_ATTEMPT, "retryStrategy": {"limit": 3}, "outputs": output}
    world.create(one(tried, arguments=CODES))
    world.run(5)
    assert world.shown() == {"w": "Succeeded", "w(0)": "Failed", "w(1)": "Succeeded"}
    assert world.node("w")["outputs"] == world.node("w(1)")["outputs"]
    assert world.node("w")["outputs"]["parameters"] == [{"name": "o", "value": "1"}]


def test_a_retry_of_a_workflow_tries_a_step_anew() -> None:
    """The attempts of a step that failed are taken away, those of one that came right in the end stay."""
    world = World()
    spec = dag({"name": "good", "template": "by-attempt"}, {"name": "a", "template": "always"})
    by_attempt = {"name": "by-attempt", "container": BY_ATTEMPT, "retryStrategy": {"limit": 1}}
    always = {**BAD, "name": "always", "retryStrategy": {"limit": 1}}
    world.create({**spec, "arguments": CODES, "templates": [spec["templates"][0], by_attempt, always]})
    world.run(5)
    good = {"good": "Succeeded", "good(0)": "Failed", "good(1)": "Succeeded"}
    assert world.shown() == {"w": "Failed", "a": "Failed", "a(0)": "Failed", "a(1)": "Failed", **good}
    world.change(lambda workflow: retry(workflow, RetryOptions(), world.release, world.wall.timestamp()))
    assert world.shown() == {"w": "Running", "a": "Running", **good}
    world.run(5)
    assert world.shown() == {"w": "Failed", "a": "Failed", "a(0)": "Failed", "a(1)": "Failed", **good}


def test_a_stop_ends_the_attempts() -> None:
    """What everything has to end for is not tried again."""
    world = World()
    world.create(one({**CONTAINER, "retryStrategy": {"limit": 5}}))
    world.run(0.5)
    world.change(lambda workflow: {**workflow, "spec": {**workflow["spec"], "shutdown": "Terminate"}})
    world.run(5)
    assert world.shown() == {"w": "Failed", "w(0)": "Failed"}
    assert world.node("w")["message"] == "Stopped with strategy 'Terminate'"


def test_a_dag_ends_as_its_last_tasks() -> None:
    """What was omitted counts as the worst before it, a last task that may fail as none; their ends are in order."""
    world = World()
    bad, good = {"name": "a", "template": "bad"}, {"name": "b"}
    world.create(dag(bad, good, {"name": "c", "depends": "a && b"}))
    world.create(dag({"name": "z"}, {**bad, "continueOn": {"failed": True}}), "tolerant")
    world.run(5)
    assert (world.status()["phase"], world.shown()["c"]) == ("Failed", "Omitted")
    tolerant = world.status("tolerant")
    ends = [tolerant["nodes"][end]["displayName"] for end in tolerant["nodes"]["tolerant"]["outboundNodes"]]
    assert (tolerant["phase"], ends) == ("Succeeded", ["a", "z"])


@pytest.mark.parametrize(("strategy", "hook"), [("Stop", "Succeeded"), ("Terminate", None)])
def test_a_stop_spares_the_hook_of_a_step(strategy: str, hook: str | None) -> None:
    """What is stopped still runs the exit hooks of its steps, what is terminated does not."""
    world = World()
    world.create(steps([{"name": "s", "hooks": {"exit": {"template": "c"}}}]))
    world.run(0.5)
    world.change(lambda workflow: {**workflow, "spec": {**workflow["spec"], "shutdown": strategy}})
    world.run(5)
    assert world.status()["phase"] == "Failed"
    assert world.shown().get("s.onExit") == hook


def test_fail_fast_waits_for_what_runs() -> None:
    """After a failure nothing more is started, and the template fails once the others have ended."""
    world = World()
    slow = {**CONTAINER, "metadata": {"annotations": {"simulator.argo-bridge/duration": "3s"}}}
    group = [{"name": "bad", "template": "bad"}, {"name": "slow"}, {"name": "never"}]
    spec = steps(group)
    main = {**spec["templates"][0], "parallelism": 2, "failFast": True}
    world.create({**spec, "templates": [main, slow, spec["templates"][2]]})
    world.run(2)
    assert world.shown() == {"w": "Running", "[0]": "Running", "bad": "Failed", "slow": "Running"}
    world.run(5)
    assert world.shown() == {"w": "Failed", "[0]": "Failed", "bad": "Failed", "slow": "Succeeded"}


@pytest.mark.parametrize("kind", ["steps", "tasks"])
def test_outputs_of_items_are_lists(kind: str) -> None:
    """What comes after a step that ran once an item gets the results and parameters of all items that ran."""
    world = World()
    outputs = {"parameters": [{"name": "o", "valueFrom": {"default": "v{{inputs.parameters.x}}"}}]}
    inputs = {"parameters": [{"name": "x"}]}
    made = {"name": "c", "script": {"image": "x", "source": "echo r{{inputs.parameters.x}}"}}
    given_item = {"parameters": [{"name": "x", "value": "{{item}}"}]}
    first = {"name": "a", "withItems": [1, 2, 3], "when": "{{item}} < 3", "arguments": given_item}
    names = {"r": "outputs.result", "p": "outputs.parameters.o", "all": "outputs.parameters"}
    given = [{"name": name, "value": f"{{{{{kind}.a.{key}}}}}"} for name, key in names.items()]
    second = {"name": "b", "template": "show", "arguments": {"parameters": given}}
    spec = steps([first], [second]) if kind == "steps" else dag(first, {**second, "depends": "a"})
    show = {**CONTAINER, "name": "show", "inputs": {"parameters": [{"name": name} for name in names]}}
    spec["templates"] = [spec["templates"][0], {**made, "inputs": inputs, "outputs": outputs}, show]
    world.create(spec)
    world.run(5)
    assert [parameter["value"] for parameter in world.node("b")["inputs"]["parameters"]] == [
        '["r1","r2"]', '["v1","v2"]', '[{"o":"v1"},{"o":"v2"}]',
    ]  # fmt: skip


def test_a_template_may_say_how_its_nodes_are_displayed() -> None:
    """The annotation of a template replaces the display name; attempts and the full name are as ever."""
    world = World()
    shown = {"annotations": {"workflows.argoproj.io/display-name": "os-{{inputs.parameters.x}}"}}
    template = {**CONTAINER, **shown, "inputs": {"parameters": [{"name": "x", "value": "a"}]}}
    spec = steps([{"name": "s"}])
    world.create({**spec, "templates": [spec["templates"][0], template]})
    world.run(5)
    assert world.node("os-a")["name"] == "w[0].s"
    again = World()
    again.create(one({**template, "retryStrategy": {"limit": 1}}))
    again.run(5)
    assert again.shown() == {"os-a": "Succeeded", "os-a(0)": "Succeeded"}


@pytest.mark.parametrize("sequence", [{"count": "{{later}}"}, {"start": "3"}])
def test_a_sequence_that_cannot_be_read_is_one_item(sequence: dict[str, str]) -> None:
    """A number that only a real container could tell does not keep a simulated workflow from going on."""
    world = World()
    world.create(steps([{"name": "s", "withSequence": sequence}]))
    world.run(5)
    assert world.status()["progress"] == "1/1"
