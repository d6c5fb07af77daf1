"""Promises of finding what an expression reads, and of handing CEL no more than that."""

import re

from hypothesis import given
from hypothesis import strategies as st

from bridge.expressions.cel import EvaluationError, Program, to_cel
from bridge.expressions.references import pick, pick_tree, references_of
from bridge.expressions.tokens import Token, tokens_of

KEYS = st.sampled_from(["a", "b", "c", "x y", "size"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
SOURCES = [
    "payload.a",
    "payload.a.b",
    "payload.a.b.c",
    "payload['x y'].a",
    'payload["x y"]["b"]',
    "payload.`x y`",
    "has(payload.a)",
    "has(payload.a.b)",
    "!has(payload.a.b) || payload.a.b == payload.c",
    "payload.a == payload.b",
    "payload.a == payload",
    "payload.a.size() > 1",
    "payload.size() == 1",
    "size(payload) == 1",
    "size(payload.a) == 2",
    "'a' in payload",
    "'a' in payload.b",
    "payload.a[0].b",
    "payload[0]",
    "payload[payload.a]",
    "payload.a.exists(x, x == payload.b)",
    "payload.map(payload, payload)",
    "payload.a + payload.b",
    "payload.a > 1 || payload.b",
    "{'a': payload.a.b, 'b': payload.c}",
    "payload.a ? payload.b : payload.c",
    "'payload.b' == payload.a // payload.c",
    "payload.a.startsWith('a')",
    "default(payload.a.b, payload.c)",
    "default(payload.a[0], payload['x y'])",
    "string(payload.a) + '%s'.format([payload.b])",
    "payload.a / payload.b",
]
PROGRAMS = {source: Program(source) for source in SOURCES}


def outcome(source, payload):
    try:
        return PROGRAMS[source].run({"payload": payload})
    except EvaluationError:
        return EvaluationError


@given(source=st.sampled_from(SOURCES), payload=JSON)
def test_the_parts_that_an_expression_names_decide_it(source, payload):
    """Whatever the payload, the picked parts give the same result, or the same failure, as all of it."""
    tree = pick_tree(reference.steps for reference in references_of(source) if reference.root == "payload")
    assert outcome(source, pick(payload, tree)) == outcome(source, to_cel(payload))


def paths_of(source):
    return [(reference.root, reference.steps) for reference in references_of(source)]


def test_paths_are_found_wherever_they_stand():
    """Keys by dot, brackets and backquotes belong to a path; methods, strings, comments and fields do not."""
    source = (
        "payload.a.b > 1 && payload['x y'].z.size() > 2 // payload.no\n && topic.site == 'payload.no' && x.payload.no"
    )
    assert paths_of(source) == [("payload", ("a", "b")), ("payload", ("x y", "z")), ("topic", ("site",))]


def test_strings_of_every_kind_hide_what_is_in_them():
    """Raw strings end at their quote whatever precedes it, others do not end at an escaped one."""
    assert paths_of(r"r'\' + payload.a + '\' payload.no' + payload.b") == [("payload", ("a",)), ("payload", ("b",))]
    assert paths_of("'''it's payload.no''' + payload.a") == [("payload", ("a",))]
    assert paths_of('"payload.no" + b"payload.no" + rb"payload.no"') == []


def test_a_number_does_not_begin_a_name():
    """`1e5` holds no name e5, and `payload.a` after a number is found."""
    assert [token.kind for token in tokens_of("1e5+2u-0x1F")] == ["number", "sign", "number", "sign", "number"]


def test_only_what_is_named_is_converted():
    """A payload with text that CEL cannot take is no hindrance where the expression does not name it."""
    tree = pick_tree([("a", "b")])
    assert pick({"a": {"b": 1, "c": "\0"}, "d": "\0"}, tree) == {"a": {"b": 1.0}}


@given(st.text())
def test_tokens_cover_any_text(text):
    """No text makes the tokenizer fail, every token stands where it says, and only space and comments are left out."""
    end = 0
    for token in [*tokens_of(text), Token("", "", len(text))]:
        assert text.startswith(token.text, token.offset)
        assert re.fullmatch(r"(\s|//[^\n]*(\n|$))*", text[end : token.offset])
        end = token.offset + len(token.text)
