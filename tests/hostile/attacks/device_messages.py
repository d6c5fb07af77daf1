"""What a device may send: payloads of every format, topics of every kind, properties and flags of MQTT 5.0."""

from __future__ import annotations

import json
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

from tests.hostile.attack import TRIGGER, Attack, Group, counted, dead_letter, reply, send
from tests.hostile.stage import ATTACKER, DEVICE, EVERYWHERE, MQTT, PASSWORD, Stage, Venue
from tests.support.spine import mapping
from tests.support.transport_ends import wait_until

SENSORS = "sensors/device"
TEXT = mapping("device-text", f"{SENSORS}/text/{{device}}", "payload: {format: text}").replace("payload.n", "payload")
NUMBER = mapping("device-number", f"{SENSORS}/number/{{device}}", "payload: {format: number}").replace(
    "payload.n", "payload"
)
JSON = mapping("device-json", f"{SENSORS}/json/{{device}}", "when: payload.n != 'quiet'")
NAMED = mapping("device-named", f"{SENSORS}/named/{{device}}", "event-id: payload.id")
ANY = mapping("device-any", f"{SENSORS}/any/#")
SHOWN = mapping(
    "device-shown", f"{SENSORS}/shown/{{device}}", f"status: {{topic: '{SENSORS}-shown/boiler/{{device}}/workflow'}}"
)
GOOD = {"submit": {"template": "inspect", "parameters": {"n": "a device"}}}


def refused(name: str, kind: str, payload: bytes, reason: str) -> Attack:
    """A device's message that is dead-lettered for this reason."""
    return Attack(name, send(f"{SENSORS}/{kind}/7", payload, user=ATTACKER), dead_letter(reason))


def runs(name: str, topic: str, body: Any, *, venues: frozenset[Venue] = EVERYWHERE, **keys: Any) -> Attack:
    """A message that looks bad and is none: it starts one workflow."""
    return Attack(name, send(f"{SENSORS}/{topic}", body, user=ATTACKER, **keys), workflows=1, venues=venues)


def asked(name: str, *expected: Any, venues: frozenset[Venue] = MQTT, **properties: Any) -> Attack:
    """A good trigger message with these properties runs once and is answered."""
    return Attack(name, send(TRIGGER, GOOD, **properties), reply(200), *expected, workflows=1, venues=venues)


def will(user: str, workflows: int) -> Attack:
    """A trigger message as the will of a client that goes without a word: a right decides, and no more."""

    def act(stage: Stage) -> None:
        client = Client(CallbackAPIVersion.VERSION2, f"will-of-{user}", protocol=MQTTv5)
        client.username_pw_set(user, PASSWORD)
        client.will_set(TRIGGER, json.dumps(GOOD), 1)
        client.connect("127.0.0.1", stage.broker.port)
        client.loop_start()
        wait_until(client.is_connected, "the client with the will")
        client.loop_stop()
        socket = client.socket()
        assert socket is not None
        socket.close()

    return Attack(f"a trigger as the will of {user}", act, workflows=workflows, venues=frozenset({Venue.ACL}))


def retained_trigger(stage: Stage) -> None:
    """A trigger that the broker keeps runs when it is published, and not again at each restart."""
    stage.publish("operator", TRIGGER, GOOD, retain=True)
    wait_until(lambda: [row for row in stage.started() if row.parameters.get("n") == "a device"], "its workflow")


GROUP = Group(
    "device-messages",
    (
        refused("no number", "number", b"NaN", "invalid-payload"),
        refused("a number in hexadecimal", "number", b"0x10", "invalid-payload"),
        refused("a number with an underscore", "number", b"1_000", "invalid-payload"),
        refused("a number in other digits", "number", "٣".encode(), "invalid-payload"),
        refused("a number of 200,000 digits", "number", b"9" * 200_000 + b"x", "invalid-payload"),
        refused("text that is none", "text", b"\xff\xfe", "invalid-payload"),
        refused("text with code", "text", b"{{workflow.name}}", "template-braces"),
        refused("code within a list", "json", b'{"n": ["{{=1}}"]}', "template-braces"),
        refused("JSON cut in the middle", "json", b'{"n": ', "invalid-payload"),
        refused("JSON with two values for one key", "json", b'{"n": 1, "n": 2}', "duplicate-key"),
        refused("JSON of 50,000 levels", "json", b'{"n":' * 50_000, "invalid-payload"),
        refused("a value that is null", "json", b'{"n": null}', "expression-error"),
        refused("a text for an object", "named", b'{"n": 1, "id": null}', "expression-error"),
        refused("a payload over the bound", "text", b"x" * (256 * 1024 + 1), "payload-too-large"),
        Attack(
            "a field that is missing in a condition",
            send(f"{SENSORS}/json/7", {"m": 1}, user=ATTACKER),
            counted("expression_errors_total", mapping="device-json"),
        ),
        Attack(
            "one event a hundred times",
            send(f"{SENSORS}/named/7", {"n": 1, "id": "same"}, user=ATTACKER, times=100),
            counted("events_duplicate_total", 99, mapping="device-named"),
            workflows=1,
        ),
        runs("50,000 keys", "json/7", {"n": 1} | {f"k{number}": 0 for number in range(15_000)}),
        runs("a text of 200 KB", "text/7", b"x" * 200_000),
        runs("a text that turns and rings", "text/7", "\u202e\x07\x1b[2Jabc".encode()),
        runs("a topic of 65,000 bytes", f"any/{'x' * 65_000}", {"n": 1}, venues=MQTT),
        runs("a topic of 150 levels", "any" + "/x" * 150, {"n": 1}, venues=MQTT),
        runs("a topic that turns", "any/\u202eabc", {"n": 1}, venues=MQTT),
        Attack(
            "an empty level where the status goes",
            send(f"{SENSORS}/shown/", {"n": 1}, user=ATTACKER),
            dead_letter("invalid-status-topic"),
            venues=MQTT,
        ),
        Attack(
            "a dollar where the status goes",
            send(f"{SENSORS}/shown/$SYS", {"n": 1}, user=ATTACKER),
            dead_letter("invalid-status-topic"),
            venues=MQTT,
        ),
        asked("correlation data of no bytes", correlation=b""),
        asked("correlation data of 60,000 bytes", correlation=b"\0" * 60_000),
        asked("correlation data of 255 characters", correlation=b"x" * 255, venues=EVERYWHERE),
        asked("3,000 user properties", user_properties=[("name", "value")] * 3000),
        asked("a user property of 60,000 bytes", user_properties=[("x" * 60_000, "")]),
        asked("a content type of nobody's", content_type="application/x; charset=\u202e", venues=EVERYWHERE),
        asked("a payload that is said to be text", PayloadFormatIndicator=1),
        asked("a trigger at QoS 2", qos=2),
        asked("a CloudEvents version alone", user_properties=[("specversion", "1.0")], venues=EVERYWHERE),
        Attack(
            "CloudEvents without data",
            send(TRIGGER, {"specversion": "1.0"}, content_type="application/cloudevents+json"),
            dead_letter("invalid-request"),
            reply(400),
            venues=frozenset({Venue.ACL, Venue.RABBITMQ}),
        ),
        Attack(
            "CloudEvents whose data is a list",
            send(TRIGGER, {"data": [GOOD]}, content_type="application/cloudevents+json"),
            dead_letter("invalid-request"),
            reply(400),
            venues=frozenset({Venue.ACL, Venue.RABBITMQ}),
        ),
        will("line-control", 1),
        will(DEVICE, 0),
        Attack("a trigger that the broker keeps", retained_trigger, workflows=1, venues=MQTT),
        Attack(
            "a retained trigger taken away",
            send(TRIGGER, b"", user="operator", retain=True),
            dead_letter("invalid-json"),
            venues=MQTT,
        ),
    ),
    mappings=TEXT + NUMBER + JSON + NAMED + ANY + SHOWN,
)
