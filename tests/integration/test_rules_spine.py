"""Rules over time from a sensor's message to the workflow, on a real broker: alone, together, and over a restart."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.support.mosquitto import Mosquitto
from tests.support.plain_client import PlainClient
from tests.support.spine import Spine
from tests.support.transport_ends import wait_until


def rule(*lines: str, parameters: str = "n: ${payload.n}") -> str:
    """A mapping of readings of devices, with further keys."""
    keys = "".join(f"    {line}\n" for line in lines)
    return (
        f"  - name: hot\n    topic: sensors/{{device}}/value\n{keys}    workflow:\n      namespace: factory\n"
        f"      template: inspect\n      parameters:\n        {parameters}\n"
    )


def send(spine: Spine, *values: int, device: str = "a") -> None:
    """Publish readings; each is its own number."""
    for value in values:
        spine.publish(f"sensors/{device}/value", {"n": value, "value": value})


@pytest.mark.parametrize(
    ("lines", "readings", "expected"),
    [
        (["when: payload.value > 90", "trigger: rising"], [95, 96, 80, 91, 92], [95, 91]),
        (["when: payload.value > 90", "trigger: rising", "until: payload.value < 80"], [95, 85, 96, 79, 97], [95, 97]),
        (["when: payload.value > 90", "trigger: falling"], [50, 95, 60, 61, 99, 40], [60, 40]),
        (["trigger: change", "of: payload.value"], [1, 1, 2, 2, 1], [1, 2, 1]),
        (["trigger: change", "of: payload.value", "deadband: 5"], [10, 14, 15, 19, 9], [10, 15, 9]),
        (["when: payload.value > 90", "count: {at-least: 3, within: 10m}"], [91, 92, 5, 93, 94, 95, 96], [93, 96]),
        (["when: payload.value > 90", "cooldown: 10m"], [91, 92, 93], [91]),
        (["window: {last: 10m, of: payload.value, at-most: 2}", "when: window.avg > 50"], [0, 60, 70, 10], [70]),
        (["active: {days: mon-sun, else: drop}"], [1], [1]),
    ],
    ids=["rising", "until", "falling", "change", "deadband", "count", "cooldown", "window", "active"],
)
def test_what_starts_workflows(
    tmp_path: Path, mosquitto: Mosquitto, lines: list[str], readings: list[int], expected: list[int]
) -> None:
    """Each device has its own state: the same readings of two start the same twice, and no others."""
    with Spine(tmp_path, mosquitto, rule(*lines)) as spine:
        send(spine, *readings)
        send(spine, *readings, device="b")
        spine.await_numbers(*expected, *expected)
        spine.fence()
        spine.await_numbers(*expected, *expected)


def test_a_state_outlives_the_bridge(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """What was hot before a restart is not hot anew after it."""
    with Spine(tmp_path, mosquitto, rule("when: payload.value > 90", "trigger: rising")) as spine:
        send(spine, 95)
        spine.await_numbers(95)
        spine.restart(lambda: None)
        send(spine, 96, 50, 97)
        spine.await_numbers(95, 97)
        spine.fence()
        spine.await_numbers(95, 97)


def test_a_condition_that_lasts_fires_by_time(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """With the last reading, once, also where the bridge is restarted while it waits."""
    with Spine(tmp_path, mosquitto, rule("when: payload.value > 90", "trigger: rising", "for: 2s")) as spine:
        send(spine, 95, 96)
        spine.restart(lambda: None)
        spine.await_numbers(96, within_s=30)
        send(spine, 97)
        spine.fence()
        spine.await_numbers(96)


def test_many_readings_make_one_workflow(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """`readings` is the list of all payloads."""
    mapping = rule("collect: {quiet: 1s, keep: all}", parameters="all: ${readings.map(r, r.value)}")
    with Spine(tmp_path, mosquitto, mapping) as spine:
        send(spine, 1, 2, 3)
        wait_until(lambda: spine.simulator.created, "a workflow", 30)
        (created,) = spine.simulator.created
        assert orjson.loads(created.parameters["all"]) == [1, 2, 3]


def test_a_device_that_falls_silent_is_reported_once(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Until it is heard again."""
    mapping = rule("trigger: silent", "for: 1s", "key: topic.device", parameters="device: ${key}")
    with Spine(tmp_path, mosquitto, mapping) as spine:
        send(spine, 1)
        wait_until(lambda: spine.simulator.created, "a workflow", 30)
        assert spine.simulator.created[0].parameters["device"] == "a"
        send(spine, 2)
        wait_until(lambda: len(spine.simulator.created) == 2, "a second silence", 30)


@pytest.mark.parametrize(
    ("when_busy", "expected"),
    [("queue", [1, 2, 3, 4]), ("drop", [1]), ("newest", [1, 4]), ("replace", [1, 4])],
)
def test_one_workflow_of_a_device_at_a_time(
    tmp_path: Path, mosquitto: Mosquitto, when_busy: str, expected: list[int]
) -> None:
    """The next one starts once the one before has really ended, whatever the restart of the bridge in between."""
    mapping = rule(f"concurrency: {{max: 1, when-busy: {when_busy}}}", "key: topic.device")
    with Spine(tmp_path, mosquitto, mapping) as spine:
        spine.simulator.set_controller_away(True)
        send(spine, 1)
        spine.await_numbers(1)
        send(spine, 2, 3, 4)
        spine.fence()
        spine.await_numbers(1)
        spine.restart(lambda: None)
        spine.simulator.set_controller_away(False)
        spine.await_numbers(*expected, within_s=30)
        spine.fence()
        spine.await_numbers(*expected)


def test_several_topics_are_one_mapping(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """One event a message, with the captures of the first topic that fits; what is excepted starts nothing."""
    mapping = rule("except: sensors/test/#", parameters="n: ${payload.n}").replace(
        "topic: sensors/{device}/value", 'topic: ["sensors/{device}/value", "old/{device}-{n}", "sensors/#"]'
    )
    with Spine(tmp_path, mosquitto, mapping) as spine:
        for number, topic in enumerate(("sensors/a/value", "old/a-7", "old/a", "sensors/x", "sensors/test/value")):
            spine.publish(topic, {"n": number})
        spine.fence()
        spine.await_numbers(0, 1, 3)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_retained_message_is_read_once(tmp_path: Path, mosquitto: Mosquitto, version: str) -> None:
    """At the first start; after a restart only what another client retained meanwhile. By default never."""
    mappings = rule("retained: once").replace("name: hot", "name: once") + rule(parameters="other: ${payload.n}")
    with PlainClient(mosquitto.port) as client:
        client.publish("sensors/a/value", b'{"n": 1}', retain=True)
        client.publish("sensors/b/value", b'{"n": 2}', retain=True)
    with Spine(tmp_path, mosquitto, mappings, version) as spine:
        spine.await_numbers(1, 2)
        spine.restart(lambda: spine.publish("sensors/a/value", {"n": 3}, retain=True))
        spine.await_numbers(1, 2, 3)
        spine.publish("sensors/b/value", {"n": 4}, retain=True)
        spine.restart(lambda: None)
        spine.fence()
        spine.await_numbers(1, 2, 3, 4)
        others = [one.parameters["other"] for one in spine.simulator.created if "other" in one.parameters]
        assert sorted(others) in (["4"], ["3", "4"])  # what is published while the bridge is away is delivered live
