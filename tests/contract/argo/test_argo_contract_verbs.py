"""What any Argo Server promises about its verbs: the same tests on the simulator and, where named, on a real server.

As in test_argo_contract: with ARGO_SERVER they also run there, and nothing here needs pods.
"""

from __future__ import annotations

from typing import Any

import pytest
from argo_servers import LABEL, Server, until

COMPLETED = "workflows.argoproj.io/completed"


def put(server: Server, name: str, verb: str, body: Any = None) -> Any:
    """Do something to a workflow."""
    return server.call("PUT", f"workflows/{server.namespace}/{name}/{verb}", body=body or {})


def waiting(server: Server, workflow: dict[str, Any] | None = None) -> str:
    """Create a workflow that waits in a suspend node; returns its name once it does."""
    name = str(server.create(workflow or server.workflow(None)).value["metadata"]["name"])
    until(lambda: any(n["type"] == "Suspend" for n in nodes(server, name)))
    return name


def nodes(server: Server, name: str) -> list[dict[str, Any]]:
    """The nodes of a workflow."""
    return list(server.get(name).value["status"].get("nodes", {}).values())


def end_of(server: Server, name: str) -> Any:
    """A workflow once it has ended."""
    return until(lambda: (w := server.get(name).value)["status"].get("finishedAt") and w)


def two_steps(server: Server) -> dict[str, Any]:
    """A workflow of two waits, one after the other."""
    workflow = server.workflow(None)
    wait = {"name": "wait", "suspend": {}}
    main = {"name": "main", "steps": [[{"name": "s0", "template": "wait"}], [{"name": "s1", "template": "wait"}]]}
    return {**workflow, "spec": {"entrypoint": "main", "templates": [main, wait]}}


def schedule_of(server: Server) -> dict[str, Any]:
    """A schedule, as the release has it in the spec of a CronWorkflow."""
    return {"schedule": "0 0 1 1 *"} if server.minor < (3, 6) else {"schedules": ["0 0 1 1 *"]}


def test_a_suspended_workflow_waits_for_its_resume(server: Server) -> None:
    """suspend shows in the spec and may be repeated; a resume clears it, ends the waiting node, and the next runs."""
    name = waiting(server, two_steps(server))
    for _ in range(2):
        assert put(server, name, "suspend").value["spec"]["suspend"] is True
    resumed = put(server, name, "resume").value
    assert "suspend" not in resumed["spec"]
    until(lambda: {n["displayName"]: n["phase"] for n in nodes(server, name)}.get("s1") == "Running")
    put(server, name, "resume")
    assert end_of(server, name)["status"]["phase"] == "Succeeded"


def test_a_stopped_workflow_fails_and_says_how(server: Server) -> None:
    """Stop and terminate end it with their names in the message; a second one is a 500 with the known text."""
    for verb, strategy in (("stop", "Stop"), ("terminate", "Terminate")):
        name = waiting(server, server.workflow(None, name=f"contract-{server.run}-{verb}"))
        assert put(server, name, verb).value["spec"]["shutdown"] == strategy
        ended = end_of(server, name)
        assert (ended["status"]["phase"], ended["status"]["message"]) == (
            "Failed",
            f"Stopped with strategy '{strategy}'",
        )
        again = put(server, name, verb)
        text = f'cannot shutdown a completed workflow: workflow: "{name}", namespace: "{server.namespace}"'
        assert (again.status, again.value) == (500, {"code": 13, "message": text})


def test_what_has_ended_can_be_resumed_but_not_suspended(server: Server) -> None:
    """A resume changes nothing and is a 200; a suspend is refused, as a 400 or a 500 by release, with one text."""
    name = waiting(server)
    put(server, name, "resume")
    end_of(server, name)
    until(lambda: server.get(name).value["metadata"]["labels"].get(COMPLETED) == "true")
    version = server.get(name).value["metadata"]["resourceVersion"]
    assert put(server, name, "resume").value["metadata"]["resourceVersion"] == version
    refused = put(server, name, "suspend")
    assert refused.status in (400, 500)
    assert refused.value["message"] == "timed out waiting for the condition: cannot suspend completed workflows"


def test_a_resume_needs_outputs_unless_it_names_the_node(server: Server) -> None:
    """An output that nobody has set and that has no default refuses a resume; by selector its node ends without it."""
    workflow = two_steps(server)
    workflow["spec"]["templates"][1]["outputs"] = {"parameters": [{"name": "answer", "valueFrom": {"supplied": {}}}]}
    name = waiting(server, workflow)
    refused = put(server, name, "resume")
    text = "raw output parameter 'answer' has not been set and does not have a default value"
    assert (refused.status, refused.value) == (
        500,
        {"code": 13, "message": f"timed out waiting for the condition: {text}"},
    )
    for step in ("s0", "s1"):
        until(lambda step=step: any(n["displayName"] == step for n in nodes(server, name)))
        assert put(server, name, "resume", {"nodeFieldSelector": f"displayName={step}"}).status == 200
    assert end_of(server, name)["status"]["phase"] == "Succeeded"


def test_outputs_are_set_and_shown(server: Server) -> None:
    """`set` needs a selector, finds the node, and its value is the workflow's output in the end."""
    workflow = server.workflow(None)
    outputs = {"parameters": [{"name": "answer", "globalName": "answer", "valueFrom": {"supplied": {}}}]}
    workflow["spec"]["templates"][0]["outputs"] = outputs
    name = waiting(server, workflow)
    values = {"outputParameters": '{"answer":"42"}'}
    assert put(server, name, "set", values).status == 500
    assert put(server, name, "set", {**values, "nodeFieldSelector": "displayName=nope"}).status == 500
    assert put(server, name, "set", {**values, "nodeFieldSelector": f"displayName={name}"}).status == 200
    put(server, name, "resume")
    assert end_of(server, name)["status"]["outputs"]["parameters"] == [{"name": "answer", "value": "42"}]


def test_a_retry_is_refused_unless_it_failed(server: Server) -> None:
    """While it runs, and after it has succeeded, a 400 that says why; after a stop a 200 with a start of its own."""
    name = waiting(server)
    assert put(server, name, "retry").value["message"] == "Cannot retry a workflow in phase Running"
    put(server, name, "stop")
    uid = end_of(server, name)["metadata"]["uid"]
    retried = put(server, name, "retry")
    assert retried.status == 200
    assert retried.value["metadata"]["uid"] == uid
    assert retried.value["status"]["finishedAt"] is None
    assert "shutdown" not in retried.value["spec"]
    assert COMPLETED not in retried.value["metadata"]["labels"]


def test_a_resubmission_is_a_new_workflow(server: Server) -> None:
    """With a generated name, the user's labels, and one that names the old workflow."""
    name = waiting(server)
    made = put(server, name, "resubmit").value
    assert made["metadata"]["name"].startswith(f"{name}-")
    assert made["metadata"]["labels"][LABEL] == server.run
    assert made["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"] == name


@pytest.mark.parametrize("verb", ["suspend", "resume", "stop", "terminate", "retry", "resubmit"])
def test_a_verb_misses_what_does_not_exist(server: Server, verb: str) -> None:
    """404 with the name in the text."""
    answer = put(server, f"no-{server.run}", verb)
    assert answer.status == 404
    assert answer.value == {"code": 5, "message": f'workflows.argoproj.io "no-{server.run}" not found'}


def test_lint_judges_and_stores_nothing(server: Server) -> None:
    """A good workflow comes back, a bad one is a 500 with the reason."""
    path = f"workflows/{server.namespace}/lint"
    good = server.workflow(None, namespace=server.namespace)
    assert server.call("POST", path, body={"workflow": good}).value["spec"]["entrypoint"] == "main"
    bad = {**good, "spec": {**good["spec"], "entrypoint": "nope"}}
    answer = server.call("POST", path, body={"workflow": bad})
    assert (answer.status, answer.value) == (500, {"code": 2, "message": "template name 'nope' undefined"})
    assert server.get(good["metadata"]["name"]).status == 404


def test_a_workflow_is_submitted_from_a_template_and_a_cron_workflow(server: Server) -> None:
    """Both carry the label that names their source; values of parameters may contain `=`; a missing source is a 404."""
    name, run = f"contract-{server.run}", server.run
    spec = {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "device"}]},
        "templates": [{"name": "main", "suspend": {}}],
    }
    kept = server.create(server.workflow(None)).value["spec"]
    templates, crons = f"workflow-templates/{server.namespace}", f"cron-workflows/{server.namespace}"
    cron = {"metadata": {"name": name}, "spec": {**schedule_of(server), "workflowSpec": kept}}
    assert server.call("POST", templates, body={"template": {"metadata": {"name": name}, "spec": spec}}).status == 200
    assert server.call("POST", crons, body={"cronWorkflow": cron}).status == 200
    try:
        for kind, label in (("WorkflowTemplate", "workflow-template"), ("CronWorkflow", "cron-workflow")):
            options = {"labels": f"{LABEL}={run}", "parameters": ["device=a=b"]}
            body = {"resourceKind": kind, "resourceName": name, "submitOptions": options}
            submit = f"workflows/{server.namespace}/submit"
            until(lambda submit=submit, body=body: server.call("POST", submit, body=body).status == 200)
            made = server.call("POST", submit, body=body).value
            assert made["metadata"]["labels"][f"workflows.argoproj.io/{label}"] == name
            assert made["spec"]["arguments"]["parameters"] == [{"name": "device", "value": "a=b"}]
            assert server.call("POST", submit, body={**body, "resourceName": f"no-{run}"}).status == 404
    finally:
        assert server.call("DELETE", f"{templates}/{name}").status == 200
        assert server.call("DELETE", f"{crons}/{name}").status == 200


def test_a_cron_workflow_is_suspended_and_resumed(server: Server) -> None:
    """spec.suspend comes and goes; the list shows it; after its deletion it is missed."""
    name, crons = f"contract-{server.run}", f"cron-workflows/{server.namespace}"
    spec = {**schedule_of(server), "workflowSpec": server.workflow(None)["spec"]}
    body = {"cronWorkflow": {"metadata": {"name": name}, "spec": spec}}
    assert server.call("POST", crons, body=body).status == 200
    assert server.call("PUT", f"{crons}/{name}/suspend", body={}).value["spec"]["suspend"] is True
    assert not server.call("PUT", f"{crons}/{name}/resume", body={}).value["spec"].get("suspend")
    assert name in [item["metadata"]["name"] for item in server.call("GET", crons).value["items"]]
    assert server.call("DELETE", f"{crons}/{name}").body == b"{}"
    assert server.call("GET", f"{crons}/{name}").status == 404


def test_logs_without_pods_are_empty(server: Server) -> None:
    """A 200 without a line, as long as one log option is given (without any a real server ends)."""
    name = waiting(server)
    params = {"logOptions.container": "main", "logOptions.tailLines": "10"}
    answer = server.call("GET", f"workflows/{server.namespace}/{name}/log", params=params)
    assert (answer.status, answer.body) == (200, b"")
