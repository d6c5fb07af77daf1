"""What the demo's audience is told, from messages alone."""

import orjson
import pytest

from bridge.cli.demo.story import Line, Story, shown_payload
from bridge.core.model import Message
from bridge.core.topic_filter import matches
from bridge.interface.topics import Topics

TOPICS = Topics("argo/workflows", "demo")
READING = "sensors/hall-1/boiler/7/temperature"
DEVICE_STATUS = "sensors/hall-1/boiler/7/workflow"


def take(story, topic, body):
    """Let the story take one message."""
    payload = body if isinstance(body, bytes) else orjson.dumps(body)
    return story.take(Message("broker", topic, payload, 1))


def status(phase, name="w-1", *, message="", mapping="boiler-overheat"):
    """A status body."""
    details = {"uid": f"uid-{name}", "mapping": mapping, "bridge": "demo"}
    return {
        "namespace": "factory",
        "workflowId": name,
        "status": phase,
        "progress": "50%",
        "message": message,
        "details": {key: value for key, value in details.items() if value},
    }


def test_a_reading_arrives_and_is_counted():
    """A line each, and a row a topic."""
    story = Story(TOPICS)
    assert take(story, READING, b'{"value": 95.2}') == [Line("arrives", f'{READING} {{"value": 95.2}}')]
    take(story, READING, b"3")
    assert [(row.value, row.messages) for row in story.sensors.values()] == [("3", 2)]


def test_a_workflow_triggers_once_and_then_goes_its_way():
    """The first status names the mapping; each one is a line."""
    story = Story(TOPICS)
    topic = TOPICS.status_of("factory", "w-1")
    assert take(story, topic, status("Pending")) == [
        Line("triggers", "boiler-overheat -> workflow factory/w-1"),
        Line("status", "factory/w-1 Pending 50%"),
    ]
    assert take(story, topic, status("Failed", message="step failed")) == [
        Line("status", "factory/w-1 Failed 50%  step failed", is_bad=True)
    ]
    take(story, topic, status("Failed", message="step failed"))
    assert story.ended == {"Failed": 1}
    assert story.summary() == "0 sensor messages arrived; workflows ended: 1 Failed"


def test_a_trigger_message_is_named_as_the_cause():
    """There is no mapping then."""
    lines = take(Story(TOPICS), TOPICS.status_of("factory", "w-1"), status("Pending", mapping=""))
    assert lines[0] == Line("triggers", "trigger message -> workflow factory/w-1")


def test_a_device_is_credited_with_its_own_workflows_only():
    """The device's own status topic tells whose it is; it is no reading."""
    story = Story(TOPICS)
    take(story, READING, b"1")
    take(story, "sensors/hall-1/boiler/8/temperature", b"1")
    assert take(story, DEVICE_STATUS, status("Running")) == []
    assert take(story, DEVICE_STATUS, status("Succeeded")) == []
    assert take(story, DEVICE_STATUS, b"") == []
    assert [len(row.workflows) for row in story.sensors.values()] == [1, 0]
    assert len(story.sensors) == 2


def test_a_workflow_that_is_gone_leaves_the_table():
    """Its retained status was cleared; one that was never seen is no news."""
    story = Story(TOPICS)
    topic = TOPICS.status_of("factory", "w-1")
    take(story, topic, status("Succeeded"))
    assert take(story, topic, b"") == [Line("gone", "factory/w-1")]
    assert take(story, topic, b"") == []
    assert not story.workflows


def test_replies_refusals_and_the_bridge_itself_are_told():
    """All that the broker carries about requests."""
    story = Story(TOPICS)
    assert take(story, TOPICS.availability, b"online") == [Line("bridge", "online")]
    assert story.bridge == "online"
    reply = take(story, "argo/workflows/response/trigger", b'{"status": "ok"}')
    assert reply == [Line("replies", 'argo/workflows/response/trigger {"status": "ok"}')]
    refusal = {"topic": "argo/workflows/trigger", "message": "not JSON"}
    assert take(story, TOPICS.dead_letter, refusal) == [
        Line("refused", "argo/workflows/trigger: not JSON", is_bad=True)
    ]


@pytest.mark.parametrize(
    "topic", [READING, DEVICE_STATUS, TOPICS.dead_letter, TOPICS.availability, TOPICS.status_of("factory", "a")]
)
@pytest.mark.parametrize("payload", [b"", b"\xff\x00", b"[]", b"{}", b'{"status": 1}', b"null"])
def test_nothing_that_is_published_ends_the_demo(topic, payload):
    """People try things."""
    for line in take(Story(TOPICS), topic, payload):
        assert line.text.isprintable()


def test_all_that_the_story_is_made_of_is_subscribed():
    """And nothing that would come twice."""
    filters = Story(TOPICS).filters("sensors/#")
    wanted = (
        READING,
        TOPICS.dead_letter,
        TOPICS.availability,
        TOPICS.status_of("a", "b"),
        "argo/workflows/response/get",
    )
    for topic in wanted:
        assert sum(matches(each, topic) for each in filters) == 1, topic


def test_a_payload_is_shown_on_one_short_line():
    """A payload can neither forge lines nor paint the terminal."""
    assert shown_payload(b"a\nb\x1b[31m\xff") == "a\\nb\\x1b[31m\ufffd"
    assert len(shown_payload(b"x" * 100_000)) == 200
