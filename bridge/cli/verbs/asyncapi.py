"""``argo-bridge asyncapi``: prints the AsyncAPI 3 document of the interface, with one configuration's own topics.

Reads files, makes no network connection. Thread: the main thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bridge import __version__
from bridge.cli import exit_codes
from bridge.configfile.writing import to_yaml
from bridge.interface.described.asyncapi import document
from bridge.interface.described.asyncapi_model import Described, MappedTopics, Server, any_bridge
from bridge.interface.topics import Topics
from bridge.mapping.definition import MappingDefinition
from bridge.mapping.payloads import DECODERS
from bridge.settings.configuration import Loaded, load
from bridge.settings.model import ConnectionSettings, Settings
from bridge.transports.amqp.options import AmqpLogin
from bridge.transports.broker import AMQP_PORTS, MQTT_PORTS, parse_broker

_PROTOCOLS = {"mqtt": "mqtt", "mqtts": "secure-mqtt", "ws": "ws", "wss": "wss", "amqp": "amqp", "amqps": "amqps"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Print the AsyncAPI 3 document of the message interface: with --config for one bridge, with its "
        "brokers and the topics of its mappings; otherwise the general document. Exit code 0: printed, 1: the "
        "configuration is invalid, 2: wrong usage."
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the bridge's bridge.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON (default: YAML)")
    parser.set_defaults(handler=run_asyncapi)


def run_asyncapi(args: argparse.Namespace) -> int:
    """Print the document; 1 if the configuration is invalid."""
    described = any_bridge(__version__)
    if args.config is not None:
        loaded = load(args.config, os.environ)
        if not loaded.ok or loaded.settings is None:
            for problem in loaded.problems:
                print(problem.render(), file=sys.stderr)
            return exit_codes.PROBLEMS
        described = describe(loaded, loaded.settings)
    told = document(described)
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n" if args.json else to_yaml(told)
    print(text, end="")
    return exit_codes.OK


def describe(loaded: Loaded, settings: Settings) -> Described:
    """Return the content of the document for one configuration."""
    allowed = frozenset(settings.interface.operations)
    return Described(
        version=__version__,
        topics=Topics(settings.interface.prefix, settings.bridge.id),
        servers=tuple(_server(name, connection) for name, connection in settings.connections.items()),
        operations=tuple(operation for operation in any_bridge("").operations if operation in allowed),
        namespaces=settings.argo.namespaces,
        mappings=tuple(_mapped(definition) for definition in loaded.mappings),
        notices=tuple(notice.topic for notice in settings.status.notify),
    )


def _server(name: str, connection: ConnectionSettings) -> Server:
    mqtt, amqp = connection.mqtt, connection.amqp
    one = mqtt or amqp
    if one is None:
        raise AssertionError("a connection has exactly one protocol")  # ensured by the loader
    broker = parse_broker(one.url, MQTT_PORTS | AMQP_PORTS)
    return Server(
        name=name,
        host=str(broker),
        protocol=_PROTOCOLS[broker.scheme],
        version={"5": "5.0"}.get(mqtt.version.value, mqtt.version.value) if mqtt else "0-9-1",
        path=broker.path,
        user=one.username is not None or (amqp is not None and amqp.login is AmqpLogin.PASSWORD),
        certificate=one.tls.cert is not None,
        exchange=amqp.exchange if amqp else "",
        retain=mqtt.retain if mqtt else False,
        will=mqtt.will if mqtt else False,
    )


def _mapped(definition: MappingDefinition) -> MappedTopics:
    payload, status = definition.payload, definition.status
    return MappedTopics(
        name=definition.name,
        topics=definition.topic,
        content_type=DECODERS[payload.format].content_type,
        schema=payload.schema,
        status_topic=(status.topic if status else None) or "",
        notices=tuple(notice.topic for notice in status.notify) if status else (),
        connection=definition.connection or "",
    )
