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


@given(JSON)
def test_reads_every_json_value_exactly(value: object) -> None:
    """What JSON can say comes out as it went in, big integers exact."""
    assert strict_json.loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_value_or_a_sentence(payload: bytes) -> None:
    """No bytes raise anything but a PermanentError with a code and a message."""
    try:
        strict_json.loads(payload)
    except PermanentError as error:
        assert error.code in {"invalid-json", "duplicate-key", "too-deep"}
        assert error.message


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
