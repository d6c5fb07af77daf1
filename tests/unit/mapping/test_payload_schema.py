"""Promises of payload schemas: linear time, nothing is fetched, a wrong schema says where."""

import pytest

from bridge.mapping.formats.decoder import PayloadError
from bridge.mapping.payload_schema import MAX_FINDINGS, PayloadSchema, SchemaError
from tests.support.work import lines_run


def test_findings_say_where_and_what():
    """A refused payload names each finding with its place, at most so many."""
    schema = PayloadSchema({"type": "object", "required": ["id"], "properties": {"v": {"items": {"type": "number"}}}})
    schema.check({"id": 1, "v": [1, 2.5]})
    with pytest.raises(PayloadError) as caught:
        schema.check({"v": ["x"] * 50})
    assert caught.value.code == "payload-schema"
    assert len(caught.value.details) == MAX_FINDINGS
    assert {"pointer": "/v/0", "message": '"x" is not of type "number"'} in caught.value.details


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, ("type",)),
        ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum")),
        ({"properties": {"a": {"pattern": "("}}}, ("properties", "a", "pattern")),
        ({"patternProperties": {"(": {}}}, ("patternProperties", "(")),
        ({"items": {"pattern": "^(?=a)b$"}}, ("items", "pattern")),
        ({"items": {"pattern": r"(a)\1"}}, ("items", "pattern")),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, ("properties", "a", "$ref")),
        ({"$ref": "http://127.0.0.1:1/x.json"}, ("$ref",)),
        ({"allOf": [{"$ref": "file:///etc/passwd"}]}, ("allOf", 0, "$ref")),
        ("text", ()),
    ],
)
def test_a_wrong_schema_says_where(schema, path):
    """Faults of the schema itself are found at load, references to elsewhere included: nothing is ever fetched."""
    with pytest.raises(SchemaError) as caught:
        PayloadSchema(schema)
    assert caught.value.path == path


def test_references_within_the_schema_work():
    """`$defs`, `$id` and a schema that contains itself are fine."""
    schema = PayloadSchema(
        {
            "$id": "urn:x:tree",
            "properties": {"next": {"$ref": "#"}, "v": {"$ref": "#/$defs/n"}},
            "$defs": {"n": {"type": "number"}},
        }
    )
    schema.check({"next": {"next": {"v": 1}}})
    with pytest.raises(PayloadError):
        schema.check({"next": {"next": {"v": "1"}}})


def test_data_that_looks_like_a_reference_is_data():
    """`const`, `enum` and `default` are never taken for schemas, nor is a property that is called $ref."""
    schema = PayloadSchema({"const": {"$ref": "http://x/"}, "properties": {"$ref": {"type": "string"}}})
    schema.check({"$ref": "http://x/"})


def test_a_recursive_schema_on_a_deep_payload_has_a_verdict():
    """Whatever the depth, the check ends in a verdict, and a schema too deep to be compiled is refused at load."""
    good, bad = {}, 1
    for _ in range(99):
        good, bad = {"next": good, "v": 1}, {"next": bad, "v": 1}
    inner = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    for _ in range(20):
        inner = {"allOf": [inner]}
    PayloadSchema(inner).check(good)
    with pytest.raises(PayloadError, match="check payload: /next/next"):
        PayloadSchema(inner).check(bad)
    for _ in range(5000):
        inner = {"allOf": [inner]}
    with pytest.raises(SchemaError, match="nested too deeply"):
        PayloadSchema(inner)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 200_000 + "!"),
        ({"pattern": "(x+x+)+y"}, "x" * 200_000),
        ({"pattern": r"^(\s|\s)*$"}, " " * 200_000 + "."),
        ({"patternProperties": {"^(a|a)*$": False}}, {"a" * 200_000: 1}),
        ({"propertyNames": {"pattern": "^(a|aa)+$"}}, {"a" * 200_000 + "!": 1}),
    ],
)
@pytest.mark.timeout(20)  # a backtracking engine would take longer than the universe is old
def test_patterns_run_in_linear_time(keyword, value):
    """No text of a device buys time, whatever the operator's pattern."""
    with pytest.raises(PayloadError):
        PayloadSchema(keyword).check(value)


def test_a_pattern_that_cannot_run_in_linear_time_says_so():
    """The operator is told at load what such a pattern cannot have."""
    with pytest.raises(SchemaError, match=r"linear time.*look-around and back-references are not"):
        PayloadSchema({"pattern": "^(?!a)"})


def test_many_findings_cost_little():
    """A payload of tens of thousands of wrong items is refused with the first of them."""
    refused = []

    def check():
        with pytest.raises(PayloadError) as caught:
            PayloadSchema({"items": {"type": "string"}}).check(list(range(60_000)))
        refused.append(caught.value)

    assert lines_run(check) < 100_000
    assert [one["pointer"] for one in refused[0].details] == [f"/{index}" for index in range(MAX_FINDINGS)]
