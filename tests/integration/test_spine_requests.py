"""Requests by message, from the sender's PUBLISH to the workflow and back to the reply."""

from __future__ import annotations

import pytest

from bridge.simulator import FaultKind
from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.spine import DEAD_LETTER, RESPONSE, TRIGGER, Spine, submit

SEED_REQUEST = b"""{
  "namespace": "example-namespace",
  "workflow": {
    "metadata": {
      "name": "example-workflow"
    },
    "spec": {
      "entrypoint": "main",
      "templates": [
        {
          "name": "main",
          "container": {
            "image": "example/image",
            "command": ["echo"],
            "args": ["hello world"]
          }
        }
      ]
    }
  }
}"""
"""The trigger message of the interface, to the letter."""

both_versions = pytest.mark.parametrize("version", ["5", "3.1.1"])


def code_of(message):
    """The user property ``code`` of a reply."""
    return dict(message.properties.UserProperty)["code"]


@both_versions
def test_the_message_of_the_interface_starts_its_workflow(version, tmp_path, mosquitto):
    """The documented request gets the documented reply, key by key, and the workflow is what was asked for."""
    with Spine(tmp_path, mosquitto, version=version) as spine:
        reply = spine.ask(SEED_REQUEST)
        assert reply == {"status": "Workflow triggered successfully", "workflowId": "example-workflow"}
        workflow = spine.simulator.workflow("example-namespace", "example-workflow")
        assert workflow["spec"]["templates"][0]["container"]["args"] == ["hello world"]
        assert workflow["metadata"]["labels"]["argo-bridge/bridge"] == "under-test"


@both_versions
def test_an_invalid_workflow_gets_the_error_of_the_interface(version, tmp_path, mosquitto):
    """The documented error opens the reply's text, there is no workflowId, and each finding has its place."""
    with Spine(tmp_path, mosquitto, version=version) as spine:
        reply = spine.ask(SEED_REQUEST.replace(b'"args"', b'"agrs"'))
        assert reply["error"].startswith("Invalid workflow definition")
        assert "workflowId" not in reply
        assert "args" in reply["error"]
        assert reply["details"]
        spine.fence()
        assert len(spine.simulator.created) == 1  # the fence


def test_a_request_in_5_0_is_answered_where_it_asks(tmp_path, mosquitto):
    """Response Topic, Correlation Data and user property `code`; nothing goes to the common response topic."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.publish(
            TRIGGER, SEED_REQUEST, ResponseTopic="argo/workflows/response/mine/answers/me", CorrelationData=b"\x00\xff7"
        )
        (reply,) = spine.messages("argo/workflows/response/mine/answers/me")
        assert reply.properties.CorrelationData == b"\x00\xff7"
        assert code_of(reply) == "200"
        assert reply.properties.ContentType == "application/json"
        assert spine.simulator.workflow("example-namespace", "example-workflow") is not None
        spine.publish(TRIGGER, b"{", ResponseTopic="argo/workflows/response/mine/answers/me", CorrelationData=b"8")
        _, refused = spine.messages("argo/workflows/response/mine/answers/me", 2)
        assert (refused.properties.CorrelationData, code_of(refused)) == (b"8", "400")
        assert spine.on(RESPONSE) == []


def test_a_bridge_in_3_1_1_answers_at_the_common_topic(tmp_path, mosquitto):
    """It cannot see a Response Topic; the sender finds its answer by requestId, of any JSON type."""
    with Spine(tmp_path, mosquitto, version="3.1.1") as spine:
        for request_id in ("mine", 7, {"a": [1, None]}, None):
            reply = spine.ask(submit(requestId=request_id), ResponseTopic="argo/workflows/response/mine/answers/me")
            assert reply["requestId"] == request_id
            assert set(reply) == {"status", "workflowId", "requestId"}
        assert set(spine.ask(submit())) == {"status", "workflowId"}
        assert spine.on("argo/workflows/response/mine/answers/me") == []


@both_versions
def test_a_request_with_parameters_runs_the_template(version, tmp_path, mosquitto):
    """`submit` hands its parameters on as text, and its labels; the name starts with generateName."""
    with Spine(tmp_path, mosquitto, version=version) as spine:
        order = {
            "template": TEMPLATE,
            "parameters": {"n": 7, "o": {"a": 1}},
            "labels": {"l": "x"},
            "generateName": "by-",
        }
        reply = spine.ask(submit(submit=order))
        (created,) = spine.simulator.created
        assert created.parameters == {"n": "7", "o": '{"a":1}'}
        assert created.labels["l"] == "x"
        assert created.name == reply["workflowId"]
        assert created.name.startswith("by-")


def test_the_namespace_may_stand_in_the_topic(tmp_path, mosquitto):
    """Then it decides; a body that says another one is refused."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.ask({"submit": {"template": TEMPLATE}}, f"{TRIGGER}/lab")
        assert spine.simulator.created[0].namespace == "lab"
        reply = spine.ask(submit(), f"{TRIGGER}/lab")
        assert reply["error"] == 'the topic says namespace "lab", the body "factory"'
        spine.ask({"submit": {"template": TEMPLATE}})
        assert [created.namespace for created in spine.simulator.created] == ["lab", NAMESPACE]


@both_versions
def test_a_repeated_request_is_answered_with_the_first_outcome(version, tmp_path, mosquitto):
    """The same eventId is the same event: one workflow, and each sender gets its own requestId back."""
    with Spine(tmp_path, mosquitto, version=version) as spine:
        first = spine.ask(submit(eventId="a", requestId=1))
        again = spine.ask(submit(eventId="a", requestId=2))
        assert again == first | {"requestId": 2}
        assert len(spine.simulator.created) == 1
        assert spine.bridge.count("events_duplicate_total", mapping="") == 1
        other = spine.ask(submit(eventId="b", requestId=3))
        assert other["workflowId"] != first["workflowId"]


def test_a_repeated_request_is_answered_with_the_first_error(tmp_path, mosquitto):
    """What failed for good fails again with the same words and code, without another try at Argo."""
    with Spine(tmp_path, mosquitto) as spine:
        body = submit(eventId="a", submit={"template": "missing"})
        for correlation in (b"1", b"2"):
            spine.publish(
                TRIGGER, body, ResponseTopic="argo/workflows/response/mine/answers", CorrelationData=correlation
            )
            spine.messages("argo/workflows/response/mine/answers", int(correlation))
        first, again = spine.on("argo/workflows/response/mine/answers")
        assert (first.payload, code_of(first)) == (again.payload, code_of(again))
        assert (code_of(first), again.properties.CorrelationData) == ("404", b"2")
        assert spine.bridge.count("submit_failures_total", code="template-not-found") == 1
        assert spine.bridge.count("dead_letters_total", reason="template-not-found") == 1


def test_a_request_repeated_while_it_waits_is_answered_twice(tmp_path, mosquitto):
    """Both addresses of one waiting event get its outcome; there is one workflow."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.simulator.stop_serving()
        for number in (1, 2):
            spine.publish(TRIGGER, submit(eventId="a"), ResponseTopic=f"argo/workflows/response/mine/answers/{number}")
        spine.bridge.await_count("events_duplicate_total", 1, mapping="")
        spine.simulator.start_serving()
        assert spine.bodies("argo/workflows/response/mine/answers/1") == spine.bodies(
            "argo/workflows/response/mine/answers/2"
        )
        assert len(spine.simulator.created) == 1


def test_a_reused_event_id_is_refused_and_counted(tmp_path, mosquitto):
    """The same eventId with another content is another request: its sender is not told of the first one's workflow."""
    with Spine(tmp_path, mosquitto) as spine:
        first = spine.ask(submit(eventId=1))
        other = spine.ask(submit(eventId=1, submit={"template": TEMPLATE, "parameters": {"n": "other"}}))
        assert "workflowId" in first
        assert other.keys() == {"error"}
        (letter,) = spine.bodies(DEAD_LETTER)
        assert letter["reason"] == "event-id-reused"
        assert spine.bridge.count("event_id_reused_total", mapping="") == 1
        assert len(spine.simulator.created) == 1


def test_a_request_that_expires_is_answered_and_not_run_late(tmp_path, mosquitto):
    """MQTT 5 Message Expiry while Argo is away: an error reply, a dead letter, and no workflow afterwards."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.take_argo_away()
        spine.publish(
            TRIGGER, submit(requestId=1), ResponseTopic="argo/workflows/response/mine/answers", MessageExpiryInterval=1
        )
        (reply,) = spine.messages("argo/workflows/response/mine/answers")
        assert code_of(reply) == "504"
        (letter,) = spine.bodies(DEAD_LETTER)
        assert letter["reason"] == "expired"
        spine.simulator.start_serving()
        spine.fence()
        assert len(spine.simulator.created) == 2  # the one that found Argo away, and the fence


def test_a_name_that_is_taken_is_an_error(tmp_path, mosquitto):
    """A workflow of that name that is not of this event stays as it is; the sender is told."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.ask(SEED_REQUEST)
        spine.publish(TRIGGER, SEED_REQUEST, ResponseTopic="argo/workflows/response/mine/answers")
        (reply,) = spine.messages("argo/workflows/response/mine/answers")
        assert code_of(reply) == "409"
        assert b'a workflow \\"example-workflow\\" already exists' in reply.payload
        (letter,) = spine.bodies(DEAD_LETTER)
        assert letter["reason"] == "name-taken"
        assert len(spine.simulator.created) == 1


@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "not accepted"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": FaultKind.STATUS, "status": 504},
        {"kind": FaultKind.STATUS, "status": 500},
        {"kind": FaultKind.CUT},
        {"kind": FaultKind.GARBAGE},
    ],
    ids=lambda fault: f"{fault['kind'].value} {fault.get('status', '')}".strip(),
)
def test_a_create_of_unknown_outcome_happens_once(fault, accept, tmp_path, mosquitto):
    """Whether Argo carried it out or not before its answer was lost: one workflow, and a success reply."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.fail(accept=accept, count=1, **fault)
        reply = spine.ask(SEED_REQUEST)
        assert reply == {"status": "Workflow triggered successfully", "workflowId": "example-workflow"}
        assert len(spine.simulator.created) == 1
