"""Promises of `status.notify` and `status.nodes`, in bridge.yaml and in mappings, up to what status is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.interface.status import NO_REQUESTS, Notice, NoticeKind, StatusRequests
from bridge.settings.configuration import Loaded, load
from bridge.settings.environment import variables

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


def usable(folder: Path, more: str = "") -> Loaded:
    found = loaded(folder, more)
    assert found.ok, [problem.render() for problem in found.problems]
    return found


def notice(topic: str, on: NoticeKind = NoticeKind.FAILED) -> Notice:
    return Notice(topic=topic, on=on)


ENDS = notice("ends", NoticeKind.ENDED)


def test_the_notices_of_bridge_yaml_are_read(tmp_path: Path) -> None:
    """Failures are what a notice is told of unless it says otherwise."""
    settings = usable(tmp_path, "status: {notify: [{topic: all/failed}, {topic: ends, on: ended}]}\n").settings
    assert settings is not None
    assert settings.status.notify == (notice("all/failed"), ENDS)


@pytest.mark.parametrize(
    ("mapping", "topic", "requests"),
    [
        ("hot", "sensors/a/x/7", StatusRequests(True, (notice("alarms/7/a"), ENDS))),
        ("hot", "sensors/a/x/", StatusRequests(True, (notice("alarms//a"), ENDS))),
        ("hot", "an/older/topic", StatusRequests(True)),
        ("plain", "others/1", NO_REQUESTS),
        ("gone", "sensors/a/x/7", NO_REQUESTS),
    ],
)
def test_a_mappings_topics_are_filled_in_by_the_message_that_led_to_the_workflow(
    tmp_path: Path, mapping: str, topic: str, requests: StatusRequests
) -> None:
    """Captures come from the concrete topic; a mapping that has changed since, or is gone, does no harm."""
    assert usable(tmp_path).compiled.status_requests(mapping, topic) == requests


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
