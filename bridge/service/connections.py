"""Creates the transport of each connection: MQTT or AMQP, as in bridge.yaml.

Thread: the main thread, before any other starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from bridge.core.clock import Clock
from bridge.core.metrics import Metrics
from bridge.pipeline.intake.redeliveries import Redeliveries
from bridge.settings.model import Settings
from bridge.spool.store import Spool
from bridge.transports.base import Listener, Receiver, Transport
from bridge.transports.mqtt.options import FilterMemory
from bridge.transports.mqtt.transport import MqttTransport


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    """The common parts of every transport.

    Attributes:
        settings: the bridge's.
        receiver: receives the messages.
        listener: informed about each connection's life.
        spool: remembers what brokers cannot list.
        metrics: counters.
        clock: time.
    """

    settings: Settings
    receiver: Receiver
    listener: Listener
    spool: Spool
    metrics: Metrics
    clock: Clock

    def transport(self, name: str) -> Transport:
        """Return the transport of one connection, not started.

        Raises:
            ConfigError: its URL cannot be used.
            SpoolError: the remembered state cannot be read.
        """
        connection = self.settings.connections[name]
        if connection.mqtt is not None:
            memory = self._filter_memory(f"filters:{name}")
            return MqttTransport(connection.mqtt, self.receiver, self.listener, self.metrics, self.clock, memory)
        assert connection.amqp is not None  # noqa: S101 - the settings have exactly one
        # pika is loaded only if a connection needs it.
        from bridge.transports.amqp.transport import AmqpMemory, AmqpTransport

        known = AmqpMemory(self._filter_memory(f"bindings:{name}"), Redeliveries(self.spool, name))
        return AmqpTransport(connection.amqp, self.receiver, self.listener, self.metrics, self.clock, known)

    def _filter_memory(self, key: str) -> FilterMemory:
        known = frozenset(orjson.loads(self.spool.meta(key) or "[]"))
        return FilterMemory(known, lambda filters: self.spool.set_meta(key, orjson.dumps(sorted(filters)).decode()))


def thread_names(settings: Settings, name: str) -> tuple[str, ...]:
    """Return the names of a connection's threads, which must run as long as the bridge."""
    if settings.connections[name].mqtt is not None:
        return (f"mqtt-{name}",)
    return (f"amqp-{name}", f"amqp-{name}-link")
