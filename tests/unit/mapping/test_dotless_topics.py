"""On RabbitMQ's amq.topic a dot within a level is a slash: a mapping that has one is refused for such a connection."""

from __future__ import annotations

import pytest

from bridge.configuration import load

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


def problems(folder, topic, exchange="amq.topic", more=""):
    """What loading says about one mapping."""
    (folder / "bridge.yaml").write_text(BRIDGE.replace("EXCHANGE", exchange))
    (folder / "mappings.yaml").write_text(MAPPING.replace("TOPIC", topic) + more)
    return [problem.message for problem in load(folder / "bridge.yaml", {}).problems]


@pytest.mark.parametrize("topic", ["sensors/v1.2/x", "sensors/*/x"])
def test_a_topic_that_cannot_be_carried_is_refused(tmp_path, topic):
    """With the connection's name and what to do."""
    (problem,) = problems(tmp_path, topic)
    assert '"both"' in problem
    assert "amq.topic" in problem


def test_the_status_topic_is_one_too(tmp_path):
    """The device would never hear of it."""
    (problem,) = problems(tmp_path, "sensors/{x}", more="    status: {topic: 'out/v1.2/{x}'}\n")
    assert '"status.topic" has "."' in problem


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
