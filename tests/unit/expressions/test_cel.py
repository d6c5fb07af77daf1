"""Promises of the expression language: numbers mix, errors are errors, text with NUL is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.expressions.cel import EvaluationError, Program, to_cel
from bridge.expressions.dialect import CompileError
from bridge.expressions.paths import MISSING, walk
from bridge.mapping.render import to_text

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
        ("7 / 2", 3.5),
        ("int(7 / 2)", 3),
        ("20 / 2 / 5 * 3", 6),
        ("payload.value / payload.list[1] / 2 == 5", True),
        ("'a/b' == 'a/b' // 1 / 2", True),
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
    assert caught.value.offset == column - 1
    assert words in caught.value.text
    assert "expecting {" not in caught.value.text


def test_a_compile_error_on_a_later_line_says_so():
    """Expressions may span lines."""
    with pytest.raises(CompileError) as caught:
        Program("payload.value\n  > foo")
    assert caught.value.offset == len("payload.value\n  > ")


@pytest.mark.parametrize("payload", [{"text": "abc\0def"}, {"text\0": 1, "text": "abc"}, ["\0"], "a\0b"])
def test_text_with_nul_never_reaches_cel(payload):
    """The library would cut it, so that "abc\\0def" == "abc"."""
    with pytest.raises(EvaluationError, match="NUL"):
        to_cel(payload)


NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)])
AS_TEXT = [
    "string(payload.n)",
    "'' + string(payload.n)",
    "'%d'.format([payload.n])",
    "'%s'.format([payload.n])",
    "[payload.n].map(x, string(x))[0]",
    "string(default(payload.n, 0))",
    "string(default(payload.nope, payload.n))",
    "string(payload.n == 0 ? payload.n : {'a': [payload.n]}.a[0])",
    "string(math.round(payload.n))",
]


@given(source=st.sampled_from(AS_TEXT), number=NUMBERS)
def test_whole_numbers_keep_their_digits_as_text(source, number):
    """However an expression makes text of a whole number of 64 bits, no digit is lost."""
    assert run(source, {"n": number}) == str(number)


@given(number=NUMBERS, nest=st.sampled_from(["{}", "[{}]", "{{'a': [{}]}}"]))
def test_whole_numbers_keep_their_digits_as_results(number, nest):
    """A result that is or holds a whole number is as exact as a bare path."""
    wanted = {"{}": str(number), "[{}]": f"[{number}]"}.get(nest, f'{{"a":[{number}]}}')
    assert to_text(run(nest.format("payload.n"), {"n": number})) == wanted


@given(source=st.sampled_from(AS_TEXT), number=st.integers(2**64) | st.integers(max_value=-(2**63) - 1))
def test_a_whole_number_beyond_64_bits_is_an_error(source, number):
    """It is never rounded, so that two of them cannot become one text; the error says what to do."""
    with pytest.raises(EvaluationError, match=r"beyond 64 bits.*bare path"):
        run(source, {"n": number})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_have_one_text(number):
    """`string` writes a double as a bare path does."""
    assert run("string(payload)", number) == to_text(number)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("string(math.round(payload * 3.0))", "37037034"),
        ("'%s, %s'.format([math.floor(payload), 'x'])", "12345678, x"),
        ("'%.1f'.format([payload])", "12345678.0"),
        ("string(payload / 2)", "6172839"),
        ("string(timestamp('2026-11-30T18:41:02.123456789Z'))", "2026-11-30T18:41:02.123456789Z"),
        ("'%s'.format([timestamp('2026-11-30T18:41:02.123456789Z')])", "2026-11-30T18:41:02.123456789Z"),
        ("string(string(1.0) + string(true) + string(b'x') + string(duration('90s')))", "1truex90s"),
    ],
)
def test_whole_results_of_calculation_keep_their_digits_too(source, text):
    """What was calculated has no exponent before 10^16, and nothing but doubles is touched."""
    assert run(source, 12345678.0) == text


@given(
    source=st.sampled_from(
        [
            "{} + {}",
            "{} - {}",
            "{} * {}",
            "{} / {}",
            "{} < {}",
            "{} >= {}",
            "{} == {}",
            "{} in [{}, 3]",
            "string({}) + string({})",
            "math.greatest({}, {})",
            "math.round({}) + math.ceil({})",
            "math.floor({}) + math.trunc({})",
            "math.abs({}) + math.sign({})",
            "math.sqrt({} * {})",
            "math.isNaN({}) || math.isInf({})",
            "math.isFinite({}) && {} > 2",
            "-{} - {}",
            "timestamp({}) < timestamp({})",
            "default({}, 1) / {}",
        ]
    ),
    one=st.integers(-(2**26), 2**26),
    other=st.integers(-(2**26), 2**26) | st.floats(-1e9, 1e9).map(lambda value: round(value, 3)),
)
def test_whole_numbers_behave_like_doubles(source, one, other):
    """20 and 20.0 give one result wherever a number may stand, beside whole numbers and others."""
    written = source.format("payload.one", "payload.other")
    results = []
    for pair in ((one, other), (float(one), other), (one, float(other)), (float(one), float(other))):
        result = run(written, {"one": pair[0], "other": pair[1]})
        results.append("nan" if result != result else result)
    assert all(result == results[0] for result in results)


@given(
    symbol=st.sampled_from(["+", "-", "*", "%"]),
    one=st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 3),
    other=st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 3),
)
def test_whole_numbers_calculate_exactly_or_not_at_all(symbol, one, other):
    """A result is right to the last digit; one beyond 64 bits, and a rest of nothing, is an error."""
    exact = {"+": one + other, "-": one - other, "*": one * other}
    exact["%"] = abs(one) % abs(other or 1) * (1 if one > 0 else -1)
    try:
        assert run(f"payload.one {symbol} payload.other", {"one": one, "other": other}) == exact[symbol]
    except EvaluationError:
        beyond_int = not all(-(2**63) <= value < 2**63 for value in (one, other, exact[symbol]))
        assert beyond_int or (symbol == "%" and not other)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "%"])
def test_numbers_up_to_64_bits_calculate_with_doubles(symbol):
    """Beyond 2^63 they are of another type of CEL, which nobody notices."""
    for pair in ((2**63 + 1, 2.5), (2.5, 2**63 + 1), (2**62, 2.5)):
        one, other = float(pair[0]), float(pair[1])
        expected = {"+": one + other, "-": one - other, "*": one * other, "/": one / other, "%": one % other}[symbol]
        assert run(f"payload[0] {symbol} payload[1]", list(pair)) == expected


DEEP = {"a": {"b": {"c": 7, "x y": 8}, "n": None}, "n": None, "t": "text", "l": [{"v": 1}, {"v": None}, {}], "z": 0}
OTHERS = ["a", "b", "n", "t", "l", "z", "nope", "x y"]


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("default(payload.a.b.c, 1)", 7),
        ("default(payload.a.b['x y'], 1)", 8),
        ("default(payload.a.b.`x y`, 1)", 8),
        ("default(payload.a.nope.c, 1)", 1),
        ("default(payload.n, 'unknown')", "unknown"),
        ("default(payload.n.deeper, 'unknown')", "unknown"),
        ("default(payload.t.deeper, 'unknown')", "unknown"),
        ("default(payload.t[0], 'unknown')", "unknown"),
        ("default(payload.z, 1)", 0),
        ("default(payload.l[0].v, 5)", 1),
        ("default(payload.l[9].v, 5)", 5),
        ("default(payload.l['v'], 5)", 5),
        ("default(payload.l[size(payload.l) - 2].v, 5)", 5),
        ("default(payload.nope, {'x': [1]})", {"x": [1]}),
        ("default(payload.nope, payload.l).size()", 3),
        ("default(payload.nope, null) == null", True),
        ("default(payload.z, payload.nope)", 0),
        ("default(payload.nope, default(payload.n, default(payload.z, 9)))", 0),
        ("payload.l.map(one, default(one.v, 0) + 1)", [2, 1, 1]),
        ("default(topic.site, 'x') + default(payload.n, 'y')", "ay"),
        ("default(payload.t, '').upperAscii() + 'default(payload.n, 1)'", "TEXTdefault(payload.n, 1)"),
        ("default(payload, 1).z", 0),
    ],
)
def test_default_is_the_value_unless_it_is_missing_or_null(source, result):
    """The way there may end anywhere, values have any type, and the other value is not looked at unless needed."""
    assert run(source, DEEP) == result


@given(steps=st.lists(st.sampled_from([*OTHERS, 0, 1]), min_size=1, max_size=4))
def test_default_takes_any_path(steps):
    """It is what a bare path takes, or the other value where a bare path has none."""
    found = walk(DEEP, tuple(steps))
    source = "payload" + "".join(f"[{step!r}]" for step in steps)
    assert run(f"default({source}, 'other')", DEEP) == ("other" if found in (None, MISSING) else found)


@pytest.mark.parametrize(
    ("source", "column"),
    [("1 +\n default(payload.a + 1, 0)", 10), ("default('a', 1)", 9), ("default(payload.a.size(), 1)", 9)],
)
def test_default_takes_paths_only(source, column):
    """What is calculated is never missing; where that stands is said when the file is loaded."""
    with pytest.raises(CompileError, match=r"payload\.battery") as caught:
        Program(source)
    assert caught.value.offset == source.find("\n") + column


def test_default_takes_two_arguments():
    """Another number of them is found when the file is loaded."""
    with pytest.raises(CompileError, match="default"):
        Program("default(payload.a)")


def test_text_that_is_no_unicode_is_an_error():
    """A lone surrogate cannot be handed to the library, and does not end the thread."""
    with pytest.raises(EvaluationError):
        Program("payload == 'x'").run({"payload": "\ud800"})
