"""The simulated sensors: what they read, and when."""

import threading

import orjson
import pytest

from bridge.cli.demo.sensors import Sensor, Sensors, boiler, press, scale
from bridge.core.topic_filter import name_problem
from tests.support.machine import scaled


def recording(*periods_s):
    """Sensors that read their count, with the list that they publish to."""
    published = []
    sensors = [
        Sensor(f"t/{position}", period_s, lambda count: b"%d" % count) for position, period_s in enumerate(periods_s)
    ]
    return Sensors(sensors, lambda topic, payload: published.append((topic, payload))), published


def test_a_boiler_reads_json_with_a_counter_that_never_repeats():
    """The counter tells two readings apart, so equal temperatures are two events."""
    readings = [orjson.loads(boiler("hall-1", "7").read(count)) for count in range(40)]
    assert [reading["seq"] for reading in readings] == list(range(1, 41))
    assert any(reading["value"] > 90 for reading in readings[:3]), "the story begins soon"
    assert sum(reading["value"] > 90 for reading in readings) < 10, "an overheated boiler is the exception"


def test_a_press_raises_alarms_that_can_be_cleared_and_one_that_cannot():
    """Both outcomes of a workflow are shown."""
    states = [press("hall-2", "3").read(count) for count in range(8)]
    assert {b"OK", b"ALARM 4", b"ALARM 7"} == set(states)


def test_a_scale_reads_bare_numbers():
    """A payload that is no JSON object."""
    weights = [float(scale("hall-1", "2").read(count)) for count in range(20)]
    assert any(weight > 30 for weight in weights[:4])
    assert any(weight < 30 for weight in weights)


@pytest.mark.parametrize("sensor", [boiler("a", "1"), press("a", "1"), scale("a", "1")])
def test_a_sensor_publishes_where_one_may(sensor):
    """Its topic is a topic name, and the same reading is always the same bytes."""
    assert not name_problem(sensor.topic)
    assert sensor.read(5) == sensor.read(5)


def test_each_sensor_keeps_its_own_pace():
    """Nothing at the start, then each after its period."""
    sensors, published = recording(1.0, 2.5)
    assert sensors.due(0.0) == 1.0
    assert published == []
    assert sensors.due(1.0) == 2.0
    assert published == [("t/0", b"0")]
    assert sensors.due(2.6) == 3.0
    assert published[1:] == [("t/0", b"1"), ("t/1", b"0")]
    assert sensors.due(2.7) == 3.0
    assert len(published) == 3


def test_readings_that_were_missed_are_not_sent_in_a_burst():
    """A machine that slept goes on with one reading a sensor."""
    sensors, published = recording(1.0)
    assert sensors.due(60.5) == 61.0
    assert published == [("t/0", b"0")]


def test_leaving_the_context_ends_the_thread():
    """No reading after the end, and no thread that holds the process."""
    first = threading.Event()
    sensors = Sensors([Sensor("t", 0.001, lambda _count: b"")], lambda _topic, _payload: first.set())
    with sensors:
        assert first.wait(scaled(10))
    assert not any(thread.name == "sensors" for thread in threading.enumerate())
