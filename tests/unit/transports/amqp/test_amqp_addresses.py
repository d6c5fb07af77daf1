"""Topics become routing keys and come back to the letter; a binding key takes what its topic filter takes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.core.topic_filter import matches, name_problem
from bridge.transports.amqp.addresses import Addresses, key_problem

ESCAPING, PLAIN = Addresses("argo.workflows"), Addresses("amq.topic")
LEVEL = st.text(st.sampled_from(list("ab.*%2E/")) | st.characters(exclude_categories=("Cs",)), max_size=5)
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(lambda topic: not name_problem(topic))


def takes(binding: str, key: str) -> bool:
    """Whether RabbitMQ's topic exchange gives `key` to `binding` (`*` one word, `#` any number)."""

    def rest(wanted: list[str], words: list[str]) -> bool:
        if not wanted:
            return not words
        if wanted[0] == "#":
            return any(rest(wanted[1:], words[start:]) for start in range(len(words) + 1))
        return bool(words) and wanted[0] in ("*", words[0]) and rest(wanted[1:], words[1:])

    return rest(binding.split("."), key.split("."))


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        ("argo/workflows/trigger", "argo.workflows.trigger"),
        ("sensors/v1.2/temperature", "sensors.v1%2E2.temperature"),
        ("a/100%/*", "a.100%25.%2A"),
        ("/a//b/", ".a..b."),
    ],
)
def test_topics_are_keys_with_dots(topic: str, key: str) -> None:
    """A slash is a dot; what would be mistaken within a level is escaped."""
    assert ESCAPING.key_of(topic) == key
    assert ESCAPING.topic_of(key) == topic


@given(TOPIC)
def test_every_topic_comes_back(topic: str) -> None:
    """Whatever the levels hold."""
    assert ESCAPING.topic_of(ESCAPING.key_of(topic)) == topic


@given(TOPIC)
def test_on_the_plugin_s_exchange_topics_without_dots_come_back(topic: str) -> None:
    """Nothing is escaped there."""
    assume("." not in topic)
    assert PLAIN.key_of(topic) == topic.replace("/", ".")
    assert PLAIN.topic_of(PLAIN.key_of(topic)) == topic


@given(st.text(max_size=20) | st.binary(max_size=20))
def test_any_key_gives_a_topic_name(key: str | bytes) -> None:
    """A publisher writes what it likes: never a wildcard, a NUL or an exception."""
    assume(isinstance(key, bytes) or key.isprintable())
    for addresses in (ESCAPING, PLAIN):
        topic = addresses.topic_of(key)
        assert topic == "" or name_problem(topic) == ""


def test_bytes_that_are_no_text_stay_visible() -> None:
    """Each as its number."""
    assert ESCAPING.topic_of(b"a.\xff.b") == "a/%FF/b"
    assert ESCAPING.topic_of("a.+.#") == "a/%2B/%23"


@given(TOPIC, st.data())
def test_a_binding_takes_what_its_filter_takes(topic: str, data: st.DataObject) -> None:
    """For any filter made of the topic by wildcards, and for any other topic."""
    assume(not topic.startswith("$"))
    levels = topic.split("/")
    cut = data.draw(st.integers(0, len(levels)))
    kept = [data.draw(st.sampled_from([level, "+"])) for level in levels[:cut]]
    topic_filter = "/".join(kept + (["#"] if cut < len(levels) or data.draw(st.booleans()) else []))
    other = data.draw(st.sampled_from([topic, topic + "/x", "/".join(levels[:-1]) or "x"]))
    assume(topic_filter and other)
    found = takes(ESCAPING.binding_of(topic_filter), ESCAPING.key_of(other))
    assert found == matches(topic_filter, other)


def test_a_key_has_255_bytes_at_most() -> None:
    """Counted in UTF-8."""
    assert key_problem("x" * 255) == ""
    assert "256 bytes" in key_problem("ä" * 128)
