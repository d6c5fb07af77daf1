"""What one AMQP connection is told, as frozen data, and the names of its queues. The service maps bridge.yaml to it.

Read by both threads of the connection and by whoever built it; never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from bridge.core.backoff import Backoff
from bridge.core.errors import ConfigError
from bridge.core.model import Message
from bridge.transports.tls import TlsOptions

DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}


class Declare(Enum):
    """Who makes exchange and queues; the value is that of the key ``declare``."""

    CREATE = "create"
    CHECK = "check"


class QueueKind(Enum):
    """What a queue is for.

    REQUESTS: messages of the interface. EVENTS: sensor messages. REDELIVERED: what the broker took out of the other
    two, because it was redelivered too often or its time was over. VISIT: everything, for as long as the connection.
    """

    REQUESTS = "requests"
    EVENTS = "events"
    REDELIVERED = "redelivered"
    VISIT = "visit"


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue of a connection.

    Attributes:
        kind: what for.
        name: its name; "" lets the broker choose one.
        arguments: as declared; None = it is never made, only looked for.
        is_own: False = somebody else named it and binds it.
    """

    kind: QueueKind
    name: str
    arguments: Mapping[str, Any] | None = field(default_factory=dict)
    is_own: bool = True


@dataclass(frozen=True, slots=True)
class AmqpBroker:
    """One node of a broker."""

    host: str
    port: int
    has_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AmqpOptions:
    """One connection.

    Attributes:
        name: the connection's name in bridge.yaml.
        url: ``amqp`` or ``amqps`` URL of the broker; its path is the virtual host.
        bridge_id: part of the queues' names.
        hosts: further nodes, ``host`` or ``host:port``, tried in turn.
        exchange: the topic exchange that is published to and bound.
        prefix: the interface's topic prefix: what lies under it arrives on the queue of requests.
        queue: a queue of somebody else's that mappings listen to in place of the bridge's own; "" = the bridge's own.
        queue_arguments: with which `queue` is made where it is missing; None = it is never made.
        declare: whether exchange and queues are made, or only looked for.
        username: "" = RabbitMQ's own default, guest.
        password_file: path of a file whose content, less the last line end, is the password; read at each connect.
        is_certificate_login: True = the client certificate is the login (SASL EXTERNAL).
        tls: used with ``amqps`` only.
        heartbeat_s: whole seconds; the broker may ask for less.
        prefetch: messages a queue that may be unacknowledged.
        max_payload_bytes: bound of what a compressed payload may become.
        max_publish_bytes: largest payload to publish.
        is_visit: True = one queue for as long as the connection, bound to all filters, instead of the bridge's.
        awaited_queue: of a visit: a queue that somebody else must consume, else that is a problem; "" = none.
        connect_timeout_s: for the TCP connection, and again for the handshakes.
        backoff: between attempts to connect, and to consume again from a queue that went away.
        retry_s: how often it is looked whether all is still there, and what was refused is tried again.
    """

    name: str
    url: str
    bridge_id: str
    hosts: tuple[str, ...] = ()
    exchange: str = "argo.workflows"
    prefix: str = "argo/workflows"
    queue: str = ""
    queue_arguments: Mapping[str, Any] | None = None
    declare: Declare = Declare.CREATE
    username: str = ""
    password_file: Path | None = None
    is_certificate_login: bool = False
    tls: TlsOptions = field(default_factory=TlsOptions)
    heartbeat_s: int = 60
    prefetch: int = 500
    max_payload_bytes: int = 256 * 1024
    max_publish_bytes: int = 256 * 1024
    is_visit: bool = False
    awaited_queue: str = ""
    connect_timeout_s: float = 5.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=0.2, cap_s=5.0))
    retry_s: float = 10.0

    @property
    def dead_letter_exchange(self) -> str:
        """Where the broker puts what it takes out of the queues; a fanout exchange, so that routing keys stay."""
        return f"argo-bridge.{self.bridge_id}.redelivered"

    @property
    def request_queue(self) -> str:
        """The name of the queue of requests."""
        return f"argo-bridge.{self.bridge_id}.requests"

    @property
    def title(self) -> str:
        """The connection's name as RabbitMQ's own pages show it."""
        return f"argo-bridge {self.bridge_id} {self.name}"

    def queues(self) -> tuple[Queue, ...]:
        """Return the queues, the one for what the others lose first."""
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


def parse_nodes(url: str, hosts: Sequence[str] = ()) -> tuple[AmqpBroker, ...]:
    """Return the nodes that `url` and `hosts` name, in the order in which they are tried.

    Raises:
        ConfigError: another scheme, no host, or a bad port; a retry cannot help.
    """
    scheme = url.partition("://")[0]
    if scheme not in DEFAULT_PORTS:
        raise ConfigError(f'read broker url "{url}": unknown scheme', code="bad-url", hint="use amqp:// or amqps://")
    found = []
    for each in (url, *(f"{scheme}://{host}" for host in hosts)):
        try:
            parts = urlsplit(each)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f'read broker url "{each}": {error}', code="bad-url") from error
        if not parts.hostname or port == 0:
            raise ConfigError(f'read broker url "{each}": it has no host, or port 0', code="bad-url")
        found.append(AmqpBroker(parts.hostname, port or DEFAULT_PORTS[scheme], scheme == "amqps"))
    return tuple(found)


def virtual_host(url: str) -> str:
    """Return the virtual host that the path of `url` names; without one it is ``/``.

    Source: RabbitMQ, "URI Specification"; other than there, a path of a single slash is the default host too.
    """
    return unquote(urlsplit(url).path.removeprefix("/")) or "/"


class DeliveryMemory(Protocol):
    """Which deliveries were stored and may come again: AMQP says of a redelivery only that it is one.

    The transport gives each delivery a number (`Message.packet_id`) that no other has; under it the receiver stores
    what the delivery became. A redelivery gets the number of a stored delivery that is alike, each number once.
    """

    def begin(self) -> int:
        """Consuming begins: whatever is remembered may come again. Return the highest number in use.

        Raises:
            SpoolError: what is remembered cannot be read.
        """

    def number(self, message: Message) -> int:
        """Return the number that a redelivered message had, 0 if it was never stored."""

    def forget(self, numbers: Sequence[int]) -> None:
        """Forget deliveries that will not come again.

        Raises:
            SpoolError: it cannot be written; they are remembered for longer.
        """

    def forget_unseen(self) -> None:
        """Forget what was remembered when consuming began and has not come again since.

        Raises:
            SpoolError: likewise.
        """


class NoMemory:
    """Remembers nothing: every delivery is new."""

    def begin(self) -> int:
        """See `DeliveryMemory`."""
        return 0

    def number(self, message: Message) -> int:  # noqa: ARG002 - the protocol's signature
        """See `DeliveryMemory`."""
        return 0

    def forget(self, numbers: Sequence[int]) -> None:
        """See `DeliveryMemory`."""

    def forget_unseen(self) -> None:
        """See `DeliveryMemory`."""
