"""What the demo is made of."""

import shlex
import socket

import pytest

from bridge.cli.demo.scene import break_command, commands_to_try, free_port, workflow_templates, write_scene
from bridge.cli.demo.sensors import boiler, press, scale
from bridge.core.model import Message
from bridge.mapping.compiled import Fired
from bridge.settings.configuration import load


@pytest.fixture
def scene(tmp_path):
    """The demo's files."""
    return write_scene(tmp_path, "mqtt://127.0.0.1:1883", "http://127.0.0.1:2746", 8080)


def test_its_configuration_has_no_problem(scene):
    """Only that its broker lets everybody in, from this machine."""
    loaded = load(scene.config, {})
    assert [problem.code for problem in loaded.problems] == ["insecure"]
    assert loaded.settings.connections["broker"].mqtt.url == "mqtt://127.0.0.1:1883"
    assert loaded.settings.bridge.data_dir.is_relative_to(scene.config.parent)


@pytest.mark.parametrize("sensor", [boiler("hall-1", "7"), press("hall-2", "3"), scale("hall-3", "2")])
def test_each_sensor_fires_its_mapping_now_and_then(scene, sensor):
    """With every parameter of a template that its Argo Server has."""
    mappings = load(scene.config, {}).compiled
    outcomes = []
    for count in range(30):
        message = Message("broker", sensor.topic, sensor.read(count), 1)
        (match,) = mappings.route("broker", sensor.topic)
        outcomes.append(match.mapping.evaluate(message, match.captures, 0.0))
    fired = [outcome for outcome in outcomes if isinstance(outcome, Fired)]
    assert 3 <= len(fired) <= 15
    parameters = {
        template["metadata"]["name"]: {each["name"] for each in template["spec"]["arguments"]["parameters"]}
        for template in workflow_templates()
    }
    assert set(fired[0].order.parameters) == parameters[fired[0].order.base]
    assert fired[0].status_topic == f"{sensor.topic.rpartition('/')[0]}/workflow"


@pytest.mark.parametrize("width", [40, 60, 80, 200, 10_000])
def test_commands_are_broken_as_a_shell_takes_them(scene, width):
    """Whatever the terminal's width, the lines pasted together are the same commands."""
    lines = commands_to_try(scene, 12345, width)
    pasted = "\n".join(lines).replace("\\\n", "").splitlines()
    whole = commands_to_try(scene, 12345, 10_000)
    assert [shlex.split(line) for line in pasted] == [shlex.split(line) for line in whole]
    assert len(whole) == 4
    assert str(scene.config) in shlex.split(whole[0])
    assert not [line for line in lines if line.endswith(" ")]


def test_a_line_is_broken_before_it_is_too_long():
    """The backslash fits as well."""
    lines = break_command(["aaaa", "bbbb", "cccc"], 11)
    assert lines == ["aaaa bbbb \\", "  cccc"]
    assert break_command(["aaaa", "bbbb"], 10) == ["aaaa \\", "  bbbb"]


def test_a_taken_port_is_left_to_whoever_has_it():
    """A free one is taken instead, and a preferred one that is free is kept."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert free_port(port) not in (0, port)
    assert free_port(port) == port
