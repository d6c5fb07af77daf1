"""The AsyncAPI document tells every topic of the interface, and nothing that there is not."""

import json
import re

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.configfile.writing import to_yaml
from bridge.interface.described.asyncapi import document
from bridge.interface.described.asyncapi_model import Described, MappedTopics, Server, address_of, any_bridge
from bridge.interface.operations import Operation
from bridge.interface.topics import Request, RetainedStatus, Topics

WHOLE = document(any_bridge("1.2.3"))
MQTT = Server("plant", "broker:1883", "mqtt", "5.0")
AMQP = Server("office", "rabbit:5672", "amqp", "0-9-1", exchange="own.exchange")


def own(*mappings, servers=(MQTT,), **more):
    """The document of a bridge of its own."""
    return document(Described("1.2.3", Topics("a/b", "plant-1"), servers, mappings=mappings, **more))


def resolve(told, reference):
    """What a reference leads to."""
    place = told
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def walk(value):
    """Every object within a value."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def addresses(told, action):
    """The addresses of the channels that operations of one action use."""
    used = [operation["channel"]["$ref"] for operation in told["operations"].values() if operation["action"] == action]
    return {resolve(told, reference)["address"] for reference in used}


def test_every_request_is_received_and_answered():
    """With and without the namespace in the topic; the answer goes where the request says, else to a fixed topic."""
    topics = Topics("argo/workflows", "x")
    received, sent = addresses(WHOLE, "receive"), addresses(WHOLE, "send")
    for operation in Operation:
        for address in (f"argo/workflows/{operation.value}", f"argo/workflows/{operation.value}/{{namespace}}"):
            assert address in received
            assert isinstance(topics.parse(address), Request)
        assert topics.response(operation) in sent
    for name, operation in WHOLE["operations"].items():
        if "reply" in operation:
            # AsyncAPI 3.0.0, "Operation Reply Object": with an address of its own the channel has none.
            assert resolve(WHOLE, operation["reply"]["channel"]["$ref"])["address"] is None, name
            place = resolve(WHOLE, operation["reply"]["address"]["$ref"])["location"]
            assert place == "$message.header#/responseTopic"


def test_every_topic_that_the_bridge_tells_on_is_there():
    """Status, reports, dead letters, availability and state."""
    topics = Topics("argo/workflows", "{bridge}")
    sent = addresses(WHOLE, "send")
    retained = topics.status_of("{namespace}", "{name}")
    assert isinstance(topics.parse(retained), RetainedStatus)
    told = {topics.status_stream, retained, topics.report_of("{namespace}"), topics.dead_letter}
    told |= {topics.availability, topics.state, topics.status_response}
    answers = {topics.response(operation) for operation in Operation}
    assert sent == told | answers
    assert topics.status_stream in addresses(WHOLE, "receive")


def test_what_is_retained_is_said_to_be():
    """A subscriber must know whether it gets the last message at once."""
    retained = {
        WHOLE["channels"][operation["channel"]["$ref"].rpartition("/")[2]]["address"]
        for operation in WHOLE["operations"].values()
        if resolve(WHOLE, operation["bindings"]["$ref"])["mqtt"].get("retain")
    }
    assert retained == {
        "argo/workflows/status/{namespace}/{name}",
        "argo/workflows/report/{namespace}",
        "argo/bridge/{bridge}/availability",
        "argo/bridge/{bridge}/state",
    }


def test_every_reference_leads_somewhere_and_every_parameter_is_told():
    """Also those of mappings and of their schemas."""
    schema = {"$defs": {"n": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#"}}}
    told = own(MappedTopics("boiler", ("s/{site}/+/#",), "application/json", schema, "d/{site}/status", "plant"))
    for document_ in (WHOLE, told):
        for part in walk(document_):
            if isinstance(part.get("$ref"), str):
                assert resolve(document_, part["$ref"]), part
        for channel in document_["channels"].values():
            named = set(re.findall(r"\{(\w+)\}", channel["address"] or ""))
            assert named == channel.get("parameters", {}).keys()


def test_a_mappings_topics_are_told():
    """Where it listens, on which connection, what it reads, and where it tells the device."""
    told = own(
        MappedTopics("state", ("s/{site}/+/#",), "application/json", {"type": "object"}, "d/{site}/status", "plant"),
        MappedTopics("lamp", ("lamps/{namespace}",), "text/plain"),
        namespaces=("factory",),
    )
    channel = told["channels"]["mapping-state"]
    assert channel["address"] == "s/{site}/{level3}/{rest}"
    assert channel["servers"] == [{"$ref": "#/servers/plant"}]
    assert told["channels"]["state"]["address"] == "argo/bridge/plant-1/state", "a mapping may have any name"
    assert resolve(told, told["operations"]["receive-mapping-state"]["bindings"]["$ref"])["mqtt"]["qos"] == 1
    assert told["channels"]["status-of-state"]["address"] == "d/{site}/status"
    payload = resolve(told, told["components"]["messages"]["reading-of-state"]["payload"]["$ref"])
    assert payload == {"type": "object"}
    assert "payload" not in told["components"]["messages"]["reading-of-lamp"]
    assert "status-of-lamp" not in told["channels"]
    # A capture that is called namespace need not be one of the allow-list; a request's must.
    assert "enum" not in told["channels"]["mapping-lamp"]["parameters"]["namespace"]
    assert told["channels"]["stopIn"]["parameters"]["namespace"]["enum"] == ["factory"]


def test_notices_are_told():
    """Those of every workflow and those of one mapping; none of them is retained."""
    told = own(MappedTopics("boiler", ("s/{site}",), "text/plain", notices=("p/{site}/a", "p/b")), notices=("all",))
    shown = {name: channel["address"] for name, channel in told["channels"].items() if name.startswith("notice")}
    assert shown == {"notice-1": "all", "notice-of-boiler-1": "p/{site}/a", "notice-of-boiler-2": "p/b"}
    for name in shown:
        assert not resolve(told, told["operations"][f"send-{name}"]["bindings"]["$ref"])["mqtt"]["retain"]


def test_only_what_may_be_asked_for_is_told():
    """As ``interface.operations`` has it; the document is of this bridge, with its prefix and id."""
    told = own(operations=(Operation.GET,))
    asked = {address for address in addresses(told, "receive") if address != "a/b/status"}
    assert asked == {"a/b/get", "a/b/get/{namespace}"}
    assert told["id"] == "urn:argo-bridge:plant-1"
    assert told["servers"]["plant"]["bindings"]["mqtt"]["lastWill"]["topic"] == "argo/bridge/plant-1/availability"


def test_amqp_is_told_where_there_is_amqp():
    """With the exchange's name; a bridge without AMQP has no word of it."""
    told = own(servers=(MQTT, AMQP))
    assert resolve(told, told["channels"]["stop"]["bindings"]["$ref"])["amqp"]["exchange"]["name"] == "own.exchange"
    assert "amqp" in resolve(told, told["operations"]["receiveStop"]["bindings"]["$ref"])
    assert "amqp" not in json.dumps([own()["channels"], own()["operations"], own()["servers"]])


@pytest.mark.parametrize("name", WHOLE["components"]["messages"])
def test_examples_are_what_their_schema_takes(name):
    """Else the first thing that a reader tries fails."""
    message = WHOLE["components"]["messages"][name]
    for example in message.get("examples", ()):
        schema = {**message["payload"], "components": WHOLE["components"]}
        jsonschema.Draft202012Validator(schema).validate(example["payload"])


@pytest.mark.parametrize(
    ("topic", "address", "names"),
    [
        ("a/b", "a/b", []),
        ("{site}/x/{device}", "{site}/x/{device}", ["site", "device"]),
        ("+/x/#", "{level1}/x/{rest}", ["level1", "rest"]),
        ("#", "{rest}", ["rest"]),
    ],
)
def test_a_mappings_topic_becomes_an_address(topic, address, names):
    """Each wildcard gets a name of its own."""
    found, meanings = address_of(topic)
    assert (found, list(meanings)) == (address, names)


texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "on",
        "No",
        "~",
        "1e3",
        "0x1",
        "a: b",
        "a #b",
        "- x",
        "{a}",
        "<<",
        "=",
        "2020-01-01",
        "a, b",
        " a",
        "\u2028",
        "\x85",
    ]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@given(values)
def test_yaml_reads_back_as_what_was_written(value):
    """Whatever words, numbers and control characters a topic or a schema holds."""
    assert yaml.safe_load(to_yaml(value)) == value
