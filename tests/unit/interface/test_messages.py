"""Trigger messages are read to the letter of their keys; everything else gets a sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.core.model import Message, MessageProperties
from bridge.interface import messages
from bridge.interface.messages import Submit, TriggerMessage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
KEYS = st.sampled_from([*messages.TRIGGER_NAMES, *messages.SUBMIT_NAMES, "workflowId", "typo"])
NEARLY = st.dictionaries(KEYS, st.dictionaries(KEYS, JSON, max_size=4) | JSON, max_size=5)
WORKFLOW = {"spec": {"workflowTemplateRef": {"name": "t"}}}


def message(body: object, **properties: object) -> Message:
    """A trigger message with this body."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message("plant", "argo/workflows/trigger", payload, properties=MessageProperties(**properties))


def read(body: object, **properties: object) -> TriggerMessage:
    """What the body says."""
    asked = message(body, **properties)
    return messages.trigger_message(asked, messages.decode_request(asked))


def refusal(body: object, **properties: object) -> PermanentError:
    """Why the body is refused."""
    with pytest.raises(PermanentError) as caught:
        read(body, **properties)
    return caught.value


def outcome(body: object) -> TriggerMessage | PermanentError:
    """What the body says, or why it is refused."""
    try:
        return read(body)
    except PermanentError as error:
        return error


@given(JSON | NEARLY)
def test_any_json_is_a_trigger_message_or_a_sentence(body: object) -> None:
    """No JSON raises anything but a PermanentError that can be sent as it is."""
    found = outcome(body)
    if isinstance(found, PermanentError):
        assert found.message
        json.dumps([found.message, found.details], ensure_ascii=False).encode()
    else:
        assert (found.workflow is None) != (found.submit is None)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_request_or_a_sentence(payload: bytes) -> None:
    """No bytes raise anything but a PermanentError."""
    assert outcome(payload)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b"", "invalid-json", "the payload is not JSON"),
        (b"\xff", "invalid-json", "the payload is not UTF-8: byte 0"),
        ([1], "invalid-request", "a request must be a JSON object, found an array"),
        ("x", "invalid-request", "a request must be a JSON object, found a text"),
        ({}, "invalid-request", "a trigger message must have either workflow or submit, found neither"),
        ({"workflow": {}, "submit": {}}, "invalid-request", "either workflow or submit, found both"),
        ({"workflow": []}, "invalid-request", "workflow must be an object, found an array"),
        ({"submit": "t"}, "invalid-request", "submit must be an object, found a text"),
        (
            {"submit": {"template": "t"}, "parameters": {}, "template": "t"},
            "unknown-key",
            'the key "parameters" of a trigger message must be placed under submit; the key "template"',
        ),
        (
            {"workflow": {}, "namespace": 7},
            "invalid-request",
            "namespace of the trigger message must be a non-empty text",
        ),
        ({"workflow": {}, "namespace": ""}, "invalid-request", "non-empty text, found an empty text"),
        ({"workflow": {}, "eventId": True}, "invalid-request", "eventId must be a text or a number, found a boolean"),
        ({"workflow": {}, "eventId": None}, "invalid-request", "eventId must be a text or a number, found null"),
        ({"workflow": {}, "eventId": ""}, "invalid-request", "eventId must be a text or a number, found an empty text"),
        ({"submit": {}}, "invalid-request", "submit must have either template or clusterTemplate"),
        ({"submit": {"template": "a", "clusterTemplate": "b"}}, "invalid-request", "either template or"),
        ({"submit": {"template": "a", "parameters": []}}, "invalid-request", "submit.parameters must be an object"),
        ({"submit": {"template": "a", "parameters": {"p": None}}}, "invalid-request", '"p" has no value'),
        ({"submit": {"template": "a", "labels": {"l": 1}}}, "invalid-request", 'submit.labels "l" must be a text'),
        ({"workflw": {}}, "unknown-key", 'unknown key "workflw" in the trigger message; did you mean "workflow"?'),
        ({"submit": {"templat": "a"}}, "unknown-key", 'in submit; did you mean "template"?'),
    ],
)
def test_each_bad_body_has_its_sentence(body: object, code: str, text: str) -> None:
    """The sentence names the key, what it must be and what it is."""
    found = refusal(body)
    assert found.code == code
    assert text in found.message


def test_every_unknown_key_is_a_detail_with_its_pointer() -> None:
    """A sender sees all typos at once, each at its place."""
    found = refusal({"workflow": {}, "a/b": 1, "namespce": "x"})
    assert [detail["pointer"] for detail in found.details] == ["/a~1b", "/namespce"]


def test_garbage_buys_neither_time_nor_space() -> None:
    """Thousands of unknown keys, or one of 200 KB, make a short refusal."""
    found = refusal({f"key-{number}": 1 for number in range(20_000)})
    assert len(found.details) == messages.MAX_UNKNOWN_KEYS
    assert "(and 19997 more)" in found.message
    assert len(json.dumps(refusal({"k" * 200_000: 1}).details)) < 1000


def test_submit_gives_text_to_argo() -> None:
    """Parameters become text exactly: big integers keep their digits, objects become JSON text."""
    values = {"big": 2**80, "ratio": 95.5, "flag": True, "list": [1, {"a": "ü"}], "text": "x"}
    trigger = read({"namespace": "factory", "submit": {"template": "t", "parameters": values, "labels": {"a": "b"}}})
    assert trigger.namespace == "factory"
    assert trigger.submit == Submit(
        template="t",
        parameters={"big": str(2**80), "ratio": "95.5", "flag": "true", "list": '[1,{"a":"ü"}]', "text": "x"},
        labels={"a": "b"},
    )


def test_the_kinds_of_identity_never_meet() -> None:
    """The same text as eventId, in CloudEvents and as message_id names three different events; eventId comes first."""
    attributes = (("specversion", "1.0"), ("source", "s"), ("id", "7"))
    body = {"workflow": WORKFLOW}
    assert read(body).event_identity == ()
    assert read(body | {"eventId": "7"}).event_identity == ("eventId", "7")
    assert read(body | {"eventId": 7}).event_identity == ("eventId", "7")
    assert read(body, user=attributes, message_id="7").event_identity == ("cloudevents", "s", "7")
    assert read(body | {"eventId": "7"}, user=attributes).event_identity == ("eventId", "7")
    assert read(body, message_id="7").event_identity == ("message-id", "7")
    assert read(body, user=attributes[:2]).event_identity == ()


def test_a_structured_cloud_event_carries_the_request_under_data() -> None:
    """The envelope gives the identity; requestId is the request's own."""
    envelope = {"specversion": "1.0", "source": "s", "id": "7", "data": {"workflow": WORKFLOW, "requestId": 5}}
    asked = message(envelope, content_type="application/cloudevents+json; charset=utf-8")
    decoded = messages.decode_request(asked)
    assert messages.request_id(decoded.keys) == "5"
    trigger = messages.trigger_message(asked, decoded)
    assert (trigger.workflow, trigger.event_identity) == (WORKFLOW, ("cloudevents", "s", "7"))
    assert "under data" in refusal({"data": "x"}, content_type="application/cloudevents+json").message


@pytest.mark.parametrize(
    ("value", "text"), [("a", '"a"'), (7, "7"), (2**80, str(2**80)), (None, "null"), ([1, {"a": 1}], '[1,{"a":1}]')]
)
def test_a_request_id_is_kept_to_the_letter(value: object, text: str) -> None:
    """Any JSON value may be a requestId, and is echoed as it came."""
    assert messages.request_id({"requestId": value}) == text


def test_a_request_id_is_bounded_in_bytes() -> None:
    """1 KiB passes, more is refused, counted in bytes."""
    assert messages.request_id({}) == ""
    assert len(messages.request_id({"requestId": "x" * 1022})) == 1024
    with pytest.raises(PermanentError, match="requestId is longer than 1024 bytes"):
        messages.request_id({"requestId": "ü" * 600})
