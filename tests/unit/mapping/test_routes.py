"""Promises of routing: the trie finds what matching by position finds, in order, with captures."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from bridge.core import topic_filter
from bridge.expressions.topic_pattern import TopicPattern, TopicPatterns
from bridge.mapping import routes
from bridge.mapping.routes import RouteTable

LEVELS = st.sampled_from(["a", "b", "", "$s", "{x}", "+"])
PATTERNS = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(LEVELS, min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
)
TOPICS = st.lists(st.sampled_from(["a", "b", "c", "", "$s"]), min_size=1, max_size=5).map("/".join)


def table(*patterns):
    return RouteTable(SimpleNamespace(name=text, topics=TopicPatterns.parse([text])) for text in patterns)


def found(routes_, topic):
    return [(match.mapping.name, dict(match.captures)) for match in routes_.match(topic)]


@given(patterns=st.lists(PATTERNS, max_size=8), topics=st.lists(TOPICS, max_size=6))
def test_the_trie_equals_matching_one_by_one(patterns, topics):
    """Every mapping that matches is found, once, in the order of definition, the second time too."""
    routes_ = table(*patterns)
    for topic in topics * 2:
        wanted = [text for text in patterns if topic_filter.matches(TopicPattern.parse(text).topic_filter, topic)]
        assert [match.mapping.name for match in routes_.match(topic)] == wanted


@given(patterns=st.lists(PATTERNS, min_size=1, max_size=8), topic=TOPICS)
def test_dropping_covered_filters_loses_no_topic(patterns, topic):
    """What any mapping listens to is subscribed to."""
    routes_ = table(*patterns)
    subscribed = any(topic_filter.matches(one, topic) for one in routes_.filters)
    assert subscribed is bool(routes_.match(topic))


def covers(broad, narrow):
    """Whether every topic that matches `narrow` matches `broad`, level by level."""
    if broad[:1] in ("+", "#") and narrow.startswith("$"):
        return False
    wide, slim = broad.split("/"), narrow.split("/")
    for position, level in enumerate(wide):
        if level == "#":
            return True
        if position >= len(slim) or slim[position] == "#" or level not in ("+", slim[position]):
            return False
    return len(wide) == len(slim)


@given(patterns=st.lists(PATTERNS, max_size=12))
def test_exactly_the_covered_filters_are_dropped(patterns):
    """A filter is subscribed to unless another one covers it."""
    routes_ = table(*patterns)
    wanted = {TopicPattern.parse(text).topic_filter for text in patterns}
    assert routes_.filters == {
        one for one in wanted if not any(other != one and covers(other, one) for other in wanted)
    }


def test_many_mappings_are_compared_at_once():
    """Each filter is looked up, and not compared with all others: that would take minutes."""
    routes_ = table(*(f"sensors/site{number}/boiler/+/temperature" for number in range(20_000)))
    assert len(routes_.filters) == 20_000


def test_captures_take_their_level():
    """`{x}` captures, `+` and `#` match without a capture."""
    routes_ = table("sensors/{site}/boiler/{device}/temperature", "sensors/+/boiler/#")
    assert found(routes_, "sensors/a/boiler/7/temperature") == [
        ("sensors/{site}/boiler/{device}/temperature", {"site": "a", "device": "7"}),
        ("sensors/+/boiler/#", {}),
    ]
    assert found(routes_, "sensors/a/boiler") == [("sensors/+/boiler/#", {})]
    assert found(routes_, "sensors/a/pump/7/temperature") == []


def test_a_filter_that_another_covers_is_not_subscribed_to():
    """A broker may deliver a message once for each subscription that matches."""
    assert table("s/#", "s/{a}/t", "s/a/t", "+/x").filters == {"s/#", "+/x"}
    assert table("#", "$SYS/x", "a/b").filters == {"#", "$SYS/x"}


def test_the_memory_of_topics_is_bounded(monkeypatch):
    """Devices can invent topics without end; long topics are not remembered at all."""
    monkeypatch.setattr(routes, "REMEMBERED_TOPICS", 3)
    routes_ = table("a/{x}")
    for number in range(10):
        assert found(routes_, f"a/{number}") == [("a/{x}", {"x": str(number)})]
        assert len(routes_._remembered) <= 3
    before = dict(routes_._remembered)
    assert found(routes_, "a/" + "x" * 300) == [("a/{x}", {"x": "x" * 300})]
    assert routes_._remembered == before


def test_topics_with_very_many_levels_are_no_trouble():
    """65,535 bytes of slashes neither match nor hurt."""
    assert found(table("a/+", "+/#"), "a" + "/" * 65_000) == [("+/#", {})]
