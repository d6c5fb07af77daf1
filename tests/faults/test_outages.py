"""The broker's own crashes and limits: what it kept is run once, and what it lost is known to be its loss."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

import orjson
import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv311

from tests.support.accounting import account
from tests.support.bridge_files import INSPECT, BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.faults_report import random_source
from tests.support.machine import scaled
from tests.support.mosquitto import MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.publisher import MAPPINGS, Publisher
from tests.support.simulator_process import SimulatorProcess
from tests.support.spine import Spine, mapping
from tests.support.transport_ends import wait_until

CRASHES = 3


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_killed_under_load_costs_no_saved_event(version, tmp_path, start_mosquitto, tell):
    """SIGKILL of the broker, of the bridge with it every other time: saved events run once, named ones never twice."""
    broker = start_mosquitto(
        MosquittoOptions(persistence=True, config=("max_queued_messages 0", "max_inflight_messages 1000"))
    )
    source, pause = random_source("broker", version), threading.Event()
    with SimulatorProcess("--container-duration", "0.02", "--retention", "500") as simulator:
        simulator.put_template(INSPECT)
        files = BridgeFiles(tmp_path, broker.url, simulator.url, version, MAPPINGS, web_port=free_port())
        files.write()
        at_risk: set[int] = set()  # confirmed, and perhaps not saved
        repeated: set[int] = set()  # not confirmed, so published again
        with BridgeProcess(files).start_ready() as bridge, Publisher(broker.port, 100.0) as publisher:
            for crash in range(CRASHES):
                pause.wait(source.uniform(0.6, 1.2))
                saved = publisher.confirmed
                broker.await_saved()
                pause.wait(1.0)  # for something that is not saved
                broker.kill()
                if crash % 2:
                    bridge.kill()
                pause.wait(source.uniform(0.1, 0.5))
                at_risk |= publisher.confirmed - saved
                repeated |= publisher.sent - publisher.confirmed
                broker.start()
                if crash % 2:
                    bridge.start_ready()
                else:
                    bridge.await_ready(20)
            publisher.finish()
            sent = publisher.sent
            with contextlib.suppress(AssertionError):  # what is missing is told below, by number
                simulator.await_all(sent - at_risk, 60)
            wait_until(lambda: bridge.figure("spool_waiting") == 0, "an empty spool", 60)
            assert bridge.terminate() == 0
        result, whole = account(sent - at_risk, simulator.created, sent), account(sent, simulator.created)
    counts = {"kills of the broker": CRASHES, "kills": CRASHES // 2, "restarts": CRASHES // 2}
    tell(replace(whole, lost=result.lost), **counts, **{"lost by the broker": len(whole.lost)})
    assert result.lost == ()
    assert (result.foreign, result.same_annotation) == ((), ())
    # An unnamed event that was not confirmed is published again, and nobody can tell it from a new one.
    assert [n for n in result.duplicated if publisher.is_named(n) or n not in repeated] == []
    left = LeftBehind(files)
    assert (left.figures.waiting, left.dead_letters, left.reports, left.problems) == (0, (), [], ())


class Witness:
    """A client that is no bridge, with a persistent session of its own; connected while the context is entered.

    payloads: all that it got.
    """

    payloads: list[bytes]

    def __init__(self, port):
        self._port = port
        self.payloads = []

    def __enter__(self):
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "witness", clean_session=False, protocol=MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe("sensors/#", 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda *arguments: self.payloads.append(arguments[2].payload)
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert subscribed.wait(scaled(10))
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_with_default_limits_loses_what_its_queue_cannot_hold(version, tmp_path, start_mosquitto):
    """1,500 events while the bridge is away: it runs those that the broker kept, as a witness with a session shows."""
    broker = start_mosquitto(MosquittoOptions())
    witness = Witness(broker.port)
    with Spine(tmp_path, broker, mapping("all", "sensors/{device}"), version) as spine:
        with witness:
            pass  # its session stays

        def meanwhile():
            with PlainClient(broker.port, "device") as device:
                device.publish_many("sensors/1", [orjson.dumps({"n": number}) for number in range(1500)])

        spine.restart(meanwhile)
        spine.fence()
        kept = spine.numbers
        with witness:
            wait_until(lambda: len(witness.payloads) >= len(kept), "what the witness's session kept")
        assert sorted(kept) == sorted(orjson.loads(payload)["n"] for payload in witness.payloads)
        assert 900 <= len(kept) < 1500
        # Live again, nothing is lost: the limits bound a queue, and the bridge is quick.
        with PlainClient(broker.port, "device") as device:
            for start in range(2000, 3000, 100):
                device.publish_many("sensors/1", [orjson.dumps({"n": start + each}) for each in range(100)])
        spine.await_numbers(*kept, *range(2000, 3000))
