"""On RabbitMQ's amq.topic a dot within a level is a slash: a mapping that has one is refused for such a connection."""

from __future__ import annotations

import pytest

from bridge.configfile.problems import Code
from bridge.settings.configuration import load

BRIDGE = """
bridge: {id: plant-1, data-dir: data}
connections:
  plant: {mqtt: {url: "mqtt://localhost"}}
  both: {amqp: {url: "amqp://localhost", exchange: EXCHANGE}}
argo: {url: "http://localhost:2746", namespaces: [factory]}
mappings: [mappings.yaml]
"""
MAPPING = """
mappings:
  - name: one
    topic: TOPIC
    workflow: {template: t}
"""


def problems(folder, topic, exchange="amq.topic", more="", bridge=""):
    """What loading says about one mapping."""
    (folder / "bridge.yaml").write_text(BRIDGE.replace("EXCHANGE", exchange) + bridge)
    (folder / "mappings.yaml").write_text(MAPPING.replace("TOPIC", topic) + more)
    found = load(folder / "bridge.yaml", {}).problems
    return [problem.message for problem in found if problem.code != Code.INSECURE]


@pytest.mark.parametrize("topic", ["sensors/v1.2/x", "sensors/*/x"])
def test_a_topic_that_cannot_be_carried_is_refused(tmp_path, topic):
    """With the connection's name and what to do."""
    (problem,) = problems(tmp_path, topic)
    assert '"both"' in problem
    assert "amq.topic" in problem


@pytest.mark.parametrize("connection", ["", "    connection: plant\n"])
@pytest.mark.parametrize(
    ("status", "key"),
    [("topic: 'out/v1.2/{x}'", "status.topic"), ("notify: [{topic: 'out.{x}'}, {topic: 'out/v1.2'}]", "status.notify")],
)
def test_so_is_what_a_mapping_tells(tmp_path, connection, status, key):
    """Statuses go to every connection: as another topic, nobody would hear of it, or a mapping would start more."""
    more = f"{connection}    status: {{{status}}}\n"
    found = [text for text in problems(tmp_path, "sensors/{x}", more=more) if "cannot carry" in text]
    assert len(found) == 1
    assert f'"{key}" has "."' in found[0]


@pytest.mark.parametrize(
    ("bridge", "text"),
    [
        (
            "status: {notify: [{topic: all.ends, on: ended}]}\n",
            'status.notify: "all.ends" has ".", which connection "both"',
        ),
        ("interface: {prefix: acme.argo/workflows}\n", 'interface: "prefix" has a dot or *, which connection "both"'),
    ],
)
def test_so_are_topics_of_the_bridge_itself(tmp_path, bridge, text):
    """Requests under such a prefix would mean nothing to it."""
    (problem,) = problems(tmp_path, "sensors/{x}", bridge=bridge)
    assert text in problem
    assert problems(tmp_path, "sensors/{x}", exchange="argo.workflows", bridge=bridge) == []


@pytest.mark.parametrize(
    ("topic", "exchange", "more"),
    [
        ("sensors/v1.2/x", "argo.workflows", ""),
        ("sensors/v1.2/x", "amq.topic", "    connection: plant\n"),
        ("sensors/{site}/+/#", "amq.topic", ""),
    ],
)
def test_all_else_is_taken(tmp_path, topic, exchange, more):
    """Other exchanges escape, MQTT needs no escapes, and a mapping may name its connection."""
    assert problems(tmp_path, topic, exchange, more) == []
