"""The limits of the promises (docs/continuity.md), each one met on purpose: what it costs, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from bridge.core.clock import SystemClock
from bridge.pipeline.dispatch.dispatcher import Dispatcher
from bridge.simulator import FaultKind, InjectedFault
from bridge.transports.mqtt.options import MqttVersion
from tests.support.bridge_files import INSPECT, NAMESPACE, BridgeFiles
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import Mosquitto, MosquittoOptions, find_security_plugin, free_port
from tests.support.plain_client import PlainClient
from tests.support.simulator_process import SimulatorProcess
from tests.support.spine import Spine, mapping
from tests.support.transport_ends import wait_until
from tests.support.transports import TransportMaker

NAMED = mapping("all", "sensors/{device}", "event-id: payload.n")
STATUS = f"argo/workflows/status/{NAMESPACE}"
EXPIRED = "$SYS/broker/clients/expired"


class AheadClock(SystemClock):
    """The machine's clocks, which a test can put forward.

    ahead_s: by how much, seconds.
    """

    ahead_s = 0.0

    def wall_s(self) -> float:
        """Seconds since 1970, put forward."""
        return super().wall_s() + self.ahead_s

    def monotonic_s(self) -> float:
        """Seconds that never go back, put forward."""
        return super().monotonic_s() + self.ahead_s


@contextmanager
def argo_at(port: int) -> Iterator[SimulatorProcess]:
    """An Argo Server at a port, with an empty store."""
    argo = SimulatorProcess("--container-duration", "0.02").start(port)
    try:
        argo.put_template(INSPECT)
        yield argo
    finally:
        argo.stop()


def publish(port: int, *numbers: int) -> None:
    """Publish as a device does, and return once the broker has it."""
    with PlainClient(port, "device") as device:
        for number in numbers:
            device.publish("sensors/1", orjson.dumps({"n": number}))


def test_a_workflow_that_went_before_its_answer_came_runs_again(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answer lost, no watch up, workflow deleted: nobody can tell that from a create that did not happen."""
    monkeypatch.setattr(Dispatcher, "event_seen", lambda *_: None)
    with Spine(tmp_path, mosquitto, NAMED) as spine:
        spine.fail(FaultKind.CUT, accept=True, count=1)
        away = spine.simulator.faults.add(InjectedFault(FaultKind.STATUS, path=r"/workflows/factory/", status=500))
        spine.publish("sensors/1", {"n": 1})
        spine.await_numbers(1)
        name = spine.simulator.created[0].name

        def meanwhile() -> None:
            spine.simulator.delete(NAMESPACE, name)
            spine.simulator.faults.remove(away)

        spine.restart(meanwhile)
        spine.await_numbers(1, 1, within_s=30)
        assert [one.name for one in spine.simulator.created] == [name, name]


def test_a_repetition_after_keep_done_runs_again_once_its_workflow_is_gone(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """While the workflow is there it is recognised by its name and its mark; without it, it is a new event."""
    clock = AheadClock()
    with Spine(tmp_path, mosquitto, NAMED, more="spool: {keep-done: 1m}", clock=clock) as spine:
        spool = spine.bridge.service._spool

        def forgotten() -> None:
            spine.fence()
            clock.ahead_s += 61
            wait_until(lambda: spool.figures().rows == 0, "keep-done to be over", 30)

        spine.publish("sensors/1", {"n": 1})
        forgotten()
        spine.publish("sensors/1", {"n": 1})
        forgotten()
        spine.await_numbers(1)
        (first,) = [one for one in spine.simulator.created if "n" in one.parameters]
        spine.simulator.delete(NAMESPACE, first.name)
        spine.publish("sensors/1", {"n": 1})
        spine.await_numbers(1, 1)


def test_a_session_that_expired_has_lost_what_waited_in_it(
    start_mosquitto: Callable[[MosquittoOptions], Mosquitto], transports: TransportMaker
) -> None:
    """Away longer than session-expiry: the broker drops the session with what waited in it, and begins a new one."""
    broker = start_mosquitto(MosquittoOptions(config=("sys_interval 1",)))
    with PlainClient(broker.port) as client:
        client.subscribe(EXPIRED)
        transports.start(broker.url, "sensors/#", version=MqttVersion.V5, session_expiry_s=1).await_ready()
        transports.stop_all()
        publish(broker.port, 1)
        wait_until(lambda: client.payloads and client.payloads[-1] != b"0", "the end of the session", 60)
    wired = transports.start(broker.url, "sensors/#", version=MqttVersion.V5, session_expiry_s=1).await_ready()
    assert wired.listener.sessions == ["new"]
    publish(broker.port, 2)
    wired.await_payloads(b'{"n":2}')


def test_a_cluster_that_went_back_in_time_gets_no_event_twice(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Argo's store is back at a time before the workflow: its event stays done, and a start clears its status."""
    port = free_port()
    files = BridgeFiles(tmp_path, mosquitto.url, f"http://127.0.0.1:{port}", mappings=NAMED, web_port=free_port())
    files.write()
    with PlainClient(mosquitto.port) as client, BridgeProcess(files) as bridge:
        client.subscribe(f"{STATUS}/+")
        with argo_at(port):
            bridge.start_ready()
            publish(mosquitto.port, 1)
            wait_until(lambda: any(b"Succeeded" in payload for payload in client.payloads), "its end", 30)
        assert bridge.terminate() == 0
        with argo_at(port) as argo:
            bridge.start_ready()
            wait_until(lambda: client.payloads[-1] == b"", "a cleared status", 60)
            publish(mosquitto.port, 1, 2)
            argo.await_all([2], 30)
            wait_until(lambda: bridge.figure("spool_waiting") == 0, "an empty spool", 30)
            assert [one["parameters"]["n"] for one in argo.created] == ["2"]
            assert bridge.terminate() == 0


def test_a_bridge_is_not_ready_while_a_filter_is_refused(
    tmp_path: Path, start_mosquitto: Callable[[MosquittoOptions], Mosquitto], argo: SimulatorProcess
) -> None:
    """The page names the filter; what the broker grants is taken all the same."""
    if find_security_plugin() is None:
        pytest.skip("Mosquitto refuses filters by its dynamic security plugin only, which this package lacks")
    broker = start_mosquitto(MosquittoOptions(filters=("argo/#", "sensors/#")))
    mappings = NAMED + mapping("secret", "secret/{device}")
    files = BridgeFiles(tmp_path, broker.url, argo.url, mappings=mappings, web_port=free_port())
    files.write()
    with BridgeProcess(files) as bridge:
        bridge.start()
        wait_until(lambda: '"secret/+"' in str(bridge.get("/readyz")), "the name of the filter", 30)
        status, page = bridge.get("/readyz")
        assert status == 503
        assert "filter-refused" in str(page)
        publish(broker.port, 1)
        argo.await_all([1], 30)
        assert bridge.terminate() == 0
