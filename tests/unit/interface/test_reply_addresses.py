"""A request decides where its reply goes only within the operator's list, and never lets the bridge talk to itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.topic_filter import matches, name_problem
from bridge.interface.operations import Operation
from bridge.interface.options import REPLY_QUEUES, InterfaceOptions
from bridge.interface.reply_addresses import ReplyAddresses
from bridge.interface.topics import Topics

TOPICS = Topics("argo/workflows", "plant-1")
DEFAULT = "argo/workflows/response/trigger"
OWN = frozenset({"sensors/+/t", "wf/#"})
QUEUES = frozenset({"argo-bridge.plant-1.requests", "orders"})


def addresses(*topics: str, queues: tuple[str, ...] = REPLY_QUEUES) -> ReplyAddresses:
    """Those of a bridge that listens and publishes to OWN, and consumes QUEUES."""
    return ReplyAddresses(TOPICS, InterfaceOptions(response_topics=topics, reply_queues=queues), OWN, QUEUES)


WORDS = "argo workflows bridge response trigger status sensors t wf a + # $SYS plant-1 availability clients sensors.a.t"
LEVEL = st.sampled_from([*WORDS.split(), "", "\0", "argo.bridge.plant-1.state"])
ADDRESS = st.lists(LEVEL, min_size=1, max_size=25).map("/".join) | st.text(st.characters(exclude_categories=()))
FILTER = st.sampled_from(["#", "+/#", "clients/+/replies", "argo/#", "argo/workflows/response/#", "a/+", "$SYS/#"])


@given(st.lists(FILTER, max_size=3), ADDRESS)
def test_whatever_the_operator_allows_no_reply_goes_to_a_place_of_the_bridge(allowed: list[str], topic: str) -> None:
    """A topic that is taken is a topic name on the list, short, and nothing that any bridge publishes or hears."""
    if addresses(*allowed).topic_problem(topic, DEFAULT):
        return
    assert name_problem(topic) == ""
    assert topic == DEFAULT or any(matches(one, topic) for one in allowed)
    assert len(topic.encode()) <= 1024
    assert topic.count("/") < 20
    for spelt in (topic, topic.replace(".", "/")):  # RabbitMQ's MQTT plugin takes a dot for a slash
        assert TOPICS.parse(spelt) is None
        assert not spelt.startswith(("$", "argo/bridge/"))
        assert not any(matches(own, spelt) for own in OWN)
        assert not spelt.startswith("argo/workflows/") or spelt.startswith("argo/workflows/response/")


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        (DEFAULT, ""),
        ("argo/workflows/response/me", ""),
        ("clients/7/replies", ""),
        ("clients/7/8/replies", "interface.response-topics"),
        ("replies/me", "interface.response-topics"),
        ("clients/+/replies", "wildcard"),
        ("#", "wildcard"),
        ("$SYS/x", "topics that begin with $"),
        ("a\0b", "NUL"),
        ("\ud800", "UTF-8"),
        ("clients/" + "x" * 1010 + "/replies", "1024 bytes"),
        ("argo/workflows/response/" + "a/" * 250, "20 levels"),
        ("argo/workflows/response/" + "/".join("a" * 17), ""),
        ("argo/workflows/response/" + "/".join("a" * 18), "20 levels"),
        ("argo/workflows/response/stop", "itself"),
        ("argo/workflows/response/status", "itself"),
        ("argo/workflows/trigger/ns", "itself"),
        ("argo/workflows/report/factory", "itself"),
        ("argo/workflows/dead-letter", "itself"),
        ("argo/workflows", "itself"),
        ("argo/bridge/plant-1/availability", "itself"),
        ("argo/bridge/other/state", "itself"),
        ("sensors/1/t", "itself"),
        ("wf/boiler-7", "itself"),
    ],
)
def test_where_a_reply_may_go(topic: str, problem: str) -> None:
    """On the operator's list, in few levels, and nowhere that a bridge publishes or listens."""
    found = addresses("argo/workflows/response/#", "clients/+/replies").topic_problem(topic, DEFAULT)
    assert (problem in found) if problem else found == ""


@pytest.mark.parametrize("operation", Operation)
def test_the_topic_of_its_own_operation_may_always_be_named(operation: Operation) -> None:
    """A reply goes there without a Response Topic too, so naming it needs no leave."""
    topic = TOPICS.response(operation)
    assert addresses().topic_problem(topic, topic) == ""


@pytest.mark.parametrize(
    ("queue", "problem"),
    [
        ("amq.rabbitmq.reply-to.g1h2AA5yZXBseUAxMTcyMTA.abc==", ""),
        ("amq.gen-JzTY20BRgKO-HjmUJj0wLg", ""),
        ("argo-bridge.line-7.replies", ""),
        ("amq.rabbitmq.reply-to", "interface.reply-queues"),
        ("amq.genuine", "interface.reply-queues"),
        ("xamq.gen-1", "interface.reply-queues"),
        ("argo-bridge.line-7.replies.dead", "interface.reply-queues"),
        ("victim", "interface.reply-queues"),
        ("argo-bridge.plant-1.requests", "itself"),
        ("argo-bridge.plant-2.requests", "interface.reply-queues"),
    ],
)
def test_which_queue_a_reply_may_go_to(queue: str, problem: str) -> None:
    """Queues that their consumers own, and those that are named for replies."""
    found = addresses().queue_problem(queue)
    assert (problem in found) if problem else found == ""


@given(st.text("ab.*\n", min_size=1, max_size=8), st.sampled_from(["orders", "argo-bridge.plant-1.requests", "a\nb"]))
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(pattern: str, queue: str) -> None:
    """What a pattern allows begins and ends as it does; a queue of the bridge is never allowed."""
    allowed = addresses(queues=(pattern, "*")).queue_problem(queue) == ""
    assert allowed == (queue not in QUEUES)
    if addresses(queues=(pattern,)).queue_problem(queue) == "":
        parts = pattern.split("*")
        assert queue.startswith(parts[0])
        assert queue.endswith(parts[-1])
    assert addresses(queues=()).queue_problem(queue)
