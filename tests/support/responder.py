"""Stands in for a bridge at the other end of a broker: answers requests as a test scripts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.machine import scaled

PREFIX = "argo/workflows"
WAIT_S = 30.0


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    operation: str
    namespace: str
    body: dict[str, Any]


Script = Callable[[Asked], Iterable[dict[str, Any]]]


class Responder:
    """Connected while the context is entered.

    asked: all requests, in order.
    script: returns the replies to one; it may publish before it does.
    """

    def __init__(self, port: int, script: Script) -> None:
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2, "responder", protocol=MQTTv5)
        self._ready = threading.Event()
        self.script = script
        self.asked: list[Asked] = []
        self._client.on_connect = lambda *_: self._client.subscribe(f"{PREFIX}/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda *arguments: self._on_message(arguments[2])

    def _on_message(self, message: MQTTMessage) -> None:
        levels = message.topic.removeprefix(f"{PREFIX}/").split("/")
        if levels[0] in ("response", "status") or len(levels) > 2:
            return
        asked = Asked(levels[0], levels[1] if len(levels) == 2 else "", json.loads(message.payload))
        self.asked.append(asked)
        properties = Properties(PacketTypes.PUBLISH)
        correlation = getattr(message.properties, "CorrelationData", None)
        if correlation is not None:
            properties.CorrelationData = correlation
        for reply in self.script(asked):
            answered = reply | ({"requestId": asked.body["requestId"]} if "requestId" in asked.body else {})
            properties.UserProperty = ("code", "400" if "error" in reply else "200")
            payload = json.dumps(answered)
            self._client.publish(f"{PREFIX}/response/{asked.operation}", payload, 1, properties=properties)

    def tell(self, namespace: str, name: str, phase: str, **details: Any) -> None:
        """Publish a workflow's status, retained; "" for the phase clears it."""
        body = {
            "namespace": namespace,
            "workflowId": name,
            "status": phase,
            "progress": "50%",
            "message": details.pop("message", ""),
            "details": {"bridge": "plant-1", "uid": name, **details},
        }
        payload = json.dumps(body) if phase else b""
        self._client.publish(f"{PREFIX}/status/{namespace}/{name}", payload, 1, retain=True)

    def __enter__(self) -> Responder:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(scaled(WAIT_S)), "the responder got no SUBACK"
        self._client.publish("argo/bridge/plant-1/availability", b"online", 1, retain=True).wait_for_publish(WAIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
