"""Decides how long a simulated step takes, how it ends and what it outputs.

Reads the conventions of manifests: annotations `simulator.argo-bridge/...`, a suspend's duration, and `exit N` in the
command of a container or script. It runs nothing. Owned by the simulator's loop thread.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bridge.simulator.controller.expressions import substitute
from bridge.simulator.objects.versions import Release

ANNOTATION = "simulator.argo-bridge/"
DURATION = ANNOTATION + "duration"
EXIT_CODE = ANNOTATION + "exit-code"
OUTPUT = ANNOTATION + "output."

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s|d)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXIT = re.compile(r"\bexit\s+(\d{1,3})\b")
_ECHO = re.compile(r"^\s*echo\s+(.*?)\s*$", re.MULTILINE)


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration (`2`, `1.5s`, `1h30m`, `500ms`), or None if it is invalid."""
    text = text.strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


class WallClock:
    """The current time in RFC 3339, whole seconds, UTC; formatted once a second.

    Args:
        wall: Seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._second = -1
        self._text = ""

    def timestamp(self) -> str:
        """E.g. `2026-11-24T11:43:00Z`."""
        second = int(self._wall())
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._text


class Behaviour:
    """Makes the decisions for one workflow.

    Args:
        release: The simulated release; texts and fields differ.
        container_s: Default duration of a container.
        wall: For timestamps.
        annotations: Those of the workflow, overriding those of the template it refers to.
    """

    def __init__(self, release: Release, container_s: float, wall: WallClock, annotations: dict[str, str]) -> None:
        self._release = release
        self._container_s = container_s
        self._annotations = annotations
        self.timestamp = wall.timestamp

    def plan(self, template: dict[str, Any], scope: dict[str, str], *, hooked: bool) -> tuple[float | None, int]:
        """Return how long a leaf takes, and its exit code.

        Args:
            template: The leaf's template.
            scope: Values for `{{...}}`.
            hooked: It belongs to an exit handler: the workflow's own annotations do not make it fail.

        Returns:
            Seconds (None: until somebody resumes it) and exit code (0 succeeds).
        """
        own = template["metadata"].get("annotations", {})
        if "suspend" in template:
            text = substitute(template["suspend"].get("duration", ""), scope)
            return (parse_duration(text) if text else None), 0
        told = own.get(DURATION, self._annotations.get(DURATION, ""))
        duration_s = parse_duration(substitute(told, scope)) if told else None
        exit_text = own.get(EXIT_CODE, "" if hooked else self._annotations.get(EXIT_CODE, ""))
        exit_text = substitute(exit_text, scope)
        exit_code = (
            int(exit_text) if exit_text.isdecimal() and len(exit_text) < 4 else self._written_exit(template, scope)
        )
        return (self._container_s if duration_s is None else duration_s), exit_code

    def _written_exit(self, template: dict[str, Any], scope: dict[str, str]) -> int:
        match = _EXIT.search(_command_text(template, scope))
        return int(match[1]) if match else 0

    def parameter_value(self, parameter: dict[str, Any]) -> str:
        """Return a parameter's value, else its default, else the default of its source, else a made-up one."""
        if "value" in parameter:
            return str(parameter["value"])
        if "default" in parameter:
            return str(parameter["default"])
        return str(parameter.get("valueFrom", {}).get("default", ""))

    def supplied_outputs(self, template: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs of a suspend that must be supplied, in their initial state; empty if there are none."""
        parameters = template["outputs"].get("parameters", [])
        return {"parameters": parameters} if any("supplied" in p.get("valueFrom", {}) for p in parameters) else {}

    def outputs(
        self, template: dict[str, Any], scope: dict[str, str], supplied: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return output parameters and result of a template that succeeded; empty if it declares none.

        Args:
            template: The node's template.
            scope: Values for `{{...}}`.
            supplied: Outputs that the node already has; those with a value keep it.
        """
        found: dict[str, Any] = {}
        known = {p["name"]: p for p in (supplied or {}).get("parameters", []) if "value" in p}
        declared = template["outputs"].get("parameters", [])
        parameters = [known.get(p.get("name", "")) or self._output(p, template, scope) for p in declared]
        if parameters:
            found["parameters"] = parameters
        echoed = _ECHO.search(_command_text(template, scope)) if "script" in template else None
        if echoed:
            found["result"] = echoed[1].strip("'\"")
        return found

    def _output(self, parameter: dict[str, Any], template: dict[str, Any], scope: dict[str, str]) -> dict[str, Any]:
        name = parameter.get("name", "")
        own = template["metadata"].get("annotations", {})
        source = parameter.get("valueFrom", {})
        value = own.get(OUTPUT + name, self._annotations.get(OUTPUT + name))
        if value is None:
            value = parameter.get("value", source.get("parameter", source.get("default", parameter.get("default"))))
        if value is None:
            value = f"simulated-{name}"
        printed = {"name": name, "value": substitute(value, scope)}
        if "globalName" in parameter:
            printed["globalName"] = parameter["globalName"]
        return printed

    def failure_message(self, exit_code: int) -> str:
        """Return the message of a failed pod."""
        prefix = "main: " if self._release.container_in_message else ""
        return f"{prefix}Error (exit code {exit_code})"

    def pod_end_fields(self) -> dict[str, Any]:
        """Return the fields that a pod node gains at its end in this release."""
        return {"taskResultSynced": True} if self._release.task_result_synced else {}


def _command_text(template: dict[str, Any], scope: dict[str, str]) -> str:
    """Return everything that a container or script would run, with values filled in."""
    parts: list[str] = []
    for kind in ("container", "script"):
        container = template.get(kind, {})
        parts += [*container.get("command", []), *container.get("args", [])]
        parts.append(container.get("source", ""))
    return substitute("\n".join(part for part in parts if part), scope)
