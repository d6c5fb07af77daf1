"""Promises of a compiled mapping: what a message leads to, and that no message makes it raise."""

import dataclasses
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import Message, MessageProperties, WorkflowOrder
from bridge.expressions.expression import compile_condition, compile_expression
from bridge.expressions.topic_pattern import TopicPattern
from bridge.interface.replies import Refusal
from bridge.mapping.compiled import (
    EMPTY_REFUSED,
    EMPTY_SKIPPED,
    WHEN_FALSE,
    Fired,
    Mapping,
    Quiet,
    WorkflowPlan,
)
from bridge.mapping.formats.decoder import DecoderOptions
from bridge.mapping.payload_schema import PayloadSchema
from bridge.mapping.payloads import DECODERS
from bridge.mapping.render import parse_template
from tests.support.descriptors import descriptor_set, reading

OPTIONS = DecoderOptions(descriptor=descriptor_set(reading()), message="plant.Reading")
FORMATS = {form: made_by(OPTIONS) for form, made_by in DECODERS.items()}
PATTERN = TopicPattern.parse("sensors/{site}/{device}")
MANIFEST = b'{"spec":{"workflowTemplateRef":{"name":"inspect"}}}'
CAPTURES = {"site": "a", "device": "7"}
WALL_S = 1_700_000_000.0


def template(text):
    return parse_template(text, PATTERN.names)


def mapping(form="json", **given_):
    texts = given_.pop("parameters", {"device": "${topic.device}", "value": "${payload.value}"})
    annotations = given_.pop("annotations", {})
    name = given_.pop("name", None)
    plan = WorkflowPlan(
        "factory",
        "inspect",
        MANIFEST,
        template(name) if name else None,
        tuple((key, template(text)) for key, text in texts.items()),
        tuple((key, template(text)) for key, text in annotations.items()),
    )
    makers = {
        "condition": lambda text: compile_condition(text, PATTERN.names),
        "event_id": lambda text: compile_expression(text, PATTERN.names),
        "order_by": lambda text: compile_expression(text, PATTERN.names),
        "status_topic": template,
        "schema": PayloadSchema,
        "max_age_s": float,
    }
    parts = {key: makers[key](value) for key, value in given_.items()}
    return Mapping("hot", PATTERN, FORMATS[form], plan, **parts)


def evaluate(one, payload, captures=CAPTURES, **message):
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    topic = "sensors/" + "/".join(captures.values())
    return one.evaluate(Message("plant", topic, raw, **message), captures, WALL_S)


def failed(one, payload, **given_):
    outcome = evaluate(one, payload, **given_)
    assert isinstance(outcome, Refusal)
    return outcome


def test_a_message_that_matches_leads_to_a_workflow():
    """Everything that ingest stores is in the outcome."""
    one = mapping(
        condition="payload.value > 90.0",
        event_id="payload.seq",
        order_by="topic.device",
        status_topic="sensors/${topic.site}/${payload.kind}/workflow",
        name="inspect-${topic.device}",
        annotations={"plant/unit": "${headers.unit}"},
        max_age_s=60,
    )
    payload = {"value": 95.0, "seq": 812, "kind": "boiler"}
    outcome = evaluate(one, payload, properties=MessageProperties(user=(("unit", "C"),)))
    order = WorkflowOrder(
        "factory", "inspect", MANIFEST, "inspect-7", {"device": "7", "value": "95"}, {"plant/unit": "C"}
    )
    assert outcome == Fired(order, "812", "hot:7", "sensors/a/boiler/workflow", 60.0)


def test_what_a_mapping_does_not_say_is_absent():
    """Name, identity, order and status topic are empty unless given."""
    order = WorkflowOrder("factory", "inspect", MANIFEST, "", {"device": "7", "value": "1"})
    assert evaluate(mapping(), {"value": 1}) == Fired(order)


@pytest.mark.parametrize(
    ("condition", "payload"),
    [("payload.value > 90", {"value": 90}), ("payload.value + 1 > 90", {"value": 1}), ("payload.on", {"on": False})],
)
def test_false_is_quiet(condition, payload):
    """With and without the shortcut, nothing comes of it, at no cost of an object."""
    assert evaluate(mapping(condition=condition), payload) is WHEN_FALSE


@pytest.mark.parametrize(
    ("condition", "payload"),
    [
        ("payload.value > 90", {}),
        ("payload.value > 90", {"value": "95"}),
        ("payload.value > 90", [1]),
        ("payload.value", {"value": 1}),
        ("payload.value", {"value": "true"}),
        ("payload.value", {"value": None}),
        ("payload.value || payload.value", {"value": 1}),
    ],
)
def test_an_error_in_when_does_not_trigger(condition, payload):
    """Missing fields, wrong types and results that are truthy but no bool."""
    outcome = evaluate(mapping(condition=condition), payload)
    assert isinstance(outcome, Quiet)
    assert outcome.cause == "when-error"
    assert outcome.message.startswith("evaluate when: ")


def test_the_order_is_decode_schema_when():
    """A payload that the schema refuses is a dead letter even where `when` is false; bad JSON comes before both."""
    one = mapping(schema={"required": ["id"]}, condition="payload.value > 90")
    assert failed(one, b"{").reason == "invalid-payload"
    refused = failed(one, {"value": 1})
    assert refused.reason == "payload-schema"
    assert refused.details
    assert evaluate(one, {"id": 1, "value": 1}) is WHEN_FALSE


def test_what_cannot_be_read_can_be_skipped():
    """It is quiet with the reason, from either way of reading; what the schema refuses stays a dead letter."""
    one = dataclasses.replace(mapping(schema={"required": ["value"]}), skips_unreadable=True)
    assert evaluate(one, b"{").cause == "unreadable"
    assert evaluate(one, b"{").message.startswith("decode payload: not JSON")
    assert evaluate(one, b'{"value": 1, "a": 1, "a": 2}').cause == "unreadable"
    assert failed(one, {}).reason == "payload-schema"
    assert failed(one, {"value": None}).reason == "expression-error"


def test_a_duplicate_key_fails_only_what_fires():
    """The quiet majority does not pay for the check."""
    one = mapping(condition="payload.value > 90")
    assert evaluate(one, b'{"value": 1, "a": 1, "a": 2}') is WHEN_FALSE
    assert failed(one, b'{"value": 95, "a": 1, "a": 2}').reason == "duplicate-key"


@pytest.mark.parametrize(
    ("part", "text", "code", "words"),
    [
        ("parameters", {"v": "${payload.nope}"}, "expression-error", 'parameter "v": payload.nope is missing'),
        ("parameters", {"v": "${payload.none}"}, "expression-error", "is null"),
        ("parameters", {"v": "${payload.open}"}, "template-braces", 'parameter "v"'),
        ("annotations", {"a/b": "${payload.nope}"}, "expression-error", 'annotation "a/b"'),
        ("annotations", {"a/b": "x{${payload.brace}"}, "template-braces", 'annotation "a/b"'),
        ("event_id", "payload.nope", "expression-error", "event-id"),
        ("event_id", "payload.none", "expression-error", "event-id"),
        ("event_id", "payload.empty", "expression-error", "empty"),
        ("event_id", "payload.nope + 1", "expression-error", "event-id"),
        ("order_by", "payload.nope", "expression-error", "order-by"),
        ("order_by", "payload.empty", "expression-error", "order-by"),
        ("name", "a-${payload.nope}", "expression-error", "workflow name"),
        ("name", "${payload.open}", "template-braces", "workflow name"),
        ("status_topic", "s/${payload.nope}", "expression-error", "status topic"),
    ],
)
def test_what_cannot_be_made_is_a_dead_letter(part, text, code, words):
    """Each place says which it was and why."""
    outcome = failed(mapping(**{part: text}), {"value": 1, "none": None, "open": "{{x", "brace": "{", "empty": ""})
    assert outcome.reason == code
    assert words in outcome.message


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a.b", "a_b", "a" * 64, "a\n", "ä", "a b"])
def test_a_name_that_kubernetes_would_refuse_is_refused_here(name):
    """Before anything is stored."""
    assert failed(mapping(name="${payload.value}"), {"value": name}).reason == "invalid-name"


@pytest.mark.parametrize("name", ["a", "a" * 63, "0-9"])
def test_a_valid_name_is_kept_as_it_stands(name):
    """To the limits of RFC 1123."""
    assert evaluate(mapping(name="${payload.value}"), {"value": name}).order.name == name


@pytest.mark.parametrize("value", ["", "a/b", "+", "#", "a#", "a\0", "$SYS", "/"])
def test_a_value_is_never_more_than_one_level_of_the_status_topic(value):
    """A device cannot choose another device's status topic, or a wildcard."""
    outcome = failed(mapping(status_topic="s/${payload.value}/w"), {"value": value})
    assert outcome.reason == "invalid-status-topic"


def test_a_status_topic_that_is_too_long_is_refused():
    """MQTT has no longer topics than 65,535 bytes."""
    outcome = failed(mapping(status_topic="s/${payload.value}"), {"value": "x" * 70_000})
    assert outcome.reason == "invalid-status-topic"


def test_a_long_order_key_stays_distinct_and_short():
    """It is a column of every row."""
    one = mapping(order_by="payload.value")
    keys = {evaluate(one, {"value": "x" * 10_000 + end}).order_key for end in "ab"}
    assert len(keys) == 2
    assert all(len(key) < 100 and key.startswith("hot:") for key in keys)


def test_whole_numbers_are_exact_in_identity_and_parameters():
    """Devices count beyond 2^53, and some beyond 64 bits."""
    one = mapping(event_id="payload.value", parameters={"v": "${payload.value}"})
    for number in (2**53 + 1, 2**63 - 1, 10**30):
        outcome = evaluate(one, {"value": number})
        assert (outcome.event_id, outcome.order.parameters["v"]) == (str(number), str(number))


@pytest.mark.parametrize(
    "event_id",
    [
        "payload.seq",
        "payload.boot + '-' + string(payload.seq)",
        "'%s-%d'.format([payload.boot, payload.seq])",
        "[payload.boot, payload.seq]",
        "default(payload.serial, payload.seq)",
        "payload.seq + 0",
    ],
)
def test_neighbouring_numbers_are_two_events(event_id):
    """Two ids that a double cannot tell apart are two events, however the id is made."""
    one = mapping(event_id=event_id, parameters={"text": "${string(payload.seq)}"})
    for first in (12345678, 2**53, 2**62, 2**63 + 2**40):
        outcomes = [evaluate(one, {"boot": "b", "seq": first + more}) for more in range(3)]
        assert len({outcome.event_id for outcome in outcomes}) == 3
        assert [outcome.order.parameters["text"] for outcome in outcomes] == [str(first + more) for more in range(3)]


def test_numbers_beyond_64_bits_compare_but_are_never_rounded_into_an_id():
    """`when` compares them as doubles; an id made of one by an expression is a dead letter that names the way out."""
    for form, payload in (("json", b"123456789012345678901234567890"), ("number", b"123456789012345678901234567890")):
        one = mapping(form, condition="payload > 5 && payload < 1e30", event_id="payload", parameters={})
        assert evaluate(one, payload).event_id == payload.decode()
        joined = mapping(form, event_id="'a' + string(payload)", parameters={})
        assert "bare path" in failed(joined, payload).message


def test_an_alarm_of_a_device_without_battery_goes_out():
    """`default` stands in for null and for what is missing, of whatever type the field is elsewhere."""
    one = mapping(condition="payload.water_leak", parameters={"battery": "${default(payload.battery, 'unknown')}"})
    texts = [
        evaluate(one, {"water_leak": True, **more}).order.parameters["battery"]
        for more in ({"battery": None}, {}, {"battery": 0}, {"battery": 87.5})
    ]
    assert texts == ["unknown", "unknown", "0", "87.5"]


@pytest.mark.parametrize(
    ("expression", "value", "words"),
    [
        ("string(timestamp(payload.value))", "2026-11-30 18:40", ['payload.value is "2026-11-30 18:40"', "T18:40:12Z"]),
        ("string(duration(payload.value))", "5 minutes", ['payload.value is "5 minutes"', "as 90s"]),
        ("string(int(payload.value))", "12 C", ['payload.value is "12 C"', "without a unit"]),
        ("string(double(payload.value))", "\x1b[31m1,5", [r'payload.value is "\x1b[31m1,5"', "as 21.5"]),
        ("payload.value + 'x'", "on\0", [r'"on\x00"', "NUL"]),
        ("payload.value + 1", "x" * 1000, ['xxx..."']),
    ],
)
def test_an_expression_that_fails_shows_the_text_that_it_read(expression, value, words):
    """Cut and harmless to a terminal, with how it should be written."""
    message = failed(mapping(parameters={"v": f"${{{expression}}}"}), {"value": value}).message
    assert [word for word in words if word not in message] == []
    assert message.isprintable()
    assert len(message) < 400


def test_a_wrong_name_or_topic_level_is_shown():
    """Whoever reads the dead letter sees what came out."""
    assert '"Tank_7"' in failed(mapping(name="${payload.value}"), {"value": "Tank_7"}).message
    assert '"a/b"' in failed(mapping(status_topic="${payload.value}"), {"value": "a/b"}).message


def test_the_same_message_always_gives_the_same_order():
    """A redelivery leads to the same workflow object."""
    one = mapping(parameters={"all": "${payload}"})
    assert evaluate(one, {"b": 1, "a": [2]}) == evaluate(one, {"b": 1, "a": [2]})


@pytest.mark.parametrize(
    ("form", "payload", "condition", "value"),
    [
        ("text", b"on", "payload == 'on'", "on"),
        ("number", b" 21.50 ", "payload > 21", "21.5"),
        ("bytes", b"\x00\xff", "payload.size() == 4", "AP8="),
    ],
)
def test_other_formats_are_the_payload_itself(form, payload, condition, value):
    """Text, numbers and bytes have no fields."""
    one = mapping(form, condition=condition, parameters={"v": "${payload}"})
    assert evaluate(one, payload).order.parameters == {"v": value}


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_payload_is_no_event(form):
    """A retained topic that is cleared says nothing about the device, whatever the format."""
    one = mapping(form, event_id="'x'", parameters={"v": "${payload}"})
    assert evaluate(one, b"") is EMPTY_SKIPPED
    assert evaluate(dataclasses.replace(one, empty=EMPTY_REFUSED), b"").reason == "empty-payload"
    as_any_other = evaluate(dataclasses.replace(one, empty=None), b"")
    if form in ("text", "bytes"):
        assert as_any_other.order.parameters == {"v": ""}
    elif form == "protobuf":
        assert json.loads(as_any_other.order.parameters["v"])["device"] == ""
    else:
        assert as_any_other.reason == "invalid-payload"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["{{", "{", "a/b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "a", "b c"]), inner),
    max_leaves=8,
)
PAYLOADS = (
    st.binary(max_size=40)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth)
    | st.integers(1, 3000).map(lambda depth: b'{"value":' * depth + b"1" + b"}" * depth)
)
FUZZED = [
    mapping(form, **parts)
    for form in FORMATS
    for parts in (
        {"condition": "payload.value > 1", "parameters": {"v": "{{workflow.uid}} ${payload.value} ${payload}"}},
        {
            "condition": "payload == payload || payload.value.matches('(a*)*$')",
            "event_id": "payload",
            "name": "${payload}",
        },
        {"status_topic": "${topic.site}/${payload.value}", "order_by": "[payload, topic.device]"},
        {
            "schema": {"type": "object", "properties": {"value": {"$ref": "#"}}, "required": ["value"]},
            "annotations": {"x": "${string(payload.value)}${now}${headers['a b']}"},
        },
    )
]


@given(
    one=st.sampled_from(FUZZED),
    payload=PAYLOADS,
    captures=st.fixed_dictionaries({"site": st.text(max_size=5), "device": st.text(max_size=5)}),
    user=st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2),
)
def test_no_message_makes_a_mapping_raise(one, payload, captures, user):
    """Any bytes, any topic, any properties give one of the three outcomes; nothing gets `{{` or wildcards through."""
    outcome = evaluate(one, payload, captures=captures, properties=MessageProperties(user=tuple(user)))
    assert isinstance(outcome, Fired | Quiet | Refusal)
    if isinstance(outcome, Fired):
        order = outcome.order
        assert order.parameters.get("v", "").count("{{") <= 1
        assert not set("+#\0") & set(outcome.status_topic)
        assert "{{" not in "".join(order.annotations.values())


def test_pathological_patterns_do_not_stall_the_filter():
    """CEL's `matches` runs in time linear in the text."""
    one = mapping(condition="payload.value.matches('^(a+)+$')")
    assert evaluate(one, orjson.dumps({"value": "a" * 50_000 + "!"})) is WHEN_FALSE
