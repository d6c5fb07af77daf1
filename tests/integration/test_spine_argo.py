"""What Argo's answers mean for events: wait, park, look first, or be refused."""

from __future__ import annotations

import threading
import time

import pytest

from bridge.argo.credentials import Credentials
from bridge.core.backoff import Backoff
from bridge.core.errors import TransientError
from bridge.pipeline import cluster
from bridge.pipeline.dispatch import lanes
from bridge.pipeline.dispatch.dispatcher import Dispatcher
from bridge.pipeline.dispatch.settlement import Settlement
from bridge.simulator import FaultKind, InjectedFault
from bridge.status.seen.argo_reader import ArgoReader
from tests.support.argo_options import argo_at
from tests.support.bridge_files import INSPECT, NAMESPACE
from tests.support.machine import scaled
from tests.support.mosquitto import MosquittoOptions, free_port
from tests.support.spine import DEAD_LETTER, OTHER_NAMESPACE, TRIGGER, Spine, mapping, submit
from tests.support.transport_ends import wait_until

HERE = mapping("here", "sensors/here/{device}")
THERE = mapping("there", "sensors/there/{device}", namespace=OTHER_NAMESPACE)
ELSEWHERE = rf"/workflows/{OTHER_NAMESPACE}$"


@pytest.fixture
def quick_probes(monkeypatch):
    """A parked mapping tries more often than once a minute."""
    monkeypatch.setattr(lanes, "PROBE", Backoff(0.3, 0.3))


def publish(spine, topic, *numbers):
    for number in numbers:
        spine.publish(topic, {"n": number})


def test_an_outage_of_argo_loses_nothing_and_ends_at_once(tmp_path, mosquitto):
    """Events of the outage run as soon as Argo is back, each once; requests are answered then."""
    with Spine(tmp_path, mosquitto, HERE) as spine:
        spine.take_argo_away()
        publish(spine, "sensors/here/1", *range(100))
        spine.publish(TRIGGER, submit(requestId=1), ResponseTopic="argo/workflows/response/mine/answers")
        spine.bridge.await_count("events_stored_total", 100, mapping="here")
        assert spine.on("argo/workflows/response/mine/answers") == []
        assert not spine.bridge.service.readiness()
        spine.simulator.start_serving()
        back_s = time.monotonic()
        spine.await_numbers(*range(100))
        assert time.monotonic() - back_s < scaled(8)  # the longest pause between probes is 5 s, and its jitter
        assert "workflowId" in spine.bodies("argo/workflows/response/mine/answers")[0]
        assert spine.on(DEAD_LETTER) == []


def test_a_server_that_is_away_gives_no_sign_of_life():
    """Else each failure would look like the first one after a success, and be followed by the shortest pause."""
    options = argo_at(f"http://127.0.0.1:{free_port()}")
    reader = ArgoReader(options, Credentials(None, ""))
    with pytest.raises(TransientError, match="watch workflows in factory"):
        next(reader.watch(NAMESPACE, "", "1"))  # a sign of life would be returned
    reader.interrupt()


def test_events_sent_while_all_is_down_run_once(tmp_path, start_mosquitto):
    """The bridge stopped, Argo away: the broker keeps the events, the bridge stores them, Argo runs them later."""
    broker = start_mosquitto(MosquittoOptions(persistence=True, config=("max_queued_messages 0",)))
    with Spine(tmp_path, broker, HERE) as spine:
        spine.bridge.await_session("new")

        def meanwhile():
            spine.simulator.stop_serving()
            publish(spine, "sensors/here/1", *range(300))

        spine.restart(meanwhile)
        spine.bridge.await_session("resumed")
        spine.bridge.await_count("events_stored_total", 300, mapping="here")
        spine.restart(lambda: None)  # now they are the spool's alone
        assert spine.numbers == []
        spine.simulator.start_serving()
        spine.await_numbers(*range(300))
        spine.fence()
        assert len(spine.numbers) == 300


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [(401, "not-authenticated", "check argo.token-file"), (403, "not-permitted", "grant the bridge's service account")],
)
def test_a_missing_right_is_told_at_once_and_holds_one_mapping(status, code, hint, tmp_path, mosquitto, quick_probes):
    """A request gets the error; a mapped event waits and `state` says why; others go on; then it runs by itself."""
    with Spine(tmp_path, mosquitto, HERE + THERE) as spine:
        fault = spine.fail(FaultKind.STATUS, status=status, path=ELSEWHERE, message="no right")
        publish(spine, "sensors/there/1", 1, 2)
        assert hint in spine.bridge.await_cause("no right")
        publish(spine, "sensors/here/1", 3, 4)
        spine.await_numbers(3, 4)
        reply = spine.ask({"submit": {"template": "inspect"}}, f"{TRIGGER}/{OTHER_NAMESPACE}")
        assert hint in reply["error"]
        assert [letter["reason"] for letter in spine.bodies(DEAD_LETTER)] == [code]
        spine.simulator.faults.remove(fault)
        spine.await_numbers(1, 2, 3, 4)
        wait_until(lambda: not spine.bridge.service.state()["waiting"], "no cause any more")


def test_a_missing_template_is_told_at_once_and_holds_one_mapping(tmp_path, mosquitto, quick_probes):
    """Likewise; once somebody creates the template, the events run."""
    new = INSPECT | {"metadata": {"name": "new"}}
    with Spine(tmp_path, mosquitto, HERE + mapping("early", "sensors/early", template="new")) as spine:
        publish(spine, "sensors/early", 1, 2, 3)
        assert "create the template" in spine.bridge.await_cause('"new" not found')
        publish(spine, "sensors/here/1", 4)
        spine.await_numbers(4)
        reply = spine.ask(submit(submit={"template": "new"}))
        assert '"new" not found' in reply["error"]
        spine.simulator.put_template(NAMESPACE, new)
        spine.await_numbers(1, 2, 3, 4)
        assert [letter["reason"] for letter in spine.bodies(DEAD_LETTER)] == ["template-not-found"]


def test_a_waiting_mapping_goes_on_after_a_restart(tmp_path, mosquitto):
    """A restart is a probe: nobody waits for a minute that began before."""
    with Spine(tmp_path, mosquitto, THERE) as spine:
        fault = spine.fail(FaultKind.STATUS, status=403, path=ELSEWHERE, message="no right")
        publish(spine, "sensors/there/1", 1)
        spine.bridge.await_cause("no right")
        spine.restart(lambda: spine.simulator.faults.remove(fault))
        spine.await_numbers(1)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": FaultKind.STATUS, "status": 504, "accept": True},
        {"kind": FaultKind.CUT, "accept": True},
        {"kind": FaultKind.CUT},
        {"kind": FaultKind.STATUS, "status": 500},
        {"kind": FaultKind.RATE_LIMIT_TEXT, "retry_after": "1"},
        {"kind": FaultKind.RATE_LIMIT_JSON},
        {"kind": FaultKind.GARBAGE, "accept": True},
    ],
    ids=lambda fault: " ".join(str(value) for value in fault.values()),
)
def test_every_fault_of_argo_leaves_one_workflow_an_event(fault, tmp_path, mosquitto):
    """The first three creates meet it, carried out or not; nothing is lost, duplicated or dead-lettered."""
    with Spine(tmp_path, mosquitto, HERE) as spine:
        spine.fail(count=3, **fault)
        publish(spine, "sensors/here/1", *range(10))
        spine.await_numbers(*range(10), within_s=25)
        spine.fence()
        assert sorted(spine.numbers) == list(range(10))
        assert spine.on(DEAD_LETTER) == []


@pytest.fixture
def lost_marks(monkeypatch):
    """While set, the end of a row that Argo accepted is not marked, as when the bridge is killed before."""
    lost = threading.Event()
    done = Settlement.done
    monkeypatch.setattr(Settlement, "done", lambda self, event: None if lost.is_set() else done(self, event))
    return lost


@pytest.mark.parametrize("is_watching", [False, True], ids=["by the answer", "by the watch"])
def test_a_conflict_that_is_ours_is_a_success(is_watching, tmp_path, mosquitto, lost_marks, monkeypatch):
    """A create repeated after a crash is answered 409: this event's own workflow, so the row is done, not dead."""
    if not is_watching:
        monkeypatch.setattr(Dispatcher, "event_seen", lambda *_: None)
    with Spine(tmp_path, mosquitto, HERE) as spine:
        lost_marks.set()
        publish(spine, "sensors/here/1", 1)
        spine.await_numbers(1)
        spine.restart(lost_marks.clear)
        spine.fence()
        spine.await_numbers(1)
        assert is_watching or spine.bridge.count("submit_failures_total", code="already-exists") == 1
        assert spine.on(DEAD_LETTER) == []


def test_the_watch_ends_a_row_whose_answer_is_late(tmp_path, mosquitto):
    """An accepted create without an answer is done when the watch shows its workflow, though a look-up fails."""
    with Spine(tmp_path, mosquitto) as spine:
        spine.fail(FaultKind.CUT, accept=True, delay_s=0.5)
        spine.simulator.faults.add(
            InjectedFault(FaultKind.STATUS, method="GET", path=r"/workflows/factory/", status=500)
        )
        assert "workflowId" in spine.ask(submit())
        assert len(spine.simulator.created) == 1


@pytest.mark.parametrize(
    ("status", "message", "reachable", "code"),
    [
        (500, "etcdserver: request timed out", False, "server-error"),
        (401, "Unauthorized", False, "not-authenticated"),
        (403, 'workflows.argoproj.io is forbidden: User "u" cannot get resource "workflows"', True, "not-permitted"),
    ],
    ids=["etcd is frozen", "the token has expired", "the right to get is missing"],
)
def test_health_tells_what_argo_does_not_answer(status, message, reachable, code, tmp_path, mosquitto, monkeypatch):
    """`version` and lists are answered all the same; `state` names what is not, until it is again."""
    monkeypatch.setattr(cluster, "POLL_S", 0.1)
    monkeypatch.setattr(cluster, "POLL_AWAY_S", 0.1)
    with Spine(tmp_path, mosquitto) as spine:
        state = spine.bridge.service.state
        wait_until(lambda: state()["argo"]["reachable"] and not state()["problems"], "a server that answers")
        fault = InjectedFault(
            FaultKind.STATUS, method="GET", path=rf"/workflows/{NAMESPACE}/.", status=status, message=message
        )
        spine.simulator.faults.add(fault)
        wait_until(lambda: [one["code"] for one in state()["problems"]][:1] == [code], "the problem")
        assert message in state()["problems"][0]["message"]
        assert state()["argo"]["reachable"] is reachable
        spine.simulator.faults.remove(fault)
        wait_until(lambda: state()["argo"]["reachable"] and not state()["problems"], "an end of the problem")


def test_a_new_token_lets_a_waiting_mapping_go_on(tmp_path, mosquitto, monkeypatch):
    """An expired token parks the mapping; the next one is found in its file and used at once, with no probe due."""
    monkeypatch.setattr(lanes, "PROBE", Backoff(3600.0, 3600.0))
    (tmp_path / "token").write_text("old")
    with Spine(tmp_path, mosquitto, HERE, argo="token-file: token") as spine:
        fault = spine.fail(FaultKind.STATUS, status=401, message="Unauthorized")
        publish(spine, "sensors/here/1", 1)
        spine.bridge.await_cause("Unauthorized")
        spine.simulator.faults.remove(fault)
        (tmp_path / "token").write_text("new")
        spine.await_numbers(1)
