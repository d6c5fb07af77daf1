"""Commands that ask a running bridge, as people run them, through its AMQP connection on a real RabbitMQ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.amqp_spine import AmqpSpine
from tests.support.bridge_files import CONNECTION, NAMESPACE, BridgeFiles
from tests.support.bridge_process import clean_environment
from tests.support.rabbitmq import RabbitMq
from tests.support.spine import mapping, submit
from tests.support.transport_ends import wait_until

READING = "sensors/boiler/plain"
PARTS: dict[str, dict[str, Any]] = {
    "wait": {"suspend": {}},
    "fail": {
        "metadata": {"annotations": {"simulator.argo-bridge/duration": "1.0"}},
        "container": {"image": "i", "command": ["sh", "-c"], "args": ["exit 3"]},
    },
    "tell": {"container": {"image": "i", "command": ["echo"], "args": ["done with it"]}},
}


@dataclass
class Done:
    """How one command went."""

    code: int
    output: str
    notes: str


class Operator:
    """Somebody at a terminal, whose bridge.yaml has another broker too, that is away."""

    def __init__(self, folder: Path, spine: AmqpSpine, broker: RabbitMq) -> None:
        self.spine = spine
        self.broker = broker
        amqp = f'{CONNECTION}: {{amqp: {{url: "{broker.url}", exchange: "{spine.exchange}"}}}}'
        self.files = BridgeFiles(
            folder,
            "",
            spine.simulator.url,
            mappings=mapping("plain", "sensors/{device}/plain"),
            connections=f'{{elsewhere: {{mqtt: {{url: "mqtt://127.0.0.1:9"}}}}, {amqp}}}',
            bridge_id=spine.name,
        )
        self.files.write()

    def command(self, verb: str, *arguments: str) -> list[str]:
        """The whole command line."""
        config = ["--config", str(self.files.config), "--connection", CONNECTION]
        return [sys.executable, "-m", "bridge", verb, *config, *arguments]

    def run(self, verb: str, *arguments: str) -> Done:
        """Run one command to its end."""
        command = self.command(verb, *arguments)
        done = subprocess.run(
            command, capture_output=True, timeout=100, check=False, env=clean_environment(), text=True
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, part: str, phase: str) -> str:
        """Start a workflow by message; returns its name once it is in `phase`."""
        spec = {"entrypoint": part, "templates": [{"name": part, **PARTS[part]}]}
        body = {"namespace": NAMESPACE, "workflow": {"metadata": {"generateName": f"{part}-"}, "spec": spec}}
        name = str(self.spine.ask(body)["workflowId"])
        wait_until(lambda: self.phase(name) == phase, f"{name} to be {phase}", 60)
        return name

    def phase(self, name: str) -> str:
        """What Argo says of a workflow."""
        workflow = self.spine.simulator.workflow(NAMESPACE, name)
        return "" if workflow is None else str(workflow.get("status", {}).get("phase", ""))


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMq) -> Iterator[Operator]:
    """One bridge for the module."""
    with AmqpSpine(tmp_path_factory.mktemp("bridge"), rabbitmq, mapping("plain", "sensors/{device}/plain")) as spine:
        yield Operator(tmp_path_factory.mktemp("operator"), spine, rabbitmq)


def test_workflows_are_listed_and_read(operator: Operator) -> None:
    """A table with the workflow that runs, and one workflow whole; a name that is not there is exit code 1."""
    name = operator.start("wait", "Running")
    listed = operator.run("list", "--phase", "Running")
    assert listed.code == 0, listed
    assert f"{NAMESPACE}/{name}  Running" in listed.output
    read = operator.run("get", name, "--json")
    assert read.code == 0, read
    assert json.loads(read.output)["workflow"]["metadata"]["name"] == name
    missing = operator.run("get", "nope")
    assert (missing.code, missing.output) == (1, "")
    assert "refused (404)" in missing.notes


def test_a_stopped_workflow_is_followed_to_its_end(operator: Operator) -> None:
    """`stop --wait` ends with the workflow's end, which is told."""
    name = operator.start("wait", "Running")
    stopped = operator.run("stop", name, "--wait", "--timeout", "60s")
    assert (stopped.code, stopped.output) == (0, f"Workflow stopped successfully: {NAMESPACE}/{name}\n"), stopped
    assert stopped.notes.splitlines()[-1].startswith(f"{NAMESPACE}/{name}  Failed")
    assert operator.phase(name) == "Failed"


def test_what_has_ended_before_needs_no_news(operator: Operator) -> None:
    """No status comes any more and RabbitMQ retains none: the end is asked for, whichever command waits for it."""
    name = operator.start("tell", "Succeeded")
    last = f"{NAMESPACE}/{name}  Succeeded 100%"
    for verb in ("stop", "resume"):
        done = operator.run(verb, name, "--wait", "--timeout", "60s")
        assert (done.code, done.notes.splitlines()) == (0, [last]), done
    body = json.dumps(submit(eventId="sent-twice"))
    first = operator.run("send", "trigger", body, "--wait")
    again = operator.run("send", "trigger", body, "--wait", "--timeout", "60s")
    assert (first.code, again.code) == (0, 0), again
    assert first.output == again.output


def test_a_retried_workflow_is_followed_to_its_next_end(operator: Operator) -> None:
    """`retry --wait` does not take the end before for the new one: the next run takes a second, and it is over."""
    name = operator.start("fail", "Failed")
    retried = operator.run("retry", name, "--wait", "--timeout", "60s")
    assert operator.phase(name) == "Failed"
    assert retried.code == 1, retried
    told = [line.split()[1] for line in retried.notes.splitlines() if line.startswith(f"{NAMESPACE}/{name}  ")]
    assert "Running" in told, retried
    assert told[-1] == "Failed", retried


def test_logs_are_told(operator: Operator) -> None:
    """Lines behind their pod, of a workflow that ended; followed, to the end of the stream."""
    name = operator.start("tell", "Succeeded")
    for more in ((), ("--follow",)):
        logs = operator.run("logs", name, *more)
        assert logs.code == 0, logs
        assert [line.partition(": ")[2] for line in logs.output.splitlines()] == ["done with it"]


def test_watching_tells_what_happens_from_now_on(operator: Operator) -> None:
    """RabbitMQ retains no status: each change that comes while it watches is a line, and it ends by itself."""
    for _ in range(5):  # on a busy machine three seconds may be over before anything has ended
        started, watched = watch_while_working(operator)
        assert (watched.code, watched.notes) == (0, "")
        lines = [line.split() for line in watched.output.splitlines()]
        if started & {line[1] for line in lines if line[2] == "Succeeded"}:
            return
    pytest.fail(f"no end was told: {watched}")


def watch_while_working(operator: Operator) -> tuple[set[str], Done]:
    """Start one workflow after the other while a command watches; returns what was started, and how that went."""
    command = operator.command("watch", NAMESPACE, "--for", "3s")
    started = set()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), text=True
    ) as process:
        try:
            while process.poll() is None:
                started.add(f"{NAMESPACE}/{operator.spine.ask(submit())['workflowId']}")
            output, notes = process.communicate(timeout=60)
        finally:
            process.kill()
    return started, Done(process.returncode, output, notes)


def test_what_is_sent_is_followed_to_its_end(operator: Operator) -> None:
    """`send --wait`: a request prints its reply and ends as its workflow does, a sensor message as what it started."""
    sent = operator.run("send", "trigger", json.dumps(submit()), "--wait")
    assert sent.code == 0, sent
    name = json.loads(sent.output)["workflowId"]
    assert sent.notes.splitlines()[-1] == f"{NAMESPACE}/{name}  Succeeded 100%"
    spec = {"entrypoint": "fail", "templates": [{"name": "fail", **PARTS["fail"]}]}
    failed = operator.run("send", "trigger", json.dumps({"workflow": {"spec": spec}}), "--wait")
    assert failed.code == 1, failed
    reading = operator.run("send", READING, '{"n": 7}', "--wait")
    assert reading.code == 0, reading
    assert 7 in operator.spine.numbers


def test_nothing_of_a_command_stays_at_the_broker(operator: Operator) -> None:
    """A queue that stayed would collect every status for ever."""
    before = queues(operator)
    assert operator.spine.queue("requests") in before
    assert operator.run("list").code == 0
    wait_until(lambda: queues(operator) == before, "the queues there were", 30)


def queues(operator: Operator) -> set[str]:
    """The names of all queues at the broker."""
    return set(operator.broker.ctl("list_queues", "name").split())


def test_the_connection_must_be_named_where_there_are_two(operator: Operator) -> None:
    """Exit code 1 with the names of both."""
    command = [sys.executable, "-m", "bridge", "list", "--config", str(operator.files.config)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=clean_environment(), text=True)
    assert done.returncode == 1
    assert f"there are elsewhere, {CONNECTION}" in done.stderr
