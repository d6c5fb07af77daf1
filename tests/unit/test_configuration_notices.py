"""Promises of `status.notify` and `status.nodes`, in bridge.yaml and in mappings, up to what status is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.configuration import Loaded, load
from bridge.service.wishes import followed_workflows
from bridge.settings.environment import variables
from bridge.status.seen.sources import NO_WISHES, FollowedWorkflows, Notice, Wishes

BRIDGE = """\
bridge: {id: plant-1, data-dir: d}
connections: {plant: {mqtt: {url: "mqtt://localhost", username: bridge}}}
argo: {url: http://localhost, namespaces: [factory, lab]}
mappings: [map.yaml]
"""
MAPPING = """\
mappings:
  - name: hot
    topic: sensors/{site}/+/{device}
    workflow: {template: inspect}
    status: {nodes: true, notify: [{topic: "alarms/{device}/{site}"}, {topic: ends, on: ended}]}
  - name: plain
    topic: others/+
    workflow: {template: inspect}
"""


def loaded(folder: Path, more: str = "") -> Loaded:
    (folder / "bridge.yaml").write_text(BRIDGE + more)
    (folder / "map.yaml").write_text(MAPPING)
    return load(folder / "bridge.yaml", {})


def follow(folder: Path, more: str = "") -> FollowedWorkflows:
    found = loaded(folder, more)
    assert found.ok, [problem.render() for problem in found.problems]
    assert found.settings is not None
    return followed_workflows(found.settings, found.compiled)


def test_all_that_is_wished_reaches_status(tmp_path: Path) -> None:
    """Scope, namespaces and notices of bridge.yaml; failures are what a notice is told of unless it says otherwise."""
    told = follow(tmp_path, "status: {scope: namespace, notify: [{topic: all/failed}, {topic: log, on: ended}]}\n")
    assert (told.bridge_id, told.namespaces, told.selector) == ("plant-1", ("factory", "lab"), "")
    assert told.notices == (Notice("all/failed", failed_only=True), Notice("log", failed_only=False))


@pytest.mark.parametrize(
    ("mapping", "topic", "wishes"),
    [
        ("hot", "sensors/a/x/7", Wishes(True, (Notice("alarms/7/a", True), Notice("ends", False)))),
        ("hot", "sensors/a/x/", Wishes(True, (Notice("alarms//a", True), Notice("ends", False)))),
        ("hot", "an/older/topic", Wishes(True)),
        ("plain", "others/1", NO_WISHES),
        ("gone", "sensors/a/x/7", NO_WISHES),
    ],
)
def test_a_mappings_topics_are_filled_in_by_the_message_that_led_to_the_workflow(
    tmp_path: Path, mapping: str, topic: str, wishes: Wishes
) -> None:
    """Captures come from the concrete topic; a mapping that has changed since, or is gone, does no harm."""
    assert follow(tmp_path).wishes(mapping, topic) == wishes


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        ("sensors/a/b/c", 'status-loop: status.notify: "sensors/a/b/c" can match the topic of mapping "hot"'),
        ("argo/workflows/status", "reserved-topic: status.notify: "),
        ("argo/bridge/x", "reserved-topic: status.notify: "),
        ("a/+", 'bad-value: status.notify: "topic" is not a topic'),
        ("$SYS/a", 'bad-value: status.notify: "topic" is not a topic'),
    ],
)
def test_a_topic_that_could_start_workflows_is_refused(tmp_path: Path, topic: str, problem: str) -> None:
    """A notice that a mapping hears would start workflows for ever; it is told at its place in bridge.yaml."""
    (found,) = loaded(tmp_path, f"status:\n  notify:\n    - topic: {topic}\n").problems
    assert found.render().startswith(f"{tmp_path}/bridge.yaml:7:14: {problem}")


def test_notices_come_from_the_file_only() -> None:
    """A list of maps has no form in a variable: none is offered."""
    assert not [name for name in variables() if "NOTIFY" in name]
