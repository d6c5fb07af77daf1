"""Whatever starts something is read strictly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import strict_json
from bridge.core.errors import PermanentError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refusal_of(payload: bytes) -> PermanentError | None:
    """Why the payload is refused, or None."""
    try:
        strict_json.loads(payload)
    except PermanentError as error:
        return error
    return None


@given(JSON)
def test_reads_every_json_value_exactly(value: object) -> None:
    """What JSON can say comes out as it went in, big integers exact."""
    assert strict_json.loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_value_or_a_sentence(payload: bytes) -> None:
    """No bytes raise anything but a PermanentError with a code and a message."""
    refusal = refusal_of(payload)
    assert refusal is None or (refusal.code in {"invalid-json", "duplicate-key", "too-deep"} and refusal.message)


@pytest.mark.parametrize(
    ("payload", "code", "text"),
    [
        (b'{"a": 1, "b": {"x": 1, "x": 2}}', "duplicate-key", '"x"'),
        (b"[NaN]", "invalid-json", "NaN"),
        (b"{\n  oops}", "invalid-json", "line 2, column 3"),
        (b'"\xff"', "invalid-json", "byte 1"),
        (b"[" * 5000 + b"]" * 5000, "too-deep", "100"),
        (b"[" * 200_000, "too-deep", "100"),
        (b"[" * 101 + b"]" * 101, "too-deep", "100"),
        (b"9" * 5000, "invalid-json", "digits"),
        (b"[1e400]", "invalid-json", "1e400"),
        (rb'["\ud800"]', "invalid-json", "surrogate"),
        (rb'{"a\udfff": 1}', "invalid-json", "surrogate"),
        (rb'{"\ud800": 1, "\ud800": 2}', "duplicate-key", r"\ud800"),
        (b'{"%b": 1, "%b": 2}' % (b"k" * 5000, b"k" * 5000), "duplicate-key", "kkk\u2026"),
    ],
)
def test_refuses_by_name_and_place(payload: bytes, code: str, text: str) -> None:
    """Each kind of bad JSON has its code, and the message says what or where."""
    with pytest.raises(PermanentError) as caught:
        strict_json.loads(payload)
    assert caught.value.code == code
    assert text in caught.value.message


def test_takes_the_deepest_allowed() -> None:
    """Exactly the allowed depth passes."""
    strict_json.loads(b"[" * 100 + b"]" * 100)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '"\ud7ff"'])
def test_takes_escapes_that_are_whole_characters(text: str) -> None:
    """A surrogate pair is one character, and an escaped backslash before "ud800" is plain text."""
    assert strict_json.loads(text.encode()) == json.loads(text)


@given(JSON)
def test_what_was_read_can_be_written_exactly(value: object) -> None:
    """Every value that was read can be sent on, integers of any size exact."""
    read = strict_json.loads(json.dumps(value).encode())
    assert json.loads(strict_json.dumps(read)) == value


def test_pointers_escape_their_own_signs() -> None:
    """A JSON Pointer leads to the key even if the key has a slash or a tilde (RFC 6901)."""
    assert strict_json.pointer(["a/b", 0, "m~n"]) == "/a~1b/0/m~0n"
    assert strict_json.pointer([]) == ""
