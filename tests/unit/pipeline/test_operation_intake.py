"""Requests become rows or reads by the operator's rules, and nothing else does."""

from __future__ import annotations

import json

import pytest
from pipeline_fakes import TOPICS

from bridge.core.errors import PermanentError
from bridge.core.model import Message, MessageProperties, ReplyAddress
from bridge.interface import messages
from bridge.interface.operations import Operation
from bridge.interface.topics import Request
from bridge.pipeline.intake.identity import Deliveries
from bridge.pipeline.intake.operations import OperationIntake, ReadRequest, is_spooled
from bridge.pipeline.intake.requests import RequestRules
from bridge.spool.records import NewEvent
from bridge.validation.policy import Policy

ADDRESS = ReplyAddress("plant", "answers")


def refuse(_workflow: object) -> None:
    """A cluster that takes no workflow."""
    raise PermanentError("unknown field", code="invalid-workflow")


def intake(*, manifests: bool = True) -> OperationIntake:
    """What reads requests."""
    policy = Policy(("factory", "lab"), manifests)
    return OperationIntake(RequestRules("plant-1", policy, frozenset(Operation), refuse))


def message(operation: str, body: object, **properties: object) -> Message:
    """A request as it comes."""
    topic = f"argo/workflows/{operation}"
    return Message("plant", topic, json.dumps(body).encode(), qos=1, properties=MessageProperties(**properties))


def parsed(asked: Message) -> Request:
    """What its topic says."""
    found = TOPICS.parse(asked.topic)
    assert isinstance(found, Request)
    return found


def event(operation: str, body: object, **properties: object) -> NewEvent:
    """The row of a request."""
    asked = message(operation, body, **properties)
    delivery = Deliveries(lambda *_: None).of(asked)
    return intake().event(asked, parsed(asked), messages.decode_request(asked), delivery)


def read(operation: str, body: object, *, manifests: bool = True) -> ReadRequest:
    """What is to be read for a request."""
    asked = message(operation, body)
    return intake(manifests=manifests).read(asked, parsed(asked), messages.decode_request(asked), ADDRESS)


def test_a_row_says_what_is_asked_and_where() -> None:
    """Lane by namespace, order by workflow, options with their defaults, five minutes at most."""
    row = event("retry/lab", {"workflowId": "w", "parameters": ["a=1"], "requestId": 3})
    assert row.asked is not None
    assert (row.asked.operation, row.asked.name) == ("retry", "w")
    assert row.asked.options == {"restartSuccessful": False, "parameters": {"a": "1"}}
    assert (row.lane, row.order.namespace, row.order.name, row.mapping) == ("operation:lab", "lab", "w", "")
    assert row.max_age_s == 300.0
    assert event("stop", {"workflowId": "w"}, message_expiry_s=7.0).max_age_s == 7.0
    assert event("stop", {"workflowId": "w"}).order.namespace == "factory"


def test_what_is_asked_on_one_workflow_has_one_order() -> None:
    """Whatever the operation; a CronWorkflow of the same name, or another namespace, is something else."""
    keys = [
        event("stop", {"workflowId": "w"}).order_key,
        event("delete", {"workflowId": "w"}).order_key,
        event("resubmit", {"workflowId": "w"}).order_key,
        event("suspend-cron", {"cron": "w"}).order_key,
        event("stop/lab", {"workflowId": "w"}).order_key,
    ]
    assert len(set(keys[:3])) == 1
    assert len(set(keys)) == 3


def test_the_same_request_is_the_same_event() -> None:
    """By eventId and topic; without one each message is its own, whatever its requestId."""
    one = event("stop", {"workflowId": "w", "eventId": 1}).id
    assert event("stop", {"workflowId": "w", "eventId": 1, "requestId": 9}).id == one
    assert event("stop", {"workflowId": "w", "eventId": 2}).id != one
    assert event("terminate", {"workflowId": "w", "eventId": 1}).id != one
    assert (
        event("stop", {"workflowId": "w", "requestId": 1}).id != event("stop", {"workflowId": "w", "requestId": 1}).id
    )


@pytest.mark.parametrize("operation", ["resubmit", "trigger-cron"])
def test_a_workflow_that_is_made_has_its_name_from_the_event(operation: str) -> None:
    """The same event gives the same name; a name that a bridge made is not made longer each time."""
    body = {"workflowId": "press-alarm-qaya3ptnzaqilh2c", "cron": "press-alarm-qaya3ptnzaqilh2c", "eventId": "e"}
    first, again = event(operation, body), event(operation, body)
    assert first.order.name == again.order.name
    assert first.order.name.startswith("press-alarm-")
    assert len(first.order.name) == len("press-alarm-qaya3ptnzaqilh2c")
    assert first.order.name != "press-alarm-qaya3ptnzaqilh2c"


@pytest.mark.parametrize(
    ("operation", "body", "code", "text"),
    [
        ("stop", {"workflowId": "w", "namespace": "kube-system"}, "forbidden-namespace", "not allowed here"),
        ("stop/lab", {"workflowId": "w", "namespace": "factory"}, "namespace-mismatch", "the topic says"),
        ("stop", {"workflowId": "../x"}, "bad-name", "not a Kubernetes name"),
        ("suspend-cron", {"cron": "a/b"}, "bad-name", "not a Kubernetes name"),
        ("retry", {"workflowId": "w", "parameters": {"a": "{{=1+1}}"}}, "template-braces", "parameters.a contains {{"),
        (
            "set",
            {"workflowId": "w", "nodeFieldSelector": "id=x", "outputParameters": {"o": "{{x}}"}},
            "template-braces",
            "outputParameters.o contains {{",
        ),
        ("set", {"workflowId": "w", "nodeFieldSelector": "id=x", "message": "{{=1+1}}"}, "template-braces", "message"),
        ("stop", {"workflowId": "w", "message": "{{=1+1}}", "nodeFieldSelector": "id=x"}, "template-braces", "message"),
        ("resubmit", {"workflowId": "w", "parameters": ["a={{x}}"]}, "template-braces", "parameters.a"),
        ("resubmit", {"workflowId": "w", "parameters": {"{{a": "x"}}, "template-braces", "parameters"),
    ],
)
def test_what_is_not_allowed_is_refused(operation: str, body: object, code: str, text: str) -> None:
    """Namespaces, names and values as for trigger messages."""
    with pytest.raises(PermanentError) as caught:
        event(operation, body)
    assert caught.value.code == code
    assert text in caught.value.message


def test_a_read_carries_all_that_its_answer_needs() -> None:
    """Namespace, name, options, and where it is answered."""
    found = read("logs/lab", {"workflowId": "w", "follow": True})
    assert (found.operation, found.namespace, found.name, found.address) == (Operation.LOGS, "lab", "w", ADDRESS)
    assert found.options["follow"] is True
    assert found.options["tailLines"] == 100
    assert found.message.topic == "argo/workflows/logs/lab"


def test_a_workflow_to_lint_is_checked_as_one_to_trigger() -> None:
    """What may not be triggered, or what the cluster's schema refuses, is refused here, in the seed's words."""
    with pytest.raises(PermanentError, match="Invalid workflow definition: unknown field"):
        read("lint", {"workflow": {"spec": {}}})
    with pytest.raises(PermanentError, match="Invalid workflow definition: /status"):
        read("lint", {"workflow": {"spec": {}, "status": {}}})
    with pytest.raises(PermanentError, match="takes no manifests"):
        read("lint", {"workflow": {"spec": {}}}, manifests=False)


def test_what_reads_is_not_spooled() -> None:
    """All that changes something is stored first; all that reads is answered at once."""
    reads = {"get", "list", "lint", "logs", "list-templates", "get-template"}
    assert {operation.value for operation in Operation if not is_spooled(operation)} == reads
