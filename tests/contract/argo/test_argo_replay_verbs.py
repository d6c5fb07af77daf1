"""Recorded suspends, resumes, stops, retries and the like of five real Argo releases, sent to the simulator."""

from __future__ import annotations

import json
from typing import Any

from argo_recordings import Exchange, assert_alike, frames_of, read_exchanges, replay, steady

from bridge.simulator import FaultKind, InjectedFault, Simulator

# Here the real controller had reacted before the real server read the workflow again for its answer.
OVERTAKEN = {("3.5.15", "resume"), ("3.5.15", "stop"), ("3.7.18", "resume")}


def phases_of(workflow: Any) -> Any:
    """The phase of a workflow and of its nodes, by name."""
    status = workflow["status"]
    return status.get("phase"), {node["name"]: node["phase"] for node in status.get("nodes", {}).values()}


def catch_up(simulator: Simulator, exchange: Exchange) -> None:
    """Wait until the simulated controller is as far as the real one was when a GET was recorded."""
    if exchange.request["method"] == "POST":
        return
    name = exchange.request["path"].split("/")[5]
    recorded = exchange.response["body"]
    if exchange.request["method"] == "GET" and exchange.response["status"] == 200:
        phase, nodes = phases_of(recorded)

        def as_far(_: Simulator) -> bool:
            workflow = simulator.workflow("argo", name)
            return workflow is not None and (phases_of(workflow) == (phase, nodes) or (not nodes and phase != "Failed"))

        simulator.wait_for(as_far, timeout_s=30)
    elif exchange.request["method"] == "PUT" and simulator.workflow("argo", name) is not None:
        simulator.wait_for(lambda sim: sim.workflow("argo", name)["status"]["startedAt"], timeout_s=30)


def test_the_verbs_are_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """Suspend, resume, stop, retry, terminate, resubmit, set and delete: each answer and state is as recorded."""
    for name, exchange in read_exchanges(release, "lifecycle").items():
        catch_up(simulator, exchange)
        answer = replay(simulator.url, exchange)
        if (release, name) in OVERTAKEN:
            assert answer.status == exchange.response["status"]
            assert steady(answer.value["spec"]) == steady(exchange.response["body"]["spec"])
        else:
            assert_alike(answer, exchange)


def test_a_retry_of_failed_pods_is_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """The failed pod is taken away and its groups run again; then the workflow fails once more, with a later start."""
    exchanges = read_exchanges(release, "pods")
    failed, retried = exchanges["get bad"], exchanges["retry bad"]
    name, spec = failed.response["body"]["metadata"]["name"], failed.response["body"]["spec"]
    body = {"workflow": {"metadata": {"name": name}, "spec": spec}}
    replay(simulator.url, Exchange("create", {"method": "POST", "path": "/api/v1/workflows/argo", "body": body}, {}))
    catch_up(simulator, failed)
    assert_alike(replay(simulator.url, retried), retried)
    catch_up(simulator, failed)
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, path="workflow-events", delay_s=0.05))
    watched = exchanges["watch of the retry"]
    answer = replay(simulator.url, watched, **{"listOptions.resourceVersion": "100"})
    frames = [frame for frame in frames_of(answer.body, sse=True) if b"result" in frame]
    seen = [_shown(json.loads(frame[6:])) for frame in frames]
    recorded = [
        _shown(json.loads(frame["bytes"][6:]))
        for frame in watched.response["frames"]
        if f'"name":"{name}"' in frame["bytes"]
    ]
    after = seen[seen.index(_shown_answer(retried)) :]  # kube's frame of the retry itself is not in all recordings
    assert _without_repeats([shown for shown in after if shown in recorded]) == _without_repeats(recorded)


def _shown(frame: Any) -> Any:
    """Labels, phase and message in a frame."""
    workflow = frame["result"]["object"]
    return _shown_workflow(workflow)


def _shown_answer(exchange: Exchange) -> Any:
    return _shown_workflow(exchange.response["body"])


def _shown_workflow(workflow: Any) -> Any:
    status = workflow["status"]
    return workflow["metadata"].get("labels"), status.get("phase"), status.get("message"), status.get("progress")


def _without_repeats(values: list[Any]) -> list[Any]:
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
