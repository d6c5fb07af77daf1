"""config/mosquitto.conf on the real Mosquitto, below Debian's main file and below that of compose.yaml."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage

from tests.support.documents import ROOT
from tests.support.machine import scaled
from tests.support.mosquitto import Mosquitto
from tests.support.transport_ends import wait_until

# /etc/mosquitto/mosquitto.conf of Debian 12, with places of the test's own.
DEBIAN = """
pid_file {folder}/pid
persistence true
persistence_location {folder}/
log_dest file {folder}/log
include_dir {folder}/conf.d
"""
LISTENER = "listener {port} 127.0.0.1\nallow_anonymous true\n"
NUMBERS = range(10_000, 11_500)
QUIET_S = 1.5
# Asked for only because it skips, or fails, where there is no Mosquitto.
Start = Callable[..., object]


class ConfiguredMosquitto(Mosquitto):
    """Mosquitto with a main file of the test's choice, and config/mosquitto.conf in its include_dir."""

    def __init__(self, main: str, listener: str = "") -> None:
        super().__init__()
        self._main = main
        self._listener = listener

    def _write_config(self, program: str) -> None:
        included = self.folder / "conf.d"
        included.mkdir(exist_ok=True)
        ours = (ROOT / "config" / "mosquitto.conf").read_text(encoding="utf-8")
        (included / "argo-bridge.conf").write_text(ours)
        (included / "listener.conf").write_text(self._listener.format(port=self.port))
        user = "user root\n" if os.getuid() == 0 else ""
        (self.folder / "conf").write_text(user + self._main.format(folder=self.folder, port=self.port))


def compose_main() -> str:
    """deploy/compose/mosquitto.conf with the container's places made the test's."""
    text = (ROOT / "deploy" / "compose" / "mosquitto.conf").read_text(encoding="utf-8")
    for theirs, ours in (
        ("/mosquitto/data/", "{folder}/"),
        ("/mosquitto/conf.d", "{folder}/conf.d"),
        ("listener 1883\n", "listener {port} 127.0.0.1\n"),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    return text


@contextmanager
def client(broker: Mosquitto, name: str, *, clean: bool) -> Iterator[Client]:
    """A connected client."""
    made = Client(CallbackAPIVersion.VERSION2, name, clean_session=clean)
    connected = threading.Event()
    made.on_connect = lambda *_: connected.set()
    made.connect("127.0.0.1", broker.port)
    made.loop_start()
    try:
        assert connected.wait(scaled(10))
        yield made
    finally:
        made.disconnect()
        made.loop_stop()


def leave_a_session(broker: Mosquitto) -> None:
    with client(broker, "bridge", clean=False) as bridge:
        subscribed = threading.Event()
        bridge.on_subscribe = lambda *_: subscribed.set()
        bridge.subscribe("sensors/#", 1)
        assert subscribed.wait(scaled(10))


def publish(broker: Mosquitto) -> None:
    with client(broker, "device", clean=True) as device:
        for info in [device.publish("sensors/a", str(number), 1) for number in NUMBERS]:
            info.wait_for_publish(scaled(20))
            assert info.is_published()


def received(broker: Mosquitto) -> set[int]:
    """The numbers that wait for the bridge."""
    arrived: set[int] = set()
    last_s = time.monotonic()
    made = Client(CallbackAPIVersion.VERSION2, "bridge", clean_session=False)

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        nonlocal last_s
        arrived.add(int(message.payload))
        last_s = time.monotonic()

    made.on_message = on_message
    made.connect("127.0.0.1", broker.port)
    made.loop_start()
    pause = threading.Event()
    while len(arrived) < len(NUMBERS) and time.monotonic() - last_s < (QUIET_S if arrived else 10):
        pause.wait(0.02)
    made.disconnect()
    made.loop_stop()
    return arrived


@pytest.mark.parametrize(("main", "listener"), [(DEBIAN, LISTENER), (compose_main(), "")], ids=["debian", "compose"])
def test_what_waits_is_neither_dropped_nor_lost(main: str, listener: str, start_mosquitto: Start) -> None:
    """1,500 messages for a client that is away, more than Mosquitto's default, outlive the broker's SIGKILL."""
    with ConfiguredMosquitto(main, listener) as broker:
        leave_a_session(broker)
        publish(broker)
        database, last = broker.folder / "mosquitto.db", str(NUMBERS[-1]).encode()
        wait_until(lambda: database.exists() and last in database.read_bytes(), "the broker saved the last one", 10)
        broker.kill()
        broker.start()
        assert received(broker) == set(NUMBERS)


def test_the_defaults_drop_what_is_over_a_thousand(start_mosquitto: Start) -> None:
    """Why the file is there: without it the broker confirms all 1,500 and keeps some 1,000 of them."""
    with ConfiguredMosquitto(LISTENER) as broker:
        leave_a_session(broker)
        publish(broker)
        assert len(received(broker)) < 1100
