"""The parts of the demo: its configuration files, the templates of its Argo Server, the commands to try.

Writes files into a given folder; starts nothing. Thread: the main thread.
"""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

BRIDGE_ID = "demo"
NAMESPACE = "factory"
SENSOR_FILTER = "sensors/#"

_BRIDGE = """\
# The bridge of the demo.
bridge: {{id: {bridge_id}, data-dir: data}}
connections:
  broker:
    mqtt: {{url: "{broker_url}", version: 3.1.1}}
argo:
  url: {argo_url}
  namespaces: [{namespace}]
mappings: [mappings/*.yaml]
web: {{listen: "127.0.0.1:{web_port}"}}
"""

_MAPPINGS = """\
mappings:
  - name: boiler-overheat
    topic: sensors/{site}/boiler/{device}/temperature
    payload:
      schema: {type: object, required: [value, seq]}
    when: payload.value > 90.0
    event-id: payload.seq
    workflow:
      template: inspect-boiler
      parameters: {device: "${topic.device}", value: "${payload.value}"}
    status: {topic: "sensors/{site}/boiler/{device}/workflow"}

  - name: press-alarm
    topic: sensors/{site}/press/{device}/state
    payload: {format: text}
    when: payload.startsWith("ALARM")
    workflow:
      template: clear-alarm
      parameters: {device: "${topic.device}", alarm: "${payload}"}
    status: {topic: "sensors/{site}/press/{device}/workflow"}

  - name: heavy-parcel
    topic: sensors/{site}/scale/{device}/weight
    payload: {format: number}
    when: payload > 30.0
    workflow:
      template: divert-parcel
      parameters: {device: "${topic.device}", weight: "${payload}"}
    status: {topic: "sensors/{site}/scale/{device}/workflow"}
"""

_OVERHEATED = '{"value": 99, "seq": 1}'
_TRIGGER = {"submit": {"template": "inspect-boiler", "parameters": {"device": "9", "value": "99.5"}}}


@dataclass(frozen=True, slots=True)
class Scene:
    """The demo's files: bridge.yaml, a trigger message for the commands to try, and the bridge's log."""

    config: Path
    trigger: Path
    log: Path


def write_scene(folder: Path, broker_url: str, argo_url: str, web_port: int) -> Scene:
    """Write the demo's files into an empty folder."""
    (folder / "data").mkdir()
    (folder / "mappings").mkdir()
    scene = Scene(folder / "bridge.yaml", folder / "trigger.json", folder / "bridge.log")
    text = _BRIDGE.format(
        bridge_id=BRIDGE_ID, broker_url=broker_url, argo_url=argo_url, namespace=NAMESPACE, web_port=web_port
    )
    scene.config.write_text(text, encoding="utf-8")
    (folder / "mappings" / "sensors.yaml").write_text(_MAPPINGS, encoding="utf-8")
    scene.trigger.write_bytes(orjson.dumps(_TRIGGER))
    return scene


def free_port(preferred: int) -> int:
    """Return `preferred` if nothing listens there on this machine, otherwise a free port."""
    for port in (preferred, 0):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
                sock.listen(1)
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise OSError("this machine has no free port")


def workflow_templates() -> list[dict[str, Any]]:
    """Return the WorkflowTemplates of the demo's Argo Server; annotations set the duration of containers."""
    inspect = [
        [
            _step("pressure", "check", {"what": "pressure", "seconds": "0.8"}),
            _step("valves", "check", {"what": "valves", "seconds": "1.6"}),
            _step("burner", "check", {"what": "burner", "seconds": "2.4"}),
        ]
    ]
    check = _container("check", "check {{inputs.parameters.what}}", "{{inputs.parameters.seconds}}")
    check["inputs"] = {"parameters": [{"name": "what"}, {"name": "seconds"}]}
    clear = [
        [_step("diagnose", "diagnose")],
        [
            _step("reset", "reset", when="'{{workflow.parameters.alarm}}' != 'ALARM 7'"),
            _step("remote-reset", "remote-reset", when="'{{workflow.parameters.alarm}}' == 'ALARM 7'"),
        ],
    ]
    divert = [[_step("stop-belt", "stop-belt")], [_step("divert", "divert")]]
    return [
        _template("inspect-boiler", ("device", "value"), inspect, check),
        _template(
            "clear-alarm",
            ("device", "alarm"),
            clear,
            _container("diagnose", "diagnose"),
            _container("reset", "reset"),
            # Alarm 7 cannot be cleared: the demo also shows a failure.
            _container("remote-reset", "reset; exit 3"),
        ),
        _template(
            "divert-parcel",
            ("device", "weight"),
            divert,
            _container("stop-belt", "stop-belt"),
            _container("divert", "divert"),
        ),
    ]


def _template(
    name: str, parameters: tuple[str, ...], steps: list[list[dict[str, Any]]], *containers: dict[str, Any]
) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "entrypoint": "main",
            "arguments": {"parameters": [{"name": parameter} for parameter in parameters]},
            "templates": [{"name": "main", "steps": steps}, *containers],
        },
    }


def _step(name: str, template: str, parameters: dict[str, str] | None = None, when: str = "") -> dict[str, Any]:
    step: dict[str, Any] = {"name": name, "template": template}
    if parameters:
        step["arguments"] = {"parameters": [{"name": key, "value": value} for key, value in parameters.items()]}
    return step | ({"when": when} if when else {})


def _container(name: str, command: str, seconds: str = "1") -> dict[str, Any]:
    return {
        "name": name,
        "metadata": {"annotations": {"simulator.argo-bridge/duration": seconds}},
        "container": {"image": "busybox:1.37", "command": ["sh", "-c"], "args": [command]},
    }


def commands_to_try(scene: Scene, broker_port: int, width: int) -> list[str]:
    """Return the commands for a second terminal, ready to copy, in lines of at most `width` columns."""
    send = [_own_command(), "send --wait", f"--config {shlex.quote(str(scene.config))}"]
    commands = [
        [*send, f"trigger @{shlex.quote(str(scene.trigger))}"],
        [*send, f"sensors/hall-1/boiler/9/temperature {shlex.quote(_OVERHEATED)}"],
        [f"mosquitto_sub -p {broker_port} -v -t 'argo/workflows/#'"],
        [f"mosquitto_pub -p {broker_port} -t sensors/hall-2/press/9/state -m 'ALARM 4'"],
    ]
    return [line for command in commands for line in break_command(command, width)]


def break_command(parts: list[str], width: int) -> list[str]:
    """Return a shell command in lines of at most `width` columns, as far as its parts allow.

    Every line except the last ends with a backslash, so that the lines can be copied together.
    """
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]} {part}"
        if len(longer) > width - 2:
            lines[-1] += " \\"
            longer = f"  {part}"
            lines.append("")
        lines[-1] = longer
    return lines


def _own_command() -> str:
    # A second terminal has neither this one's virtual environment nor its folder.
    own = Path(sys.argv[0]).absolute()
    beside = Path(sys.executable).absolute().parent / "argo-bridge"
    path = own if own.name == "argo-bridge" else beside
    found = shutil.which("argo-bridge")
    is_known = found is not None and Path(found).absolute() == path and _is_everywhere(path)
    return "argo-bridge" if is_known else shlex.quote(str(path))


def _is_everywhere(path: Path) -> bool:
    # An activated virtual environment is only on the path of this terminal.
    return sys.prefix == sys.base_prefix or not path.is_relative_to(sys.prefix)
