"""Promises of payload schemas: quick and thorough agree, nothing is fetched, a wrong schema says where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bridge.mapping.payload_schema import MAX_FINDINGS, PayloadSchema, SchemaError, quick_check
from bridge.mapping.payloads import PayloadError

TYPES = st.sampled_from(["object", "array", "string", "boolean", "null", "number"])
LIMITS = st.integers(-3, 3) | st.floats(-3, 3)
SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional={"type": TYPES, "minimum": LIMITS, "maximum": LIMITS}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "title": st.just("x"),
        },
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-4, 4) | st.floats(-4, 4) | st.just("a"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)


@given(schema=SCHEMAS, value=VALUES)
def test_the_quick_check_equals_jsonschema(schema, value):
    """On every plain schema the two give the same verdict."""
    quick = quick_check(schema)
    assert quick is not None
    assert quick(value) is Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [{"type": "integer"}, {"type": ["string", "null"]}, {"minLength": 1}, True, {"properties": {"a": {"enum": [1]}}}],
)
def test_other_schemas_have_no_quick_check(schema):
    """A keyword that the quick check does not know leaves all of it to jsonschema."""
    assert quick_check(schema) is None


def test_findings_say_where_and_what():
    """A refused payload names each finding with its place, at most so many."""
    schema = PayloadSchema({"type": "object", "required": ["id"], "properties": {"v": {"items": {"type": "number"}}}})
    schema.check({"id": 1, "v": [1, 2.5]})
    with pytest.raises(PayloadError) as caught:
        schema.check({"v": ["x"] * 50})
    assert caught.value.code == "payload-schema"
    assert len(caught.value.details) == MAX_FINDINGS
    assert {"pointer": "/v/0", "message": "'x' is not of type 'number'"} in caught.value.details


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, ("type",)),
        ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum")),
        ({"properties": {"a": {"pattern": "("}}}, ("properties", "a", "pattern")),
        ({"patternProperties": {"(": {}}}, ("patternProperties",)),
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


def test_a_recursive_schema_on_a_deep_payload_is_refused_not_raised():
    """Whatever the depth, the check ends in a verdict."""
    value = {}
    for _ in range(99):
        value = {"next": value, "v": 1}
    inner = {"properties": {"next": {"$ref": "#"}}}
    for _ in range(20):
        inner = {"allOf": [inner]}
    with pytest.raises(PayloadError, match="nested too deeply") as caught:
        PayloadSchema(inner).check(value)
    assert caught.value.code == "payload-schema"
