"""Reads by message, while Argo is well, slow or away; and that nothing else ever waits for one."""

from __future__ import annotations

import orjson
import pytest

from bridge.pipeline.reads.reader import MAX_AT_ONCE
from bridge.simulator import FaultKind, InjectedFault
from tests.support.bridge_files import NAMESPACE
from tests.support.mosquitto import MosquittoOptions
from tests.support.operations import SUSPENDED, WITHIN_S, OperationsSpine
from tests.support.spine import TRIGGER, submit
from tests.support.transport_ends import wait_until

LOGGING = {
    "entrypoint": "main",
    "templates": [
        {
            "name": "main",
            "container": {"image": "i", "command": ["sh", "-c"], "args": ["echo one; echo two\necho three"]},
        }
    ],
}


@pytest.fixture
def spine(tmp_path, mosquitto):
    """A bridge on MQTT 5.0."""
    with OperationsSpine(tmp_path, mosquitto) as running:
        yield running


def named(name, **more):
    """The body of a request about one workflow."""
    return {"namespace": NAMESPACE, "workflowId": name} | more


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_workflow_is_read(version, tmp_path, mosquitto):
    """As Argo has it, with the five keys of its status."""
    with OperationsSpine(tmp_path, mosquitto, version=version) as spine:
        name = spine.start_workflow(SUSPENDED)
        reply = spine.operate("get", named(name))
        assert reply["workflow"]["spec"]["entrypoint"] == "wait"
        assert reply["workflowStatus"] == {
            "namespace": NAMESPACE,
            "workflowId": name,
            "status": "Running",
            "progress": "0%",
            "message": "",
        }
        assert "not found" in spine.operate("get", named("nope"))["error"]


def test_a_failed_workflow_is_read_with_the_step_that_failed(spine):
    """Argo says nothing of a DAG that failed; the reply to `get` does."""
    task = {"name": "fill", "inline": {"container": {"image": "i", "args": ["exit 4"]}}}
    name = spine.start_workflow({"entrypoint": "main", "templates": [{"name": "main", "dag": {"tasks": [task]}}]})

    def told():
        return spine.operate("get", named(name))["workflowStatus"]

    wait_until(lambda: told()["status"] == "Failed", "the workflow has failed")
    assert told()["message"] == 'step "fill" failed with exit code 4'


def test_all_workflows_are_listed_page_by_page(spine):
    """Each once, the newest first, with a continue of the bridge's own until there are no more."""
    names = {spine.start_workflow(SUSPENDED) for _ in range(5)}
    seen, more = [], {}
    while True:
        reply = spine.operate("list", {"namespace": NAMESPACE, "limit": 2, "phase": "Running"} | more)
        seen += [one["workflowId"] for one in reply["workflows"]]
        if "continue" not in reply:
            break
        more = {"continue": reply["continue"]}
    assert sorted(seen) == sorted(names)
    assert spine.operate("list", {"phase": "Failed"})["workflows"] == []
    assert spine.operate("list", {"labels": "argo-bridge/bridge=another"})["workflows"] == []
    assert "error" in spine.operate("list", {"labels": "a=b=c"})


def test_logs_are_read_and_never_crash_the_server(spine):
    """The last lines of the containers; each request carries a log option, without which a real server dies."""
    name = spine.start_workflow(LOGGING, "Succeeded")
    reply = spine.operate("logs", named(name))
    texts = [line["text"] for line in reply["lines"]]
    assert texts[-1].endswith("three")
    assert reply["more"] is False
    last = spine.operate("logs", named(name, tailLines=1))
    assert [line["text"] for line in last["lines"]] == texts[-1:]
    assert "error" in spine.operate("logs", named("nope"))
    assert spine.simulator.stats()["bareLogRequests"] == 0


def test_followed_logs_come_until_the_workflow_ends(spine):
    """Several replies to one request; the last says that no more will come."""
    steps = [[{"name": f"s{number}", "template": "main"}] for number in range(3)]
    spec = {"entrypoint": "all", "templates": [{"name": "all", "steps": steps}, *LOGGING["templates"]]}
    name = spine.start_workflow(spec | {"suspend": True}, "Running")
    number = spine.request("logs", named(name, follow=True, tailLines=1000))
    wait_until(lambda: spine.answers(number), "a first reply, before there is a line", WITHIN_S)
    assert spine.answers(number)[0]["more"] is True
    spine.operate("resume", named(name))
    wait_until(lambda: spine.answers(number)[-1]["more"] is False, "the last reply", WITHIN_S)
    replies = spine.answers(number)
    assert [reply["more"] for reply in replies] == [True] * (len(replies) - 1) + [False]
    lines = [line["text"] for reply in replies for line in reply["lines"]]
    assert sum(line.endswith("three") for line in lines) == 3
    assert {reply["workflowId"] for reply in replies} == {name}


def test_a_stop_of_the_bridge_ends_a_followed_log_with_a_reply(spine):
    """Whoever follows is told that nothing more comes, and why."""
    name = spine.start_workflow(SUSPENDED)
    number = spine.request("logs", named(name, follow=True))
    wait_until(lambda: spine.answers(number), "a first reply", WITHIN_S)
    spine.bridge.stop()
    wait_until(lambda: spine.answers(number)[-1]["more"] is False, "the last reply", WITHIN_S)
    assert spine.answers(number)[-1]["ended"] == "bridge-stopping"


def test_a_read_that_hangs_holds_up_nothing_else(spine):
    """Argo answers no GET: reads are failed in time, or as too many at once; a trigger beside them goes through."""
    spine.simulator.faults.add(InjectedFault(FaultKind.HANG, method="GET", path="/workflows/factory/hung"))
    numbers = [spine.request("get", named("hung")) for _ in range(MAX_AT_ONCE + 2)]
    spine.publish(TRIGGER, submit(requestId="beside"))
    wait_until(lambda: spine.answers("beside"), "the answer to a trigger message", WITHIN_S)
    assert "workflowId" in spine.answers("beside")[0]
    assert sum(bool(spine.answers(number)) for number in numbers) <= 2
    wait_until(lambda: all(spine.answers(number) for number in numbers), "all answers", WITHIN_S)
    errors = sorted(spine.answers(number)[0]["error"] for number in numbers)
    assert ["try again" in error for error in errors] == [True] * 2 + [False] * MAX_AT_ONCE
    assert errors[-1] == "Argo did not answer in time"
    assert spine.bridge.count("replies_total", code="503") == 2
    assert spine.bridge.count("replies_total", code="504") == MAX_AT_ONCE


def test_a_read_fails_at_once_while_argo_is_away(spine):
    """It is not kept for later: an error with code 503."""
    spine.take_argo_away()
    spine.publish("argo/workflows/list", {}, ResponseTopic="argo/workflows/response/mine/answers")
    (reply,) = spine.messages("argo/workflows/response/mine/answers")
    assert "error" in orjson.loads(reply.payload)
    assert dict(reply.properties.UserProperty)["code"] == "503"
    spine.simulator.start_serving()


def test_what_is_too_large_for_the_broker_is_cut_and_said(tmp_path, start_mosquitto):
    """Replies fit the broker's Maximum Packet Size; what is missing is named."""
    broker = start_mosquitto(MosquittoOptions(config=("max_packet_size 6000",)))
    with OperationsSpine(tmp_path, broker) as spine:
        steps = [[{"name": f"s{number}", "template": "wait", "when": "false"}] for number in range(40)]
        spec = {"entrypoint": "all", "templates": [{"name": "all", "steps": steps}, SUSPENDED["templates"][0]]}
        name = spine.start_workflow(spec, "Succeeded")
        reply = spine.operate("get", named(name))
        assert reply["details"]["truncated"] is True
        assert "status.nodes" in reply["details"]["leftOut"]
        assert reply["workflowStatus"]["status"] == "Succeeded"
