"""Recorded exchanges about CronWorkflows, the archive, events and logs, sent to the simulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from argo_recordings import (
    Exchange,
    assert_alike,
    assert_headers,
    call,
    read_exchanges,
    replay,
    token_for,
)

from bridge.simulator import Identity, Simulator, SimulatorOptions

WORKFLOWS = "/api/v1/workflows/argo"


def test_cron_workflows_are_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """Create, show, suspend, resume, submit, list, delete and miss one; 3.5 knows no `schedules`, and refuses."""
    for exchange in read_exchanges(release, "cron").values():
        assert_alike(replay(simulator.url, exchange), exchange)


def test_an_old_release_takes_a_single_schedule() -> None:
    """3.5 stores `schedule`, which 4.0 and later drop as an unknown field, and then miss."""
    spec = {"schedule": "0 6 * * mon-fri", "workflowSpec": {"entrypoint": "a", "templates": [_wait("a")]}}
    body = {"cronWorkflow": {"metadata": {"name": "nightly"}, "spec": spec}}
    create = Exchange("create", {"method": "POST", "path": "/api/v1/cron-workflows/argo", "body": body}, {})
    with Simulator(SimulatorOptions(argo_version="3.5")) as old:
        assert replay(old.url, create).value["spec"]["schedule"] == "0 6 * * mon-fri"
    with Simulator(SimulatorOptions(argo_version="4.1")) as new:
        answer = replay(new.url, create)
        assert (answer.status, answer.value["message"]) == (400, "cron workflow must have at least one schedule")


def _wait(name: str) -> dict[str, Any]:
    return {"name": name, "suspend": {}}


def test_events_are_answered_as_recorded(release: str) -> None:
    """A bad token, a caller without the right, no JSON and no header at all: each gets the recorded refusal."""
    bridge, root = token_for("system:serviceaccount:argo:bridge"), token_for("root")
    identities = (
        Identity(bridge, "system:serviceaccount:argo:bridge", {"argo": frozenset({"create"})}),
        Identity(root, "root"),
    )
    with Simulator(SimulatorOptions(argo_version=release, identities=identities)) as simulator:
        for scenario, token in (("binding", bridge), ("events", "garbage")):
            for name, exchange in read_exchanges(release, scenario).items():
                shown = root if name == "list bindings" else token
                headers = {} if name == "no auth header" else {"Authorization": f"Bearer {shown}"}
                asked = replace(exchange, request={**exchange.request, "headers": headers})
                answer = replay(simulator.url, asked)
                if name == "no auth header":
                    assert answer.status == exchange.response["status"]
                    assert answer.body == b'{"message": "failed to process webhook request"}'
                    assert_headers(answer, exchange.response["headers"], name)
                else:
                    assert_alike(answer, exchange)
        headers = {"Authorization": f"Bearer {root}"}
        assert call(simulator.url, "POST", "/api/v1/events/argo/", body=b"5", headers=headers).value == {}


def test_logs_of_a_workflow_without_pods_are_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """An empty 200 with the recorded headers."""
    exchange = read_exchanges(release, "pods")["logs of a finished one"]
    name = exchange.request["path"].split("/")[5]
    workflow = {"metadata": {"name": name}, "spec": {"entrypoint": "a", "templates": [_wait("a")]}}
    body = {"workflow": workflow}
    replay(simulator.url, Exchange("create", {"method": "POST", "path": WORKFLOWS, "body": body}, {}))
    answer = replay(simulator.url, exchange)
    recorded = exchange.response
    assert (answer.status, answer.body.decode()) == (recorded["status"], recorded["body"]["__text__"])
    assert_headers(answer, recorded["headers"], "logs")


def test_the_archive_is_answered_as_recorded() -> None:
    """Archived, deleted, created again, resubmitted: GET, list and the archive's own endpoints are as recorded."""
    options = SimulatorOptions(
        argo_version="4.1.2", archive=True, archive_delay_s=0.05, reaction_s=0.02, list_lag_s=0.0
    )
    exchanges = read_exchanges("4.1.2", "archive")
    recorded_uid = exchanges["create"].response["body"]["metadata"]["uid"]
    name = exchanges["create"].response["body"]["metadata"]["name"]
    with Simulator(options) as simulator:
        uid = ""
        for title, exchange in exchanges.items():
            if title == "delete seen by watch":
                continue
            path = exchange.request["path"].replace(recorded_uid, uid)
            answer = replay(simulator.url, replace(exchange, request={**exchange.request, "path": path}))
            assert_alike(answer, exchange)
            if title == "create":
                uid = answer.value["metadata"]["uid"]
                simulator.wait_for(lambda sim: _archiving(sim, name) == "Archived", timeout_s=30)
            elif title == "same name again":
                simulator.wait_for(lambda sim: sim.workflow("argo", name)["status"].get("phase"), timeout_s=30)
                simulator.set_controller_away(True)  # the real one archived the second only after the last request
        assert simulator.unexpected == []


def _archiving(simulator: Simulator, name: str) -> str:
    workflow = simulator.workflow("argo", name) or {"metadata": {}}
    label = workflow["metadata"].get("labels", {}).get("workflows.argoproj.io/workflow-archiving-status", "")
    return str(label)


def test_without_an_archive_there_is_nothing_archived(simulator: Simulator) -> None:
    """The list is empty and every other request of the archive is a 500 that says why."""
    assert call(simulator.url, "GET", "/api/v1/archived-workflows").value == {"metadata": {}, "items": None}
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", "/retry"), ("PUT", "/resubmit")):
        answer = call(simulator.url, method, f"/api/v1/archived-workflows/some-uid{path}")
        assert answer.status == 500
        assert answer.value == {"code": 13, "message": "getting archived workflows not supported"}


def test_a_workflow_stopped_before_it_ran_ends_as_recorded() -> None:
    """While the controller is away a create and a stop are answered, and the phase stays absent; then it fails."""
    options = SimulatorOptions(argo_version="4.1.2", archive=True, archive_delay_s=0.02, reaction_s=0.02)
    exchanges = read_exchanges("4.1.2", "controller-away")
    with Simulator(options) as simulator:
        simulator.set_controller_away(True)
        for name in ("create", "get", "stop", "get, stopping"):
            assert_alike(replay(simulator.url, exchanges[name]), exchanges[name])
        simulator.set_controller_away(False)
        name = exchanges["after"].request["path"].rsplit("/", 1)[1]
        simulator.wait_for(lambda sim: _archiving(sim, name) == "Archived", timeout_s=30)
        assert_alike(replay(simulator.url, exchanges["after"]), exchanges["after"])
