"""What any Argo Server promises: the same tests on the simulator, as its first and last release, and on a real server.

With ARGO_SERVER (host:port or a URL) they also run there; ARGO_TOKEN, ARGO_NAMESPACE and ARGO_SECURE are honoured.
Names are made for the test and cleaned up. Nothing here needs pods: workflows are made of suspends.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from argo_recordings import frames_of
from argo_servers import LABEL, Server, until


def test_a_create_is_stored_and_found_again(server: Server) -> None:
    """The answer has an identity and no phase; GET finds the same workflow, with what was given and nothing lost."""
    answer = server.create(server.workflow(None, annotations={"argo-bridge/event": "e<&>1"}))
    assert answer.status == 200
    made = answer.value
    assert "phase" not in made["status"]
    assert "kind" not in made
    assert b"\\u003c" in answer.body
    found = server.get(made["metadata"]["name"]).value
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["metadata"]["annotations"]["argo-bridge/event"] == "e<&>1"
    assert found["spec"] == made["spec"]


def test_a_name_is_given_once(server: Server) -> None:
    """The second create of a name is a 409 that says so, and the first workflow stays as it was."""
    first = server.create(server.workflow(None)).value
    answer = server.create(server.workflow(None))
    assert answer.status == 409
    assert answer.value["code"] == 6
    assert answer.value["message"] == f'workflows.argoproj.io "{first["metadata"]["name"]}" already exists'
    assert server.get(first["metadata"]["name"]).value["metadata"]["uid"] == first["metadata"]["uid"]


def test_many_creates_of_one_name_make_one_workflow(server: Server) -> None:
    """Of concurrent creates with one name exactly one succeeds; all others are 409."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: server.create(server.workflow(None)).status, range(16)))
    assert sorted(statuses) == [200] + [409] * 15


def test_generated_names_differ(server: Server) -> None:
    """generateName makes a new name each time, beginning as asked."""
    workflow = server.workflow(None, generateName=f"contract-{server.run}-")
    del workflow["metadata"]["name"]
    names = {server.create(workflow).value["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith(f"contract-{server.run}-") for name in names)


def test_a_workflow_ends_and_says_so(server: Server) -> None:
    """Phase, progress, labels, condition and node of a workflow that ran to its end."""
    name = server.create(server.workflow("1s")).value["metadata"]["name"]
    ended = until(lambda: (w := server.get(name).value)["status"].get("finishedAt") and w)
    assert (ended["status"]["phase"], ended["status"]["progress"]) == ("Succeeded", "1/1")
    assert ended["metadata"]["labels"]["workflows.argoproj.io/phase"] == "Succeeded"
    assert ended["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true"
    assert {"type": "Completed", "status": "True"} in ended["status"]["conditions"]
    assert ended["status"]["nodes"][name]["type"] == "Suspend"


def test_a_list_catches_up(server: Server) -> None:
    """A created workflow appears in the list and a deleted one leaves it within a moment; the list has a version."""
    name = server.create(server.workflow(None)).value["metadata"]["name"]
    params = {"listOptions.labelSelector": f"{LABEL}={server.run}", "fields": "metadata,items.metadata.name"}

    def listed() -> list[str]:
        value = server.call("GET", f"workflows/{server.namespace}", params=params).value
        assert value["metadata"]["resourceVersion"]
        return [item["metadata"]["name"] for item in value["items"] or []]

    until(lambda: listed() == [name])
    assert server.call("DELETE", f"workflows/{server.namespace}/{name}").body == b"{}"
    until(lambda: listed() == [])


def test_a_list_takes_what_has_not_ended_for_ended_long_ago(server: Server) -> None:
    """`finishedBefore` also lists what runs; a `nameFilter` that is none takes the name away (since 3.6)."""
    name = server.create(server.workflow(None)).value["metadata"]["name"]
    mine = {"listOptions.labelSelector": f"{LABEL}={server.run}"}

    def listed(**params: str) -> list[str]:
        value = server.call("GET", f"workflows/{server.namespace}", params={**mine, **params}).value
        return [item["metadata"]["name"] for item in value["items"] or []]

    until(lambda: listed() == [name])
    assert listed(finishedBefore="2000-01-01T00:00:00Z") == [name]
    by_name = {"nameFilter": "nope", "listOptions.fieldSelector": "metadata.name=another"}
    assert listed(**by_name) == ([name] if server.minor >= (3, 6) else [])


@pytest.mark.parametrize(
    ("method", "path", "parameter", "status"),
    [
        ("DELETE", "workflows/{}/nope", "force", 400),
        ("GET", "workflow-events/{}", "listOptions.allowWatchBookmarks", 400),
        ("GET", "workflow-events/{}", "listOptions.resourceVersion", 500),
        ("GET", "workflows/{}", "listOptions.limit", 400),
        ("GET", "workflows/{}", "listOptions.continue", 400),
    ],
)
def test_parameters_that_are_none(server: Server, method: str, path: str, parameter: str, status: int) -> None:
    """What is no number or truth value is a 400, what is no resource version a 500."""
    assert server.call(method, path.format(server.namespace), params={parameter: "x"}).status == status


def test_a_time_in_a_field_selector_is_believed_to_be_the_servers_own(server: Server) -> None:
    """One that cannot be read is a 500."""
    params = {"listOptions.fieldSelector": "spec.startedAt>x"}
    assert server.call("GET", f"workflows/{server.namespace}", params=params).status == 500


def test_a_deleted_workflow_is_gone(server: Server) -> None:
    """After DELETE both GET and a second DELETE are 404 with the name in the text; the name is free again."""
    name = server.create(server.workflow(None)).value["metadata"]["name"]
    assert server.call("DELETE", f"workflows/{server.namespace}/{name}").status == 200
    for method in ("GET", "DELETE"):
        answer = server.call(method, f"workflows/{server.namespace}/{name}")
        assert answer.status == 404
        assert answer.value == {"code": 5, "message": f'workflows.argoproj.io "{name}" not found'}
    assert server.create(server.workflow(None)).status == 200


@pytest.mark.parametrize("sse", [True, False])
def test_a_watch_tells_a_whole_life(server: Server, sse: bool) -> None:
    """From a version before the create: ADDED, MODIFIED to the end, DELETED, versions growing; then EOF as a frame."""
    selector = f"{LABEL}={server.run}"
    listing = server.call("GET", f"workflows/{server.namespace}", params={"fields": "metadata"})
    version = listing.value["metadata"]["resourceVersion"]
    name = server.create(server.workflow("0s")).value["metadata"]["name"]
    until(lambda: server.get(name).value["status"].get("finishedAt"))
    server.call("DELETE", f"workflows/{server.namespace}/{name}")
    answer = server.call(
        "GET",
        f"workflow-events/{server.namespace}",
        params={
            "listOptions.resourceVersion": version,
            "listOptions.labelSelector": selector,
            "listOptions.timeoutSeconds": "1",
        },
        accept="text/event-stream" if sse else "",
    )
    frames = [frame.removeprefix(b"data: ").strip() for frame in frames_of(answer.body, sse=sse)]
    values = [json.loads(frame) for frame in frames if frame != b":"]
    assert values.pop() == {
        "error": {"grpc_code": 8, "http_code": 429, "message": "EOF", "http_status": "Too Many Requests"}
    }
    events = [value["result"] for value in values]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "ADDED"
    assert set(kinds[1:-1]) == {"MODIFIED"}
    assert kinds[-1] == "DELETED"
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert events[-1]["object"]["status"]["phase"] == "Succeeded"


def test_a_watch_can_be_resumed_without_loss(server: Server) -> None:
    """A watch from the version of its last event continues with the next one, and repeats none."""
    listing = server.call("GET", f"workflows/{server.namespace}", params={"fields": "metadata"})
    version = listing.value["metadata"]["resourceVersion"]
    for number in range(3):
        server.create(server.workflow(None, name=f"contract-{server.run}-{number}"))

    def added_since(version: str) -> list[tuple[str, str]]:
        params = {
            "listOptions.resourceVersion": version,
            "listOptions.labelSelector": f"{LABEL}={server.run}",
            "listOptions.timeoutSeconds": "1",
        }
        answer = server.call("GET", f"workflow-events/{server.namespace}", params=params)
        results = [json.loads(frame).get("result") for frame in frames_of(answer.body, sse=False)]
        found = [result for result in results if result and result["type"] == "ADDED"]
        return [(r["object"]["metadata"]["name"][-1], r["object"]["metadata"]["resourceVersion"]) for r in found]

    first = added_since(version)
    assert [number for number, _ in first] == ["0", "1", "2"]
    assert [number for number, _ in added_since(first[0][1])] == ["1", "2"]


def test_templates_are_stored_and_run(server: Server) -> None:
    """A WorkflowTemplate can be made once, read, used by a workflow that gives its parameters, and deleted."""
    name = f"contract-{server.run}"
    spec = {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "device"}]},
        "templates": [{"name": "main", "suspend": {"duration": "0s"}}],
    }
    path = f"workflow-templates/{server.namespace}"
    body = {"template": {"metadata": {"name": name}, "spec": spec}}
    assert server.call("POST", path, body=body).status == 200
    try:
        assert server.call("POST", path, body=body).status == 409
        assert server.call("GET", f"{path}/{name}").value["spec"]["arguments"] == spec["arguments"]
        workflow = server.workflow()
        workflow["spec"] = {"workflowTemplateRef": {"name": name}}
        until(lambda: server.create(workflow).status != 404)  # the server's own cache of templates lags
        refused = server.create(workflow)
        assert refused.status == 400
        assert refused.value["message"] == "spec.arguments.device.value or spec.arguments.device.valueFrom is required"
        workflow["spec"]["arguments"] = {"parameters": [{"name": "device", "value": "7"}]}
        assert server.create(workflow).status == 200
        ended = until(lambda: (w := server.get(name).value)["status"].get("finishedAt") and w)
        assert ended["status"]["phase"] == "Succeeded"
        labelled = ended["metadata"]["labels"].get("workflows.argoproj.io/workflow-template")
        assert labelled == (name if server.minor >= (4, 1) else None)  # before 4.1 only `submit` labels it
        assert ended["status"]["storedWorkflowTemplateSpec"]["entrypoint"] == "main"
    finally:
        assert server.call("DELETE", f"{path}/{name}").status == 200
    assert server.call("GET", f"{path}/{name}").status == 404


def test_a_missing_template_is_a_404(server: Server) -> None:
    """Namespaced or cluster-scoped, the text names the template."""
    for cluster, resource in ((False, "workflowtemplates"), (True, "clusterworkflowtemplates")):
        workflow = server.workflow()
        workflow["spec"] = {"workflowTemplateRef": {"name": f"no-{server.run}", "clusterScope": cluster}}
        answer = server.create(workflow)
        assert answer.status == 404
        assert answer.value["message"] == f'{resource}.argoproj.io "no-{server.run}" not found'
