"""Publishes numbered events without a pause, of every kind that a bridge takes, and keeps what was answered."""

from __future__ import annotations

import json
import threading
from collections import Counter
from types import TracebackType
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

MAPPINGS = f"""\
  - name: with-id
    topic: sensors/{{device}}/counted
    event-id: payload.n
    workflow:
      namespace: {NAMESPACE}
      template: {TEMPLATE}
      parameters:
        n: ${{payload.n}}
        device: ${{topic.device}}
  - name: without-id
    topic: sensors/{{device}}/plain
    workflow:
      namespace: {NAMESPACE}
      template: {TEMPLATE}
      parameters:
        n: ${{payload.n}}
"""
"""The mapping file that the events of a `Publisher` are for."""

MISSING = "missing"
PARKED = f"""\
  - name: parked
    topic: sensors/{{device}}/parked
    event-id: payload.n
    workflow:
      namespace: {NAMESPACE}
      template: {MISSING}
      parameters:
        n: ${{payload.n}}
"""
"""A mapping whose template nobody created: its events wait."""

TRIGGER_TOPIC = "argo/workflows/trigger"
RESPONSE_TOPIC = "argo/workflows/response/trigger"
OWN_RESPONSE_TOPIC = "argo/workflows/response/mine/publisher"
UNCONFIRMED = 64


class Publisher:
    """A thread that publishes at QoS 1 while the context is entered; kinds of events take turns.

    Kinds: a mapped event with ``event-id`` and one without, a trigger message with ``eventId`` and one without. With
    `is_varied` also, more rarely, a mapped event that has to wait (`PARKED`), and a trigger message that is refused.

    replies: bodies that came, by the request's number, with how often.
    """

    def __init__(self, port: int, rate_per_s: float = 100.0, *, is_varied: bool = False) -> None:
        self._port = port
        self._is_varied = is_varied
        self._pause_s = 1.0 / rate_per_s
        self._client = Client(CallbackAPIVersion.VERSION2, "publisher", protocol=MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(UNCONFIRMED)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._numbers: dict[int, int] = {}
        self._early: set[int] = set()
        self._next = 1
        self._confirmed: set[int] = set()
        self.requests: set[int] = set()
        self.replies: Counter[int] = Counter()
        self.bodies: dict[int, dict[str, Any]] = {}
        self._thread = threading.Thread(target=self._run, name="publisher")

    @property
    def confirmed(self) -> set[int]:
        """Numbers of the events that the broker has confirmed."""
        with self._lock:
            return set(self._confirmed)

    @property
    def sent(self) -> set[int]:
        """Numbers of all events, confirmed or not."""
        return set(range(1, self._next))

    def is_named(self, number: int) -> bool:
        """Whether the event names itself, so that it may safely be published twice."""
        return number % 4 in (0, 2) or self.waits(number) or self.dies(number)

    def waits(self, number: int) -> bool:
        """Whether the event cannot run, and waits for its template."""
        return self._is_varied and number % 40 == 9

    def dies(self, number: int) -> bool:
        """Whether the event is refused, as its template is missing."""
        return self._is_varied and number % 40 == 19

    def _event(self, number: int) -> tuple[str, dict[str, Any], Properties | None]:
        if self.waits(number):
            return "sensors/any/parked", {"n": number}, None
        if self.dies(number):
            return TRIGGER_TOPIC, trigger_body(number, MISSING) | {"eventId": f"event-{number}"}, None
        return _event(number)

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe([(RESPONSE_TOPIC, _at_least_once()), (OWN_RESPONSE_TOPIC, _at_least_once())])

    def _on_publish(self, _client: Client, _data: Any, mid: int, *_: Any) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)
            else:
                self._confirmed.add(number)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        body = json.loads(message.payload)
        number = int(body["requestId"])
        with self._lock:
            self.replies[number] += 1
            self.bodies[number] = body

    def _run(self) -> None:
        while not self._stop.is_set():
            self._publish_next()
            self._stop.wait(self._pause_s)

    def _publish_next(self) -> None:
        number = self._next
        self._next += 1
        topic, payload, properties = self._event(number)
        if topic == TRIGGER_TOPIC:
            self.requests.add(number)
        if self.is_named(number) and number % 10 == 0:  # as a device does that missed its PUBACK
            self._client.publish(topic, json.dumps(payload), 1, properties=properties)
        mid = self._client.publish(topic, json.dumps(payload), 1, properties=properties).mid
        with self._lock:
            if mid in self._early:  # confirmed before we came here
                self._early.discard(mid)
                self._confirmed.add(number)
            else:
                self._numbers[mid] = number

    def finish(self, within_s: float = 30.0) -> None:
        """Publish no more, and return once the broker confirmed everything."""
        self._stop.set()
        self._thread.join()
        wait_until(lambda: self.confirmed == self.sent, "PUBACK for every event", within_s)

    def await_replies(self, within_s: float) -> None:
        """Return once every request was answered."""
        wait_until(lambda: self.requests <= set(self.replies), "a reply to every request", within_s)

    def __enter__(self) -> Publisher:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(scaled(10))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


def _at_least_once() -> Any:
    from paho.mqtt.subscribeoptions import SubscribeOptions

    return SubscribeOptions(qos=1)


def _event(number: int) -> tuple[str, dict[str, Any], Properties | None]:
    device = f"d{number % 7}"
    if number % 4 == 0:
        return f"sensors/{device}/counted", {"n": number}, None
    if number % 4 == 1:
        return f"sensors/{device}/plain", {"n": number}, None
    body = trigger_body(number, TEMPLATE)
    if number % 4 == 3:
        return TRIGGER_TOPIC, body, None
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = OWN_RESPONSE_TOPIC
    properties.CorrelationData = str(number).encode()
    return TRIGGER_TOPIC, body | {"eventId": f"event-{number}"}, properties


def trigger_body(number: int, template: str) -> dict[str, Any]:
    """A trigger message whose workflow and reply tell `number`."""
    return {
        "namespace": NAMESPACE,
        "submit": {"template": template, "parameters": {"n": number}},
        "requestId": number,
    }
