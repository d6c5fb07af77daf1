"""What only nodes tell: that a workflow waits for somebody, and the list of nodes; and what of the spec is told."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from status_fakes import NS, OWN_ONLY, TOPICS, Bench, FakeBroker, FakeTransport, failed_nodes, workflow

from bridge.core.model import WorkflowRef
from bridge.interface.status import StatusRequests
from bridge.status.decided.nodes import MAX_NODES, read_nodes
from bridge.status.seen.sources import FollowedWorkflows
from bridge.status.shown.announcer import MAX_ASKED

OWN = TOPICS.status_of(NS, "boil-1")
REF = WorkflowRef(NS, "boil-1", "u1")
WAITS = {"boil-1-9": {"id": "boil-1-9", "type": "Suspend", "phase": "Running", "displayName": "approve"}}
RUNS = {"phase": "Running", "progress": "1/2", "startedAt": "s"}
WITH_NODES = replace(OWN_ONLY, requests=lambda mapping, _: StatusRequests(mapping == "boiler"))


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def ready(broker: FakeBroker, follow: FollowedWorkflows = OWN_ONLY) -> Bench:
    made = Bench(FakeTransport(broker), follow=follow)
    made.connect()
    made.list()
    made.wait(15, step_s=1.0)
    return made


def details(broker: FakeBroker) -> dict[str, object]:
    return broker.bodies(OWN)[-1]["details"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"suspend": True}, {"suspended"}),
        ({"shutdown": "Stop"}, {"stopping"}),
        ({"shutdown": "Terminate"}, {"terminating"}),
        ({"suspend": True, "shutdown": "Stop"}, {"suspended", "stopping"}),
        ({}, set()),
    ],
)
def test_suspended_stopping_and_terminating_are_told_apart(
    broker: FakeBroker, spec: dict[str, object], told: set[str]
) -> None:
    """While a workflow runs its details say what was asked of it; none of it is said of its end."""
    bench = ready(broker)
    bench.frame(workflow(version=1, spec=spec, **RUNS))
    assert {key for key in details(broker) if details(broker)[key] is True} == told
    bench.frame(workflow(version=2, spec=spec, phase="Succeeded"))
    assert not {"suspended", "stopping", "terminating"} & set(details(broker))


def test_a_workflow_at_a_suspend_node_is_suspended(broker: FakeBroker) -> None:
    """One that stands still without a pod is looked at once; it is suspended until it goes on."""
    bench = ready(broker)
    bench.frame(workflow(version=1, **RUNS))
    assert bench.open == {}
    bench.wait(2)
    bench.answer(REF, workflow(version=1, nodes=WAITS, **RUNS))
    bench.wait(2)
    assert details(broker)["suspended"] is True
    bench.wait(60, step_s=1)
    assert bench.open == {}
    bench.frame(workflow(version=2, **RUNS | {"progress": "2/3"}))
    bench.wait(1)
    assert "suspended" not in details(broker)


def test_a_workflow_whose_pods_run_is_not_suspended(broker: FakeBroker) -> None:
    """Beside a Suspend node another branch may work: while it does, nobody is waited for; after it, somebody is."""
    bench = ready(broker)
    bench.frame(workflow(version=1, **RUNS))
    bench.wait(2)
    bench.answer(REF, workflow(version=1, nodes=WAITS, **RUNS))
    told = []
    for version, running in enumerate(("False", "True", "False"), 2):
        bench.frame(workflow(version=version, conditions=[{"type": "PodRunning", "status": running}], **RUNS))
        bench.wait(2)
        told.append(details(broker).get("suspended"))
    assert told == [True, None, True]


def test_a_workflow_that_only_waits_for_a_pod_is_not_suspended(broker: FakeBroker) -> None:
    """Its nodes are asked for once, and nothing is said."""
    bench = ready(broker)
    bench.frame(workflow(version=1, **RUNS))
    bench.wait(2)
    before = list(broker.messages)
    bench.answer(REF, workflow(version=1, nodes={}, **RUNS))
    bench.frame(workflow(version=2, message="postponed", **RUNS))
    bench.wait(60, step_s=1)
    assert bench.open == {}
    assert "suspended" not in details(broker)
    assert len(broker.messages) == len(before) + 2


def test_a_workflow_with_a_running_pod_is_not_asked_about(broker: FakeBroker) -> None:
    """Nearly every workflow: no GET is spent on it."""
    bench = ready(broker)
    bench.frame(workflow(version=1, conditions=[{"type": "PodRunning", "status": "True"}], **RUNS))
    bench.wait(60, step_s=1)
    assert bench.open == {}


def test_hundreds_that_stand_still_are_asked_about_in_turn(broker: FakeBroker) -> None:
    """No more than a few of these questions are open at once, and each is asked in the end."""
    bench = ready(broker)
    for number in range(3 * MAX_ASKED):
        bench.frame(workflow(f"w-{number}", f"u-{number}", number, **RUNS))
    bench.wait(3)
    asked = set()
    while bench.open:
        assert len(bench.open) <= MAX_ASKED
        ref = next(iter(bench.open))
        asked.add(ref)
        bench.answer(ref, workflow(ref.name, ref.uid, 1000, nodes=WAITS, **RUNS))
        bench.wait(0.2)
    assert len(asked) == 3 * MAX_ASKED


def test_questions_do_not_pile_up_while_argo_refuses_to_answer(broker: FakeBroker) -> None:
    """One question a workflow waits, about where it stands now; none of those that are gone."""
    bench = ready(broker)
    names = [f"w-{number}" for number in range(MAX_ASKED + 2)]
    for version in range(1, 30):
        for name in names:
            bench.frame(workflow(name, f"u-{name}", version, **RUNS | {"progress": f"{version}/30"}))
        bench.wait(2, step_s=1.0)
    assert len(bench.open) == MAX_ASKED
    assert len(bench.tracker._announcer._still) <= len(names)
    for name in names:
        bench.frame(workflow(name, f"u-{name}", 99), "DELETED")
    assert not bench.tracker._announcer._still


def test_a_restart_does_not_forget_who_waits(broker: FakeBroker) -> None:
    """What is retained as suspended stays so until GET says otherwise: a restart publishes nothing."""
    bench = ready(broker)
    bench.frame(workflow(version=1, **RUNS))
    bench.wait(2)
    bench.answer(REF, workflow(version=1, nodes=WAITS, **RUNS))
    bench.wait(2)
    before = list(broker.messages)
    after = Bench(FakeTransport(broker), store=bench.store, clock=bench.clock)
    after.connect()
    after.list(workflow(version=1, **RUNS))
    after.wait(3)
    assert broker.messages == before
    after.answer(REF, workflow(version=1, nodes={}, **RUNS))
    after.wait(2)
    assert "suspended" not in details(broker)


def test_a_mapping_may_ask_for_nodes(broker: FakeBroker) -> None:
    """With status.nodes each message waits for its nodes and has them, failures too; other mappings have none."""
    bench = ready(broker, WITH_NODES)
    bench.frame(workflow(version=1, **RUNS))
    bench.answer(REF, workflow(version=1, nodes=WAITS, **RUNS))
    assert details(broker)["nodes"] == [{"name": "approve", "type": "Suspend", "phase": "Running"}]
    bench.wait(2)
    ended = {"phase": "Failed", "startedAt": "s", "message": "child 'boil-1-2' failed"}
    bench.frame(workflow(version=2, **ended))
    bench.answer(REF, workflow(version=2, nodes=failed_nodes(), **ended))
    assert [node["name"] for node in details(broker)["nodes"]] == ["boil-1", "[0]", "measure"]
    assert details(broker)["failedNode"]["exitCode"] == 3
    bench.frame(workflow("other-1", "u2", 3, annotations={"argo-bridge/mapping": "other"}, **RUNS))
    assert "nodes" not in broker.bodies(TOPICS.status_of(NS, "other-1"))[-1]["details"]


def test_nodes_that_cannot_be_read_delay_a_message_two_seconds(broker: FakeBroker) -> None:
    """Whatever GET does, and however fast frames come, the state is told."""
    bench = ready(broker, WITH_NODES)
    for version in range(1, 40):
        bench.frame(workflow(version=version, phase="Running", progress=f"{version}/40"))
        bench.wait(0.1)
    assert len(broker.bodies(OWN)) >= 1
    bench.wait(4)
    assert broker.bodies(OWN)[-1]["progress"] == "97%"


def test_the_list_of_nodes_is_bounded() -> None:
    """Of more than a hundred nodes those that failed or run stay, in order of their start, and it is said."""
    nodes = {str(n): {"name": f"n{n}", "phase": "Succeeded", "startedAt": f"{n:04}"} for n in range(300)}
    nodes["250"] |= {"phase": "Failed", "message": "x" * 5000}
    nodes["270"] |= {"phase": "Running"}
    detail = read_nodes({"status": {"nodes": nodes}}, listed=True)
    names = [node["name"] for node in detail.nodes]
    assert len(names) == MAX_NODES
    assert names == sorted(names, key=lambda name: int(str(name)[1:]))
    assert names[-2:] == ["n250", "n270"]
    assert detail.is_cut
    assert len(orjson.dumps(detail.nodes)) < 20_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "phase", "a"]), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"metadata": JSON, "status": st.dictionaries(st.just("nodes"), JSON)}))
def test_no_nodes_raise(answer: dict[str, object]) -> None:
    """Whatever a server sends as nodes, reading it never raises."""
    read_nodes(answer, listed=True)
