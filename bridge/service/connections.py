"""Creates the transport of each connection: MQTT or AMQP, as in bridge.yaml.

Thread: the main thread, before any other starts.
"""

from __future__ import annotations

import orjson

from bridge.core.clock import Clock
from bridge.core.metrics import Metrics
from bridge.core.report import ErrorReports
from bridge.pipeline.intake.redeliveries import Redeliveries
from bridge.settings.model import Settings
from bridge.spool.store import Spool
from bridge.transports.base import Listener, Receiver, Transport
from bridge.transports.mqtt.options import FilterMemory
from bridge.transports.mqtt.transport import MqttTransport


def build_transport(
    name: str,
    settings: Settings,
    *,
    receiver: Receiver,
    listener: Listener,
    spool: Spool,
    metrics: Metrics,
    reports: ErrorReports,
    clock: Clock,
) -> Transport:
    """Return the transport of one connection, not started; the spool remembers what brokers cannot list.

    Raises:
        ConfigError: its URL cannot be used.
        SpoolError: the remembered state cannot be read.
    """
    connection = settings.connections[name]
    if connection.mqtt is not None:
        memory = _filter_memory(spool, f"filters:{name}")
        return MqttTransport(connection.mqtt, receiver, listener, metrics, reports, clock=clock, memory=memory)
    assert connection.amqp is not None  # noqa: S101 - the settings have exactly one
    # pika is loaded only if a connection needs it.
    from bridge.transports.amqp.transport import AmqpTransport

    memory, seen = _filter_memory(spool, f"bindings:{name}"), Redeliveries(spool, name)
    return AmqpTransport(
        connection.amqp, receiver, listener, metrics, reports, clock=clock, memory=memory, deliveries=seen
    )


def _filter_memory(spool: Spool, key: str) -> FilterMemory:
    known = frozenset(orjson.loads(spool.meta(key) or "[]"))
    return FilterMemory(known, lambda filters: spool.set_meta(key, orjson.dumps(sorted(filters)).decode()))
