"""One bridge, two brokers: what comes over MQTT is answered over MQTT, what comes over AMQP over AMQP."""

from __future__ import annotations

import threading

import orjson

from tests.support.amqp_client import DIRECT_REPLY
from tests.support.amqp_spine import AmqpSpine
from tests.support.plain_client import PlainClient
from tests.support.spine import RESPONSE, TRIGGER, mapping, submit
from tests.support.transport_ends import wait_until


def test_each_side_gets_its_own_replies_and_both_the_status(tmp_path, rabbitmq, mosquitto):
    """Replies go back on the request's connection, status to every one; a mapping listens on both."""
    also = f'floor: {{mqtt: {{url: "{mosquitto.url}"}}}}'
    with (
        AmqpSpine(tmp_path, rabbitmq, mapping("plain", "sensors/{device}/plain"), also=also) as spine,
        PlainClient(mosquitto.port, v5=True) as device,
    ):
        device.subscribe("#")
        spine.publish(TRIGGER, submit(requestId="amqp"), reply_to=DIRECT_REPLY)
        device.publish(TRIGGER, orjson.dumps(submit(requestId="mqtt")))
        spine.publish("sensors/a/plain", {"n": 1})
        device.publish("sensors/a/plain", b'{"n": 2}')
        spine.await_numbers(1, 2)

        def on(messages, topic):
            return [orjson.loads(one.payload) for one in list(messages) if one.topic == topic and one.payload]

        wait_until(lambda: spine.client.replies and on(device.messages, RESPONSE), "both replies")
        assert [orjson.loads(one.payload)["requestId"] for one in spine.client.replies] == ["amqp"]
        assert [body["requestId"] for body in on(device.messages, RESPONSE)] == ["mqtt"]
        for workflow in spine.simulator.created:
            topic = f"argo/workflows/status/factory/{workflow.name}"
            for messages in (spine.client.messages, device.messages):
                wait_until(
                    lambda m=messages, t=topic: "Succeeded" in [b["status"] for b in on(m, t)], f"{topic} on each"
                )
        assert spine.bridge.service.liveness() == []
        names = {thread.name for thread in threading.enumerate()}
        assert {"amqp-plant", "amqp-plant-link", "mqtt-floor"} <= names
