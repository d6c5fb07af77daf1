"""Runs the demo: starts broker, Argo Server, bridge and sensors, shows what happens, and ends everything.

The bridge runs in this process, built as by `run`: it starts at once, one Ctrl-C reaches everything, and no child
process survives a killed demo. The display still sees it only through the broker.

Threads: the main thread starts, displays and stops; each part has its own.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from rich.console import Console

from bridge.cli import exit_codes
from bridge.cli.demo.broker import EmbeddedBroker
from bridge.cli.demo.scene import (
    BRIDGE_ID,
    NAMESPACE,
    SENSOR_FILTER,
    Scene,
    commands_to_try,
    free_port,
    workflow_templates,
    write_scene,
)
from bridge.cli.demo.sensors import Sensors, boiler, press, scale
from bridge.cli.demo.story import Line, Story
from bridge.cli.demo.view import PlainView, ScreenView, View
from bridge.cli.visit.broker import BrokerVisit, visitor_options
from bridge.core import log
from bridge.core.errors import ConfigError
from bridge.interface.options import InterfaceOptions
from bridge.interface.topics import Topics
from bridge.service.composition import Service
from bridge.settings.configuration import load
from bridge.simulator import Simulator, SimulatorOptions
from bridge.transports.mqtt.options import MqttOptions, MqttVersion

BROKER_PORT, ARGO_PORT, WEB_PORT = 1883, 2746, 8080
_TURN_S = 0.1
_ONLINE_WITHIN_S = 30.0
_STOP_WITHIN_S = 3.0
_KEPT_WORKFLOWS = 50
_ENDLESS = 10_000
_SENSORS = (boiler("hall-1", "7"), press("hall-2", "3"), scale("hall-3", "2"))


class _Stage(NamedTuple):
    """The running parts; `warnings` are the lines that the bridge logged as warnings."""

    scene: Scene
    broker: EmbeddedBroker
    argo_url: str
    web_port: int
    service: Service
    warnings: queue.SimpleQueue[str]


def run_demo(duration_s: float | None) -> int:
    """Run the demo until SIGINT, SIGTERM or SIGHUP, or for `duration_s` seconds after everything is up.

    Returns:
        0 when it ran to its end, 1 when it could not start, 3 when a part of the bridge ended by itself.
    """
    with _signals() as asked, ExitStack() as stack:
        stage = _start_all(stack)
        try:
            return _Display(stage, asked).run(duration_s)
        finally:
            # Only something stuck below it can fail to end; the process must not wait for that.
            late = stage.service.stop(_STOP_WITHIN_S)
            if late:
                stack.close()
                print(f"argo-bridge demo: did not end in time: {', '.join(late)}", file=sys.stderr, flush=True)
                os._exit(exit_codes.UNEXPECTED)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Turn the signals that request an end into an event."""
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _start_all(stack: ExitStack) -> _Stage:
    """Start broker, Argo Server and bridge; `stack` ends the first two, the bridge is ended by its owner.

    Raises:
        ConfigError: the bridge refuses the demo's configuration, or a port was taken meanwhile.
        OSError: no port is free, or the temporary folder cannot be written.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="argo-demo-")))
    broker = stack.enter_context(EmbeddedBroker(port=free_port(BROKER_PORT)))
    options = SimulatorOptions(
        port=free_port(ARGO_PORT), namespaces=frozenset({NAMESPACE}), retention=_KEPT_WORKFLOWS, container_s=1.0
    )
    argo = stack.enter_context(Simulator(options))
    for template in workflow_templates():
        argo.put_template(NAMESPACE, template)
    web_port = free_port(WEB_PORT)
    scene = write_scene(folder, broker.url, argo.url, web_port)
    warnings = stack.enter_context(_log_to(scene.log))
    # The environment is left out: a variable for a real bridge must not lead the demo to its broker or cluster.
    loaded = load(scene.config, {})
    if loaded.settings is None or not loaded.ok:
        problems = "; ".join(problem.render() for problem in loaded.problems)
        raise ConfigError(f"load the demo's configuration: {problems}")
    service = Service(loaded.settings, loaded.compiled)
    service.start()
    return _Stage(scene, broker, argo.url, web_port, service, warnings)


@contextmanager
def _log_to(path: Path) -> Iterator[queue.SimpleQueue[str]]:
    """Send the log to a file, and warnings also to the returned queue."""
    root = logging.getLogger(log.ROOT)
    before = list(root.handlers), root.level, root.propagate
    warnings: queue.SimpleQueue[str] = queue.SimpleQueue()
    with path.open("a", encoding="utf-8") as file:
        log.configure("console", "info", file)
        root.addHandler(_Warnings(warnings))
        try:
            yield warnings
        finally:
            root.handlers[:], root.level, root.propagate = before


class _Warnings(logging.Handler):
    """Passes on the sentence of each warning."""

    def __init__(self, warnings: queue.SimpleQueue[str]) -> None:
        super().__init__(logging.WARNING)
        self._warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        """Put the sentence into the queue, harmless for a terminal. Thread: any."""
        text = record.getMessage()
        self._warnings.put(text if text.isprintable() else ascii(text)[1:-1])


class _Display:
    """The demo's display, from the first table to the last line; `asked` is set when it must end."""

    def __init__(self, stage: _Stage, asked: threading.Event) -> None:
        self._stage = stage
        self._asked = asked
        self._story = Story(Topics(InterfaceOptions().prefix, BRIDGE_ID))
        self._view = self._make_view()

    def _make_view(self) -> View:
        stage, console = self._stage, Console()
        title = f"argo-bridge demo   broker {stage.broker.url}   Argo {stage.argo_url}"
        if not console.is_terminal or console.is_dumb_terminal:
            return PlainView([title, *self._commands(_ENDLESS), ""])
        if max(map(len, self._commands(console.width))) > console.width:
            # A truncated command is useless: the terminal itself wraps this one, above the tables.
            print(*self._commands(console.width), sep="\n")
        return ScreenView(self._story, title, self._commands, console)

    def _commands(self, width: int) -> list[str]:
        scene = self._stage.scene
        return [
            "Try these in a second terminal (Ctrl-C here stops the demo):",
            *commands_to_try(scene, self._stage.broker.port, width),
            f"Health: http://127.0.0.1:{self._stage.web_port}/readyz   Log: {scene.log}",
        ]

    def run(self, duration_s: float | None) -> int:
        """Display everything; returns an exit code."""
        with (
            self._visit("demo-sensors") as sensors,
            self._visit("demo-audience") as audience,
            self._view,
        ):
            audience.subscribe(retained=self._story.filters(SENSOR_FILTER))
            audience.await_ready(_ONLINE_WITHIN_S)
            sensors.await_ready(_ONLINE_WITHIN_S)
            if not self._await_online(audience):
                return exit_codes.OK if self._asked.is_set() else exit_codes.PROBLEMS
            with Sensors(_SENSORS, sensors.offer):
                code = self._watch(audience, duration_s)
        print(
            f"{'ended' if code == exit_codes.OK else 'a thread of the bridge ended'}: {self._story.summary()}",
            flush=True,
        )
        return code

    def _visit(self, who: str) -> BrokerVisit:
        options = MqttOptions(name=who, url=self._stage.broker.url, version=MqttVersion.V311)
        return BrokerVisit(visitor_options(options, who))

    def _await_online(self, audience: BrokerVisit) -> bool:
        until_s = time.monotonic() + _ONLINE_WITHIN_S
        while self._story.bridge != "online":
            if self._asked.is_set():
                return False
            if time.monotonic() > until_s:
                tail = self._stage.scene.log.read_text(encoding="utf-8").splitlines()[-10:]
                print(
                    "argo-bridge demo: the bridge did not come online; its log ends:", *tail, sep="\n", file=sys.stderr
                )
                return False
            self._turn(audience)
        return True

    def _watch(self, audience: BrokerVisit, duration_s: float | None) -> int:
        until_s = None if duration_s is None else time.monotonic() + duration_s
        while not self._asked.is_set() and (until_s is None or time.monotonic() < until_s):
            self._turn(audience)
            if self._stage.service.liveness():
                return exit_codes.UNEXPECTED
        return exit_codes.OK

    def _turn(self, audience: BrokerVisit) -> None:
        """Display what arrived within a tenth of a second."""
        message = audience.next(_TURN_S)
        while message is not None:
            self._view.tell(self._story.take(message))
            message = audience.next(0)
        while not self._stage.warnings.empty():
            self._view.tell([Line("warning", self._stage.warnings.get(), is_bad=True)])
        self._view.tick()
