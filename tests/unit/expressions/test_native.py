"""Promises of the shortcut past CEL: never another answer than CEL's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.expressions.cel import EvaluationError, Program, to_cel
from bridge.expressions.dialect import CompileError
from bridge.expressions.native import compile_native
from bridge.expressions.references import pick, pick_tree, references_of

NUMBERS = ["0", "20", "-3", "20.5", "1e3", "9007199254740993", "-0.0", "9223372036854775807"]
CONSTANTS = [*NUMBERS, "'a'", '"b"', "''", "'é'", "'\U0001f600'", "true", "false"]
PATHS = ["payload.a", "payload.b", "payload['x y']", "payload.a.b", "payload.c[0]", "topic.site", "topic['site']"]
COMPARISONS = st.builds(
    lambda path, sign, constant, space: space.join([path, sign, constant]),
    st.sampled_from(PATHS),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.sampled_from(CONSTANTS),
    st.sampled_from(["", " ", "  "]),
)
CONDITIONS = COMPARISONS | st.builds(
    lambda parts, joint: joint.join(parts),
    st.lists(COMPARISONS, min_size=2, max_size=3),
    st.sampled_from([" && ", "||"]),
)
# Without NUL: CEL is never asked about it, while here an `||` may be decided by its other side.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([0, 20, 9007199254740992, 9007199254740993, 9223372036854775807, 20.0, 20.5, 1000, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "b", "é", "\uffff", "\U0001f600"])
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["b", "x y"]), inner, max_size=2),
    max_leaves=5,
)
PAYLOADS = st.dictionaries(st.sampled_from(["a", "b", "c", "x y"]), VALUES, max_size=4) | VALUES


def asked_of_cel(source, payload, captures):
    tree = pick_tree(reference.steps for reference in references_of(source) if reference.root == "payload")
    try:
        return Program(source).run({"payload": pick(payload, tree), "topic": to_cel(captures)})
    except EvaluationError:
        return EvaluationError


@given(source=CONDITIONS, payload=PAYLOADS, site=st.sampled_from(["", "a", "b", "é"]))
def test_the_shortcut_equals_cel(source, payload, site):
    """On any payload it gives CEL's answer, or none; it never answers where CEL has an error."""
    captures = {"site": site}
    try:
        Program(source)
    except CompileError:
        return  # such as topic.site > 3; refused when the file is loaded
    native = compile_native(source)
    answer = None if native is None else native(payload, captures)
    if answer is not None:
        assert answer is asked_of_cel(source, payload, captures)


NAMES = st.sampled_from(["a", "in", "for", "namespace", "null", "true", "as", "package", "_", "has", "size", "payload"])
TEXTS = st.text(st.characters(exclude_characters="'\\\n", exclude_categories=["Cs"]), max_size=6)
WRITTEN = st.builds(
    lambda root, name, sign, constant: f"{root}{name} {sign} {constant}",
    st.sampled_from(["payload", "payload.a", "topic"]),
    NAMES.map(".{}".format) | TEXTS.map("['{}']".format),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.sampled_from([*CONSTANTS, "9223372036854775808", "-9223372036854775808", "1e308", "1e400", "-9e999", "007"])
    | TEXTS.map("'{}'".format),
)


@given(CONDITIONS | WRITTEN)
def test_what_takes_the_shortcut_compiles(source):
    """CEL compiles it only when a message needs CEL: too late to refuse a condition."""
    if compile_native(source) is not None:
        assert Program(source).result in ("BOOL", "DYN")


@pytest.mark.parametrize(
    ("source", "payload", "answer"),
    [
        ("payload.value > 90", {"value": 95}, True),
        ("payload.value > 90.0", {"value": 20.5}, False),
        ("payload.value >= -5e1", {"value": -50}, True),
        ("payload.a.b == 'on'", {"a": {"b": "on"}}, True),
        ("payload['a b'] != \"x\"", {"a b": "x"}, False),
        ("payload.flag == true", {"flag": True}, True),
        ("payload.list[1] < 3", {"list": [0, 2]}, True),
        ("topic.site == 'a'", None, True),
        ("payload.value > 1 && payload.value < 3", {"value": 2}, True),
        ("payload.value > 1 && payload.nope < 3", {"value": 0}, False),
        ("payload.nope > 1 || payload.value < 3", {"value": 0}, True),
    ],
)
def test_the_common_conditions_take_the_shortcut(source, payload, answer):
    """The filter path's speed depends on these being answered without CEL."""
    native = compile_native(source)
    assert native is not None
    assert native(payload, {"site": "a"}) is answer


@pytest.mark.parametrize(
    ("source", "payload"),
    [
        ("payload.value > 90", {}),
        ("payload.value > 90", {"value": "95"}),
        ("payload.value > 90", {"value": True}),
        ("payload.value > 90", None),
        ("payload.text == 'a'", {"text": "a\0b"}),
        ("payload.nope > 1 && payload.value > 1", {"value": 2}),
    ],
)
def test_whatever_is_unusual_is_left_to_cel(source, payload):
    """Missing fields, other types and NUL characters get no answer here."""
    native = compile_native(source)
    assert native is not None
    assert native(payload, {}) is None


@pytest.mark.parametrize(
    "source",
    [
        "payload.value",
        "payload.value > payload.limit",
        "payload.value + 1 > 2",
        "!(payload.value > 1)",
        "(payload.value > 1 && payload.a > 1) || payload.b > 1",
        "payload.a > 1 && payload.b > 1 || payload.c > 1",
        "payload.text == 'a\\n'",
        "payload.value > 1u",
        "payload > 1",
        "has(payload.value)",
        "payload.value > 1 ? true : false",
        "headers.x == 'a'",
    ],
)
def test_anything_else_takes_cel(source):
    """What the shortcut does not know in full, it does not touch."""
    assert compile_native(source) is None
