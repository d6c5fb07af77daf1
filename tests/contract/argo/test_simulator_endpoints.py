"""Verbs, logs, templates and the archive of the simulator over HTTP: what no recording shows."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argo_recordings import Answer, call, frames_of, token_for

from bridge.simulator import FaultKind, Identity, InjectedFault, Simulator, SimulatorOptions

WORKFLOWS = "/api/v1/workflows/argo"
ECHO = {"name": "main", "container": {"image": "x", "command": ["echo"], "args": ["a <b>"]}}
WAIT: dict[str, Any] = {"name": "main", "suspend": {}}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator with a clean end."""
    with Simulator(SimulatorOptions(container_s=0.05, list_lag_s=0.0, keepalive_s=0.1, seed=1)) as running:
        yield running
        assert running.unexpected == []


def send(simulator: Simulator, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Send a request; `path` follows /api/v1/."""
    data = b"" if body is None else json.dumps(body).encode()
    return call(simulator.url, method, f"/api/v1/{path}", body=data, headers=headers)


def create(simulator: Simulator, name: str, *templates: dict[str, Any], **spec: Any) -> None:
    """Create a workflow."""
    whole = {"entrypoint": "main", "templates": list(templates), **spec}
    answer = send(simulator, "POST", "workflows/argo", {"workflow": {"metadata": {"name": name}, "spec": whole}})
    assert answer.status == 200, answer.value


def phase(simulator: Simulator, name: str) -> str:
    """A workflow's phase."""
    return str((simulator.workflow("argo", name) or {"status": {}})["status"].get("phase", ""))


def logs(simulator: Simulator, name: str, *, accept: str = "", **options: str) -> Answer:
    """Ask for logs."""
    params = {key if key in ("grep", "podName") else f"logOptions.{key}": value for key, value in options.items()}
    return call(simulator.url, "GET", f"{WORKFLOWS}/{name}/log", params=params, headers={"Accept": accept})


# -- logs --------------------------------------------------------------------------------------------------------------


def test_logs_come_in_both_framings(simulator: Simulator) -> None:
    """A JSON line, or a server-sent event, for each line; the stream ends by itself."""
    create(simulator, "w", ECHO)
    simulator.wait_for(lambda sim: phase(sim, "w") == "Succeeded")
    line = b'{"result":{"content":"a \\u003cb\\u003e","podName":"w"}}'
    assert logs(simulator, "w", container="main").body == line + b"\n"
    assert logs(simulator, "w", container="main", accept="text/event-stream").body == b"data: %b \n\n\n" % line
    assert logs(simulator, "w", container="main", grep="z").body == b""
    params = {"logOptions.container": "main"}
    assert call(simulator.url, "GET", f"{WORKFLOWS}/w/w/log", params=params).body == line + b"\n"
    assert call(simulator.url, "GET", f"{WORKFLOWS}/w/other/log", params=params).body == b""


def test_followed_logs_end_with_the_workflow(simulator: Simulator) -> None:
    """Lines of pods that start later come too; the end of the workflow, or its deletion, ends the stream."""
    main = {"name": "main", "steps": [[{"name": "a", "template": "e"}], [{"name": "b", "template": "s"}],
                                      [{"name": "c", "template": "e"}]]}  # fmt: skip
    for ends in ("resume", "delete"):
        name = f"w-{ends}"
        create(simulator, name, main, {**ECHO, "name": "e"}, {**WAIT, "name": "s"})
        simulator.wait_for(lambda sim, name=name: "Suspend" in _kinds(sim, name))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(logs, simulator, name, follow="true", accept="text/event-stream")
            simulator.wait_for(lambda sim: sim.stats()["logStreams"] == 1)
            if ends == "resume":
                assert send(simulator, "PUT", f"workflows/argo/{name}/resume").status == 200
            else:
                simulator.delete("argo", name)
            frames = [frame for frame in frames_of(answer.result().body, sse=True) if frame != b":\n"]
        assert len(frames) == (2 if ends == "resume" else 1)
        assert simulator.stats()["logStreams"] == 0


def _kinds(simulator: Simulator, name: str) -> set[str]:
    nodes = (simulator.workflow("argo", name) or {"status": {}})["status"].get("nodes", {})
    return {node["type"] for node in nodes.values()}


SCRIPT = {"name": "main", "script": {"image": "x", "source": "echo red\necho green\necho blue"}}


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"tailLines": "1"}, ["blue"]),
        ({"limitBytes": "3"}, ["red"]),
        ({"container": "wait"}, []),
        ({"previous": "true"}, []),
        ({"container": "main", "podName": "another"}, []),
        ({"container": "main", "podName": "w", "grep": "^g"}, ["green"]),
    ],
)
def test_log_options_choose_lines(simulator: Simulator, options: dict[str, str], lines: list[str]) -> None:
    """Each option of a request has its effect."""
    create(simulator, "w", SCRIPT)
    simulator.wait_for(lambda sim: phase(sim, "w") == "Succeeded")
    found = [json.loads(line)["result"]["content"] for line in logs(simulator, "w", **options).body.splitlines()]
    assert found == lines


def test_log_lines_can_have_their_time(simulator: Simulator) -> None:
    """Before each line, when it is asked for."""
    create(simulator, "w", ECHO)
    simulator.wait_for(lambda sim: phase(sim, "w") == "Succeeded")
    content = json.loads(logs(simulator, "w", timestamps="true").body)["result"]["content"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.0+Z a <b>", content)


def test_logs_need_the_right_to_watch() -> None:
    """To get a workflow is not enough."""
    reader, watcher = token_for("reader"), token_for("watcher")
    rights = {reader: frozenset({"create", "get"}), watcher: frozenset({"get", "watch"})}
    identities = tuple(Identity(token, "x", {"argo": verbs}) for token, verbs in rights.items())
    with Simulator(SimulatorOptions(identities=identities)) as simulator:
        body = {"workflow": {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [WAIT]}}}
        assert send(simulator, "POST", "workflows/argo", body, Authorization=f"Bearer {reader}").status == 200
        path = "workflows/argo/w/log?logOptions.container=main"
        assert [send(simulator, "GET", path, Authorization=f"Bearer {who}").status for who in rights] == [403, 200]


def test_silent_logs_are_kept_alive(simulator: Simulator) -> None:
    """While there is no line, a followed stream of server-sent events begins with comment lines."""
    create(simulator, "w", WAIT)
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=30)
    connection.request("GET", f"{WORKFLOWS}/w/log?logOptions.follow=true", headers={"Accept": "text/event-stream"})
    with contextlib.closing(connection), connection.getresponse() as response:
        assert (response.status, response.read(4)) == (200, b":\n:\n")


def test_a_log_request_without_options_is_seen(simulator: Simulator) -> None:
    """It would crash a real server: the connection is cut, nothing else happens, and it is counted."""
    create(simulator, "w", ECHO)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        logs(simulator, "w", podName="w")
    assert simulator.stats()["bareLogRequests"] == 1
    assert send(simulator, "GET", "workflows/argo/w").status == 200


def test_a_crash_can_last() -> None:
    """With `crash_s` the server is away, and then listens on the same port with all that it had."""
    with Simulator(SimulatorOptions(crash_s=600)) as simulator:
        create(simulator, "w", ECHO)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            logs(simulator, "w")
        with pytest.raises(ConnectionError):
            send(simulator, "GET", "version")
        simulator.start_serving()
        assert send(simulator, "GET", "workflows/argo/w").status == 200


def test_a_crashed_server_comes_back() -> None:
    """By itself, once its time is over."""
    with Simulator(SimulatorOptions(crash_s=0.05)) as simulator:
        create(simulator, "w", ECHO)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            logs(simulator, "w")

        def is_back(_: Simulator) -> bool:
            try:
                return send(simulator, "GET", "workflows/argo/w").status == 200
            except ConnectionError:
                return False

        assert simulator.wait_for(is_back, timeout_s=30)


def test_a_server_that_was_stopped_after_a_crash_stays_away() -> None:
    """Its return is called off; what is stored runs on."""
    with Simulator(SimulatorOptions(crash_s=0.2)) as simulator:
        create(simulator, "w", {**WAIT, "suspend": {"duration": "0.5s"}})
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            logs(simulator, "w")
        simulator.stop_serving()
        simulator.wait_for(lambda sim: phase(sim, "w") == "Succeeded")
        with pytest.raises(ConnectionError):
            send(simulator, "GET", "version")


def test_logs_that_cannot_start(simulator: Simulator) -> None:
    """A missing workflow has the shape of a stream's error, a bad parameter that of the gateway; faults apply."""
    answer = logs(simulator, "nope", container="main")
    assert answer.status == 404
    assert answer.value["error"]["message"] == 'workflows.argoproj.io "nope" not found'
    assert (
        logs(simulator, "nope", follow="maybe").value["message"] == 'strconv.ParseBool: parsing "maybe": invalid syntax'
    )
    assert logs(simulator, "nope", tailLines="x").status == 400
    simulator.faults.add(InjectedFault(FaultKind.STATUS, status=503, message="away", path="/log$", count=1))
    assert logs(simulator, "nope", container="main").value["error"]["http_code"] == 503


# -- verbs -------------------------------------------------------------------------------------------------------------


def test_an_answer_comes_before_the_controller_reacts(simulator: Simulator) -> None:
    """A stop's answer still says Running; the watch then shows the stop and the end."""
    create(simulator, "w", WAIT)
    simulator.wait_for(lambda sim: phase(sim, "w") == "Running")
    version = simulator.stats()["resourceVersion"]
    stopped = send(simulator, "PUT", "workflows/argo/w/stop", {"message": "enough"}).value
    assert (stopped["spec"]["shutdown"], stopped["status"]["phase"]) == ("Stop", "Running")
    simulator.wait_for(lambda sim: phase(sim, "w") == "Failed")
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, delay_s=0.05, path="workflow-events"))
    params = {"listOptions.resourceVersion": version}
    frames = call(simulator.url, "GET", "/api/v1/workflow-events/argo", params=params).body.splitlines()[:-1]
    seen = [json.loads(frame)["result"]["object"] for frame in frames]
    assert [w["status"]["phase"] for w in seen] == ["Running", "Failed"]
    assert {w["spec"]["shutdown"] for w in seen} == {"Stop"}


@pytest.mark.parametrize(
    ("verb", "body", "status", "message"),
    [
        ("stop", b"{x", 400, "invalid character 'x' looking for beginning of object key string"),
        ("stop", b"[]", 400, "json: cannot unmarshal array into Go value of type workflow.WorkflowStopRequest"),
        ("retry", b'{"parameters": "a=b"}', 400, "json: cannot unmarshal string into Go struct field"),
        (
            "set",
            b'{"nodeFieldSelector": "id=w", "outputParameters": "{x"}',
            400,
            "unable to parse output parameter set",
        ),
        (
            "set",
            b'{"nodeFieldSelector": "id=w", "outputParameters": "[1]"}',
            400,
            "unable to parse output parameter set",
        ),
        ("resume", b'{"nodeFieldSelector": "id=nope"}', 500, "no suspend nodes matching nodeFieldSelector: id=nope"),
        ("resume", b'{"nodeFieldSelector": "nope"}', 500, "invalid selector: 'nope'; can't understand 'nope'"),
        ("resubmit", b'{"parameters": ["nope"]}', 500, "expected parameter of the form: NAME=VALUE. Received: nope"),
        ("resubmit", b'{"memoized": true}', 400, "workflow must be Failed/Error to resubmit in memoized mode"),
    ],
)
def test_what_the_verbs_refuse(simulator: Simulator, verb: str, body: bytes, status: int, message: str) -> None:
    """Bodies that are no requests, and requests that do not fit the workflow; it stays as it was."""
    create(simulator, "w", WAIT)
    simulator.wait_for(lambda sim: phase(sim, "w") == "Running")
    before = simulator.workflow("argo", "w")
    answer = call(simulator.url, "PUT", f"{WORKFLOWS}/w/{verb}", body=body)
    assert answer.status == status
    assert message in answer.value["message"]
    assert simulator.workflow("argo", "w") == before


def test_a_retry_can_be_stale_and_go_on(simulator: Simulator) -> None:
    """In 4.x the answer has no phase and the label still says Failed; then the workflow runs, under the same uid."""
    bad = {"name": "main", "container": {"image": "x", "args": ["exit {{workflow.parameters.code}}"]}}
    create(simulator, "w", bad, arguments={"parameters": [{"name": "code", "value": "3"}]})
    simulator.wait_for(lambda sim: phase(sim, "w") == "Failed")
    failed = simulator.workflow("argo", "w") or {}
    retried = send(simulator, "PUT", "workflows/argo/w/retry", {"parameters": ["code=0"]}).value
    assert "phase" not in retried["status"]
    assert retried["metadata"]["labels"] == {"workflows.argoproj.io/phase": "Failed"}
    simulator.wait_for(lambda sim: phase(sim, "w") == "Succeeded")
    assert (simulator.workflow("argo", "w") or {})["metadata"]["uid"] == failed["metadata"]["uid"]


def test_verbs_need_their_rights_and_note_who_called() -> None:
    """get alone is not enough; who may update resumes, and node and labels say who it was, from 3.7 on."""
    reader, ops = token_for("reader"), token_for("system:serviceaccount:argo:ops")
    identities = (
        Identity(reader, "reader", {"argo": frozenset({"get", "list", "watch"})}),
        Identity(ops, "system:serviceaccount:argo:ops"),
    )
    for version, labelled in (("3.6", False), ("4.1", True)):
        with Simulator(SimulatorOptions(identities=identities, argo_version=version)) as simulator:
            body = {"workflow": {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [WAIT]}}}
            assert send(simulator, "POST", "workflows/argo", body, Authorization=f"Bearer {ops}").status == 200
            simulator.wait_for(lambda sim: phase(sim, "w") == "Running")
            for verb, right in (("stop", "patch"), ("resume", "update"), ("resubmit", "create")):
                answer = send(simulator, "PUT", f"workflows/argo/w/{verb}", Authorization=f"Bearer {reader}")
                assert answer.status == 403
                assert f'User "reader" cannot {right} resource "workflows"' in answer.value["message"]
            resumed = send(simulator, "PUT", "workflows/argo/w/resume", Authorization=f"Bearer {ops}").value
            message = resumed["status"]["nodes"]["w"]["message"]
            assert message == "Resumed by: map[User:system:serviceaccount:argo:ops]"
            labels = resumed["metadata"]["labels"]
            assert (labels.get("workflows.argoproj.io/action") == "Resume") == labelled
            assert (labels.get("workflows.argoproj.io/actor") == "system-serviceaccount-argo-ops") == labelled


# -- submit, lint, templates, CronWorkflows ----------------------------------------------------------------------------


def test_submit_takes_its_options(simulator: Simulator) -> None:
    """A cluster template, a name, an entrypoint, a dry run; what is created is counted, what is dry is not."""
    other = {**WAIT, "name": "other"}
    spec = {"entrypoint": "main", "templates": [WAIT, other]}
    simulator.put_template("", {"metadata": {"name": "t"}, "spec": spec})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    options = {"name": "s", "entryPoint": "other", "serviceAccount": "runner", "priority": 3, "labels": "a=b"}
    options["ownerReference"] = owner
    body = {"resourceKind": "cwftmpl", "resourceName": "t", "submitOptions": options}
    for dry in ({"dryRun": True}, {"serverDryRun": True}):
        assert send(simulator, "POST", "workflows/argo/submit", {**body, "submitOptions": options | dry}).status == 200
    assert simulator.created == []
    made = send(simulator, "POST", "workflows/argo/submit", body).value
    assert made["metadata"]["labels"] == {"a": "b", "workflows.argoproj.io/cluster-workflow-template": "t"}
    assert made["spec"]["workflowTemplateRef"] == {"name": "t", "clusterScope": True}
    assert made["metadata"]["ownerReferences"] == [owner]
    wanted = {"entrypoint": "other", "serviceAccountName": "runner", "priority": 3}
    assert {key: made["spec"][key] for key in wanted} == wanted
    assert [created.name for created in simulator.created] == ["s"]
    for wrong in ("a", "a=b=c", "=b"):
        asked = {**body, "submitOptions": {**options, "annotations": wrong}}
        assert send(simulator, "POST", "workflows/argo/submit", asked).status == 500


def test_lint_finds_what_create_would_refuse(simulator: Simulator) -> None:
    """As a 500, but a missing template as a 404; a missing value is no fault; nothing is stored."""
    spec = {"entrypoint": "main", "templates": [WAIT], "arguments": {"parameters": [{"name": "p"}]}}
    workflow = {"metadata": {"name": "w", "namespace": "argo"}, "spec": spec}
    assert send(simulator, "POST", "workflows/argo/lint", {"workflow": workflow}).status == 200
    missing = {**workflow, "spec": {"workflowTemplateRef": {"name": "nope"}}}
    assert send(simulator, "POST", "workflows/argo/lint", {"workflow": missing}).status == 404
    assert send(simulator, "POST", "workflows/argo/lint", {}).value == {
        "code": 2,
        "message": "unable to get a workflow",
    }
    assert simulator.workflows() == []
    template = {"metadata": {"name": "t"}, "spec": {**spec, "entrypoint": "nope"}}
    answer = send(simulator, "POST", "workflow-templates/argo/lint", {"template": template})
    assert (answer.status, answer.value["message"]) == (400, "template name 'nope' undefined")
    answer = send(simulator, "POST", "cluster-workflow-templates/lint", {"template": {**template, "spec": spec}})
    assert answer.status == 200


def test_templates_are_listed_by_pattern_and_page(simulator: Simulator) -> None:
    """namePattern is a part of the name; pages follow on with `continue`; cluster templates have no pattern."""
    for name in ("boiler-a", "boiler-b", "press-a"):
        for namespace in ("argo", ""):
            simulator.put_template(namespace, {"metadata": {"name": name}, "spec": {"templates": [WAIT]}})

    def listed(path: str, **params: str) -> tuple[list[str], str]:
        value = call(simulator.url, "GET", f"/api/v1/{path}", params=params).value
        return [t["metadata"]["name"] for t in value["items"] or []], value["metadata"].get("continue", "")

    assert listed("workflow-templates/argo", namePattern="oiler") == (["boiler-a", "boiler-b"], "")
    assert listed("workflow-templates/argo", namePattern="nope") == ([], "")
    first, token = listed("workflow-templates/argo", **{"listOptions.limit": "2"})
    rest, end = listed("workflow-templates/argo", **{"listOptions.limit": "2", "listOptions.continue": token})
    assert (first + rest, end) == (["boiler-a", "boiler-b", "press-a"], "")
    assert len(listed("cluster-workflow-templates", namePattern="press")[0]) == 3
    answer = call(simulator.url, "GET", "/api/v1/workflow-templates/argo", params={"listOptions.continue": "2"})
    assert answer.status == 400


def test_cron_workflows_are_changed_with_their_version(simulator: Simulator) -> None:
    """Without a version 400, with an old one 409; a second one of a name 409; a bad spec 400."""
    spec = {"schedules": ["@daily"], "workflowSpec": {"entrypoint": "main", "templates": [WAIT]}}
    cron = {"metadata": {"name": "c"}, "spec": spec}
    made = send(simulator, "POST", "cron-workflows/argo", {"cronWorkflow": cron}).value
    assert send(simulator, "POST", "cron-workflows/argo", {"cronWorkflow": cron}).status == 409
    assert send(simulator, "POST", "cron-workflows/nowhere", {"cronWorkflow": cron}).status == 404
    assert send(simulator, "POST", "cron-workflows/argo", {}).status == 404

    def put(version: str) -> Answer:
        changed = {"metadata": {"name": "c", "resourceVersion": version}, "spec": {**spec, "schedules": ["@hourly"]}}
        return send(simulator, "PUT", "cron-workflows/argo/c", {"cronWorkflow": changed})

    assert put("").status == 400
    assert put("1").status == 409
    assert put(made["metadata"]["resourceVersion"]).value["spec"]["schedules"] == ["@hourly"]
    bad = {**cron, "spec": {**spec, "workflowSpec": {"entrypoint": "nope", "templates": [WAIT]}}}
    assert send(simulator, "POST", "cron-workflows/argo/lint", {"cronWorkflow": bad}).status == 400


# -- archive -----------------------------------------------------------------------------------------------------------


def test_an_archived_workflow_can_be_retried() -> None:
    """While it lives that is a 409; once it is deleted a new workflow of its name goes on from where it failed.

    The old one can still be resubmitted by its name, and read by its uid beside the new one.
    """
    options = SimulatorOptions(archive=True, archive_delay_s=0.02, container_s=0.05, list_lag_s=0.0)
    good, bad = {**ECHO, "name": "good"}, {"name": "bad", "container": {"image": "x", "args": ["exit 1"]}}
    main = {"name": "main", "steps": [[{"name": "a", "template": "good"}], [{"name": "b", "template": "bad"}]]}
    with Simulator(options) as simulator:
        create(simulator, "w", main, good, bad)
        uid = (simulator.workflow("argo", "w") or {})["metadata"]["uid"]
        simulator.wait_for(lambda _: send(simulator, "GET", f"archived-workflows/{uid}").status == 200, timeout_s=30)
        retry = f"archived-workflows/{uid}/retry"
        assert send(simulator, "PUT", retry, {"namespace": "argo"}).status == 409
        simulator.delete("argo", "w")
        assert [send(simulator, "PUT", retry, body).status for body in ({}, {"namespace": "default"})] == [400, 400]
        resubmitted = send(simulator, "PUT", "workflows/argo/w/resubmit").value
        assert resubmitted["metadata"]["name"].startswith("w-")
        retried = send(simulator, "PUT", retry, {"namespace": "argo"}).value
        assert retried["metadata"]["uid"] != uid
        assert send(simulator, "GET", f"workflows/argo/w?uid={uid}").value["metadata"]["uid"] == uid
        kept = {node["displayName"]: node["phase"] for node in retried["status"]["nodes"].values()}
        assert kept["a"] == "Succeeded"
        assert "b" not in kept
        simulator.wait_for(lambda sim: phase(sim, "w") == "Failed", timeout_s=30)
        assert send(simulator, "GET", "archived-workflows/nope").value == {"code": 5, "message": "not found"}


def test_the_archive_asks_for_rights() -> None:
    """Those on workflows: who may do nothing sees nothing, and who may only read deletes nothing."""
    nobody, reader, root = token_for("nobody"), token_for("reader"), token_for("root")
    identities = (
        Identity(nobody, "nobody", {}),
        Identity(reader, "reader", {"argo": frozenset({"get", "list"})}),
        Identity(root, "root"),
    )
    body = {"workflow": {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [ECHO]}}}
    options = SimulatorOptions(identities=identities, archive=True, archive_delay_s=0.02, container_s=0.02)
    with Simulator(options) as simulator:

        def status(who: str, method: str, path: str, sent: Any = None) -> int:
            return send(simulator, method, path, sent, Authorization=f"Bearer {who}").status

        assert status(root, "POST", "workflows/argo", body) == 200
        one = f"archived-workflows/{(simulator.workflow('argo', 'w') or {})['metadata']['uid']}"
        simulator.wait_for(lambda _: status(root, "GET", one) == 200)
        assert [status(nobody, "GET", path) for path in (one, "archived-workflows?namespace=argo")] == [403, 403]
        assert [status(reader, "GET", path) for path in (one, "archived-workflows?namespace=argo")] == [200, 200]
        assert status(reader, "DELETE", one) == 403
        assert status(reader, "PUT", f"{one}/resubmit", {"namespace": "argo"}) == 403
        assert status(root, "DELETE", one) == 200


def test_a_list_of_archived_and_live_ones_is_paged() -> None:
    """With an archive `continue` is told for a limited page, and a bogus one for a list without a limit."""
    options = SimulatorOptions(archive=True, archive_delay_s=0.02, container_s=0.02, list_lag_s=0.0)
    with Simulator(options) as simulator:
        for number in range(3):
            create(simulator, f"w{number}", ECHO)
        listed = "archived-workflows"
        simulator.wait_for(lambda _: len(send(simulator, "GET", listed).value["items"] or []) == 3, timeout_s=30)
        simulator.delete("argo", "w0")
        assert send(simulator, "GET", "workflows/argo").value["metadata"]["continue"] == "3"
        page = send(simulator, "GET", "workflows/argo?listOptions.limit=2").value
        assert (len(page["items"]), page["metadata"]["continue"]) == (2, "2")
        page = send(simulator, "GET", f"{listed}?namePrefix=w1").value
        assert [item["metadata"]["name"] for item in page["items"]] == ["w1"]
        assert "continue" not in page["metadata"]


def test_a_uid_that_is_not_the_live_ones(simulator: Simulator) -> None:
    """Without an archive the real server's handler panics: a 500 with Go's text; the right uid is found."""
    create(simulator, "w", WAIT)
    uid = (simulator.workflow("argo", "w") or {})["metadata"]["uid"]
    assert send(simulator, "GET", f"workflows/argo/w?uid={uid}").status == 200
    answer = send(simulator, "GET", "workflows/argo/w?uid=other")
    assert (answer.status, answer.value["code"]) == (500, 13)
    assert "nil pointer dereference" in answer.value["message"]
