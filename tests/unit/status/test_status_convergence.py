"""Promise 4: whatever happened in between, retained status in the end is what Argo has."""

from __future__ import annotations

import copy
from collections import Counter

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from status_fakes import NS, STREAM, TOPICS, Bench, FakeBroker, FakeStore, FakeTransport, failed_nodes, workflow

from bridge.argo.watch import WatchFrame
from bridge.core.model import WorkflowRef
from bridge.spool.records import ExternalStatus
from bridge.status.decided.nodes import read_nodes
from bridge.status.decided.transitions import digest_of, observe, transition, update_of
from bridge.status.seen.events import Listed, LiveSeen, LookedUp
from bridge.transports.base import PublishResult, Session
from tests.support.clock import FakeClock

NAMES = ["a", "b", "c"]
DEVICES = ["", "dev/1/workflow", "dev/2/workflow"]
PERSISTED = {"workflows.argoproj.io/workflow-archiving-status": "Persisted"}
CONNECTIONS = ["plant", "office"]


class Argo:
    """A kube with its history, a list that lags, and an archive that may keep what was deleted."""

    def __init__(self) -> None:
        self.living: dict[str, dict] = {}
        self.archive: dict[str, dict] = {}
        self.has_archive = False
        self.history: list[tuple[str, dict]] = []
        self.snapshots: list[dict[str, dict]] = [{}]
        self.newest_by_device: dict[str, tuple[str, str, str]] = {}
        self.count = 0

    def _record(self, kind: str, item: dict) -> None:
        item["metadata"]["resourceVersion"] = str(len(self.history) + 100)
        self.history.append((kind, copy.deepcopy(item)))
        self.snapshots.append(copy.deepcopy(self.living))

    def create(self, name: str, device: str) -> None:
        self.count += 1
        created = f"2026-11-24T14:{self.count // 60:02}:{self.count % 60:02}Z"
        item = workflow(name, f"uid-{self.count}", created=created, annotations={"argo-bridge/status-topic": device})
        self.living[name] = item
        self._record("ADDED", item)
        if device:
            self.newest_by_device[device] = (created, name, item["metadata"]["uid"])

    def change(self, name: str, phase: str, progress: str) -> None:
        item = self.living[name]
        status = item["status"]
        begun = status["startedAt"] if status.get("phase") in ("Running", "Pending") else f"run-{len(self.history)}"
        item["status"] = {"phase": phase, "progress": progress, "startedAt": begun, "finishedAt": None}
        if phase in ("Failed", "Error"):
            item["status"] |= {"message": f"child '{name}-2' failed", "nodes": failed_nodes(name)}
        elif (phase, progress) == ("Running", "1/2"):
            item["status"]["nodes"] = {f"{name}-3": {"type": "Suspend", "phase": "Running"}}
        self._record("MODIFIED", item)

    def say(self, name: str, message: str) -> None:
        """A change that ends what another system said."""
        self.living[name]["status"] |= {"message": message}
        self._record("MODIFIED", self.living[name])

    def delete(self, name: str) -> None:
        item = self.living.pop(name)
        self._record("DELETED", item)
        if self.has_archive:
            self.archive[item["metadata"]["uid"]] = self.persisted(item)

    @staticmethod
    def persisted(item: dict) -> dict:
        item = copy.deepcopy(item)
        item["metadata"]["labels"] |= PERSISTED
        return item

    def get(self, ref: WorkflowRef) -> dict | None:
        archived = [item for item in self.archive.values() if item["metadata"]["name"] == ref.name]
        return self.living.get(ref.name) or (archived[-1] if archived else None)

    def listed(self, position: int) -> list[dict]:
        items = list(copy.deepcopy(self.snapshots[position]).values())
        if not self.has_archive:
            return items
        ended = ("Succeeded", "Failed", "Error")
        shown = [self.persisted(item) if item["status"].get("phase") in ended else item for item in items]
        return shown + [item for uid, item in self.archive.items() if uid not in {i["metadata"]["uid"] for i in items}]


class Convergence(RuleBasedStateMachine):
    """Random frames, lists, GETs, disconnects, refusals, restarts; at the end everything heals and is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.argo = Argo()
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.brokers = {name: FakeBroker() for name in CONNECTIONS}
        self.may_lose_spool = self.spool_was_lost = False
        self.overwritten: dict[tuple[str, str], bytes] = {}
        self.start()

    @invariant()
    def whatever_is_retained_has_its_row(self) -> None:
        """A crash at this very moment would leave nothing behind that the next process does not know of."""
        if not self.spool_was_lost:
            rows = {(row.connection, row.topic) for row in self.store.rows.values()}
            assert {(name, topic) for name, broker in self.brokers.items() for topic in broker.retained} <= rows

    def start(self) -> None:
        transports = [FakeTransport(self.brokers[name], name) for name in CONNECTIONS]
        for transport in transports:
            transport.auto = False
        self.bench = Bench(*transports, store=self.store, clock=self.clock, reports=True)
        self.position: int | None = None
        self.late: list[LookedUp] = []

    @initialize(has_archive=st.booleans(), may_lose_spool=st.booleans())
    def archive(self, has_archive: bool, may_lose_spool: bool) -> None:
        self.argo.has_archive = has_archive
        self.may_lose_spool = may_lose_spool

    @rule()
    def calm(self) -> None:
        """Everything is up and caught up, but for acknowledgements: most trouble begins in a good moment."""
        for name, transport in self.bench.transports.items():
            if not transport.is_ready:
                self.bench.connect(name, Session.RESUMED)
        if self.position is None:
            self.list_and_watch(0)
        self.watch(1000)
        self.wait(2)

    @rule(name=st.sampled_from(NAMES), device=st.sampled_from(DEVICES), count=st.integers(0, 4))
    def come_and_go(self, name: str, device: str, count: int) -> None:
        """A workflow that is gone while its first messages are still on their way."""
        self.create(name, device)
        self.calm()
        self.delete(name)
        self.watch(1000)
        for connection in CONNECTIONS:
            self.acknowledge(connection, count, False)

    @rule(name=st.sampled_from(NAMES), device=st.sampled_from(DEVICES))
    def create(self, name: str, device: str) -> None:
        if name not in self.argo.living:
            self.argo.create(name, device)

    @rule(
        name=st.sampled_from(NAMES),
        phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Error"]),
        done=st.integers(0, 2),
    )
    def change(self, name: str, phase: str, done: int) -> None:
        if name in self.argo.living:
            self.argo.change(name, phase, f"{done}/2")

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        if name in self.argo.living:
            self.argo.delete(name)

    @rule(lag=st.integers(0, 3))
    def list_and_watch(self, lag: int) -> None:
        self.position = max(0, len(self.argo.history) - lag)
        self.bench.handle(Listed(NS, tuple(self.argo.listed(self.position)), starts_watch=True))

    @precondition(lambda self: self.position is not None)
    @rule(lag=st.integers(0, 3))
    def periodic_list(self, lag: int) -> None:
        position = max(0, len(self.argo.history) - lag)
        self.bench.handle(Listed(NS, tuple(self.argo.listed(position)), starts_watch=False))

    @precondition(lambda self: self.position is not None)
    @rule(count=st.integers(1, 5))
    def watch(self, count: int) -> None:
        assert self.position is not None
        for kind, item in self.argo.history[self.position : self.position + count]:
            self.bench.handle(WatchFrame(kind, copy.deepcopy(item), "", namespace=NS))
        self.position = min(len(self.argo.history), self.position + count)

    @rule()
    def answer_one(self) -> None:
        for ref in list(self.bench.open)[:1]:
            self.bench.answer(ref, self.argo.get(ref))

    @rule()
    def answer_late(self) -> None:
        """Argo has answered, and the answer is still on its way while frames go on."""
        for ref in list(self.bench.open)[:1]:
            self.late.append(LookedUp(ref, copy.deepcopy(self.argo.get(ref)), self.bench.open.pop(ref)))

    @precondition(lambda self: self.late)
    @rule()
    def late_answer_comes(self) -> None:
        self.bench.handle(self.late.pop(0))

    @rule(name=st.sampled_from(NAMES), keep_s=st.sampled_from([1.0, 1e6]), progress=st.sampled_from(["", "77%"]))
    def other_system(self, name: str, keep_s: float, progress: str) -> None:
        self.store.send(name, keep_s, status="Succeeded", progress=progress, message="says another")
        self.bench.handle(self.bench.tracker.updates_stored)

    @rule(seconds=st.sampled_from([0.2, 1.5, 40.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.bench.run()

    @rule(name=st.sampled_from(CONNECTIONS), count=st.integers(1, 4), refuse=st.booleans())
    def acknowledge(self, name: str, count: int, refuse: bool) -> None:
        transport = self.bench.transports[name]
        transport.refuse = PublishResult.REFUSED if refuse else None
        transport.settle(count)
        transport.refuse = None
        self.bench.run()

    @rule(name=st.sampled_from(CONNECTIONS), which=st.integers(0, 20), payload=st.sampled_from([b"", b"{}"]))
    def another_client_overwrites(self, name: str, which: int, payload: bytes) -> None:
        transport = self.bench.transports[name]
        topics = sorted(topic for topic in transport.broker.retained if topic.startswith(STREAM))
        if topics and transport.is_ready:
            topic = topics[which % len(topics)]
            transport.broker.retained[topic] = self.overwritten[name, topic] = payload
            if not payload:
                del transport.broker.retained[topic]
            self.bench.handle(LiveSeen(name, topic, digest_of(payload)))

    @rule(name=st.sampled_from(CONNECTIONS), reached=st.integers(0, 4))
    def disconnect(self, name: str, reached: int) -> None:
        if self.bench.transports[name].is_ready:
            self.bench.disconnect(name, reached)

    @rule(name=st.sampled_from(CONNECTIONS), wiped=st.booleans(), session=st.sampled_from(Session))
    def connect(self, name: str, wiped: bool, session: Session) -> None:
        if self.bench.transports[name].is_ready:
            return
        if wiped:
            self.brokers[name].retained.clear()
            session = Session.NEW
        self.bench.connect(name, session)

    @rule(name=st.sampled_from(CONNECTIONS), reached=st.integers(0, 4), kept=st.integers(0, 4))
    def crash_of_the_broker(self, name: str, reached: int, kept: int) -> None:
        """It comes back with the session and some of what it had retained."""
        if self.bench.transports[name].is_ready:
            self.bench.disconnect(name, reached)
        for topic in list(self.brokers[name].retained)[kept:]:
            del self.brokers[name].retained[topic]
        self.bench.connect(name, Session.RESUMED)

    @rule(name=st.sampled_from(CONNECTIONS), full=st.booleans())
    def fill_window(self, name: str, full: bool) -> None:
        self.bench.transports[name].full = full
        self.bench.run()

    @rule(broken=st.booleans())
    def spool(self, broken: bool) -> None:
        self.store.broken = broken

    @rule(reached=st.integers(0, 4))
    def kill_and_restart(self, reached: int) -> None:
        for transport in self.bench.transports.values():
            transport.lose(reached)
        self.start()

    @precondition(lambda self: self.may_lose_spool)
    @rule(reached=st.integers(0, 4))
    def lose_spool(self, reached: int) -> None:
        """Kill the bridge and its spool; what PREFIX/status holds is found all the same, a mapping's topic is not.

        Nor is a topic of PREFIX/status over which another client has just written: nothing there says whose it was.
        """
        self.spool_was_lost = True
        for (name, topic), payload in self.overwritten.items():
            if self.brokers[name].retained.get(topic) == payload:
                del self.brokers[name].retained[topic]
        self.store.rows.clear()
        self.kill_and_restart(reached)
        for broker in self.brokers.values():
            for topic in DEVICES:
                broker.retained.pop(topic, None)

    def teardown(self) -> None:
        self.heal()
        for name, broker in self.brokers.items():
            expected = {TOPICS.status_of(NS, key): said(item) for key, item in self.argo.living.items()}
            for (_, key), update in self.store.updates.items():
                expected.setdefault(TOPICS.status_of(NS, key), said_by_another(update))
            own = {topic: body for topic, body in broker.retained.items() if topic.startswith("argo/")}
            report = orjson.loads(own.pop(TOPICS.report_of(NS)))
            assert own == expected, name
            phases = Counter(item["status"].get("phase") or "Pending" for item in self.argo.living.values())
            assert +Counter(report["workflows"]) == phases
            self.check_devices(broker)
        assert not {key for _, key in self.store.updates} & set(self.argo.living), "nothing waits for what Argo knows"
        rows = {(row.connection, row.topic) for row in self.store.rows.values()}
        assert rows == {(name, topic) for name in CONNECTIONS for topic in self.brokers[name].retained}

    def heal(self) -> None:
        self.store.broken = False
        for name, transport in self.bench.transports.items():
            transport.auto, transport.full = True, False
            transport.settle()
            if not transport.is_ready:
                self.bench.connect(name, Session.RESUMED)
        self.list_and_watch(0)
        self.bench.wait(3, step_s=1.0)
        for name in self.argo.living:
            self.argo.say(name, f"healed {len(self.argo.history)}")
        self.watch(1000)
        while self.late:
            self.late_answer_comes()
        for _ in range(5):
            for ref in list(self.bench.open):
                self.bench.answer(ref, self.argo.get(ref))
            self.bench.wait(12, step_s=1.0)
        assert not self.bench.open
        assert self.bench.publisher.is_settled

    def check_devices(self, broker: FakeBroker) -> None:
        by_uid = {item["metadata"]["uid"]: item for item in self.argo.living.values()}
        for device, (_, _, newest) in self.argo.newest_by_device.items():
            naming = [item for item in by_uid.values() if _device(item) == device]
            shown = broker.retained.get(device)
            if newest in by_uid:
                assert shown == said(by_uid[newest])
            else:
                # The newest is gone: nothing, or (after a restart, that cannot know) the newest of the living.
                newest_living = max(naming, key=lambda item: item["metadata"]["creationTimestamp"], default=None)
                assert shown in (None, newest_living and said(newest_living))


def _device(item: dict) -> str:
    return item["metadata"]["annotations"]["argo-bridge/status-topic"]


def said(item: dict) -> bytes:
    """The message that is true of a workflow."""
    seen = observe(item)
    assert seen is not None
    statement = transition(b"", seen.ref, update_of(seen, read_nodes(item, listed=False), "plant-1"))
    assert statement is not None
    return statement.document


def said_by_another(update: ExternalStatus) -> bytes:
    """The message that is retained for a workflow that Argo does not know."""
    body = orjson.loads(update.body)
    return orjson.dumps(
        {
            "namespace": update.namespace,
            "workflowId": update.name,
            "status": body["status"],
            "progress": body["progress"] or "0%",
            "message": body["message"],
            "details": {"bridge": "plant-1", "source": "external"},
        }
    )


def test_retained_status_is_true_in_the_end() -> None:
    """After any sequence of frames, cuts, refusals, outages and restarts, both brokers hold exactly Argo's truth."""
    run_state_machine_as_test(
        Convergence, settings=settings(max_examples=150, stateful_step_count=40, deadline=None, print_blob=True)
    )
