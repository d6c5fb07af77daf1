"""Any text becomes text that can be stored and published."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.unicode import well_formed

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_the_result_has_an_encoding_and_well_formed_text_stays(text: str) -> None:
    """The result always is UTF-8; text that was already is not touched."""
    result = well_formed(text)
    result.encode()
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert result == text


def test_what_was_wrong_can_be_seen() -> None:
    """A lone surrogate is written out."""
    assert well_formed("a\ud800b") == "a\\ud800b"
