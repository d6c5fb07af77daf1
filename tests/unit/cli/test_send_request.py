"""What `send` asks, and which message it takes for the answer."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.visit.request import Question, full_topic
from bridge.core.model import Message, MessageProperties
from bridge.interface.operations import Operation
from bridge.interface.topics import Request, Topics

TOPICS = Topics("argo/workflows", "plant-1")
REPLY_TOPIC = "argo/workflows/response/trigger"
LIMIT = 1000


def question(payload, *, namespace="", v5=False):
    """A trigger request."""
    request = Request(Operation.TRIGGER, namespace)
    return Question(
        "argo/workflows/trigger",
        request,
        payload,
        reply_topic=REPLY_TOPIC,
        max_payload_bytes=LIMIT,
        has_properties=v5,
    )


def message(body, topic=REPLY_TOPIC, *, correlation=b"", code=""):
    """A message as the broker delivers it."""
    payload = body if isinstance(body, bytes) else orjson.dumps(body)
    user = (("code", code),) if code else ()
    return Message("plant", topic, payload, 1, properties=MessageProperties("", correlation, user=user))


@pytest.mark.parametrize(
    ("given_topic", "meant"),
    [
        ("trigger", "argo/workflows/trigger"),
        ("trigger/factory", "argo/workflows/trigger/factory"),
        ("retry", "argo/workflows/retry"),
        ("argo/workflows/trigger", "argo/workflows/trigger"),
        ("trigger/factory/x", "trigger/factory/x"),
        ("sensors/trigger", "sensors/trigger"),
        ("triggers", "triggers"),
    ],
)
def test_an_operation_is_short_for_its_topic(given_topic, meant):
    """Everything else is a topic as it stands."""
    assert full_topic(given_topic, TOPICS) == meant


def test_without_properties_the_reply_is_known_by_a_request_id_that_its_reader_never_sees():
    """Replies to others come on the same topic; ours is found, and reads as if nothing had been added."""
    asked = question(b'{"namespace": "factory"}')
    sent = orjson.loads(asked.message.payload)
    assert sent.pop("requestId").startswith("send-")
    assert sent == {"namespace": "factory"}
    echoed = orjson.loads(asked.message.payload)["requestId"]
    assert asked.reply_in(message({"status": "ok", "workflowId": "a"})) is None
    assert asked.reply_in(message({"status": "ok", "workflowId": "a", "requestId": "send-other"})) is None
    reply = asked.reply_in(message({"status": "ok", "workflowId": "w", "requestId": echoed}))
    assert reply.body == {"status": "ok", "workflowId": "w"}
    assert (reply.workflow, reply.error) == ("w", "")


def test_the_senders_own_request_id_is_used_and_stays():
    """It is part of what the sender asked for."""
    payload = b'{"requestId": 7}'
    asked = question(payload)
    assert asked.message.payload == payload
    assert asked.reply_in(message({"error": "no", "requestId": 8})) is None
    assert asked.reply_in(message({"error": "no", "requestId": 7})).body == {"error": "no", "requestId": 7}


def test_with_properties_the_reply_is_known_by_its_correlation_data_and_the_payload_is_untouched():
    """Nothing is added where MQTT has a place for it."""
    asked = question(b'{ "namespace": "factory" }', v5=True)
    assert asked.message.payload == b'{ "namespace": "factory" }'
    assert asked.reply_in(message({"error": "no"}, correlation=b"other")) is None
    assert asked.reply_in(message({"error": "no"})) is None
    reply = asked.reply_in(message({"error": "no"}, correlation=asked.message.correlation_data, code="403"))
    assert (reply.error, reply.code) == ("no", "403")


@pytest.mark.parametrize(
    "payload", [b"no json", b"[1]", b'{"namespace": "a", "namespace": "b"}', b'{"x": "' + b"y" * LIMIT + b'"}', b"\xff"]
)
def test_what_the_bridge_cannot_read_is_sent_as_it_stands_and_answered_without_an_id(payload):
    """The sender sees the bridge's own words about it, and no reply to somebody else."""
    asked = question(payload)
    assert asked.message.payload == payload
    assert asked.reply_in(message({"error": "no", "requestId": 3})) is None
    assert asked.reply_in(message({"error": "the payload is not JSON"})).error == "the payload is not JSON"


def test_a_request_id_never_makes_a_request_too_large():
    """A request at the limit is accepted with or without `send`."""
    payload = b'{"x": "' + b"y" * (LIMIT - 9) + b'"}'
    assert len(payload) == LIMIT
    assert question(payload).message.payload == payload


@pytest.mark.parametrize("other", [b"", b"[]", b"garbage", b'"text"'])
def test_only_a_reply_on_the_reply_topic_that_is_an_object_counts(other):
    """Anybody may publish there."""
    asked = question(b"{}", v5=True)
    assert asked.reply_in(message(other, correlation=asked.message.correlation_data)) is None
    ours = message({"status": "ok"}, "argo/workflows/response/stop", correlation=asked.message.correlation_data)
    assert asked.reply_in(ours) is None


@pytest.mark.parametrize(
    ("payload", "in_topic", "expected"),
    [
        (b'{"namespace": "body"}', "topic", "topic"),
        (b'{"namespace": "body"}', "", "body"),
        (b'{"namespace": 3}', "", "default"),
        (b"{}", "", "default"),
        (b"garbage", "", "default"),
    ],
)
def test_the_namespace_is_the_topics_else_the_bodys_else_the_bridges_first(payload, in_topic, expected):
    """As the bridge itself decides."""
    assert question(payload, namespace=in_topic).namespace("default") == expected


@given(
    st.dictionaries(st.text().filter(lambda key: key != "requestId"), st.integers() | st.text(), max_size=5),
    st.sampled_from([None, 2]),
)
def test_adding_an_id_changes_nothing_else(body, indent):
    """Whatever the keys and texts hold, and however they are written."""
    payload = f" \n{json.dumps(body, indent=indent)} ".encode()
    sent = json.loads(question(payload).message.payload)
    if len(payload) < LIMIT - 60:
        assert sent.pop("requestId")
    sent.pop("requestId", None)
    assert sent == body
