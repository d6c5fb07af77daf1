"""Topics of mappings: what they match and capture, alone, in lists, and with exceptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import topic_filter
from bridge.expressions.topic_pattern import TopicPattern, TopicPatterns, problem


@pytest.mark.parametrize(
    ("text", "topic", "captured"),
    [
        ("a/{x}/b", "a/7/b", {"x": "7"}),
        ("a/{x...}", "a/b/c", {"x": "b/c"}),
        ("a/{x...}", "a", {"x": ""}),
        ("{site}/{x...}", "a/b", {"site": "a", "x": "b"}),
        ("legacy/{site}-{device}/temp", "legacy/a-b-c/temp", {"site": "a", "device": "b-c"}),
        ("line{n}/+", "line12/x", {"n": "12"}),
        ("line{n}/+", "line/x", None),
        ("{a}.{b}.x", "1.2.x", {"a": "1", "b": "2"}),
        ("{a}.{b}.x", "1-2-x", None),
    ],
)
def test_what_a_topic_captures(text: str, topic: str, captured: dict[str, str] | None) -> None:
    """A topic that the filter matches gives its captures, or does not fit."""
    assert problem(text) == ""
    pattern = TopicPattern.parse(text)
    assert topic_filter.matches(pattern.topic_filter, topic)
    assert pattern.captured(topic) == captured


LEVELS = st.lists(
    st.sampled_from(["a", "{x}", "+", "pre{y}", "{s}-{t}", "{u}.z", "#x"]), min_size=1, max_size=4, unique=True
)
VALUES = st.text(st.sampled_from("ab-.é{"), min_size=1, max_size=4)


@given(LEVELS, st.fixed_dictionaries(dict.fromkeys("xystu", VALUES)), VALUES)
def test_what_was_captured_gives_the_topic_again(levels: list[str], values: dict[str, str], other: str) -> None:
    """Whatever the values: filled in again, they make the topic that they were captured from."""
    text = "/".join(levels)
    if problem(text):
        return
    pattern = TopicPattern.parse(text)
    topic = pattern.filled(values).replace("+", other)
    captured = pattern.captured(topic)
    assert captured is not None
    levels_of = zip(pattern.filled(captured).split("/"), topic.split("/"), strict=True)
    assert all(own in (said, "+") for own, said in levels_of)


TOPICS = TopicPatterns.parse(["s/{site}/{device}", "l/{site}-{device}", "s/#"], ["s/test/#"])


@pytest.mark.parametrize(
    ("topic", "captured"),
    [
        ("s/a/7", {"site": "a", "device": "7"}),
        ("l/a-7", {"site": "a", "device": "7"}),
        ("s/a/b/c", {}),
        ("s/test/7", None),
        ("l/a", None),
    ],
)
def test_the_first_of_several_topics_that_fits_gives_the_captures(topic: str, captured: dict[str, str] | None) -> None:
    """What is excepted is not the mapping's, and what does not fit neither."""
    assert TOPICS.captured(topic) == captured
    assert TOPICS.matches(topic) is (captured is not None)


def test_expressions_may_use_what_every_topic_captures() -> None:
    """And it can be told which topic lacks a capture."""
    assert TOPICS.names == ()
    assert TopicPatterns.parse(["s/{site}/{device}", "l/{site}-{device}"]).names == ("site", "device")
    assert (TOPICS.lacking("site"), TOPICS.lacking("nobody")) == ("s/#", "")


def test_an_exception_breaks_a_loop() -> None:
    """A status topic that is excepted cannot start a workflow."""
    assert TOPICS.overlaps("s/x/status")
    assert not TOPICS.overlaps("s/test/+")
    assert not TOPICS.overlaps("other/#")
