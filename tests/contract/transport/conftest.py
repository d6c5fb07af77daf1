"""The brokers that the transport contract is tested on: Mosquitto in both versions, the embedded one, RabbitMQ."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.cli.demo.broker import EmbeddedBroker
from bridge.transports.mqtt.options import FilterMemory, MqttVersion
from tests.support.amqp_client import AmqpClient
from tests.support.amqp_memory import DeliveryNotes
from tests.support.mosquitto import Mosquitto
from tests.support.plain_client import PlainClient
from tests.support.rabbitmq import RabbitMq
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import RecordingReceiver
from tests.support.transports import TransportMaker, Wired


@dataclass
class Ground:
    """A broker, the way to it, and transports on that way.

    is_strict: whether the broker keeps to its protocol: amqtt sends every message at the subscription's QoS, keeps none
        for an anonymous client's session, and sends none again.
    is_amqp: whether it speaks AMQP, which has no QoS, no retained messages and no last will.
    """

    port: int
    version: MqttVersion
    proxy: TcpProxy
    transports: TransportMaker
    is_strict: bool
    is_amqp = False

    def require_strict(self) -> None:
        """Skip a test of what the embedded broker cannot do."""
        if not self.is_strict:
            pytest.skip("amqtt keeps no messages for an anonymous client's session, and sends none again")

    def require_mqtt(self, what: str) -> None:
        """Skip a test of what AMQP does not have."""
        if self.is_amqp:
            pytest.skip(f"AMQP has no {what}")

    @property
    def is_v5(self) -> bool:
        """Whether the transport speaks 5.0."""
        return self.version is MqttVersion.V5

    def start(self, *filters: str, **options: Any) -> Wired:
        """A transport that is connected through the proxy and subscribed."""
        return self.transports.start(self.proxy.url, *filters, version=self.version, **options).await_ready()

    def client(self, client_id: str = "plain") -> Any:
        """Somebody else."""
        return PlainClient(self.port, client_id, v5=self.is_v5)


class AmqpGround(Ground):
    """The same on RabbitMQ, with an exchange and queues of its own."""

    is_amqp = True

    def __init__(self, broker: RabbitMq, proxy: TcpProxy, transports: TransportMaker) -> None:
        super().__init__(broker.port, MqttVersion.V5, proxy, transports, is_strict=True)
        self._own = f"contract-{secrets.token_hex(4)}"
        self._notes = DeliveryNotes()

    def start(self, *filters: str, receiver: RecordingReceiver | None = None, **options: Any) -> Wired:
        """A transport that is connected through the proxy, bound and consuming."""
        memory: FilterMemory | None = options.pop("memory", None)
        url = self.proxy.url.replace("mqtt://", "amqp://")
        return self.transports.start_amqp(
            url,
            *filters,
            receiver=receiver,
            memory=memory,
            deliveries=self._notes,
            exchange=self._own,
            bridge_id=self._own,
            **options,
        ).await_ready()

    def client(self, client_id: str = "plain") -> Any:
        """Somebody else."""
        return AmqpClient(self.port, self._own)


@pytest.fixture(params=["mosquitto-3.1.1", "mosquitto-5", "embedded-3.1.1", "rabbitmq-0.9.1"])
def ground(request: pytest.FixtureRequest, transports: TransportMaker) -> Iterator[Ground]:
    """Each broker in turn."""
    kind, _, version = request.param.partition("-")
    if kind == "mosquitto":
        broker: Mosquitto = request.getfixturevalue("mosquitto")
        with TcpProxy(broker.port) as proxy:
            yield Ground(broker.port, MqttVersion(version), proxy, transports, is_strict=True)
            transports.stop_all()
    elif kind == "rabbitmq":
        rabbitmq: RabbitMq = request.getfixturevalue("rabbitmq")
        with TcpProxy(rabbitmq.port) as proxy:
            yield AmqpGround(rabbitmq, proxy, transports)
            transports.stop_all()
    else:
        with EmbeddedBroker() as embedded, TcpProxy(embedded.port) as proxy:
            yield Ground(embedded.port, MqttVersion(version), proxy, transports, is_strict=False)
            transports.stop_all()
