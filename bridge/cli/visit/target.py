"""The bridge that a command uses, and the broker to reach it: from the bridge's own bridge.yaml.

Makes no network connection. Thread: the command's main thread.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bridge.cli.visit.broker import BrokerVisit, VisitOptions, visitor_options
from bridge.cli.visit.request import Question
from bridge.configfile.problems import Problems
from bridge.configfile.quantities import parse_duration
from bridge.core import log
from bridge.core.errors import ConfigError
from bridge.interface.operations import Operation
from bridge.interface.topics import Request, Topics
from bridge.settings.loading import LoadedSettings, load_settings
from bridge.settings.model import Settings
from bridge.transports.mqtt.options import MqttOptions, MqttVersion


@dataclass(frozen=True, slots=True)
class Target:
    """A bridge seen from outside: its configuration without the mapping files, and how to connect to its broker."""

    loaded: LoadedSettings
    settings: Settings
    topics: Topics
    options: VisitOptions

    def visit(self) -> BrokerVisit:
        """Return a connection to its broker, not yet started."""
        return BrokerVisit(self.options, self.topics.availability)

    @property
    def has_properties(self) -> bool:
        """Whether messages have properties (MQTT 5.0, AMQP)."""
        return not isinstance(self.options, MqttOptions) or self.options.version is MqttVersion.V5

    @property
    def retains(self) -> bool:
        """Whether its broker has retained messages (AMQP has none)."""
        return isinstance(self.options, MqttOptions)

    @property
    def default_namespace(self) -> str:
        """The namespace of a request that names none."""
        return self.settings.argo.namespaces[0]

    def question(self, operation: Operation, namespace: str, payload: bytes) -> Question:
        """Return a request to this bridge; the topic has the namespace, unless that is ""."""
        topic = f"{self.topics.prefix}/{operation.value}"
        topic = f"{topic}/{namespace}" if namespace else topic
        return self.question_at(topic, Request(operation, namespace or None), payload)

    def question_at(self, topic: str, request: Request, payload: bytes) -> Question:
        """Return a request on a topic whose meaning is `request`."""
        return Question(
            topic,
            request,
            payload,
            reply_topic=self.topics.response(request.operation),
            max_payload_bytes=self.settings.interface.max_payload_bytes,
            has_properties=self.has_properties,
        )


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and ``--connection``."""
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the bridge's bridge.yaml")
    parser.add_argument("--connection", metavar="NAME", help="connection to use, if there are several")


def add_timeout(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--timeout`` with the description `what`; the value is in seconds."""
    parser.add_argument(
        "--timeout",
        metavar="DURATION",
        type=duration_s,
        default=30.0,
        help=f"{what} (default 30s)",
    )


def duration_s(text: str) -> float:
    """Return the seconds of a duration on the command line, more than zero."""
    seconds = parse_duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 10s or 5m")
    return seconds


def read_target(args: argparse.Namespace, purpose: str) -> Target | None:
    """Return the target for ``--config`` and ``--connection``, or None after printing the problems of the file.

    `purpose` begins the client id. Raises ConfigError ``unknown-connection``.
    """
    problems = Problems()
    loaded = load_settings(args.config, os.environ, problems)
    if loaded.settings is None:
        for problem in problems.in_order():
            print(problem.render(), file=sys.stderr)
        return None
    log.configure("console", "error")
    settings = loaded.settings
    topics = Topics(settings.interface.prefix, settings.bridge.id)
    return Target(loaded, settings, topics, _options(settings, args.connection, purpose))


def _options(settings: Settings, name: str | None, purpose: str) -> VisitOptions:
    names = ", ".join(settings.connections)
    if name is None and len(settings.connections) > 1:
        raise ConfigError(
            f"choose a connection: there are {names}", code="unknown-connection", hint="choose one with --connection"
        )
    chosen = name if name is not None else next(iter(settings.connections))
    connection = settings.connections.get(chosen)
    if connection is None:
        raise ConfigError(f'choose connection "{chosen}": there are {names}', code="unknown-connection")
    if connection.amqp is not None:
        return visitor_options(connection.amqp, purpose)
    assert connection.mqtt is not None  # noqa: S101 - the settings have exactly one
    return visitor_options(connection.mqtt, purpose)
