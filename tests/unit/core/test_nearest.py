"""Misspelt words find the word that was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.nearest import did_you_mean, distance, nearest

KNOWN = ("template", "cluster-template", "namespace", "entrypoint", "manifest")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("templte", "template"), ("namesapce", "namespace"), ("Entrypoint", "entrypoint"), ("xyz", ""), ("", "")],
)
def test_proposes_the_nearest(word: str, meant: str) -> None:
    """A missing letter, two swapped ones or other case are recognised; nonsense proposes nothing."""
    assert nearest(word, KNOWN) == meant


def test_did_you_mean_is_a_clause() -> None:
    """The clause can be appended to any message, and is empty without proposal."""
    assert did_you_mean("templte", KNOWN) == '; did you mean "template"?'
    assert did_you_mean("qqqqqq", KNOWN) == ""


@given(st.text(max_size=8), st.text(max_size=8))
def test_distance_is_symmetric_and_zero_only_for_equals(first: str, second: str) -> None:
    """It is a distance: symmetric, and 0 exactly for equal words."""
    assert distance(first, second) == distance(second, first)
    assert (distance(first, second) == 0) == (first == second)
