"""The keys of an MQTT connection in bridge.yaml, and what it remembers.

Frozen: read by the transport's thread and by whoever built it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import Boolean, Choice, Duration, FilePath, Integer, Text, Url
from bridge.core.backoff import Backoff
from bridge.interface.topics import Topics
from bridge.transports.broker import MQTT_PORTS
from bridge.transports.tls import TlsOptions


class MqttVersion(StrEnum):
    """Protocol version of a connection."""

    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of unacknowledged QoS 1 messages; above either, reading stops until both are at half.

    `size_bytes` counts topics, payloads and correlation data.
    """

    count: int = 20_000
    size_bytes: int = 64 * 1024 * 1024


@section
class MqttOptions:
    """One MQTT connection. `client_id` and `session_expiry_s` make its session persistent.

    Attributes:
        name: the connection's name in bridge.yaml.
        topics: the bridge's own topics: last will, probe, and those it publishes and subscribes to, to notice when
            others overwrite them. None for a client that is not a bridge; it has no last will.
        max_publish_bytes: largest payload to publish if the broker announces no limit.
        bounds: see `Bounds`.
        connect_timeout_s: for the TCP connection, for the handshakes and for CONNACK, each.
        backoff: between attempts to connect.
        taken_over_backoff: the same after another client took the session over.
    """

    url: str = declare(
        Url(tuple(MQTT_PORTS)),
        "URL of the broker; default port 1883 or 8883 (mqtt, mqtts), 80 or 443 (ws, wss).",
    )
    version: MqttVersion = declare(Choice(MqttVersion), "Protocol version.", default="5")
    username: str | None = declare(Text(), "User name at the broker.", default=ABSENT)
    password_file: Path | None = declare(
        FilePath(), "File that contains the password; a line break at its end is ignored.", default=ABSENT
    )
    client_id: str | None = declare(
        Text(r"\S{1,256}", "at most 256 characters without spaces"),
        "Client identifier, stable over restarts; default: argo-bridge-ID-CONNECTION.",
        default=ABSENT,
    )
    session_expiry_s: float = declare(
        Duration("1m", "49710d"),
        "How long the broker keeps the session and queues messages while the bridge is away.",
        default="7d",
    )
    receive_maximum: int = declare(Integer(1, 65_535), "Number of unacknowledged QoS 1 messages.", default=1000)
    keepalive_s: float = declare(
        Duration("5s", "65535s"),
        "Longest silence before the connection is probed; after 1.5 times this it is closed.",
        default="60s",
    )
    retain: bool = declare(
        Boolean(),
        "Publish status, reports, availability and state retained; false if the broker has no retained messages.",
        default=True,
    )
    will: bool = declare(
        Boolean(), "Set a last will that publishes `offline`; false if the broker has no last wills.", default=True
    )
    tls: TlsOptions = declare(Section(TlsOptions), "TLS, for mqtts and wss.", default={})
    # From the rest of the configuration, or set by code only.
    name: str = ""
    topics: Topics | None = None
    max_publish_bytes: int = 256 * 1024
    bounds: Bounds = field(default_factory=Bounds)
    connect_timeout_s: float = 5.0
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=0.2, cap_s=5.0))
    taken_over_backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=5.0, cap_s=300.0))


@dataclass(frozen=True, slots=True)
class FilterMemory:
    """The subscriptions of earlier runs, which must be remembered because a broker cannot list them.

    Attributes:
        known: filters that the broker's session may have from earlier runs; those no longer wanted are unsubscribed.
        changed: called on the transport's thread with the filters that the session may have from now on: before they
            are subscribed, and again once the unwanted ones are gone, so that a crash forgets none.
    """

    known: frozenset[str] = frozenset()
    changed: Callable[[frozenset[str]], object] = lambda _: None
