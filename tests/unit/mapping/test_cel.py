"""Promises of the expression language: numbers mix, errors are errors, text with NUL is refused."""

import math

import pytest

from bridge.mapping.cel import CompileError, EvaluationError, Program, to_cel

PAYLOAD = {"value": 20, "half": 20.5, "zero": 0, "text": "abc", "list": [1, 2], "flag": True, "map": {"a": 1}}


def run(source, payload=PAYLOAD):
    return Program(source).run({"payload": to_cel(payload), "topic": {"site": "a"}})


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("payload.value == 20", True),
        ("payload.value == 20.0", True),
        ("payload.value != 20", False),
        ("payload.value > 19 && payload.half > 20", True),
        ("payload.value in [20, 30]", True),
        ("payload.value + 1", 21.0),
        ("1 + payload.value", 21.0),
        ("payload.half - 1", 19.5),
        ("2 * payload.half", 41.0),
        ("payload.value / 8", 2.5),
        ("payload.value % 3 == 2", True),
        ("payload.half % 3", 2.5),
        ("-payload.value % 3", -2.0),
        ("(payload.value + 1) * 2 > 41", True),
        ("payload.list[0] + payload.list[1]", 3.0),
        ("payload.list.map(x, x * 2)", [2.0, 4.0]),
        ("payload.list.exists(x, x > 1)", True),
        ("1 + 1", 2),
        ("7 / 2", 3),
        ("7 % 4", 3),
        ("1u + 2u", 3),
        ("'a' + 'b'", "ab"),
        ("b'a' + b'b' == b'ab'", True),
        ("payload.list + [3] == [1, 2, 3]", True),
        ("duration('1m') + duration('1m') == duration('2m')", True),
        ("timestamp('2026-01-01T00:01:00Z') - duration('1m') == timestamp('2026-01-01T00:00:00Z')", True),
        ("duration('1m') + timestamp('2026-01-01T00:00:00Z') > timestamp('2026-01-01T00:00:00Z')", True),
        ("duration('2m') - duration('1m') == duration('1m')", True),
        ("timestamp('2026-01-01T00:01:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('60s')", True),
        ("payload.text.upperAscii() + string(payload.value)", "ABC20"),
        ("math.greatest(payload.value, 30.0)", 30.0),
        ("payload.text.matches('^a.c$')", True),
    ],
)
def test_arithmetic_treats_whole_and_broken_numbers_alike(source, result):
    """Every operator takes a JSON number beside an int literal, and what CEL has of its own still works."""
    assert run(source) == result


def test_division_by_zero_is_what_doubles_do():
    """A JSON number divided by the literal 0 gives what division by 0.0 gives, and a rest of zero is an error."""
    assert run("payload.value / 0") == math.inf
    assert run("-payload.value / 0") == -math.inf
    assert math.isnan(run("payload.zero / 0"))
    with pytest.raises(EvaluationError, match="modulus by zero"):
        run("payload.value % 0")


@pytest.mark.parametrize(
    "source",
    [
        "payload.nope",
        "payload.text > 3",
        "payload.text + 1",
        "payload.value.a",
        "payload.flag > 1",
        "payload.list[9]",
        "int(payload.text)",
    ],
)
def test_an_error_value_is_raised(source):
    """CEL's errors are raised, not returned: an error object would be truthy."""
    with pytest.raises(EvaluationError):
        run(source)


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("foo.x > 1", 4, "undeclared reference to 'foo.x'"),
        ("topic.site + 1", 12, "found no matching overload"),
        ("payload.value >", 16, "Syntax error"),
        ("'abc", 1, "Syntax error"),
        ("(" * 1000, 1, "recursion limit"),
        ("9" * 40, 1, "invalid int literal"),
    ],
)
def test_what_does_not_compile_says_where(source, column, words):
    """A compile error has the column, and no list of every token that CEL knows."""
    with pytest.raises(CompileError) as caught:
        Program(source)
    assert caught.value.column == column
    assert words in caught.value.text
    assert "expecting {" not in caught.value.text


def test_a_compile_error_on_a_later_line_says_so():
    """Expressions may span lines."""
    with pytest.raises(CompileError) as caught:
        Program("payload.value\n  > foo")
    assert (caught.value.line, caught.value.column) == (2, 5)


@pytest.mark.parametrize("payload", [{"text": "abc\0def"}, {"text\0": 1, "text": "abc"}, ["\0"], "a\0b"])
def test_text_with_nul_never_reaches_cel(payload):
    """The library would cut it, so that "abc\\0def" == "abc"."""
    with pytest.raises(EvaluationError, match="NUL"):
        to_cel(payload)


def test_numbers_become_doubles_and_bools_stay_bools():
    """What CEL is handed has no integers, at any depth."""
    seen = to_cel({"a": 1, "b": [2, True, None, {"c": 3}], "d": 4.5})
    assert seen == {"a": 1.0, "b": [2.0, True, None, {"c": 3.0}], "d": 4.5}
    assert type(seen["a"]) is float
    assert type(seen["b"][0]) is float
    assert seen["b"][1] is True
    assert type(seen["b"][3]["c"]) is float


def test_an_integer_beyond_a_double_is_an_error():
    """It is not rounded to infinity."""
    with pytest.raises(EvaluationError, match="too large"):
        to_cel(10**400)


def test_text_that_is_no_unicode_is_an_error():
    """A lone surrogate cannot be handed to the library, and does not end the thread."""
    with pytest.raises(EvaluationError):
        Program("payload == 'x'").run({"payload": "\ud800"})
