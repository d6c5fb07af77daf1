"""An MQTT client that is not the bridge's: plain paho on a thread, to publish to the bridge and watch what it does."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

WAIT_S = 15.0


class PlainClient:
    """Connected while the context is entered.

    messages: all that arrived, as paho gives them.
    """

    def __init__(self, port: int, client_id: str = "plain", *, v5: bool = False, password: str = "") -> None:
        """With a `password`, the client id is the user name too."""
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5 if v5 else MQTTv311)
        if password:
            self._client.username_pw_set(client_id, password)
        self._client.max_inflight_messages = 1000
        self._connected = threading.Event()
        self._subscribed: set[int] = set()
        self.messages: list[MQTTMessage] = []
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.on_subscribe = lambda *arguments: self._subscribed.add(arguments[2])
        self._client.on_message = lambda *arguments: self.messages.append(arguments[2])

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False, **properties: Any) -> None:
        """Publish, and return once the broker confirmed it. `properties` by paho's names (5.0 only)."""
        self.publish_many(topic, [payload], qos, retain=retain, **properties)

    def publish_many(
        self, topic: str, payloads: list[bytes], qos: int = 1, *, retain: bool = False, **properties: Any
    ) -> None:
        """Publish all, and return once the broker confirmed the last."""
        packed = None
        if properties:
            packed = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(packed, name, value)
        infos = [self._client.publish(topic, payload, qos, retain, properties=packed) for payload in payloads]
        for info in infos:
            info.wait_for_publish(scaled(WAIT_S))

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe, and return once the broker granted it."""
        _, packet_id = self._client.subscribe(topic_filter, qos)
        wait_until(lambda: packet_id in self._subscribed, f"SUBACK for {topic_filter}")

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of what arrived."""
        return [bytes(message.payload) for message in list(self.messages)]

    def __enter__(self) -> PlainClient:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._connected.wait(scaled(WAIT_S)):
            raise AssertionError("the plain client got no CONNACK")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
