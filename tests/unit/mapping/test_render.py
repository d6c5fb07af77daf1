"""Promises of texts with `${...}`: values in their shortest exact form, and no `{{` that the operator did not write."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import Message, MessageProperties
from bridge.expressions.cel import EvaluationError
from bridge.expressions.expression import ExpressionError, compile_condition
from bridge.expressions.paths import Scope
from bridge.mapping.render import BracesError, parse_template, to_text

MESSAGE = Message("plant", "s/north/b", b"", properties=MessageProperties(user=(("k", "1"), ("k", "2"))))
PAYLOAD = {
    "value": 95.0,
    "half": 95.5,
    "count": 20,
    "big": 123456789012345678901234567890,
    "a b": {"x": [1, 2.0, None]},
    "none": None,
    "flag": True,
    "text": "hi",
    "open": "{{",
    "brace": "{",
}
SCOPE = Scope(PAYLOAD, {"site": "north"}, MESSAGE, 1_700_000_000.0)


def rendered(text):
    return parse_template(text, ["site"]).render(SCOPE)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${payload.half}", "95.5"),
        ("${payload.value}", "95"),
        ("${ payload.count }", "20"),
        ("${payload.big}", "123456789012345678901234567890"),
        ("${payload.flag}", "true"),
        ("${payload['a b']}", '{"x":[1,2,null]}'),
        ("${payload['a b'].x[0]}", "1"),
        ("${topic.site}-${payload.count}", "north-20"),
        ("${headers.k}", "2"),
        ("${message.topic} on ${message.connection}", "s/north/b on plant"),
        ("${now}", "2023-11-14T22:13:20.000Z"),
        ("${payload.count + 1}", "21"),
        ("${payload.half > 90.0 ? 'hot' : 'cold'}", "hot"),
        ("${{'a': '}'}.a}", "}"),
        ("${now - duration('1h')}", "2023-11-14T21:13:20Z"),
        ("${duration('90s')}", "90s"),
        ("${[payload.count, 1.5]}", "[20,1.5]"),
        ("$${payload.count} $5 $$", "${payload.count} $5 $"),
        ("$$${payload.count}", "$20"),
        ("{{workflow.uid}}-${payload.text}", "{{workflow.uid}}-hi"),
    ],
)
def test_texts_are_rendered(text, result):
    """Each form of value and of text, once."""
    assert rendered(text) == result


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${payload.nope}", "payload.nope is missing"),
        ("${payload.none}", "payload.none is null"),
        ("${payload.text.more}", "payload.text.more is missing"),
        ("${payload['a b'].x[3]}", "is missing"),
        ("${headers.other}", "headers.other is missing"),
        ("${payload.nope + 1}", "nope"),
        ("${payload.none == null ? dyn(null) : dyn('x')}", "null"),
        ("${payload.count / 0}", "not a finite number"),
        ("${type(1)}", "no text form"),
    ],
)
def test_what_has_no_text_is_an_error(text, words):
    """A missing field or null never becomes an empty or invented parameter."""
    with pytest.raises(EvaluationError, match=words.replace("[", r"\[")):
        rendered(text)


@pytest.mark.parametrize(
    "text",
    [
        "${payload.open}",
        "{${payload.brace}x",
        "x${payload.brace}{",
        "${payload.brace}${payload.brace}",
        "${payload.brace}{{workflow.uid}}",
    ],
)
def test_values_never_bring_braces_for_argo(text):
    """Neither whole, nor joined with the mapping's own text, nor with each other."""
    with pytest.raises(BracesError) as caught:
        rendered(text)
    assert caught.value.code == "template-braces"


@given(st.lists(st.text("{}x", max_size=3), min_size=2, max_size=4), st.text("{}x", max_size=4))
def test_no_mixture_gets_braces_past_the_check(literals, value):
    """For any own text that is accepted, what is rendered has no more `{{` than the literals have."""
    scope = Scope({"v": value}, {}, MESSAGE, 0.0)
    try:
        template = parse_template("${payload.v}".join(literals), [])
    except ExpressionError:
        return
    try:
        text = template.render(scope)
    except BracesError:
        return
    assert text.count("{{") <= sum(literal.count("{{") for literal in literals)


@pytest.mark.parametrize(
    ("text", "code", "offset", "words"),
    [
        ("x ${topic.sit}", "unknown-capture", 10, 'did you mean "site"?'),
        ("${topic['sit']}", "unknown-capture", 8, 'did you mean "site"?'),
        ("${message.topc}", "unknown-variable", 10, 'did you mean "topic"?'),
        ("${paylod.value}", "unknown-variable", 2, 'did you mean "payload"?'),
        ("x ${1 + topc.site}", "unknown-variable", 8, 'did you mean "topic"?'),
        ("${upper(topic.site)}", "unknown-variable", 2, "unknown name"),
        ("${payload.value", "bad-expression", 0, "never closed"),
        ("${}", "bad-expression", 2, "empty"),
        ("${payload.a b}", "bad-expression", 12, "Syntax error"),
        ("${topic.site + 1}", "bad-expression", 13, "no matching overload"),
        ("{{${payload.text}}}", "expression-in-braces", 2, "between {{ and }}"),
        ("{{=f('${payload.text}')}}", "expression-in-braces", 6, "between {{ and }}"),
        ("{{workflow.uid ${payload.text}", "expression-in-braces", 15, "between {{ and }}"),
        ("a {{workflow.uid", "expression-in-braces", 2, "never closed"),
    ],
)
def test_wrong_texts_say_what_and_where(text, code, offset, words):
    """Each fault has a code, a place in the text and a sentence."""
    with pytest.raises(ExpressionError) as caught:
        parse_template(text, ["site"])
    (fault,) = caught.value.faults
    assert (fault.code, fault.offset) == (code, offset)
    assert words in fault.message


def test_all_faults_of_a_text_are_told():
    """Not only the first."""
    with pytest.raises(ExpressionError) as caught:
        parse_template("${topic.a} ${topic.b}", [])
    assert [fault.offset for fault in caught.value.faults] == [8, 19]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (95.0, "95"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e15, "1000000000000000"),
        (1e22, "1e+22"),
        (5e-324, "5e-324"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_numbers_are_in_their_shortest_form(number, text):
    """A whole double has no fraction, a large one an exponent."""
    assert to_text(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_reads_back_as_the_same_number(number):
    """Shortest never means rounded."""
    assert float(to_text(number)) == number


@given(st.text(max_size=30))
def test_any_text_parses_or_is_refused(text):
    """No text of a mapping file raises anything but `ExpressionError`."""
    faults = ()
    try:
        parse_template(text, [])
    except ExpressionError as error:
        faults = error.faults
    assert all(0 <= fault.offset <= len(text) for fault in faults)


@given(st.text("payloadtic.'\"[]{}()!=<>&|+-*/%?:, 019\\\n`", max_size=40) | st.text(max_size=20))
def test_any_expression_compiles_or_is_refused(source):
    """No text under `when` or `event-id` raises anything but `ExpressionError`."""
    with suppress(ExpressionError):
        compile_condition(source, ["site"])
