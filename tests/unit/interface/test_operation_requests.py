"""Requests are read by the table of operations: every key it has, and no other; everything else gets a sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.core.model import Message, MessageProperties
from bridge.interface import messages
from bridge.interface.keys import BOOLEAN, MAX_TEXT, OBJECT, OUTPUTS, PARAMETERS, PHASE_OR_PHASES, TEXT, TIME, BodyKey
from bridge.interface.messages import INTERFACE_KEYS, OperationRequest, operation_request
from bridge.interface.operations import SPECS, Operation

ASKED = [operation for operation in Operation if operation is not Operation.TRIGGER]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NEARLY = st.dictionaries(st.sampled_from(sorted(INTERFACE_KEYS)) | st.text(max_size=5), JSON, max_size=6)
GOOD = {
    TEXT: "Failed",
    BOOLEAN: True,
    TIME: "2026-11-24T14:00:00Z",
    PARAMETERS: {"a": "1"},
    OUTPUTS: {"a": "1"},
    PHASE_OR_PHASES: ["Failed"],
    OBJECT: {"spec": {}},
}


def good(option: BodyKey) -> object:
    """A value of an option's kind; those that are not in the table are choices and whole numbers."""
    return GOOD.get(option.kind) or (option.kind.choices[0] if option.kind.choices else 7)


def read(operation: Operation, body: object, **properties: object) -> OperationRequest:
    """What a body asks for."""
    payload = json.dumps(body).encode("utf-8", "surrogatepass")
    message = Message("plant", "argo/workflows/x", payload, properties=MessageProperties(**properties))
    return operation_request(operation, message, messages.decode_request(message))


def refusal(operation: Operation, body: object) -> PermanentError:
    """Why a body is refused."""
    with pytest.raises(PermanentError) as caught:
        read(operation, body)
    return caught.value


def least(operation: Operation, **more: object) -> dict[str, object]:
    """The smallest body that an operation takes."""
    spec = SPECS[operation]
    named = {spec.name_key: "x"} if spec.name_key else {}
    return named | {option.name: good(option) for option in spec.options if option.required} | more


def test_every_operation_but_trigger_is_in_the_table() -> None:
    """Nothing can be asked for that the parser does not know; names of keys are unique within an operation."""
    assert set(SPECS) == set(ASKED)
    for spec in SPECS.values():
        keys = [spec.name_key, *(option.name for option in spec.options)]
        assert len(keys) == len(set(keys))


@given(st.sampled_from(ASKED), JSON | NEARLY)
def test_any_json_is_a_request_or_a_sentence(operation: Operation, body: object) -> None:
    """No JSON raises anything but a PermanentError that can be sent; what is read can be stored."""
    try:
        found: OperationRequest | PermanentError = read(operation, body)
    except PermanentError as error:
        found = error
    if isinstance(found, PermanentError):
        assert found.message
        json.dumps([found.message, found.details], ensure_ascii=False).encode()
    else:
        json.dumps(found.options)
        assert bool(found.name) == bool(SPECS[operation].name_key)


@pytest.mark.parametrize("operation", ASKED)
def test_every_option_is_read(operation: Operation) -> None:
    """A body with every option of the table is taken, and each is there; absent ones have their defaults."""
    spec = SPECS[operation]
    body = least(operation) | {option.name: good(option) for option in spec.options}
    assert set(read(operation, body).options) == {option.name for option in spec.options}
    given_none = read(operation, least(operation)).options
    assert given_none == {
        option.name: good(option) if option.required else option.default
        for option in spec.options
        if option.required or option.default is not None
    }


@pytest.mark.parametrize("operation", ASKED)
def test_a_key_of_another_operation_is_accepted_and_means_nothing(operation: Operation) -> None:
    """What the interface knows is no typo, whatever its value."""
    spec = SPECS[operation]
    own = {spec.name_key, "namespace", "requestId", "eventId", *(option.name for option in spec.options)}
    others = {key: ["no value of it"] for key in INTERFACE_KEYS - own}
    assert read(operation, least(operation, **others)) == read(operation, least(operation))


def test_a_typo_is_refused_with_the_nearest_key() -> None:
    """By name and place, proposing a key that this operation has."""
    error = refusal(Operation.STOP, {"workflowId": "w", "mesage": "x", "zzz": 1})
    assert error.code == "unknown-key"
    assert 'unknown key "mesage" in the stop request; did you mean "message"?' in error.message
    assert [detail["pointer"] for detail in error.details] == ["/mesage", "/zzz"]


@pytest.mark.parametrize(
    ("operation", "body", "text"),
    [
        (Operation.STOP, {}, "the stop request has no workflowId, the name of the workflow"),
        (Operation.STOP, {"workflowId": ""}, "workflowId of the stop request must be a non-empty text"),
        (Operation.GET_TEMPLATE, {"workflowId": "w"}, "the get-template request has no template"),
        (Operation.SUSPEND_CRON, {"workflowId": "w"}, "has no cron, the name of the CronWorkflow"),
        (Operation.SET, {"workflowId": "w"}, "the set request has no nodeFieldSelector"),
        (Operation.SET, {"workflowId": "w", "nodeFieldSelector": "a", "phase": "Done"}, "is one of Succeeded, Failed"),
        (
            Operation.DELETE,
            {"workflowId": "w", "force": "yes"},
            "force of the delete request must be true or false, found a",
        ),
        (Operation.LIST, {"limit": 0}, "limit of the list request must be a whole number from 1 to 500, found 0"),
        (Operation.LIST, {"limit": 1.5}, "must be a whole number, found a number"),
        (Operation.LIST, {"limit": True}, "must be a whole number, found a boolean"),
        (Operation.LIST, {"phase": "Done"}, "phase of the list request must be one of Pending, Running"),
        (Operation.LIST, {"phase": []}, "or a list of them"),
        (Operation.LIST, {"createdAfter": "yesterday"}, "must be a time such as 2026-11-24T14:00:00Z, found"),
        (Operation.LIST, {"createdAfter": "2026-11-24T14:00:00"}, "must be a time such as"),
        (Operation.LIST, {"createdAfter": "2026-99-24T14:00:00Z"}, "must be a time such as"),
        (Operation.LIST, {"labels": "x" * (MAX_TEXT + 1)}, f"has {MAX_TEXT + 1} characters, the maximum is {MAX_TEXT}"),
        (
            Operation.RETRY,
            {"workflowId": "w", "parameters": {"a": None}},
            "parameters of the retry request has no value",
        ),
        (Operation.RETRY, {"workflowId": "w", "parameters": ["a"]}, "must be a list of texts NAME=VALUE"),
        (Operation.RETRY, {"workflowId": "w", "parameters": ["a=1", "a=2"]}, "has a parameter twice"),
        (Operation.SET, least(Operation.SET, outputParameters="{"), "or the JSON text of one, found another text"),
        (Operation.LINT, {}, "the lint request has no workflow"),
        (Operation.LINT, {"workflow": []}, "workflow of the lint request must be an object, found an array"),
    ],
)
def test_a_bad_value_has_its_sentence(operation: Operation, body: dict[str, object], text: str) -> None:
    """The sentence names the key, what it takes, and what was found."""
    error = refusal(operation, body)
    assert error.code == "invalid-request"
    assert text in error.message


def test_values_have_one_form_however_they_were_written() -> None:
    """Parameters as an object or as Argo's own list, outputs as an object or as Argo's own text, phases as a list."""
    asked = {"workflowId": "w", "parameters": {"a": "b=c", "n": 7, "list": [1]}}
    values = {"a": "b=c", "n": "7", "list": "[1]"}
    assert read(Operation.RETRY, asked).options["parameters"] == values
    pairs = {"workflowId": "w", "parameters": ["a=b=c", "n=7", "list=[1]"]}
    assert read(Operation.RETRY, pairs).options["parameters"] == values
    for outputs in ({"k": "v", "n": 1}, '{"k":"v","n":1}'):
        body = least(Operation.SET, outputParameters=outputs)
        assert read(Operation.SET, body).options["outputParameters"] == {"k": "v", "n": "1"}
    assert read(Operation.LIST, {"phase": "Failed"}).options["phase"] == ["Failed"]
    assert read(Operation.LIST, {"phase": ["Error", "Failed", "Error"]}).options["phase"] == ["Failed", "Error"]
    times = ("2026-11-24T14:00:00Z", "2026-11-24t15:00:00.000000000+01:00")
    assert {read(Operation.LIST, {"createdAfter": time}).options["createdAfter"] for time in times} == {1795528800.0}
    assert read(Operation.LIST, {"limit": 7.0}).options["limit"] == 7


def test_a_request_is_named_as_a_trigger_message_is() -> None:
    """By eventId, else by message_id; requestId names nothing."""
    body = {"workflowId": "w", "requestId": 1}
    assert read(Operation.STOP, body | {"eventId": 5}, message_id="m").event_identity == ("eventId", "5")
    assert read(Operation.STOP, body, message_id="m").event_identity == ("message-id", "m")
    assert read(Operation.STOP, body).event_identity == ()
