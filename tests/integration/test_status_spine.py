"""Status of a whole bridge on a real broker: what devices, other systems and other bridges see of it."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.handles import HttpRequest
from bridge.argo.options import workflow_path
from bridge.status.seen.watcher import Watcher
from tests.support.argo_options import argo_at
from tests.support.bridge_files import NAMESPACE, BridgeFiles
from tests.support.bridge_inside import InsideBridge
from tests.support.spine import DEAD_LETTER, Spine, submit
from tests.support.transport_ends import wait_until

STREAM = "argo/workflows/status"
RESPONSE = "argo/workflows/response/status"
DEVICE = "devices/7/workflow"
WITHIN_S = 30.0

BOILER = """\
  - name: boiler
    topic: sensors/{device}/heat
    workflow:
      namespace: factory
      spec:
        entrypoint: main
        templates:
          - name: main
            steps: [[{name: measure, template: measure}]]
          - name: measure
            container: {image: "probe:1", command: [sh, -c], args: ["exit 0"]}
            outputs:
              parameters: [{name: level, globalName: level, value: "42"}]
    status:
      topic: devices/{device}/workflow
      nodes: true
      notify: [{topic: "ends/{device}", on: ended}]
"""
NOTIFY = "status: {notify: [{topic: alarms}, {topic: log, on: ended}]}"


def shown(spine: Spine, topic: str) -> dict[str, Any]:
    """What a topic shows now, {} when it was cleared or never set."""
    payloads = [message.payload for message in list(spine.client.messages) if message.topic == topic]
    return orjson.loads(payloads[-1]) if payloads and payloads[-1] else {}


def status_of(name: str) -> str:
    return f"{STREAM}/{NAMESPACE}/{name}"


def await_shown(spine: Spine, topic: str, **expected: Any) -> dict[str, Any]:
    """Return what a topic shows, once it shows this; without keys: once it was cleared."""

    def is_so() -> bool:
        body = shown(spine, topic)
        return not body if not expected else all(body.get(key) == value for key, value in expected.items())

    wait_until(is_so, f"{expected or 'nothing'} on {topic}, not {shown(spine, topic)}", WITHIN_S)
    return shown(spine, topic)


def create(spine: Spine, name: str, bridge_id: str = "under-test", **spec: Any) -> None:
    """Create a workflow that waits at a Suspend node, as a bridge would."""
    manifest = {
        "metadata": {"name": name, "labels": {"argo-bridge/bridge": bridge_id}},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}], **spec},
    }
    call(spine, HttpRequest("POST", f"/api/v1/workflows/{NAMESPACE}", orjson.dumps({"workflow": manifest})))


def call(spine: Spine, request: HttpRequest) -> None:
    with ArgoClient(argo_at(spine.simulator.url)) as client:
        client.call(request, "change a workflow")


def put(spine: Spine, name: str, verb: str) -> None:
    call(spine, HttpRequest("PUT", f"{workflow_path(NAMESPACE, name)}/{verb}", b"{}"))


def test_a_device_gets_its_answer(tmp_path, mosquitto):
    """Its own topic holds the end with outputs and nodes, its notice came once, and the report counts it."""
    with Spine(tmp_path, mosquitto, BOILER, more=NOTIFY) as spine:
        spine.publish("sensors/7/heat", b"{}")
        done = await_shown(spine, DEVICE, status="Succeeded")
        assert done["details"]["outputs"] == {"level": "42"}
        assert {node["name"] for node in done["details"]["nodes"]} >= {"measure"}
        assert spine.bodies("ends/7") == spine.bodies("log") == [done]
        assert spine.on("alarms") == []
        report = "argo/workflows/report/factory"
        wait_until(lambda: shown(spine, report).get("lastHour", {}).get("ended") == 1, "a report of the end", WITHIN_S)
        assert shown(spine, report)["mappings"] == {"boiler": {"Succeeded": 1}}
        assert not spine.bridge.service.liveness()


def test_suspended_stopping_and_terminating_are_seen(tmp_path, mosquitto):
    """At a Suspend node, and by stop and terminate while the controller has not done it yet, each reads differently."""
    with Spine(tmp_path, mosquitto) as spine:
        names = ("goes-on", "stops", "ends")
        for name in names:
            create(spine, name)
            await_details(spine, name, "suspended")
        put(spine, "goes-on", "resume")
        done = await_shown(spine, status_of("goes-on"), status="Succeeded")
        assert "suspended" not in done["details"]
        spine.simulator.set_controller_away(True)
        put(spine, "stops", "stop")
        put(spine, "ends", "terminate")
        assert "terminating" not in await_details(spine, "stops", "stopping")
        assert "stopping" not in await_details(spine, "ends", "terminating")
        spine.simulator.set_controller_away(False)
        for name in ("stops", "ends"):
            ended = await_shown(spine, status_of(name), status="Failed")
            assert "Stopped with strategy" in ended["message"]
            assert not {"suspended", "stopping", "terminating"} & set(ended["details"])


def await_details(spine: Spine, name: str, key: str) -> dict[str, Any]:
    """Return the details of a workflow's status once one of them is true."""
    wait_until(lambda: shown(spine, status_of(name)).get("details", {}).get(key) is True, f"{name} is {key}", WITHIN_S)
    return shown(spine, status_of(name))["details"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_another_system_may_send_status(version, tmp_path, mosquitto):
    """Well-formed: the seed's success, shown as far as Argo leaves room; else the seed's error and a dead letter."""
    with Spine(tmp_path, mosquitto, version=version, more="status: {external-keep: 1m}") as spine:
        create(spine, "fills")
        await_shown(spine, status_of("fills"), status="Running")
        body = {"namespace": NAMESPACE, "workflowId": "fills", "status": "Failed", "progress": "40%", "message": "half"}
        spine.publish(STREAM, body)
        assert spine.bodies(RESPONSE) == [{"status": "Status update received successfully"}]
        await_shown(spine, status_of("fills"), status="Running", progress="40%", message="half")
        spine.publish(STREAM, body | {"workflowId": "elsewhere-1", "status": "Succeeded"})
        outside = await_shown(spine, status_of("elsewhere-1"), status="Succeeded", progress="40%")
        assert outside["details"]["source"] == "external"
        spine.publish(STREAM, body | {"requestId": 9, "progress": "nearly"})
        (refusal,) = spine.bodies(RESPONSE, 3)[2:]
        assert (refusal["error"], refusal["requestId"]) == ("Invalid status update format", 9)
        assert refusal["details"][0]["pointer"] == "/progress"
        assert spine.bodies(DEAD_LETTER)[0]["reason"] == "invalid-status-update"
        if version == "5":
            spine.publish(STREAM, body, ResponseTopic="argo/workflows/response/mine/me", CorrelationData=b"c")
            (answer,) = spine.messages("argo/workflows/response/mine/me")
            assert answer.properties.CorrelationData == b"c"
        spine.restart(lambda: None)
        spine.fence()
        assert shown(spine, status_of("elsewhere-1"))["status"] == "Succeeded"
        assert spine.bridge.count("external_statuses_total", outcome="phase-ignored") == 0


@pytest.mark.parametrize("scope", ["bridge", "namespace"])
def test_two_bridges_side_by_side(scope, tmp_path, mosquitto):
    """On one broker and one Argo neither clears nor answers what the other shows, over restarts and lost spools."""
    folder = tmp_path / "other"
    folder.mkdir()
    more = f"status: {{scope: {scope}}}"
    with Spine(tmp_path, mosquitto, more=more) as spine:
        files = BridgeFiles(folder, mosquitto.url, spine.simulator.url, more=more, bridge_id="two")
        with InsideBridge(files) as other:
            create(spine, "one-1")
            create(spine, "two-1", bridge_id="two")
            for name in ("one-1", "two-1"):
                await_details(spine, name, "suspended")
            spine.restart(lambda: None)
            other.stop()
            (folder / "data" / "spool.sqlite").unlink()
            other.start()
            other.await_ready()
            quiet_for(spine, 3.0)
            assert shown(spine, status_of("one-1"))["status"] == shown(spine, status_of("two-1"))["status"] == "Running"
            spine.simulator.delete(NAMESPACE, "two-1")
            await_shown(spine, status_of("two-1"))
            assert shown(spine, status_of("one-1"))["status"] == "Running"
            if scope == "bridge":
                assert shown(spine, status_of("one-1"))["details"]["bridge"] == "under-test"


def quiet_for(spine: Spine, seconds: float) -> None:
    """Return once nobody published a status for so long: two bridges that answer each other never come to that."""
    last: list[Any] = [len(spine.client.messages), time.monotonic()]

    def is_quiet() -> bool:
        if len(spine.client.messages) != last[0]:
            last[:] = [len(spine.client.messages), time.monotonic()]
        return time.monotonic() - last[1] >= seconds

    wait_until(is_quiet, "silence", WITHIN_S)


def test_a_watch_thread_that_ended_is_told(tmp_path, mosquitto, monkeypatch):
    """Liveness names the thread of the namespace that nobody follows any more."""
    monkeypatch.setattr(Watcher, "run", lambda self: None)
    with Spine(tmp_path, mosquitto) as spine:
        names = {reason.subject for reason in spine.bridge.service.liveness()}
        assert names >= {f"status-watch-{NAMESPACE}"}
        assert "status-lookups" not in names
        spine.publish("argo/workflows/trigger", submit(requestId=1))
        spine.await_numbers()
