"""Misspelt words find the word that was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.nearest import Proposals, did_you_mean, distance, nearest
from tests.support.work import lines_run

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


@given(st.text("ab", max_size=8), st.text("abc", max_size=8), st.integers(0, 8))
def test_a_bounded_distance_is_the_same_up_to_its_bound(first: str, second: str, most: int) -> None:
    """What is given up early was farther away than anybody asks."""
    exact = distance(first, second)
    assert distance(first, second, most) == exact if exact <= most else distance(first, second, most) > most


def test_proposals_end_with_their_budget() -> None:
    """After the tenth word, or a hundred thousand steps, nothing is proposed, whatever it is."""
    few = Proposals()
    assert [few.nearest("templte", KNOWN) for _ in range(11)] == ["template"] * 10 + [""]
    assert few.spent
    long = [f"{'a' * 58}{number}" for number in range(1000)]
    work = Proposals()
    assert lines_run(lambda: [work.nearest(f"{'b' * 58}{number}", long) for number in range(10)]) < 1_000_000
    assert work.spent
