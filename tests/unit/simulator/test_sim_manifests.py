"""What becomes of request bodies: Go's decoding, played."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.http.answers import ApiError, to_json
from bridge.simulator.objects.manifests import ManifestDecoder, any_string

CREATE = "WorkflowCreateRequest"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def decode(workflow: object, minor: tuple[int, int] = (4, 1)) -> dict[str, object]:
    """Decode a create request for a workflow."""
    return ManifestDecoder(minor).decode_request(orjson.dumps({"workflow": workflow}), CREATE)["workflow"]


def refused(body: bytes) -> str:
    """The text with which a body is refused."""
    with pytest.raises(ApiError) as caught:
        ManifestDecoder((4, 1)).decode_request(body, CREATE)
    assert caught.value.status == 400
    assert not caught.value.behind_gateway
    return caught.value.message


def decoded_or_status(body: bytes) -> str | int:
    """What becomes of a body: it is decoded, or refused with a status."""
    try:
        assert isinstance(ManifestDecoder((3, 5)).decode_request(body, CREATE), dict)
    except ApiError as error:
        return error.status
    return "decoded"


def test_unknown_fields_vanish_and_shells_appear() -> None:
    """A typo is dropped without a word, and structs that Go always prints are there."""
    found = decode({"spce": {}, "spec": {"entrypont": "x", "templates": [{"name": "a", "suspend": {}, "nope": 1}]}})
    assert found == {
        "metadata": {},
        "spec": {
            "templates": [{"name": "a", "inputs": {}, "outputs": {}, "metadata": {}, "suspend": {}}],
            "arguments": {},
        },
    }


def test_names_match_in_any_case() -> None:
    """Go takes `EntryPoint` for `entrypoint`."""
    assert decode({"spec": {"EntryPoint": "main"}})["spec"] == {"entrypoint": "main", "arguments": {}}


def test_steps_are_strict() -> None:
    """Only items of a `steps` template refuse unknown fields."""
    body = {"workflow": {"spec": {"templates": [{"steps": [[{"name": "a", "nope": 1}]]}]}}}
    assert refused(orjson.dumps(body)) == 'json: unknown field "nope"'


def test_fields_of_later_releases_are_unknown_to_earlier_ones() -> None:
    """`podPriority` is known until 3.6, a template's `annotations` from 3.7 on."""
    manifest = {"spec": {"podPriority": 5, "templates": [{"name": "a", "annotations": {"k": "v"}}]}}
    old, new = decode(manifest, (3, 6))["spec"], decode(manifest, (3, 7))["spec"]
    assert "podPriority" in old
    assert "annotations" not in old["templates"][0]
    assert "podPriority" not in new
    assert new["templates"][0]["annotations"] == {"k": "v"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"), (1, "1"), (1.0, "1"), (1.5, "1.5"), (True, "true"), (1e21, "1000000000000000000000"),
        (9007199254740993, "9007199254740992"), ({"x": 1}, ""), ([1], ""), (1e-7, "0.0000001"),
    ],
)  # fmt: skip
def test_any_string_loses_what_argo_loses(value: object, text: str) -> None:
    """Numbers go through float64, objects and arrays become empty strings."""
    assert any_string(value) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{nope", "invalid character 'n' looking for beginning of object key string"),
        (b"[]", "json: cannot unmarshal array into Go value of type workflow.WorkflowCreateRequest"),
        (b'{"workflow":', "unexpected EOF"),
        (b'{"workflow" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"nope", "invalid character 'n' looking for beginning of value"),
        (
            b'{"workflow":{"spec":{"entrypoint":5}}}',
            "json: cannot unmarshal number into Go struct field WorkflowSpec.workflow.spec.entrypoint of type string",
        ),
    ],
)
def test_bad_bodies_are_told_in_gos_words(body: bytes, text: str) -> None:
    """What is no JSON, or of the wrong type, is refused with the text of Go's decoder."""
    assert refused(body) == text


def test_only_the_first_json_value_is_read() -> None:
    """What follows it is ignored."""
    assert ManifestDecoder((4, 1)).decode_request(b'{"namespace":"a"} nonsense', CREATE) == {"namespace": "a"}


def test_equal_templates_are_decoded_once() -> None:
    """Thousands of equal creates share one list of templates."""
    decoder = ManifestDecoder((4, 1))
    body = orjson.dumps({"workflow": {"spec": {"templates": [{"name": "a", "suspend": {}}]}}})
    first, second = (decoder.decode_request(body, CREATE)["workflow"]["spec"]["templates"] for _ in range(2))
    assert first is second


@given(st.binary(max_size=200) | JSON.map(orjson.dumps))
def test_no_body_does_anything_but_decode_or_be_refused(body: bytes) -> None:
    """Whatever bytes come, the decoder answers an object or a 400."""
    assert decoded_or_status(body) in ("decoded", 400)


@given(JSON)
def test_no_manifest_breaks_the_decoder(value: object) -> None:
    """Whatever stands where a spec's fields stand, it is decoded or refused."""
    for field in ("templates", "arguments", "entrypoint", "hooks", "ttlStrategy", "suspend"):
        assert decoded_or_status(orjson.dumps({"workflow": {"spec": {field: value}}})) in ("decoded", 400)


def test_html_characters_are_escaped_as_go_does() -> None:
    """`<`, `>` and `&` never stand in an answer."""
    assert to_json({"a": "<b> & c\u2028"}) == b'{"a":"\\u003cb\\u003e \\u0026 c\\u2028"}'
