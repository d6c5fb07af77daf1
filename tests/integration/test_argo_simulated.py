"""The Argo client against the simulated Argo Server, in the releases that differ."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator

import orjson
import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.errors import AnswerKind, PermanentAnswerError, TransientAnswerError
from bridge.argo.exchanges import Exchanges, HttpRequest
from bridge.argo.gate import Gate, GateOptions
from bridge.argo.manifests import Manifests, template_manifest
from bridge.argo.marks import BRIDGE_LABEL, Marks, event_of
from bridge.argo.names import workflow_name
from bridge.argo.operation_calls import change
from bridge.argo.operation_reads import one_template
from bridge.argo.options import Secret, template_path, workflow_path, workflows_path
from bridge.argo.watch import EndReason, Heartbeat, Watch, WatchEnd, WatchFrame, WatchRequest
from bridge.core.model import WorkflowOrder
from bridge.interface.operations import Operation
from bridge.simulator import RELEASES, FaultKind, InjectedFault, Simulator, SimulatorOptions
from tests.support.argo_options import argo_at
from tests.support.machine import scaled

NS = "argo"
TEMPLATE = {
    "metadata": {"name": "inspect"},
    "spec": {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "device", "value": "none"}]},
        "templates": [{"name": "main", "suspend": {}}],
    },
}
WITHIN_S = 15.0


@pytest.fixture
def start() -> Iterator[Callable[..., Simulator]]:
    started: list[Simulator] = []

    def begin(**keys: object) -> Simulator:
        started.append(Simulator(SimulatorOptions(**keys)))  # type: ignore[arg-type]  # a test's own keys
        started[-1].start()
        return started[-1]

    yield begin
    for simulator in started:
        unexpected = simulator.unexpected
        simulator.stop()
        assert unexpected == []


def event(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def create(number: int) -> HttpRequest:
    """The create of event `number`, as dispatch sends it."""
    name = workflow_name("inspect", event(number))
    order = WorkflowOrder(NS, "inspect", template_manifest("inspect"), name=name, parameters={"device": str(number)})
    body = Manifests().create_body(order, Marks("plant-1", event(number), "boiler", f"sensors/{number}", "plant"))
    return HttpRequest("POST", workflows_path(NS), body, expects=name)


def submit(simulator: Simulator, numbers: range, in_flight: int = 20) -> dict[object, str]:
    """Create them all through `Exchanges`; the code of each answer by number."""
    options = argo_at(simulator.url)
    codes: dict[object, str] = {}
    waiting = list(numbers)
    with Exchanges(options, Credentials(None), window=in_flight) as exchanges:
        deadline_s = time.monotonic() + scaled(60)
        while waiting or exchanges.in_flight:
            assert time.monotonic() < deadline_s
            while waiting and exchanges.in_flight < in_flight:
                number = waiting.pop()
                exchanges.start(number, create(number))
            for key, answer in exchanges.poll(1.0):
                assert key not in codes
                codes[key] = answer.code
    return codes


@pytest.mark.parametrize("release", RELEASES)
def test_creates_arrive_whole_and_once(start, release):
    """300 events, 20 at a time: each workflow is there once, with its marks and parameters."""
    simulator = start(argo_version=release)
    simulator.put_template(NS, TEMPLATE)
    codes = submit(simulator, range(300))
    assert codes == dict.fromkeys(range(300), "ok")
    made = {created.annotations["argo-bridge/event"]: created for created in simulator.created}
    assert len(simulator.created) == len(made) == 300
    for number in range(300):
        created = made[event(number).hex()]
        assert created.parameters == {"device": str(number)}
        assert created.labels["argo-bridge/bridge"] == "plant-1"
        assert created.annotations["argo-bridge/topic"] == f"sensors/{number}"


def test_a_create_whose_answer_was_lost_is_recognised(start):
    """Cut after it was accepted: ambiguous; again: CONFLICT; GET shows that it is this event's."""
    simulator = start()
    simulator.put_template(NS, TEMPLATE)
    simulator.faults.add(InjectedFault(FaultKind.CUT, method="POST", count=1, accept=True))
    with Exchanges(argo_at(simulator.url), Credentials(None)) as exchanges:

        def ask(request: HttpRequest):
            exchanges.start("key", request)
            ((_, answer),) = exchanges.poll(WITHIN_S)
            return answer

        lost = ask(create(1))
        assert (lost.kind, lost.ambiguous) == (AnswerKind.UNAVAILABLE, True)
        assert ask(create(1)).kind is AnswerKind.CONFLICT
        name = workflow_name("inspect", event(1))
        found = ask(HttpRequest("GET", workflow_path(NS, name), expects=name))
    assert event_of(found.body) == event(1)
    assert found.body["metadata"]["labels"][BRIDGE_LABEL] == "plant-1"
    assert len(simulator.created) == 1


def test_a_failed_create_on_a_kept_connection_is_repeated_at_most_once_as_a_workflow(start):
    """Every second answer is lost after it was accepted: whatever is sent again, no event has two workflows."""
    simulator = start(seed=1)
    simulator.put_template(NS, TEMPLATE)
    simulator.faults.add(InjectedFault(FaultKind.CUT, method="POST", probability=0.5, accept=True))
    submit(simulator, range(100))
    simulator.faults.clear()
    submit(simulator, range(100))
    assert len(simulator.created) == 100


def test_the_gate_and_the_exchanges_get_through_an_outage(start):
    """The server goes away under load and comes back: everything arrives, soon after its return."""
    simulator = start()
    simulator.put_template(NS, TEMPLATE)
    gate = Gate(GateOptions(max_in_flight=32))
    waiting, running = list(range(2000)), {}
    away_until_s: float | None = None
    with Exchanges(argo_at(simulator.url), Credentials(None)) as exchanges:
        deadline_s = time.monotonic() + scaled(60)
        while waiting or running:
            now_s = time.monotonic()
            assert now_s < deadline_s
            if away_until_s is None and len(waiting) < 1500:
                simulator.faults.add(InjectedFault(FaultKind.CUT))  # for what was being accepted just now
                simulator.stop_serving()
                away_until_s = now_s + 2.0
            if away_until_s and now_s >= away_until_s:
                simulator.faults.clear()
                simulator.start_serving()
                away_until_s, returned_s = 0.0, now_s
            for _ in range(min(gate.permits(now_s), len(waiting))):
                number = waiting.pop()
                running[number] = True
                gate.started()
                exchanges.start(number, create(number))
            for number, answer in exchanges.poll(min(0.1, gate.next_permit_in_s(now_s) or 0.1)):
                del running[number]
                gate.finished(answer, answer.elapsed_s, time.monotonic())
                if answer.kind is AnswerKind.UNAVAILABLE:
                    waiting.append(number)
                else:
                    assert answer.kind in (AnswerKind.OK, AnswerKind.CONFLICT), answer
    assert len({created.name for created in simulator.created}) == len(simulator.created) == 2000
    first_after = min(created.created_at_s for created in simulator.created if created.created_at_s >= returned_s)
    assert first_after - returned_s < 3.0


def test_poll_can_be_woken_from_another_thread(start):
    """News for dispatch are not held up by a slow request, or by none."""
    simulator = start()
    simulator.faults.add(InjectedFault(FaultKind.HANG, delay_s=30.0))
    with Exchanges(argo_at(simulator.url), Credentials(None)) as exchanges:
        for _ in range(2):
            timer = threading.Timer(0.2, exchanges.wake)
            timer.start()
            began_s = time.monotonic()
            assert exchanges.poll(20.0) == []
            assert time.monotonic() - began_s < scaled(5.0)
            timer.join()
            exchanges.start("hanging", HttpRequest("GET", "/api/v1/version"))
        assert exchanges.in_flight == 2
        assert exchanges.cancel() == ["hanging", "hanging"]
        assert exchanges.in_flight == 0
    exchanges.close()
    exchanges.wake()


@pytest.mark.parametrize("release", RELEASES)
def test_a_list_is_whole_in_every_release(start, release):
    """More than a page; 4.x ends early unless it is asked rightly; specs and nodes stay on the server."""
    simulator = start(argo_version=release, list_lag_s=0.0)
    simulator.put_template(NS, TEMPLATE)
    submit(simulator, range(1203))
    simulator.wait_for(lambda _: all(one["status"].get("phase") == "Running" for one in simulator.workflows(NS)), 30.0)
    with ArgoClient(argo_at(simulator.url)) as client:
        found = client.list_workflows(NS, "argo-bridge/bridge=plant-1")
        assert client.list_workflows(NS, "argo-bridge/bridge=other").items == ()
        assert client.version().lstrip("v") == release.lstrip("v")
    assert {event_of(item) for item in found.items} == {event(number) for number in range(1203)}
    assert found.resource_version
    first = found.items[0]
    assert "templates" not in first.get("spec", {})
    assert "nodes" not in first["status"]
    assert "managedFields" not in first["metadata"]


def test_a_list_without_resource_version_is_no_answer(start):
    """A server whose mirror could not be filled would otherwise clear every retained status."""
    simulator = start()
    simulator.faults.add(InjectedFault(FaultKind.NO_RESOURCE_VERSION))
    with ArgoClient(argo_at(simulator.url)) as client, pytest.raises(TransientAnswerError) as raised:
        client.list_workflows(NS)
    assert raised.value.code == "incomplete-list"


def test_single_requests(start):
    """Templates, a workflow with and without nodes, its deletion, and the proof that it is gone."""
    template = one_template(NS, "inspect", cluster=False)
    creation = HttpRequest("POST", template_path(NS), orjson.dumps({"template": TEMPLATE}))
    simulator = start()
    with ArgoClient(argo_at(simulator.url)) as client:
        with pytest.raises(TransientAnswerError, match='"inspect" not found') as missing:
            client.call(template, "get a template")
        assert missing.value.code == "template-not-found"
        with pytest.raises(TransientAnswerError) as missing:
            client.call(one_template(NS, "inspect", cluster=True), "get a cluster template")
        assert missing.value.code == "template-not-found"
        client.call(creation, "create a template")
        with pytest.raises(PermanentAnswerError) as taken:
            client.call(creation, "create a template")
        assert taken.value.answer.kind is AnswerKind.CONFLICT
        simulator.wait_for(lambda _: client.ask(template).ok)
        submit(simulator, range(1))
        name = workflow_name("inspect", event(0))
        simulator.wait_for(lambda _: client.get_workflow(NS, name)["status"].get("phase") == "Running")
        assert "nodes" not in client.get_workflow(NS, name)["status"]
        whole = client.get_workflow(NS, name, with_nodes=True)
        assert whole["status"]["nodes"]
        assert whole["status"]["storedWorkflowTemplateSpec"]["templates"]  # they say which failures it tolerates
        client.call(change(Operation.DELETE, NS, name, {}), "delete a workflow")
        with pytest.raises(PermanentAnswerError) as gone:
            client.get_workflow(NS, name)
        assert gone.value.answer.proves_absence


def test_a_rotated_token_is_used_while_running(start, tmp_path):
    """401 with the old one; the next call after the file changed succeeds, without a restart."""
    simulator = start(token="second")
    token = tmp_path / "token"
    token.write_text("first")
    with ArgoClient(argo_at(simulator.url, token_file=token)) as client:
        with pytest.raises(TransientAnswerError) as denied:
            client.list_workflows(NS)
        assert denied.value.answer.kind is AnswerKind.DENIED
        token.write_text("second")
        simulator.wait_for(lambda _: client.ask(HttpRequest("GET", workflows_path(NS))).ok)


def follow(simulator: Simulator, resource_version: str = "", **keys: object) -> Watch:
    options = argo_at(simulator.url, **keys)
    credentials = Credentials(None, options.authorization)
    request = WatchRequest(NS, "argo-bridge/bridge=plant-1", resource_version)
    return Watch(options, credentials, request, patience_s=0.2)


@pytest.mark.parametrize("release", RELEASES)
def test_a_watch_tells_the_life_of_a_workflow(start, release):
    """ADDED, MODIFIED, DELETED of ours alone, without spec and nodes, each with a place to resume from."""
    simulator = start(argo_version=release)
    simulator.put_template(NS, TEMPLATE)
    with ArgoClient(argo_at(simulator.url)) as client:
        since = client.list_workflows(NS).resource_version
    submit(simulator, range(1))
    watch = follow(simulator, since)
    frames: list[WatchFrame] = []
    deleted = False
    for item in watch:
        if isinstance(item, WatchFrame) and item.type != "BOOKMARK":
            frames.append(item)
            if not deleted and item.workflow["status"].get("phase") == "Running":
                simulator.delete(NS, workflow_name("inspect", event(0)))
                deleted = True
            if item.type == "DELETED":
                break
        assert not isinstance(item, WatchEnd)
    watch.close()
    assert [frame.type for frame in frames][0 :: len(frames) - 1] == ["ADDED", "DELETED"]
    assert "MODIFIED" in {frame.type for frame in frames}
    for frame in frames:
        assert event_of(frame.workflow) == event(0)
        assert "nodes" not in frame.workflow["status"]
        assert "templates" not in frame.workflow.get("spec", {})
        assert frame.resource_version


@pytest.mark.parametrize(
    ("how", "reason"), [("eof", EndReason.EOF), ("too-old", EndReason.EXPIRED), ("cut", EndReason.CUT)]
)
def test_a_watch_says_how_it_ended(start, how, reason):
    """kube's normal end, an expired version, a cut connection: each has its own way to go on."""
    simulator = start()
    ended = False
    for item in follow(simulator):
        if not ended:
            ended = simulator.end_watches(how) > 0
        if isinstance(item, WatchEnd):
            assert item.reason is reason
            return
    pytest.fail("a watch ends with its end")


def end_of(watch: Watch) -> WatchEnd:
    *_, end = watch
    assert isinstance(end, WatchEnd)
    return end


def test_a_watch_from_a_version_that_is_gone_is_expired(start):
    """HTTP 400 before anything was sent: list again."""
    simulator = start()
    simulator.put_template(NS, TEMPLATE)
    submit(simulator, range(3))
    simulator.compact()
    end = end_of(follow(simulator, "1"))
    assert (end.reason, end.answer.status) == (EndReason.EXPIRED, 400)


def test_a_watch_without_rights_is_denied(start):
    """A stream error shape with HTTP 401 before anything was sent."""
    simulator = start(token="right")
    end = end_of(follow(simulator, token=Secret("Bearer wrong")))
    assert end.reason is EndReason.DENIED


def test_a_watch_of_nobody_is_unavailable(start):
    """A refused connection backs off."""
    simulator = start()
    simulator.stop_serving()
    end = end_of(follow(simulator))
    assert (end.reason, end.answer.code) == (EndReason.UNAVAILABLE, "unreachable")


def test_a_watch_can_be_stopped_before_its_headers_came(start):
    """Argo flushes headers with the first byte, up to 15 s later: stop does not wait for them."""
    simulator = start(keepalive_s=60.0)
    watch = follow(simulator)
    began_s = time.monotonic()
    ends: list[EndReason] = []
    for item in watch:
        if isinstance(item, Heartbeat) and not ends:
            threading.Thread(target=watch.stop).start()
        if isinstance(item, WatchEnd):
            ends.append(item.reason)
    assert ends == [EndReason.STOPPED]
    assert time.monotonic() - began_s < scaled(5.0)
