"""Checks of bridge.yaml across keys, and of the files that it names.

Considers only keys that are valid individually, so that an invalid section hides no problem in others. Opens files to
see that they are readable; keeps nothing of them and makes no network connection. Thread: whichever loads a
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.argo.options import ArgoOptions
from bridge.configfile.nodes import Node, locate, quote
from bridge.configfile.problems import Code, Problem, Problems
from bridge.configfile.source import read_regular_file, shown_path
from bridge.settings.model import BridgeSettings, ConnectionSettings
from bridge.transports.amqp.options import AmqpLogin, AmqpOptions
from bridge.transports.mqtt.options import MqttOptions, MqttVersion

# Source: AMQP 0-9-1 section 3.1.3; RabbitMQ also has amq.match.
_NO_TOPIC_EXCHANGES = frozenset({"amq.direct", "amq.fanout", "amq.headers", "amq.match"})

_SAME_CLIENT = "the same url and client id; they would disconnect each other"
# Only the bridge's name is in the queue names: a second connection would consume the first one's queues.
_SAME_QUEUES = "the same url; both would share their queues"


@dataclass(frozen=True, slots=True)
class Checked:
    """The input of the checks: the tree for positions, the folder of bridge.yaml, and the problems."""

    root: Node
    folder: Path
    problems: Problems

    def error(self, path: tuple[str, ...], code: Code, text: str) -> None:
        """Record an error about the key at `path`, as named in messages."""
        self.problems.error(locate(self.root, *path), code, f"{_item(path)}: {text}")

    def warning(self, path: tuple[str, ...], code: Code, text: str) -> None:
        """Record a warning about the key at `path`."""
        self.problems.warning(locate(self.root, *path), code, f"{_item(path)}: {text}")

    def file(self, path: tuple[str, ...], file: Path | None) -> None:
        """Check that a file exists, is readable and is not empty; None is not checked."""
        if file is None:
            return
        found = read_regular_file(file, limit_bytes=1)
        shown = shown_path(file)
        if isinstance(found, Problem):
            self.error(path, Code.UNREADABLE_FILE, f'"{path[-1]}": {found.message}: {shown}')
        elif not found:
            self.error(path, Code.UNREADABLE_FILE, f'"{path[-1]}": the file is empty: {shown}')


def _item(path: tuple[str, ...]) -> str:
    return f"connection {quote(path[1])}" if path[0] == "connections" and len(path) > 1 else path[0]


def check_bridge(bridge: BridgeSettings, checked: Checked) -> None:
    """Check the data directory: it may be missing (it is created), but must not be anything else."""
    if not isinstance(read_regular_file(bridge.data_dir, limit_bytes=0), Problem):
        text = f'"data-dir" must be a directory, and {shown_path(bridge.data_dir)} is not'
        checked.error(("bridge", "data-dir"), Code.BAD_VALUE, text)


def is_folder(path: Path) -> bool:
    """Whether a folder exists; one that cannot be accessed does not count."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_argo(argo: ArgoOptions, checked: Checked) -> None:
    """Check token and certificate files, and TLS keys without TLS."""
    checked.file(("argo", "token-file"), argo.token_file)
    checked.file(("argo", "tls", "ca"), argo.tls.ca)
    if argo.url.startswith("http://") and (argo.tls.ca or argo.tls.insecure):
        checked.warning(("argo", "tls"), Code.UNUSED_KEY, '"tls" has no effect with http://; use https://')


def check_connections(connections: Mapping[str, ConnectionSettings], checked: Checked) -> None:
    """Check each connection, and that no two of them are the same client of the same broker."""
    taken: dict[tuple[str, str | None], str] = {}
    for name, one in connections.items():
        if one.mqtt is not None:
            _check_mqtt(one.mqtt, ("connections", name, "mqtt"), checked)
            client, keys, same = (one.mqtt.url, one.mqtt.client_id), ("mqtt", "client-id"), _SAME_CLIENT
        elif one.amqp is not None:
            _check_amqp(one.amqp, ("connections", name, "amqp"), checked)
            client, keys, same = (one.amqp.url, ""), ("amqp", "url"), _SAME_QUEUES
        other = taken.setdefault(client, name)
        if other != name and client[1] is not None:
            checked.error(("connections", name, *keys), Code.DUPLICATE_VALUE, f"connection {quote(other)} has {same}")


def _check_files(broker: MqttOptions | AmqpOptions, path: tuple[str, ...], checked: Checked) -> None:
    for key, file in (("ca", broker.tls.ca), ("cert", broker.tls.cert), ("key", broker.tls.key)):
        checked.file((*path, "tls", key), file)
    checked.file((*path, "password-file"), broker.password_file)
    for key, other in (("cert", "key"), ("key", "cert")):
        if getattr(broker.tls, key) and not getattr(broker.tls, other):
            checked.error((*path, "tls", key), Code.MISSING_KEY, f'"{key}" also needs "{other}"')


def _check_amqp(amqp: AmqpOptions, path: tuple[str, ...], checked: Checked) -> None:
    _check_files(amqp, path, checked)
    if amqp.url.startswith("amqp://") and (amqp.tls.ca or amqp.tls.cert or amqp.tls.insecure):
        text = '"tls" has no effect with amqp://; use amqps://'
        checked.warning((*path, "tls"), Code.UNUSED_KEY, text)
    if amqp.exchange in _NO_TOPIC_EXCHANGES:
        text = f'"exchange" must be a topic exchange, and {quote(amqp.exchange)} is not'
        checked.warning((*path, "exchange"), Code.BAD_VALUE, text)
    if amqp.queue_arguments is not None and not amqp.queue:
        checked.error((*path, "queue-arguments"), Code.MISSING_KEY, '"queue-arguments" also needs "queue"')
    if amqp.login is AmqpLogin.CERTIFICATE:
        if amqp.url.startswith("amqp://") or not amqp.tls.cert:
            text = '"login: certificate" needs amqps:// and "cert" under "tls"'
            checked.error((*path, "login"), Code.MISSING_KEY, text)
    elif bool(amqp.username) != bool(amqp.password_file):
        key, other = ("username", "password-file") if amqp.username else ("password-file", "username")
        checked.error((*path, key), Code.MISSING_KEY, f'"{key}" also needs "{other}"')


def _check_mqtt(mqtt: MqttOptions, path: tuple[str, ...], checked: Checked) -> None:
    _check_files(mqtt, path, checked)
    if mqtt.url.startswith(("mqtt://", "ws://")) and (mqtt.tls.ca or mqtt.tls.cert or mqtt.tls.insecure):
        text = '"tls" has no effect with mqtt:// and ws://; use mqtts:// or wss://'
        checked.warning((*path, "tls"), Code.UNUSED_KEY, text)
    if not mqtt.retain:
        text = "without retained messages, later subscribers get no status, report or availability"
        checked.warning((*path, "retain"), Code.WEAKER_PROMISE, f'"retain": {text} until it changes')
    if not mqtt.will:
        text = "without a last will, nobody learns that the bridge or its connection is gone"
        checked.warning((*path, "will"), Code.WEAKER_PROMISE, f'"will": {text}: availability stays online')
    if mqtt.version is MqttVersion.V311 and mqtt.password_file and not mqtt.username:
        # Source: MQTT 3.1.1 section 3.1.2.9.
        text = '"password-file" also needs "username" in version 3.1.1'
        checked.error((*path, "password-file"), Code.MISSING_KEY, text)
