"""Topic filters match by position, as MQTT 5.0 section 4.7 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import topic_filter

LEVEL = st.sampled_from(["a", "b", "", "$x", "site"])
NAME = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTER = st.builds(
    lambda levels, tail: "/".join(levels + tail),
    st.lists(st.sampled_from(["a", "b", "", "+", "$x"]), min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)


@pytest.mark.parametrize(
    ("wanted", "topic", "expected"),
    [
        ("a/+/a", "a/x/a", True),
        ("a/+/a", "x/y/a", False),
        ("sport/#", "sport", True),
        ("sport/#", "sport/a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("+", "/a", False),
        ("+/+", "/a", True),
        ("a", "a/", False),
        ("a/b", "A/b", False),
    ],
)
def test_matches_level_by_level(wanted: str, topic: str, expected: bool) -> None:
    """The examples of the specification, and the traps met by others, come out right."""
    assert topic_filter.matches(wanted, topic) is expected


@pytest.mark.parametrize("bad", ["", "a/#/b", "a#", "a+/b", "#/a", "a\0", "\ud800", "x" * 65_536])
def test_refuses_invalid_filters(bad: str) -> None:
    """An invalid filter gets a sentence."""
    assert topic_filter.filter_problem(bad)


def test_a_topic_may_have_exactly_65_535_bytes() -> None:
    """Bytes of UTF-8, not characters (MQTT 5.0 section 1.5.4)."""
    for longest in ("x" * 65_535, "ä" * 32_767 + "x"):
        assert topic_filter.filter_problem(longest) == topic_filter.name_problem(longest) == ""
        assert topic_filter.filter_problem(longest + "x")
        assert topic_filter.name_problem(longest + "x")


@pytest.mark.parametrize("bad", ["", "a/+", "#", "a\0b", "\udfff"])
def test_refuses_invalid_names(bad: str) -> None:
    """A topic name with wildcards or unusable characters gets a sentence."""
    assert topic_filter.name_problem(bad)


@given(NAME)
def test_a_name_is_a_filter_that_matches_itself(name: str) -> None:
    """Every topic name matches itself, and everything matches through # unless it begins with $."""
    assert topic_filter.matches(name, name)
    assert topic_filter.matches("#", name) is not name.startswith("$")


@given(FILTER, FILTER, NAME)
def test_filters_that_match_one_name_overlap(first: str, second: str, name: str) -> None:
    """Two filters that match the same name overlap, in either order."""
    if topic_filter.matches(first, name) and topic_filter.matches(second, name):
        assert topic_filter.overlap(first, second)
    assert topic_filter.overlap(first, second) == topic_filter.overlap(second, first)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a/+", "+/b", True),
        ("a/#", "a", True),
        ("a/+", "a", False),
        ("a/b/#", "a/c/#", False),
        ("#", "$SYS/a", False),
        ("+/a", "b/+/c", False),
        ("a/+/c", "a/b/#", True),
    ],
)
def test_overlap_of_known_pairs(first: str, second: str, expected: bool) -> None:
    """Filters overlap exactly when some name matches both."""
    assert topic_filter.overlap(first, second) is expected


@given(FILTER, FILTER, NAME)
def test_what_is_covered_matches_nothing_else(broader: str, narrower: str, name: str) -> None:
    """Every name that a covered filter matches is matched by the one that covers it."""
    if topic_filter.covers(broader, narrower) and topic_filter.matches(narrower, name):
        assert topic_filter.matches(broader, name)
    assert topic_filter.covers(broader, broader)
    assert topic_filter.covers("#", narrower) is not narrower.startswith("$")
