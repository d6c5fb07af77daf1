"""The keys of an AMQP connection in bridge.yaml, the names of its queues, and its broker's addresses.

Frozen: read by both threads of the connection and by whoever built it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.configfile.containers import ListOf, MapOf
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import Choice, Duration, FilePath, Integer, Kind, Place, Text, Url
from bridge.configfile.nodes import Node, ScalarNode
from bridge.core.backoff import Backoff
from bridge.core.model import Message
from bridge.transports.broker import AMQP_PORTS, Broker, parse_broker
from bridge.transports.tls import TlsOptions

_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_HOST_WORDS = "a host, or a host and port, such as rabbit-2:5672"


class Declare(StrEnum):
    """Whether the bridge declares exchange and queues."""

    CREATE = "create"
    CHECK = "check"


class AmqpLogin(StrEnum):
    """The kind of login of an AMQP connection."""

    PASSWORD = "password"  # noqa: S105 - the word, not one
    CERTIFICATE = "certificate"


class QueueKind(Enum):
    """The purpose of a queue.

    REQUESTS: messages of the interface. EVENTS: sensor messages. REDELIVERED: messages that the broker removed from the
    other two, because they were redelivered too often or expired. VISIT: everything, for as long as the connection.
    """

    REQUESTS = "requests"
    EVENTS = "events"
    REDELIVERED = "redelivered"
    VISIT = "visit"


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue of a connection.

    Attributes:
        name: "" lets the broker choose one.
        arguments: as declared; None = it is never declared, only checked.
        is_own: False = its name and bindings are not the bridge's.
    """

    kind: QueueKind
    name: str
    arguments: Mapping[str, Any] | None = field(default_factory=dict)
    is_own: bool = True


@dataclass(frozen=True)
class QueueArgument(Kind):
    """An optional argument of a queue: a text, an integer or a boolean, as in YAML."""

    words = "a text, a whole number, true or false"

    def read(self, node: Node, place: Place) -> Any:
        """The value with its type, which brokers also compare."""
        if isinstance(node, ScalarNode) and isinstance(node.value, str | int):
            return node.value
        return place.must_be(node, self.words)

    def schema(self) -> dict[str, Any]:
        """Any of the three."""
        return {"type": ["string", "integer", "boolean"]}


@section
class AmqpOptions:
    """One AMQP 0-9-1 connection, to RabbitMQ. The bridge names its queues: argo-bridge.ID.requests and so on.

    Attributes:
        name: the connection's name in bridge.yaml.
        bridge_id: part of the queues' names.
        prefix: the interface's topic prefix: messages under it arrive in the request queue.
        max_payload_bytes: limit for a decompressed payload.
        max_publish_bytes: largest payload to publish.
        is_visit: True = a temporary queue bound to all filters, instead of the bridge's queues.
        awaited_queue: for a visit: a queue that must have a consumer; "" = none.
        connect_timeout_s: for the TCP connection, and again for the handshakes.
        backoff: between attempts to connect, and to consume again from a queue that went away.
        retry_s: how often existence is checked, and refused requests are repeated.
    """

    url: str = declare(
        Url(tuple(AMQP_PORTS)),
        "URL of the broker; default port 5672 or 5671 (amqps). The path is the virtual host (default /).",
    )
    hosts: tuple[str, ...] = declare(
        ListOf(Text(_HOST, _HOST_WORDS), distinct=True),
        "Further nodes of the same broker, tried in turn; the default port is that of the scheme of `url`.",
        default=[],
    )
    exchange: str = declare(
        Text(r".{1,255}", "the name of an exchange"),
        "Topic exchange for all messages; use amq.topic to reach clients of RabbitMQ's MQTT plugin.",
        default="argo.workflows",
    )
    queue: str | None = declare(
        Text(r"(?!amq\.|argo-bridge\.).{1,255}", "the name of a queue that is not the bridge's own, nor RabbitMQ's"),
        "Existing queue that mappings consume instead of the bridge's own; its owner binds it.",
        default=ABSENT,
    )
    queue_arguments: Mapping[str, str | int | bool] | None = declare(
        MapOf(QueueArgument()),
        "Arguments for creating `queue` if it is missing. Default: the bridge never creates it.",
        default=ABSENT,
    )
    declaration: Declare = declare(
        Choice(Declare),
        "Declare exchange and queues (create), or only check that they exist (check).",
        default="create",
        name="declare",
    )
    username: str | None = declare(Text(), "User name at the broker; default: guest.", default=ABSENT)
    password_file: Path | None = declare(
        FilePath(), "File that contains the password; a line break at its end is ignored.", default=ABSENT
    )
    login: AmqpLogin = declare(
        Choice(AmqpLogin),
        "Log in with a password, or with the certificate of `tls` (SASL EXTERNAL).",
        default="password",
    )
    heartbeat_s: float = declare(
        Duration("5s", "1h"), "Longest silence before the connection counts as lost.", default="60s"
    )
    prefetch: int = declare(Integer(1, 65_535), "Number of unacknowledged messages per queue.", default=500)
    tls: TlsOptions = declare(Section(TlsOptions), "TLS, for amqps.", default={})
    # From the rest of the configuration, or set by code only.
    name: str = ""
    bridge_id: str = ""
    prefix: str = "argo/workflows"
    max_payload_bytes: int = 256 * 1024
    max_publish_bytes: int = 256 * 1024
    is_visit: bool = False
    awaited_queue: str = ""
    connect_timeout_s: float = 5.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=0.2, cap_s=5.0))
    retry_s: float = 10.0

    @property
    def dead_letter_exchange(self) -> str:
        """Where the broker puts messages it removes from the queues; a fanout exchange, to keep routing keys."""
        return f"argo-bridge.{self.bridge_id}.redelivered"

    @property
    def request_queue(self) -> str:
        """The name of the request queue."""
        return f"argo-bridge.{self.bridge_id}.requests"

    def queues(self) -> tuple[Queue, ...]:
        """Return the queues, beginning with the one for messages removed from the others."""
        if self.is_visit:
            return (Queue(QueueKind.VISIT, ""),)
        quorum = {"x-queue-type": "quorum"}
        # at-least-once needs reject-publish; without it the broker may lose a message on its way from queue to queue.
        guarded = quorum | {
            "x-dead-letter-exchange": self.dead_letter_exchange,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        stem = f"argo-bridge.{self.bridge_id}"
        return (
            Queue(QueueKind.REDELIVERED, f"{stem}.redelivered", quorum),
            Queue(QueueKind.REQUESTS, self.request_queue, guarded),
            self._events(f"{stem}.events", guarded),
        )

    def _events(self, name: str, arguments: Mapping[str, Any]) -> Queue:
        if self.queue:
            return Queue(QueueKind.EVENTS, self.queue, self.queue_arguments, is_own=False)
        return Queue(QueueKind.EVENTS, name, arguments)


def parse_nodes(url: str, hosts: Sequence[str] = ()) -> tuple[Broker, ...]:
    """Return the nodes in `url` and `hosts`, in the order in which they are tried.

    Raises:
        ConfigError: another scheme, no host, or a bad port; a retry cannot help.
    """
    scheme = url.partition("://")[0]
    return tuple(parse_broker(each, AMQP_PORTS) for each in (url, *(f"{scheme}://{host}" for host in hosts)))


def virtual_host(url: str) -> str:
    """Return the virtual host in the path of `url`; without a path it is ``/``.

    Source: RabbitMQ, "URI Specification"; unlike there, a path of a single slash is also the default host.
    """
    return unquote(urlsplit(url).path.removeprefix("/")) or "/"


class DeliveryMemory:
    """Remembers stored deliveries that may come again, because AMQP only says that a message is a redelivery.

    The transport gives each delivery a unique number (`Message.packet_id`), under which the receiver stores the result.
    A redelivery gets the number of an identical stored delivery, each number once. This one remembers nothing.
    """

    def begin(self) -> int:
        """Note that consuming begins: every remembered delivery may come again. Return the highest number in use."""
        return 0

    def number(self, message: Message) -> int:  # noqa: ARG002 - it remembers nothing
        """Return the number of a redelivered message, or 0 if it was never stored."""
        return 0

    def forget(self, numbers: Sequence[int]) -> None:
        """Forget deliveries that will not come again; after a `SpoolError` they are remembered for longer."""

    def forget_unseen(self) -> None:
        """Forget deliveries that were remembered when consuming began and have not come again since."""
