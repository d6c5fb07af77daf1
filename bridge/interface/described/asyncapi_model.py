"""The content of an AsyncAPI document: the interface of one bridge as plain data. Pure; any thread.

Source: AsyncAPI 3.0.0, "Server Object", "Channel Object".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.interface.operations import Operation
from bridge.interface.topics import Topics

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
EXCHANGE = "argo.workflows"
ANY_BRIDGE = "{bridge}"


@dataclass(frozen=True, slots=True)
class Server:
    """A broker.

    Attributes:
        name: of the connection.
        host: name and port.
        protocol: as AsyncAPI names it: mqtt, secure-mqtt, ws, wss, amqp, amqps.
        version: of the protocol.
        path: of the URL, "" for none.
        user: whether the bridge logs in with user and password.
        certificate: whether it has a client certificate.
        exchange: the AMQP exchange; "" for MQTT.
        retain: MQTT: whether the bridge publishes retained messages.
        will: MQTT: whether it has a last will.
    """

    name: str
    host: str
    protocol: str
    version: str
    path: str = ""
    user: bool = False
    certificate: bool = False
    exchange: str = ""
    retain: bool = True
    will: bool = True

    @property
    def is_amqp(self) -> bool:
        """Whether it speaks AMQP."""
        return bool(self.exchange)


@dataclass(frozen=True, slots=True)
class MappedTopics:
    """The topics of one mapping.

    Attributes:
        name: of the mapping.
        topics: its topics as written, with captures and wildcards.
        content_type: of its messages.
        schema: JSON Schema of the payload, or None.
        status_topic: its status topic, or "".
        connection: the only connection it listens on, "" for all.
        notices: topics notified when its workflows finish.
    """

    name: str
    topics: tuple[str, ...]
    content_type: str
    schema: Mapping[str, Any] | None = None
    status_topic: str = ""
    connection: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """The content of the document.

    Attributes:
        version: of the bridge.
        topics: the bridge's own; its id may be `ANY_BRIDGE`.
        servers: the brokers.
        operations: the allowed operations.
        namespaces: the allow-list, () if unknown.
        mappings: those loaded.
        notices: topics notified when any workflow finishes.
    """

    version: str
    topics: Topics
    servers: tuple[Server, ...]
    operations: tuple[Operation, ...] = tuple(Operation)
    namespaces: tuple[str, ...] = ()
    mappings: tuple[MappedTopics, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def exchange(self) -> str:
        """The exchange of the AMQP connections, or ""."""
        return next((server.exchange for server in self.servers if server.is_amqp), "")


def any_bridge(version: str) -> Described:
    """Return the general interface: default prefix, one broker of each kind, no mappings."""
    servers = (
        Server("mqtt", "{host}:1883", "mqtt", "5.0"),
        Server("amqp", "{host}:5672", "amqp", "0-9-1", exchange=EXCHANGE),
    )
    return Described(version, Topics("argo/workflows", ANY_BRIDGE), servers)


def address_of(topic: str) -> tuple[str, dict[str, str]]:
    """Return a mapping's topic as the address of a channel, and the meaning of each parameter in it.

    ``sensors/{site}/+/state/#`` becomes ``sensors/{site}/{level3}/state/{rest}``.
    """
    levels: list[str] = []
    parameters: dict[str, str] = {}
    for position, level in enumerate(topic.split("/"), 1):
        captured = _CAPTURE.findall(level)
        if captured:
            what = "one level" if f"{{{captured[0]}}}" == level else "a part of a level"
            parameters |= dict.fromkeys(captured, f"{what}, captured by the mapping")
        elif level.endswith("...}"):
            level = level.replace("...", "")  # noqa: PLW2901 - the level as the address has it
            parameters[level.strip("{}")] = "all further levels, captured by the mapping"
        elif level == "+":
            level = f"{{level{position}}}"  # noqa: PLW2901 - the level as the address has it
            parameters[level.strip("{}")] = "any one level"
        elif level == "#":
            level = "{rest}"  # noqa: PLW2901 - likewise
            parameters["rest"] = "any number of levels"
        levels.append(level)
    return "/".join(levels), parameters
