"""A broker's address, read from a connection's URL, and why it cannot be reached. Pure; any thread."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bridge.core.errors import ConfigError
from bridge.core.model import HealthProblem

MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
AMQP_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Broker:
    """The parts of a URL; `path` is "" if there is none."""

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("mqtts", "wss", "amqps")

    @property
    def websocket_path(self) -> str:
        """The path of MQTT over WebSocket: /mqtt unless the URL has another."""
        return self.path or "/mqtt"

    @property
    def is_websocket(self) -> bool:
        """Whether MQTT is sent in WebSocket frames."""
        return self.scheme in ("ws", "wss")


def parse_broker(url: str, ports: Mapping[str, int]) -> Broker:
    """Return the address in `url`, e.g. ``mqtts://broker.example:8883`` or ``ws://broker.example/mqtt``.

    `ports` has the default port of each known scheme.

    Raises:
        ConfigError: ``bad-url``: another scheme, no host, or a bad port; a retry cannot help.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f'read broker url "{url}": {error}', code="bad-url") from error
    if parts.scheme not in ports:
        known = ", ".join(ports)
        raise ConfigError(f'read broker url "{url}": unknown scheme', code="bad-url", hint=f"use one of {known}")
    if not parts.hostname or port == 0:
        raise ConfigError(f'read broker url "{url}": it has no host, or port 0', code="bad-url")
    return Broker(parts.scheme, parts.hostname, port or ports[parts.scheme], parts.path)


def unreachable(broker: Broker, error: BaseException, text: str) -> HealthProblem:
    """Return the problem for an exception raised while connecting; `text` is its message."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"broker {broker}: its certificate is not trusted: {error.verify_message}"
        return HealthProblem("tls-failed", f"{why}; check tls.ca and the host name")
    if isinstance(error, ssl.SSLError):
        return HealthProblem("tls-failed", f"TLS with broker {broker} failed: {text}")
    why = f"broker {broker} cannot be reached: {text}"
    if isinstance(error, socket.gaierror):
        why = f"the broker's host name {broker.host} cannot be resolved: {error.strerror}"
    elif isinstance(error, TimeoutError):
        why = f"broker {broker} did not answer in time"
    return HealthProblem("unreachable", why)
