"""Operations over AMQP: from a routing key to the Argo Server, and back to wherever the reply is wanted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import orjson
import pytest

from tests.support.amqp_client import DIRECT_REPLY
from tests.support.amqp_spine import AmqpSpine
from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.interface_check import misfits
from tests.support.operations import FAILING, PREFIX, SUSPENDED, WITHIN_S, OperationsSpine
from tests.support.spine import DEAD_LETTER, TRIGGER, submit
from tests.support.transport_ends import wait_until

LOGGING = {
    "entrypoint": "main",
    "templates": [
        {
            "name": "main",
            "container": {"image": "i", "command": ["sh", "-c"], "args": ["echo one; echo two\necho three"]},
        }
    ],
}


class AmqpOperations(OperationsSpine, AmqpSpine):
    """Asks for operations over AMQP."""


@dataclass(frozen=True)
class Answer:
    """A reply, as its receiver got it."""

    body: dict[str, object]
    correlation_id: str
    code: str


class Desk:
    """A bridge, and somebody who asks it and wants the replies at one address.

    spine: the bridge's.
    queue: an exclusive queue of the asking client.
    """

    def __init__(self, spine):
        self.spine = spine
        self._in_queue = []
        self._numbers = itertools.count(1)
        self.queue = self.own_queue(self._in_queue)

    def own_queue(self, into):
        """Declare an exclusive queue whose messages go to the list `into`; returns its name."""

        def declare(channel):
            name = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_consume(name, lambda *got: into.append(got[2:]), auto_ack=True)
            return name

        return self.spine.client.do(declare)

    def send(self, operation, body, reply_to, level="", **properties):
        """Publish one request; returns its correlation id."""
        correlation = f"c{next(self._numbers)}"
        properties = {"reply_to": reply_to, "correlation_id": correlation} | properties
        self.spine.publish(f"{PREFIX}/{operation}{level}", body, **properties)
        return correlation

    def answers(self, correlation):
        """All replies with this correlation id, wherever they came."""
        direct = [(one.properties, one.payload) for one in list(self.spine.client.replies)]
        return [
            Answer(orjson.loads(payload), properties.correlation_id, properties.headers["code"])
            for properties, payload in [*direct, *list(self._in_queue)]
            if properties.correlation_id == correlation
        ]

    def ask(self, operation, body, reply_to=DIRECT_REPLY, level="", **properties):
        """Ask for one operation; returns its one reply."""
        correlation = self.send(operation, body, reply_to, level, **properties)
        wait_until(lambda: self.answers(correlation), f"the answer to {operation} {body}", WITHIN_S)
        (answer,) = self.answers(correlation)
        return answer


@pytest.fixture(scope="module")
def desk(tmp_path_factory, rabbitmq):
    """One bridge for the module. What it published in all these tests fits the interface's schemas."""
    with AmqpOperations(tmp_path_factory.mktemp("operations"), rabbitmq) as spine:
        yield Desk(spine)
        told = [(one.topic, one.payload) for one in spine.client.messages if one.properties.content_type]
        assert told
        assert list(misfits(told)) == []


@pytest.fixture
def spine(desk):
    """The same bridge, for what is answered under its response routing keys."""
    return desk.spine


def named(name, **more):
    """The body of a request about one workflow."""
    return {"namespace": NAMESPACE, "workflowId": name} | more


def test_a_workflow_is_managed_by_routing_keys(spine):
    """Triggered, read, stopped, resubmitted, deleted: without reply_to each is answered under its response key."""
    name = spine.start_workflow(SUSPENDED)
    read = spine.operate("get", named(name))
    assert read["workflow"]["spec"]["entrypoint"] == "wait"
    assert (read["workflowStatus"]["status"], read["workflowStatus"]["workflowId"]) == ("Running", name)
    assert spine.operate("stop", named(name)) == {"status": "Workflow stopped successfully", "workflowId": name}
    spine.await_phase(name, "Failed")
    again = spine.operate("resubmit", {"workflowId": name}, f"/{NAMESPACE}")["workflowId"]
    spine.await_phase(again, "Running")
    labels = spine.simulator.workflow(NAMESPACE, again)["metadata"]["labels"]
    assert labels["workflows.argoproj.io/resubmitted-from-workflow"] == name
    assert spine.operate("delete", named(again)) == {"status": "Workflow deleted successfully", "workflowId": again}
    spine.await_gone(again)


def test_a_failed_workflow_runs_again(desk):
    """Retried once, under its own name; the reply waits in a queue of the client."""
    name = desk.spine.start_workflow(FAILING, "Failed")
    before = desk.spine.status(name)
    answer = desk.ask("retry", named(name), desk.queue)
    assert answer.body == {"status": "Workflow retried successfully", "workflowId": name}
    assert answer.code == "200"
    wait_until(lambda: desk.spine.status(name) != before, "another run", WITHIN_S)


def test_all_workflows_are_listed_page_by_page(desk):
    """Each once, in a queue of the client and at its direct reply address by turns, until there is no `continue`."""
    names = {desk.spine.start_workflow(SUSPENDED, namespace="lab") for _ in range(5)}
    seen, more, pages = [], {}, 0
    for reply_to in itertools.cycle((desk.queue, DIRECT_REPLY)):
        answer = desk.ask("list", {"limit": 2, "phase": "Running"} | more, reply_to, "/lab")
        assert answer.code == "200"
        seen += [one["workflowId"] for one in answer.body["workflows"]]
        pages += 1
        if "continue" not in answer.body:
            break
        more = {"continue": answer.body["continue"]}
    assert (sorted(seen), pages) == (sorted(names), 3)


def test_logs_are_read_and_followed_on_the_direct_reply_address(desk):
    """The last lines in one reply; followed, several replies with the one correlation id, the last marked so."""
    steps = [[{"name": f"s{number}", "template": "main"}] for number in range(3)]
    spec = {"entrypoint": "all", "templates": [{"name": "all", "steps": steps}, *LOGGING["templates"]]}
    name = desk.spine.start_workflow(spec | {"suspend": True})
    correlation = desk.send("logs", named(name, follow=True, tailLines=1000), DIRECT_REPLY)
    wait_until(lambda: desk.answers(correlation), "a first reply, before there is a line", WITHIN_S)
    assert desk.answers(correlation)[0].body["more"] is True
    assert desk.ask("resume", named(name), desk.queue).code == "200"
    wait_until(lambda: desk.answers(correlation)[-1].body["more"] is False, "the last reply", WITHIN_S)
    replies = desk.answers(correlation)
    assert [one.body["more"] for one in replies] == [True] * (len(replies) - 1) + [False]
    lines = [line["text"] for one in replies for line in one.body["lines"]]
    assert sum(line.endswith("three") for line in lines) == 3
    desk.spine.await_phase(name, "Succeeded")
    last = desk.ask("logs", named(name, tailLines=1)).body
    assert [line["text"].endswith("three") for line in last["lines"]] == [True]
    assert last["more"] is False


def test_who_follows_logs_and_leaves_holds_nobody_up(desk):
    """The reply queue is deleted while replies to it go on: they are counted and dropped, others are answered."""
    mine = []
    queue = desk.own_queue(mine)
    name = desk.spine.start_workflow(LOGGING | {"suspend": True})
    desk.send("logs", named(name, follow=True), queue)
    wait_until(lambda: mine, "a first reply", WITHIN_S)
    desk.spine.client.do(lambda channel: channel.queue_delete(queue))
    assert desk.ask("resume", named(name)).code == "200"
    wait_until(
        lambda: desk.spine.bridge.count("replies_unsendable_total", cause="unroutable") >= 1, "a returned reply", 30
    )
    assert desk.ask("get", named(name)).code == "200"


def test_manifests_and_templates_are_looked_at(desk):
    """A valid workflow, one with a typo, and what may be triggered; nothing is started."""
    before = len(desk.spine.simulator.created)
    spec = {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]}
    valid = desk.ask("lint", {"workflow": {"metadata": {"generateName": "x-"}, "spec": spec}}, desk.queue)
    assert (valid.body, valid.code) == ({"status": "Workflow is valid"}, "200")
    typo = desk.ask("lint", {"workflow": {"spec": spec | {"entrypont": "x"}}})
    assert typo.body["error"].startswith("Invalid workflow definition")
    assert (typo.body["details"][0]["suggestion"], typo.code) == ("entrypoint", "400")
    listed = desk.ask("list-templates", {"namespace": NAMESPACE})
    assert [one["template"] for one in listed.body["templates"]] == [TEMPLATE]
    assert len(desk.spine.simulator.created) == before


def test_crons_are_suspended_and_triggered(desk):
    """By their own key; what is started carries the cron's label."""
    desk.spine.put_cron("nightly", SUSPENDED)
    body = {"namespace": NAMESPACE, "cron": "nightly"}
    suspended = desk.ask("suspend-cron", body, desk.queue)
    assert suspended.body == {"status": "CronWorkflow suspended successfully", "cron": "nightly"}
    assert desk.spine.cron("nightly")["spec"]["suspend"] is True
    name = desk.ask("trigger-cron", body).body["workflowId"]
    labels = desk.spine.simulator.workflow(NAMESPACE, name)["metadata"]["labels"]
    assert labels["workflows.argoproj.io/cron-workflow"] == "nightly"


def test_refusals_say_what_is_wrong_with_code_and_correlation(desk):
    """An unknown key with a proposal, a workflow that is not there, a namespace that is not allowed, no operation."""
    typo = desk.ask("terminate", named("w", namspace=NAMESPACE))
    assert 'unknown key "namspace" in the terminate request; did you mean "namespace"?' in typo.body["error"]
    assert typo.code == "400"
    gone = desk.ask("stop", named("gone"), desk.queue)
    assert (gone.body, gone.code) == ({"error": 'workflows.argoproj.io "gone" not found'}, "404")
    elsewhere = desk.ask("list", {}, level="/kube-system")
    assert "is not allowed here" in elsewhere.body["error"]
    letters = [(body["reason"], body["topic"]) for body in map(orjson.loads, (m.payload for m in on_letters(desk)))]
    assert ("workflow-not-found", f"{PREFIX}/stop") in letters


def on_letters(desk):
    """The notices of dead letters."""
    wait_until(lambda: len(desk.spine.on(DEAD_LETTER)) >= 2, "the notices", WITHIN_S)
    return desk.spine.on(DEAD_LETTER)


def test_a_message_id_makes_repetitions_one_operation(desk):
    """Each sender is answered with the first one's outcome and its own correlation id, and it is done once."""
    name = desk.spine.start_workflow(SUSPENDED)
    before = len(desk.spine.simulator.created)
    first = desk.ask("resubmit", named(name), message_id="again-1")
    second = desk.ask("resubmit", named(name), desk.queue, message_id="again-1")
    assert first.body == second.body
    assert len(desk.spine.simulator.created) == before + 1
    other = desk.ask("resubmit", named(name), message_id="again-2")
    assert other.body["workflowId"] != first.body["workflowId"]
    assert len(desk.spine.simulator.created) == before + 2


def test_a_read_is_answered_as_often_as_it_is_asked(desk):
    """What reads is no event: a message_id that came before is no reason to stay silent."""
    for reply_to in (DIRECT_REPLY, desk.queue):
        assert desk.ask("list", {"namespace": NAMESPACE}, reply_to, message_id="read-1").code == "200"


def test_a_trigger_with_a_reply_queue_is_answered_there_alone(desk):
    """Its reply has the workflow's name and its requestId; nothing comes under the response key."""
    correlation = desk.send("trigger", submit(requestId="only-there"), desk.queue)
    wait_until(lambda: desk.answers(correlation), "the reply", WITHIN_S)
    (answer,) = desk.answers(correlation)
    assert answer.body["requestId"] == "only-there"
    assert answer.body["workflowId"] in [one.name for one in desk.spine.simulator.created]
    assert desk.spine.ask(submit(), TRIGGER)["workflowId"]
    assert desk.spine.answers("only-there") == []
