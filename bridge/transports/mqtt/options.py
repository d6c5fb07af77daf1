"""What one MQTT connection is told, as frozen data. The service maps bridge.yaml to it.

Read by the transport's thread and by whoever built it; never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from bridge.core.backoff import Backoff
from bridge.core.errors import ConfigError

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class MqttVersion(Enum):
    """The protocol versions that the bridge speaks; the value is that of the key ``version``."""

    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """TLS of a connection; used with ``mqtts`` and ``wss`` only.

    Attributes:
        ca: path of a PEM file of authorities to trust; "" = the system's.
        cert: path of the client's PEM certificate (chain), or "".
        key: path of its private key; "" = it is in `cert`.
        insecure: True = the broker's certificate is not checked at all.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Will:
    """The message that the broker publishes, QoS 1, when the connection ends without DISCONNECT."""

    topic: str
    payload: bytes = b"offline"
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address: the parts of a connection's URL."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss")

    @property
    def is_websocket(self) -> bool:
        """Whether MQTT travels in WebSocket frames."""
        return self.scheme in ("ws", "wss")


def parse_broker(url: str) -> Broker:
    """Return the address in `url`, e.g. ``mqtts://broker.example:8883`` or ``ws://broker.example/mqtt``.

    Raises:
        ConfigError: another scheme, no host, or a bad port; a retry cannot help.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f'read broker url "{url}": {error}', code="bad-url") from error
    if parts.scheme not in DEFAULT_PORTS:
        known = ", ".join(DEFAULT_PORTS)
        raise ConfigError(f'read broker url "{url}": unknown scheme', code="bad-url", hint=f"use one of {known}")
    if not parts.hostname or port == 0:
        raise ConfigError(f'read broker url "{url}": it has no host, or port 0', code="bad-url")
    return Broker(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.path or "/mqtt")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be unacknowledged; above either figure reading stops until both are at half.

    Attributes:
        count: QoS 1 messages.
        size_bytes: their topics, payloads and correlation data.
    """

    count: int = 20_000
    size_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """One connection.

    Attributes:
        name: the connection's name in bridge.yaml.
        url: ``mqtt``, ``mqtts``, ``ws`` or ``wss`` URL of the broker.
        client_id: fixed and unique: the broker keeps the session under it.
        version: protocol version; nothing is negotiated.
        username: "" = none.
        password_file: path of a file whose content, less the last line end, is the password; read at each connect.
        tls: see `TlsOptions`.
        will: see `Will`; None = none.
        retain: False = nothing is published retained, and no topic is cleared.
        keepalive_s: whole seconds, 0 = off; a broker's Server Keep Alive goes before it.
        session_expiry_s: whole seconds that the broker keeps the session while we are away; 3.1.1 knows only 0 (the
            session ends with the connection) and for ever.
        receive_maximum: QoS 1 messages that the broker may have unacknowledged (5.0 only; Mosquitto overruns it).
        bounds: see `Bounds`.
        max_publish_bytes: largest payload to publish where the broker names no limit.
        own_filters: filters that the bridge can do without: of what it publishes itself, to notice who overwrites it.
        probe_topic: where it publishes once a connection to see whether it is delivered; "" = nowhere. One of
            `own_filters` matches it.
        not_own: filters under which the broker is not to send back what this connection publishes (5.0 only).
        connect_timeout_s: for the TCP connection, for the handshakes and for CONNACK, each.
        backoff: between attempts to connect.
        taken_over_backoff: the same after another client took the session over.
    """

    name: str
    url: str
    client_id: str
    version: MqttVersion = MqttVersion.V5
    username: str = ""
    password_file: str = ""
    tls: TlsOptions = field(default_factory=TlsOptions)
    will: Will | None = None
    retain: bool = True
    keepalive_s: int = 30
    session_expiry_s: int = 7 * 86400
    receive_maximum: int = 1000
    bounds: Bounds = field(default_factory=Bounds)
    max_publish_bytes: int = 256 * 1024
    own_filters: frozenset[str] = frozenset()
    probe_topic: str = ""
    not_own: frozenset[str] = frozenset()
    connect_timeout_s: float = 5.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=0.2, cap_s=5.0))
    taken_over_backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=5.0, cap_s=300.0))


def _forget(_: frozenset[str]) -> None:
    """Remember nothing."""


@dataclass(frozen=True, slots=True)
class FilterMemory:
    """What earlier runs subscribed: a broker cannot list a session's subscriptions, so somebody must remember them.

    Attributes:
        known: filters that the broker's session may hold from earlier runs; those no longer wanted are unsubscribed.
        changed: called on the transport's thread with the filters that the session may hold from now on; it comes
            before they are subscribed, and again once the unwanted ones are gone, so a crash forgets none.
    """

    known: frozenset[str] = frozenset()
    changed: Callable[[frozenset[str]], None] = _forget
