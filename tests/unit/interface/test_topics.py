"""Topics are built and parsed by one table, whatever text a topic is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import topic_filter
from bridge.interface.operations import Operation
from bridge.interface.topics import Request, RetainedStatus, StatusStream, Topics

TOPICS = Topics("argo/workflows", "plant-1")
LEVEL = st.text(st.characters(exclude_characters="/+#\0", exclude_categories=("Cs",)), max_size=8)


@given(st.text(st.characters(exclude_categories=())) | LEVEL.map("argo/workflows/trigger/{}".format))
def test_any_topic_is_parsed(topic: str) -> None:
    """No text raises; only topics under the prefix mean anything."""
    meaning = TOPICS.parse(topic)
    if meaning is not None:
        assert TOPICS.is_interface(topic)


@given(st.sampled_from(Operation), LEVEL)
def test_what_is_subscribed_is_understood(operation: Operation, namespace: str) -> None:
    """Each request topic is matched by a filter that is subscribed to, and parsed to its operation and namespace."""
    filters = TOPICS.request_filters(frozenset({operation}))
    for topic, expected in (
        (f"argo/workflows/{operation.value}", Request(operation, None)),
        (f"argo/workflows/{operation.value}/{namespace}", Request(operation, namespace)),
    ):
        assert any(topic_filter.matches(one, topic) for one in filters)
        assert TOPICS.parse(topic) == expected


@given(LEVEL, LEVEL)
def test_a_status_topic_leads_back_to_its_workflow(namespace: str, name: str) -> None:
    """The retained topic of a workflow is parsed to that workflow, and its filter matches it."""
    topic = TOPICS.status_of(namespace, name)
    assert TOPICS.parse(topic) == RetainedStatus(namespace, name)
    assert topic_filter.matches(TOPICS.retained_filter, topic)


@pytest.mark.parametrize(
    "topic",
    [
        "argo/workflows",
        "argo/workflows/",
        "argo/workflows/trigger/a/b",
        "argo/workflows/triger",
        "argo/workflowsx/trigger",
        "x/argo/workflows/trigger",
        "argo/workflows/response/trigger",
        "argo/workflows/status/",
        "argo/workflows/status/a",
        "argo/workflows/status/a/b/c",
    ],
)
def test_what_is_no_request_means_nothing(topic: str) -> None:
    """Near misses and replies are no requests."""
    assert TOPICS.parse(topic) is None


def test_the_stream_of_updates_is_known_apart_from_what_is_retained() -> None:
    """What other systems send comes on PREFIX/status itself."""
    assert TOPICS.parse("argo/workflows/status") == StatusStream()
    assert TOPICS.status_response == "argo/workflows/response/status"
    assert TOPICS.report_of("factory") == "argo/workflows/report/factory"


def test_an_empty_level_is_not_the_absence_of_one() -> None:
    """PREFIX/trigger/ names the namespace "", so that an access list for PREFIX/trigger/NAMESPACE holds."""
    assert TOPICS.parse("argo/workflows/trigger/") == Request(Operation.TRIGGER, "")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("argo/workflows", True),
        ("argo/workflows/x/y", True),
        ("argo/bridge/other/state", True),
        ("argo/workflow", False),
        ("argo", False),
        ("sensors/argo/workflows/x", False),
    ],
)
def test_what_belongs_to_the_interface(topic: str, expected: bool) -> None:
    """The prefix and every bridge's own topics belong to the interface, all else to the plant."""
    assert TOPICS.is_interface(topic) is expected
