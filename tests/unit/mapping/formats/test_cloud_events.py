"""Promises of CloudEvents: both modes are one event to a mapping, and what is no event is refused."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import NO_PROPERTIES, MessageProperties
from bridge.mapping.formats.cloud_events import CloudEventsDecoder
from bridge.mapping.formats.decoder import PayloadError

ATTRIBUTES = {"specversion": "1.0", "id": "a-1", "source": "/line/7", "type": "done", "subject": "4711", "site": "a"}
STRUCTURED = MessageProperties(content_type="application/cloudevents+json; charset=utf-8")


def read(payload, properties=NO_PROPERTIES):
    decoder = CloudEventsDecoder()
    return decoder.exact(payload, decoder.decode(payload, properties), properties)


def structured(properties=STRUCTURED, **more):
    return read(json.dumps(ATTRIBUTES | more).encode(), properties)


def binary(payload, content_type="", attributes=ATTRIBUTES):
    return read(payload, MessageProperties(content_type=content_type, user=tuple(attributes.items())))


def refused(read_it, *arguments, **keys):
    with pytest.raises(PayloadError) as caught:
        read_it(*arguments, **keys)
    return caught.value


@pytest.mark.parametrize(
    ("content_type", "data", "raw"),
    [
        ("application/json", {"n": 2**70}, b'{"n": 1180591620717411303424}'),
        ("application/json; charset=utf-8", [1], b"[1]"),
        ("application/vnd.mes+json", "x", b'"x"'),
        ("text/plain", "größe", "größe".encode()),
        ('text/plain; charset="ISO-8859-1"', "größe", "größe".encode("latin-1")),
        ("image/png", "AP8=", b"\x00\xff"),
    ],
)
def test_both_modes_are_the_same_event(content_type, data, raw):
    """Data is decoded by its type, also if structured mode has it as base64."""
    event = ATTRIBUTES | {"datacontenttype": content_type, "data": data}
    assert binary(raw, content_type) == event
    assert structured(datacontenttype=content_type, data_base64=base64.b64encode(raw).decode()) == event
    if content_type != "image/png":
        assert structured(datacontenttype=content_type, data=data) == event


def test_data_without_a_type_is_json_and_may_be_absent():
    """As the specification says of structured mode."""
    assert binary(b'{"n": 1}') == structured(data={"n": 1}) == ATTRIBUTES | {"data": {"n": 1}}
    assert binary(b"") == structured() == ATTRIBUTES
    assert structured(data=None, subject=None, time=None)["data"] is None


@pytest.mark.parametrize("content_type", ["", "application/json"])
def test_an_event_without_properties_is_in_structured_mode(content_type):
    """MQTT 3.1.1 has no properties, and some clients call it JSON."""
    assert structured(MessageProperties(content_type=content_type), data=1) == ATTRIBUTES | {"data": 1}


def test_only_names_of_attributes_are_attributes():
    """Other user properties are left to `headers`."""
    user = (*ATTRIBUTES.items(), ("Trace-Id", "x"), ("data", "no"), ("site", "b"))
    assert read(b"1", MessageProperties(user=user)) == ATTRIBUTES | {"site": "b", "data": 1}


def test_the_same_bytes_with_other_properties_are_another_event():
    """What is remembered of the last message is not only its payload."""
    decoder, payload = CloudEventsDecoder(), b'{"n": 1}'
    found = [
        decoder.decode(payload, MessageProperties(user=tuple((ATTRIBUTES | {"id": name}).items())))["id"]
        for name in ("a", "b")
    ]
    assert found == ["a", "b"]


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_an_attribute_that_is_missing_is_named(name, value):
    """Absent, null, empty or no text."""
    assert f"attribute {name} is missing" in refused(structured, **{name: value}).message
    if name != "specversion" and value != 7:
        rest = {key: text for key, text in ATTRIBUTES.items() if key != name or value == ""}
        assert (
            f"attribute {name} is missing"
            in refused(binary, b"1", "", rest | ({name: ""} if value == "" else {})).message
        )


@pytest.mark.parametrize(
    ("payload", "properties", "words"),
    [
        (b"[]", STRUCTURED, "a JSON object"),
        (b"{", STRUCTURED, "not JSON"),
        (b"[]", MessageProperties(content_type="application/cloudevents-batch+json"), "batch+json is not supported"),
        (json.dumps(ATTRIBUTES | {"specversion": "0.3"}).encode(), STRUCTURED, "specversion 0.3"),
        (json.dumps(ATTRIBUTES | {"data": 1, "data_base64": "MQ=="}).encode(), STRUCTURED, "data and data_base64"),
        (json.dumps(ATTRIBUTES | {"data_base64": "?"}).encode(), STRUCTURED, "not base64"),
        (json.dumps(ATTRIBUTES | {"data_base64": 1}).encode(), STRUCTURED, "not base64"),
        (json.dumps(ATTRIBUTES | {"data": 0})[:-2].encode() + b'{"a":' * 200 + b"1" + b"}" * 201, STRUCTURED, "levels"),
    ],
)
def test_what_is_no_event_is_refused(payload, properties, words):
    """With what is wrong."""
    error = refused(read, payload, properties)
    assert error.code == "invalid-payload"
    assert words in error.message


def test_data_that_is_not_of_its_type_is_refused():
    """Broken JSON and text, two values for one key, and a charset that is not on the list."""
    assert "not JSON" in refused(binary, b"{", "application/json").message
    assert "not UTF-8" in refused(binary, b"\xff", "text/plain").message
    assert "charset klingon" in refused(binary, b"a", "text/plain; charset=klingon").message
    assert refused(binary, b'{"a": 1, "a": 2}', "application/json").code == "duplicate-key"
    assert refused(read, json.dumps(ATTRIBUTES)[:-1].encode() + b', "id": "b"}', STRUCTURED).code == "duplicate-key"


TEXTS = st.text(max_size=5) | st.sampled_from(["text/plain; charset=utf-16", "application/json", "a/b", "1.0"])


@given(
    payload=st.binary(max_size=20)
    | st.dictionaries(TEXTS, TEXTS | st.none() | st.integers()).map(json.dumps).map(str.encode),
    content_type=TEXTS | st.just("application/cloudevents+json"),
    user=st.dictionaries(st.sampled_from([*ATTRIBUTES, "data", "datacontenttype", "data_base64"]), TEXTS),
)
def test_no_message_raises_anything_else(payload, content_type, user):
    """Any bytes with any properties."""
    for more in ({}, ATTRIBUTES):
        with suppress(PayloadError):
            read(payload, MessageProperties(content_type=content_type, user=tuple((user | more).items())))
