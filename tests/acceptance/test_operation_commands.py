"""The commands of operations as people run them, against a real broker and a scripted bridge behind it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from tests.support.bridge_process import clean_environment
from tests.support.mosquitto import Mosquitto
from tests.support.responder import Asked, Responder

CONFIG = """
bridge: {{id: plant-1, data-dir: data}}
connections: {{plant: {{mqtt: {{url: "{url}", version: {version}}}}}}}
argo: {{url: "http://127.0.0.1:9", namespaces: [factory, lab]}}
"""


@dataclass
class Done:
    """How one command went."""

    code: int
    output: str
    notes: str

    @property
    def lines(self) -> list[str]:
        """Standard output by line."""
        return self.output.splitlines()


class Desk:
    """A configuration, and a scripted bridge that it leads to."""

    def __init__(self, folder: Path, responder: Responder) -> None:
        self.config = folder / "bridge.yaml"
        self.responder = responder

    def command(self, verb: str, *arguments: str) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", "bridge", verb, "--config", str(self.config), *arguments]

    def run(self, verb: str, *arguments: str, stdin: str = "") -> Done:
        """Run one command to its end."""
        done = subprocess.run(
            self.command(verb, *arguments),
            input=stdin.encode(),
            capture_output=True,
            timeout=90,
            check=False,
            env=clean_environment(),
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def answer(self, *replies: dict[str, Any]) -> None:
        """Script the replies to whatever is asked next."""
        self.responder.script = lambda _: replies

    @property
    def asked(self) -> Asked:
        """The last request."""
        return self.responder.asked[-1]


def make_desk(folder: Path, broker: Mosquitto, version: str = "5") -> Iterator[Desk]:
    (folder / "bridge.yaml").write_text(CONFIG.format(url=broker.url, version=version))
    with Responder(broker.port, lambda _: ()) as responder:
        yield Desk(folder, responder)


@pytest.fixture
def desk(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Desk]:
    """In MQTT 5.0."""
    yield from make_desk(tmp_path, mosquitto)


@pytest.fixture(params=["5", "3.1.1"])
def either_desk(request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Desk]:
    """In both versions of MQTT."""
    yield from make_desk(tmp_path, mosquitto, request.param)


def test_an_operation_is_asked_for_and_its_reply_told(either_desk: Desk) -> None:
    """By name, in the namespace of the topic, with its options; the sentence on standard output, exit code 0."""
    desk = either_desk
    desk.answer({"status": "Workflow stopped successfully", "workflowId": "w-1"})
    stopped = desk.run("stop", "lab/w-1", "--message", "no oil", "--node-field-selector", "displayName=a")
    assert (stopped.code, stopped.output) == (0, "Workflow stopped successfully: lab/w-1\n"), stopped
    assert (desk.asked.operation, desk.asked.namespace) == ("stop", "lab")
    body = {key: value for key, value in desk.asked.body.items() if key != "requestId"}
    assert body == {"workflowId": "w-1", "message": "no oil", "nodeFieldSelector": "displayName=a"}
    as_json = desk.run("stop", "w-1", "--json", "-n", "factory")
    assert json.loads(as_json.output) == {"status": "Workflow stopped successfully", "workflowId": "w-1"}
    assert desk.asked.namespace == "factory"


def test_a_refusal_is_told_with_its_reasons(desk: Desk) -> None:
    """Exit code 1, the sentence and each detail on standard error, nothing on standard output unless --json."""
    desk.answer({"error": "Invalid workflow definition", "details": [{"pointer": "/spec/a", "message": "unknown"}]})
    refused = desk.run("lint", "-", stdin="metadata: {name: a}\nspec: {a: 1}\n")
    assert (refused.code, refused.output) == (1, "")
    assert refused.notes == "refused (400): Invalid workflow definition\n  /spec/a: unknown\n"
    assert desk.asked.body == {"workflow": {"metadata": {"name": "a"}, "spec": {"a": 1}}}
    assert json.loads(desk.run("get", "w-1", "--json").output)["error"] == "Invalid workflow definition"


def test_a_list_is_a_table_and_says_how_to_go_on(desk: Desk) -> None:
    """With the filters that were asked for; what comes next is on standard error."""
    item = {"namespace": "factory", "workflowId": "w-1", "status": "Failed", "progress": "50%", "message": "no oil"}
    details = {"startedAt": "2026-11-24T14:00:00Z", "finishedAt": "2026-11-24T14:01:05Z", "mapping": "boiler"}
    reply = {"status": "Workflows listed successfully", "workflows": [item | {"details": details}], "continue": "abc"}
    desk.answer(reply)
    listed = desk.run(
        "list", "--phase", "Failed", "--phase", "Error", "--limit", "5", "--created-after", "2026-01-01T00:00:00Z"
    )
    assert listed.code == 0
    heading, row = listed.lines
    assert heading.split() == ["WORKFLOW", "STATUS", "PROGRESS", "STARTED", "DURATION", "MAPPING", "MESSAGE"]
    assert row.split() == ["factory/w-1", "Failed", "50%", "2026-11-24", "14:00:00Z", "1m05s", "boiler", "no", "oil"]
    assert listed.notes == "there are more: continue with --continue abc\n"
    assert desk.asked.body == {"phase": ["Failed", "Error"], "limit": 5, "createdAfter": "2026-01-01T00:00:00Z"}
    assert desk.asked.namespace == ""


def test_a_silence_is_no_answer_in_time(desk: Desk) -> None:
    """Exit code 4; of what is stored it is said that it may still happen."""
    silent = desk.run("retry", "w-1", "--timeout", "1s")
    assert (silent.code, silent.output) == (4, "")
    assert "no reply in time on argo/workflows/response/retry" in silent.notes
    assert "up to 5 minutes" in silent.notes
    assert "may still" not in desk.run("list", "--timeout", "1s").notes


@pytest.mark.parametrize(
    ("verb", "told", "code"),
    [
        ("retry", [("Running", ""), ("Succeeded", "2026-11-24T15:00:00Z")], 0),
        ("retry", [("Failed", "2026-11-24T15:00:00Z")], 1),
        ("resubmit", [("Running", ""), ("Failed", "2026-11-24T15:00:00Z")], 1),
        ("stop", [("Failed", "2026-11-24T15:00:00Z")], 0),
    ],
)
def test_waiting_follows_the_workflow_to_its_end(desk: Desk, verb: str, told: list[tuple[str, str]], code: int) -> None:
    """The old end of a retried workflow is not the new one; a stopped one may end as it likes."""
    name = "new" if verb == "resubmit" else "w-1"

    def script(asked: Asked) -> Iterator[dict[str, Any]]:
        yield {"status": "done", "workflowId": name}
        for phase, finished in told:
            desk.responder.tell("factory", name, phase, finishedAt=finished)

    before = "Running" if verb == "stop" else "Failed"
    desk.responder.tell("factory", "w-1", before, finishedAt="2026-11-24T14:00:00Z")
    desk.responder.script = script
    done = desk.run(verb, "w-1", "--wait")
    assert done.code == code, done
    assert done.notes.splitlines()[-1].startswith(f"factory/{name}  {told[-1][0]}")


def test_an_end_that_is_told_before_the_reply_is_shown(desk: Desk) -> None:
    """A retried workflow may end, in the same second as before, while the reply is on its way."""

    def script(_asked: Asked) -> Iterator[dict[str, Any]]:
        times = {"startedAt": "2026-11-24T14:00:00Z", "finishedAt": "2026-11-24T14:00:00Z"}
        desk.responder.tell("factory", "w-1", "Failed", message="again", **times)
        yield {"status": "done", "workflowId": "w-1"}

    times = {"startedAt": "2026-11-24T13:59:59Z", "finishedAt": "2026-11-24T14:00:00Z"}
    desk.responder.tell("factory", "w-1", "Failed", **times)
    desk.responder.script = script
    done = desk.run("retry", "w-1", "--wait")
    assert done.code == 1, done
    assert done.notes.splitlines()[-1].startswith("factory/w-1  Failed"), done
    assert "again" in done.notes.splitlines()[-1]


def test_logs_are_lines_behind_their_pod(desk: Desk) -> None:
    """All replies of a stream, in order; what a terminal would obey is made harmless; an early end is said."""
    first = {"status": "ok", "workflowId": "w-1", "lines": [{"pod": "a", "text": "one\t1"}], "more": True}
    last = {"status": "ok", "workflowId": "w-1", "lines": [{"pod": "b", "text": "\x1b[31mtwo"}], "more": False}
    desk.answer(first, last | {"ended": "time-limit"})
    logs = desk.run("logs", "w-1", "--follow", "--tail-lines", "7")
    assert (logs.code, logs.lines) == (0, ["a: one\t1", "b: \\x1b[31mtwo"])
    assert logs.notes == "following ended before the workflow finished: time-limit\n"
    assert desk.asked.body == {"workflowId": "w-1", "follow": True, "tailLines": 7}
    desk.answer(first, {"error": "the Argo Server went away"})
    broken = desk.run("logs", "w-1", "-f")
    assert (broken.code, broken.lines) == (1, ["a: one\t1"])
    assert "went away" in broken.notes


def test_watching_tells_each_change_until_it_is_interrupted(desk: Desk) -> None:
    """What is retained at first, then news, then what is gone; exit code 0 on Ctrl-C."""
    desk.responder.tell("factory", "w-1", "Running")
    desk.responder.tell("lab", "w-2", "Running")
    with subprocess.Popen(
        desk.command("watch", "factory"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split()[1:] == ["factory/w-1", "Running", "50%"]
            desk.responder.tell("lab", "w-2", "Failed")
            desk.responder.tell("factory", "w-1", "Succeeded", message="all well")
            assert process.stdout.readline().split()[1:] == ["factory/w-1", "Succeeded", "50%", "all", "well"]
            desk.responder.tell("factory", "w-1", "")
            assert process.stdout.readline().split()[1:] == ["factory/w-1", "gone"]
            process.send_signal(signal.SIGINT)
            output, notes = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, output, notes.strip()) == (0, "", "")


def test_watching_outlasts_an_outage_of_the_broker(desk: Desk, mosquitto: Mosquitto) -> None:
    """It says so, comes back by itself, and what the broker has forgotten meanwhile is gone."""
    desk.responder.tell("factory", "w-1", "Running")
    with subprocess.Popen(
        desk.command("watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline().split()[1:] == ["factory/w-1", "Running", "50%"]
            mosquitto.stop()
            assert process.stderr.readline().startswith("not connected: ")
            mosquitto.start()
            assert process.stdout.readline().split()[1:] == ["factory/w-1", "gone"]
            process.send_signal(signal.SIGINT)
            _, notes = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    *reasons, back = notes.split("\n")[:-2]  # behind the last one stands the line of the ^C
    assert back == "connected again"
    assert all(reason.startswith("not connected: ") for reason in reasons)


def test_a_follower_leaves_with_ctrl_c(desk: Desk) -> None:
    """Exit code 130, as for any command that is interrupted before its end; no traceback."""
    desk.answer({"status": "ok", "workflowId": "w-1", "lines": [{"pod": "a", "text": "one"}], "more": True})
    command = desk.command("logs", "w-1", "--follow")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "a: one\n"
            process.send_signal(signal.SIGINT)
            _, notes = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, notes) == (130, "")


def test_watching_ends_by_itself_when_told_so(desk: Desk) -> None:
    """For scripts; one workflow by its full name."""
    desk.responder.tell("factory", "w-1", "Running")
    desk.responder.tell("factory", "w-2", "Running")
    watched = desk.run("watch", "factory/w-2", "--for", "2s")
    assert watched.code == 0
    assert [line.split()[1] for line in watched.lines] == ["factory/w-2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stop"], "NAME"),
        (["stop", "a/b/c"], "neither NAME nor NAMESPACE/NAME"),
        (["stop", "lab/w-1", "-n", "factory"], "-n says factory"),
        (["stop", "w-1", "-n", "a/b"], "not the name of a namespace"),
        (["logs", "w-1", "--tail-lines", "0"], "whole number from 1 to"),
        (["set", "w-1"], "--node-field-selector"),
        (["set", "w-1", "--node-field-selector", "a=b", "--phase", "Running"], "invalid choice"),
        (["retry", "w-1", "-p", "novalue"], "is not NAME=VALUE"),
        (["watch", "a/b/c"], "neither NAMESPACE nor"),
        (["delete", "w-1", "--wait"], "--wait"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; no broker and no file is needed to find out."""
    with pytest.raises(SystemExit) as ended:
        main([arguments[0], "--config", "nowhere.yaml", *arguments[1:]])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_file_that_holds_no_workflow_is_told(tmp_path: Path, desk: Desk) -> None:
    """By name, and nothing is sent."""
    file = tmp_path / "two.yaml"
    file.write_text("a: 1\n---\nb: 2\n")
    two = desk.run("lint", str(file))
    assert two.code == 1
    assert "expected one workflow, found 2 documents" in two.notes
    file.write_text("a: [1\n")
    assert "two.yaml:" in desk.run("lint", str(file)).notes
    assert "unreadable-file" in desk.run("lint", str(tmp_path / "none.yaml")).notes
    assert not desk.responder.asked
