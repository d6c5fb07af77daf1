"""Every operation by message, from PUBLISH to what became of the workflow, and back to the reply."""

from __future__ import annotations

import orjson
import pytest

from bridge.simulator import FaultKind, InjectedFault
from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.operations import FAILING, SUSPENDED, WITHIN_S, OperationsSpine
from tests.support.spine import DEAD_LETTER
from tests.support.transport_ends import wait_until

DONE = {
    "suspend": "suspended",
    "resume": "resumed",
    "stop": "stopped",
    "terminate": "terminated",
    "delete": "deleted",
}

both_versions = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture
def spine(tmp_path, mosquitto):
    """A bridge on MQTT 5.0."""
    with OperationsSpine(tmp_path, mosquitto) as running:
        yield running


def named(name, **more):
    """The body of a request about one workflow."""
    return {"namespace": NAMESPACE, "workflowId": name} | more


@both_versions
def test_a_workflow_is_managed_from_its_start_to_its_end(version, tmp_path, mosquitto):
    """Suspended, resumed, stopped, resubmitted, terminated, deleted: each is done, and told in the seed's style."""
    with OperationsSpine(tmp_path, mosquitto, version=version) as spine:
        name = spine.start_workflow(SUSPENDED)

        def done(operation):
            assert spine.operate(operation, named(name)) == {
                "status": f"Workflow {DONE[operation]} successfully",
                "workflowId": name,
            }

        done("suspend")
        assert spine.simulator.workflow(NAMESPACE, name)["spec"]["suspend"] is True
        done("resume")
        spine.await_phase(name, "Succeeded")
        other = name = spine.start_workflow(SUSPENDED)
        done("stop")
        spine.await_phase(name, "Failed")
        assert spine.status(name)["message"] == "Stopped with strategy 'Stop'"
        done("terminate")
        again = spine.operate("resubmit", named(name))["workflowId"]
        spine.await_phase(again, "Running")
        labels = spine.simulator.workflow(NAMESPACE, again)["metadata"]["labels"]
        assert labels["workflows.argoproj.io/resubmitted-from-workflow"] == other
        assert labels["argo-bridge/bridge"] == "under-test"
        name = again
        done("terminate")
        spine.await_phase(name, "Failed")
        done("delete")
        spine.await_gone(name)


def test_a_failed_workflow_runs_again(spine):
    """Under its own name, with another start."""
    name = spine.start_workflow(FAILING, "Failed")
    before = spine.status(name)
    assert spine.operate("retry", named(name)) == {"status": "Workflow retried successfully", "workflowId": name}
    wait_until(lambda: spine.status(name) != before, "another run", WITHIN_S)


def test_a_node_is_set_by_its_selector(spine):
    """The seed's style for success; a selector that means nothing is an error with Argo's own words."""
    name = spine.start_workflow(SUSPENDED)
    failed = spine.operate("set", named(name, nodeFieldSelector="displayName=nobody", phase="Failed"))
    assert "no suspend nodes matching" in failed["error"]
    body = named(name, nodeFieldSelector=f"displayName={name}", phase="Failed", message="no parts left")
    assert spine.operate("set", body) == {"status": "Workflow set successfully", "workflowId": name}
    spine.await_phase(name, "Failed")


def test_crons_are_suspended_resumed_and_triggered(spine):
    """By their own key; what is started is ours, once for each event."""
    spine.put_cron("nightly", SUSPENDED)
    body = {"namespace": NAMESPACE, "cron": "nightly"}
    assert spine.operate("suspend-cron", body) == {"status": "CronWorkflow suspended successfully", "cron": "nightly"}
    assert spine.cron("nightly")["spec"]["suspend"] is True
    assert spine.operate("resume-cron", body) == {"status": "CronWorkflow resumed successfully", "cron": "nightly"}
    assert not spine.cron("nightly")["spec"].get("suspend")
    first = spine.operate("trigger-cron", body | {"eventId": "monday", "parameters": {"n": 1}})
    assert spine.operate("trigger-cron", body | {"eventId": "monday", "parameters": {"n": 1}}) == first
    workflow = spine.simulator.workflow(NAMESPACE, first["workflowId"])
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == "nightly"
    assert workflow["metadata"]["labels"]["argo-bridge/bridge"] == "under-test"
    assert workflow["spec"]["arguments"]["parameters"] == [{"name": "n", "value": "1"}]
    assert len(spine.simulator.workflows(NAMESPACE)) == 1


LOST = {
    "suspend": ("PUT", "/suspend$"),
    "stop": ("PUT", "/stop$"),
    "terminate": ("PUT", "/terminate$"),
    "resume": ("PUT", "/resume$"),
    "set": ("PUT", "/set$"),
    "delete": ("DELETE", ""),
    "retry": ("PUT", "/retry$"),
    "resubmit": ("POST", "/workflows/factory$"),
}


@pytest.mark.parametrize("operation", LOST)
def test_a_lost_answer_is_success_and_nothing_is_done_twice(spine, operation):
    """Carried out, and the connection cut in place of the answer: the reply is success, the effect is one."""
    spec, phase = (FAILING, "Failed") if operation == "retry" else (SUSPENDED, "Running")
    name = spine.start_workflow(spec, phase)
    workflows = len(spine.simulator.workflows(NAMESPACE))
    fault = spine.lose_answer(*LOST[operation])
    selector = {"nodeFieldSelector": f"displayName={name}"} if operation in ("resume", "set") else {}
    more = {"phase": "Succeeded"} if operation == "set" else {}
    reply = spine.operate(operation, named(name, **selector, **more))
    assert "status" in reply, reply
    assert fault.hits == 1
    extra = {"resubmit": 1, "delete": -1}.get(operation, 0)
    assert len(spine.simulator.workflows(NAMESPACE)) == workflows + extra
    assert spine.on(DEAD_LETTER) == []


def test_a_bridge_that_is_killed_in_between_knows_it_the_next_time(spine):
    """Deleted, the answer lost, and the bridge stopped before it could look: after the start it is success, not 404."""
    name = spine.start_workflow(SUSPENDED)
    spine.lose_answer("DELETE", "")
    hang = spine.simulator.faults.add(
        InjectedFault(FaultKind.STATUS, method="GET", path="/workflows/factory/.", status=503, skip=1)
    )
    number = spine.request("delete", named(name))
    spine.await_gone(name)
    wait_until(lambda: hang.hits > 0, "a look that failed", WITHIN_S)
    spine.restart(spine.simulator.faults.clear)
    wait_until(lambda: spine.answers(number), "the answer after the restart", WITHIN_S)
    assert spine.answers(number)[0]["status"] == "Workflow deleted successfully"


def test_an_error_is_told_with_its_code_where_it_was_asked_to(spine):
    """At the Response Topic of 5.0, with its Correlation Data and the HTTP-like code beside the body."""
    spine.publish(
        "argo/workflows/stop",
        named("gone"),
        ResponseTopic="argo/workflows/response/mine/answers/7",
        CorrelationData=b"\x00\xff",
    )
    (reply,) = spine.messages("argo/workflows/response/mine/answers/7")
    assert orjson.loads(reply.payload) == {"error": 'workflows.argoproj.io "gone" not found'}
    assert dict(reply.properties.UserProperty)["code"] == "404"
    assert reply.properties.CorrelationData == b"\x00\xff"
    letter = spine.bodies(DEAD_LETTER)[0]
    assert (letter["reason"], letter["topic"]) == ("workflow-not-found", "argo/workflows/stop")


def test_the_topic_says_where_and_a_body_may_not_disagree(spine):
    """Namespaces of the allow-list only, for operations and reads alike."""
    assert "is not allowed here" in spine.operate("stop", {"workflowId": "w"}, "/kube-system")["error"]
    assert "is not allowed here" in spine.operate("list", {"namespace": "kube-system"})["error"]
    assert "the topic says" in spine.operate("get", named("w"), "/lab")["error"]
    assert spine.operate("list", {}, "/lab")["workflows"] == []


def test_a_typo_is_refused_and_a_foreign_key_is_not(spine):
    """An unknown key by name with a proposal; a key that another operation knows means nothing."""
    name = spine.start_workflow(SUSPENDED)
    typo = spine.operate("terminate", named(name, namspace=NAMESPACE))
    assert 'unknown key "namspace" in the terminate request; did you mean "namespace"?' in typo["error"]
    assert "status" in spine.operate("terminate", named(name, message="any", tailLines=5))


def test_templates_are_read(spine):
    """What may be triggered, and one of them as Argo has it."""
    listed = spine.operate("list-templates", {"namespace": NAMESPACE})
    assert [one["template"] for one in listed["templates"]] == [TEMPLATE]
    found = spine.operate("get-template", {"namespace": NAMESPACE, "template": TEMPLATE})
    assert found["manifest"]["spec"]["entrypoint"] == "main"
    assert "not found" in spine.operate("get-template", {"template": "nope"})["error"]


def test_a_workflow_is_checked_without_being_started(spine):
    """By the bridge's schema, then by Argo; what either finds begins as the seed's error does."""
    spec = {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]}
    assert spine.operate("lint", {"workflow": {"metadata": {"generateName": "x-"}, "spec": spec}}) == {
        "status": "Workflow is valid"
    }
    typo = spine.operate("lint", {"workflow": {"spec": spec | {"entrypont": "x"}}})
    assert typo["error"].startswith("Invalid workflow definition")
    assert typo["details"][0]["suggestion"] == "entrypoint"
    missing = {"metadata": {"generateName": "x-"}, "spec": {"workflowTemplateRef": {"name": "nope"}}}
    assert "not found" in spine.operate("lint", {"workflow": missing})["error"]
    assert spine.simulator.workflows(NAMESPACE) == []
