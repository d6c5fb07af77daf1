"""The brokers that the transport contract is tested on: Mosquitto with both protocol versions, and the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.simulator.broker import EmbeddedBroker
from bridge.transports.mqtt import MqttVersion
from tests.support.mosquitto import Mosquitto
from tests.support.plain_client import PlainClient
from tests.support.tcp_proxy import TcpProxy
from tests.support.transports import TransportMaker, Wired


@dataclass
class Ground:
    """A broker, the way to it, and transports on that way.

    is_strict: whether the broker keeps to MQTT: amqtt sends every message at the subscription's QoS, keeps none for an
        anonymous client's session, and sends none again.
    """

    port: int
    version: MqttVersion
    proxy: TcpProxy
    transports: TransportMaker
    is_strict: bool

    def require_strict(self) -> None:
        """Skip a test of what the embedded broker cannot do."""
        if not self.is_strict:
            pytest.skip("amqtt keeps no messages for an anonymous client's session, and sends none again")

    @property
    def is_v5(self) -> bool:
        """Whether the transport speaks 5.0."""
        return self.version is MqttVersion.V5

    def start(self, *filters: str, **options: Any) -> Wired:
        """A transport that is connected through the proxy and subscribed."""
        return self.transports.start(self.proxy.url, *filters, version=self.version, **options).await_ready()

    def client(self, client_id: str = "plain") -> PlainClient:
        """Somebody else."""
        return PlainClient(self.port, client_id, v5=self.is_v5)


@pytest.fixture(params=["mosquitto-3.1.1", "mosquitto-5", "embedded-3.1.1"])
def ground(request: pytest.FixtureRequest, transports: TransportMaker) -> Iterator[Ground]:
    """Each broker in turn."""
    kind, _, version = request.param.partition("-")
    if kind == "mosquitto":
        broker: Mosquitto = request.getfixturevalue("mosquitto")
        with TcpProxy(broker.port) as proxy:
            yield Ground(broker.port, MqttVersion(version), proxy, transports, is_strict=True)
            transports.stop_all()
    else:
        with EmbeddedBroker() as embedded, TcpProxy(embedded.port) as proxy:
            yield Ground(embedded.port, MqttVersion(version), proxy, transports, is_strict=False)
            transports.stop_all()
