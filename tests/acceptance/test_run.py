"""`argo-bridge run` as a process: exit codes, signals, and a start while everything else is away."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from bridge.simulator import Simulator, SimulatorOptions
from tests.support.bridge_files import NAMESPACE, BridgeFiles
from tests.support.bridge_process import BridgeProcess, clean_environment
from tests.support.mosquitto import free_port
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

AVAILABILITY = "argo/bridge/under-test/availability"
NOWHERE = "http://127.0.0.1:9"


def run(*arguments):
    """Run the command to its end."""
    command = [sys.executable, "-m", "bridge", *arguments]
    return subprocess.run(command, check=False, env=clean_environment(), capture_output=True, text=True, timeout=60)


@pytest.fixture
def files(tmp_path, mosquitto):
    """A bridge on a real broker, with an Argo Server that is away."""
    files = BridgeFiles(tmp_path, mosquitto.url, NOWHERE, web_port=free_port())
    files.write()
    return files


def test_all_problems_of_a_bad_config_are_told_at_once(tmp_path):
    """Exit code 1, and each problem on standard error with its line and column."""
    config = tmp_path / "bridge.yaml"
    config.write_text("bridge: {id: NO, data-dir: d}\nconnections: {a: {mqtt: {url: 'mqtt://x', versoin: 5}}}\n")
    ended = run("run", "--config", str(config))
    assert ended.returncode == 1
    assert ":1:14: bad-value" in ended.stderr
    assert 'unknown key "versoin"; did you mean "version"?' in ended.stderr
    assert "argo" in ended.stderr


def test_wrong_usage_is_2():
    """A verb without its option, and a verb that is none."""
    assert run("run").returncode == 2
    assert run("rnu").returncode == 2


def test_sigterm_says_offline_and_ends_with_0(files, mosquitto):
    """A clean stop: the retained availability reads `offline`, told by the bridge itself."""
    with BridgeProcess(files) as bridge, PlainClient(mosquitto.port) as client:
        client.subscribe(AVAILABILITY)
        bridge.start_ready()
        wait_until(lambda: b"online" in client.payloads, "online")
        assert bridge.terminate() == 0
        wait_until(lambda: client.payloads[-1] == b"offline", "offline")


def test_a_kill_is_told_by_the_last_will(files, mosquitto):
    """SIGKILL: the broker says `offline`."""
    with BridgeProcess(files) as bridge, PlainClient(mosquitto.port) as client:
        client.subscribe(AVAILABILITY)
        bridge.start_ready()
        wait_until(lambda: b"online" in client.payloads, "online")
        bridge.kill()
        wait_until(lambda: client.payloads[-1] == b"offline", "offline")


def test_a_second_sigterm_ends_at_once_and_loses_nothing(files, mosquitto):
    """The broker does not answer, so that the stop would take long; the stored event is there after the next start."""
    with BridgeProcess(files) as bridge:
        bridge.start_ready()
        with PlainClient(mosquitto.port) as client:
            body = b'{"workflow": {"metadata": {"name": "kept"}, "spec": {"workflowTemplateRef": {"name": "t"}}}}'
            client.publish("argo/workflows/trigger", body)
        wait_until(lambda: bridge.figure("events_stored_total") == 1, "the event")
        mosquitto.pause()
        bridge.signal(signal.SIGTERM)
        wait_until(lambda: "finishing the work in progress" in bridge.log, "the first signal")
        bridge.signal(signal.SIGTERM)
        assert bridge.wait() == 130
        mosquitto.resume()
        bridge.start_ready()
        wait_until(lambda: bridge.figure("spool_waiting") == 1, "the event")


def test_a_hangup_ends_nothing(files):
    """SIGHUP: a line in the log, and the bridge goes on; SIGTERM still ends it."""
    with BridgeProcess(files) as bridge:
        bridge.start_ready()
        pid = bridge.pid
        for count in (1, 2):
            bridge.signal(signal.SIGHUP)
            wait_until(lambda count=count: bridge.log.count("SIGHUP: ignored") == count, "the line")
        bridge.await_ready(20)
        assert bridge.pid == pid
        assert bridge.terminate() == 0


def test_two_bridges_never_share_a_data_dir(files):
    """The second one exits with 1 and says which folder is in use."""
    with BridgeProcess(files) as bridge:
        bridge.start_ready()
        ended = run("run", "--config", str(files.config))
    assert ended.returncode == 1
    assert f"data-dir-in-use: cannot use bridge.data-dir {files.data_dir}" in ended.stderr


def test_a_start_without_broker_and_argo_is_no_error(tmp_path, mosquitto):
    """Both come later: it becomes ready, and what was sent meanwhile is run."""
    with Simulator(SimulatorOptions(namespaces=frozenset({NAMESPACE}))) as simulator:
        simulator.stop_serving()
        mosquitto.stop()
        files = BridgeFiles(tmp_path, mosquitto.url, simulator.url, web_port=free_port())
        files.write()
        with BridgeProcess(files) as bridge:
            bridge.start()
            wait_until(lambda: bridge.get("/readyz")[0] == 503, "not ready")
            assert bridge.get("/livez")[0] == 200
            mosquitto.start()
            bridge.await_ready(20)
            with PlainClient(mosquitto.port) as client:
                spec = b'{"entrypoint": "a", "templates": [{"name": "a", "suspend": {}}]}'
                client.publish(
                    "argo/workflows/trigger", b'{"workflow": {"metadata": {"name": "w"}, "spec": %b}}' % spec
                )
            wait_until(lambda: bridge.figure("events_stored_total") == 1, "the event")
            simulator.start_serving()
            wait_until(lambda: [one.name for one in simulator.created] == ["w"], "the workflow")
