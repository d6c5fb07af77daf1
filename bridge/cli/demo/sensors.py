"""Simulated sensors: three devices of a factory that publish readings, some of which start a workflow.

They know no broker: their creator gives them a function that publishes. A device's readings depend only on its count,
so every run is the same; it begins soon and repeats.

Thread: `Sensors` has its own, which owns every device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

Publish = Callable[[str, bytes], object]
"""Takes topic and payload; returns at once. The result is ignored: a lost reading stays lost."""

_BOILER_CURVE = (71.5, 78.3, 95.2, 84.0, 76.4, 72.8, 70.9, 73.6, 80.1, 97.8, 86.2, 75.0)
_PRESS_STATES = ("OK", "OK", "ALARM 4", "OK", "ALARM 7", "OK", "OK", "OK")
_SCALE_WEIGHTS = (12.4, 18.9, 7.2, 34.5, 22.1, 15.8, 9.3, 11.7, 41.2)


@dataclass(frozen=True, slots=True)
class Sensor:
    """One device; `read` returns the payload of the reading with a given number, which counts from 0."""

    topic: str
    period_s: float
    read: Callable[[int], bytes]


def boiler(site: str, device: str) -> Sensor:
    """Return a boiler's temperature as JSON with a counter, ``{"value": 95.2, "seq": 3}``; over 90 it is too hot."""

    def read(count: int) -> bytes:
        return orjson.dumps({"value": _BOILER_CURVE[count % len(_BOILER_CURVE)], "seq": count + 1})

    return Sensor(f"sensors/{site}/boiler/{device}/temperature", 1.0, read)


def press(site: str, device: str) -> Sensor:
    """Return a press's state as text, ``OK`` or ``ALARM`` with a number; alarm 7 cannot be cleared."""

    def read(count: int) -> bytes:
        return _PRESS_STATES[count % len(_PRESS_STATES)].encode()

    return Sensor(f"sensors/{site}/press/{device}/state", 2.0, read)


def scale(site: str, device: str) -> Sensor:
    """Return a parcel's weight in kilograms, a bare number; over 30 it must leave the belt."""

    def read(count: int) -> bytes:
        return str(_SCALE_WEIGHTS[count % len(_SCALE_WEIGHTS)]).encode()

    return Sensor(f"sensors/{site}/scale/{device}/weight", 1.5, read)


class Sensors:
    """Lets sensors publish, each with its own period, while the context is entered."""

    def __init__(self, sensors: Sequence[Sensor], publish: Publish) -> None:
        self._sensors = tuple(sensors)
        self._publish = publish
        self._counts = [0] * len(self._sensors)
        self._next_s = [sensor.period_s for sensor in self._sensors]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sensors")

    def __enter__(self) -> Sensors:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop; no reading is published afterwards."""
        self._stop.set()
        self._thread.join()

    def due(self, passed_s: float) -> float:
        """Publish each reading that is due, and return when the next one is (seconds since the start).

        A sensor's first reading is due one period after the start. Readings that were missed because publishing took
        long are skipped: a sensor never sends a burst.
        """
        for position, sensor in enumerate(self._sensors):
            if passed_s >= self._next_s[position]:
                self._publish(sensor.topic, sensor.read(self._counts[position]))
                self._counts[position] += 1
                periods = int(passed_s / sensor.period_s) + 1
                self._next_s[position] = periods * sensor.period_s
        return min(self._next_s)

    def _run(self) -> None:
        start_s = time.monotonic()
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            passed_s = time.monotonic() - start_s
            wait_s = max(0.0, self.due(passed_s) - passed_s)
