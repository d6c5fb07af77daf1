"""`argo-bridge dead-letters` as people run it, beside a running bridge and without one, and killed in between."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.bridge_files import INSPECT, NAMESPACE, BridgeFiles
from tests.support.bridge_process import BridgeProcess, clean_environment
from tests.support.mosquitto import MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.simulator_process import SimulatorProcess
from tests.support.spine import TRIGGER, mapping
from tests.support.transport_ends import wait_until

GOOD = mapping("good", "sensors/+/press")
BROKEN = GOOD + mapping("boiler", "sensors/+/press").replace("payload.n", "payload.missing")
MENDED = GOOD + mapping("boiler", "sensors/+/press")

# Runs the bridge, and kills it at the commit of a replay: just before it, or just after.
DOOMED = """
import os, signal, sys
from contextlib import contextmanager
from bridge.cli.main import main
from bridge.spool.database import Database
point = sys.argv.pop(1)
transaction = Database.transaction
def die():
    os.kill(os.getpid(), signal.SIGKILL)
@contextmanager
def deadly(self, verb):
    is_replay = verb == "replay a dead letter"
    with transaction(self, verb) as commit:
        yield commit
        if is_replay and point == "before":
            die()
    if is_replay:
        die()
Database.transaction = deadly
sys.exit(main())
"""


class DoomedBridge(BridgeProcess):
    """A bridge that is killed by its first replay, `point` its commit."""

    def __init__(self, files, point):
        super().__init__(files)
        self._point = point

    def start(self):
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", DOOMED, self._point, "run", "--config", str(self.files.config)],
                cwd=self.files.folder,
                env=clean_environment(),
                stdout=log,
                stderr=log,
            )
        return self


class Scene:
    """A broker, an Argo Server, the files of a bridge, and the command."""

    def __init__(self, folder, broker, simulator):
        self.simulator = simulator
        self.broker = broker
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.use(BROKEN)

    def use(self, mappings, more=""):
        """Write the files with these mappings, and further lines of bridge.yaml."""
        self.files = BridgeFiles(
            self.folder, self.broker.url, self.simulator.url, mappings=mappings, web_port=self.port, more=more
        )
        self.files.write()

    def publish(self, topic, body):
        """Publish and return once the broker has it."""
        with PlainClient(self.broker.port) as client:
            client.publish(topic, json.dumps(body).encode())

    def run(self, action, *options, code=0):
        """Run ``dead-letters ACTION`` and return what it printed, to stdout or, where `code` is not 0, to stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "dead-letters", action, "--config", str(self.files.config), *options],
            env=clean_environment(),
            cwd=self.folder.parent,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done
        return done.stderr if code else done.stdout

    def letters(self, *options):
        """What ``list --json`` prints."""
        return json.loads(self.run("list", "--json", *options))

    def await_letters(self, count):
        """Return the letters once there are so many."""
        wait_until(lambda: len(self.letters()) == count, f"{count} dead letters", 20)
        return self.letters()

    @property
    def names(self):
        """The names of all workflows created."""
        return [one["name"] for one in self.simulator.created]

    def await_names(self, count):
        """Return the names once there are so many workflows, and see that no more follow a later event."""
        wait_until(lambda: len(self.names) >= count, f"{count} workflows", 20)
        self.publish(TRIGGER, {"submit": {"template": "inspect", "name": f"fence-{count}"}})
        wait_until(lambda: f"fence-{count}" in self.names, "the fence", 20)
        return [name for name in self.names if not name.startswith("fence-")]

    def let_an_event_die(self):
        """Have an event refused by Argo, for its template is missing; returns its letter whole."""
        self.publish(TRIGGER, {"eventId": "e-1", "submit": {"template": "late", "parameters": {"n": "7"}}})
        (letter,) = self.await_letters(1)
        return json.loads(self.run("show", str(letter["id"]), "--json"))

    def put_the_template(self):
        """Create the template that was missing."""
        self.simulator.put_template(INSPECT | {"metadata": {"name": "late"}})

    def let_a_message_be_refused(self):
        """Publish what one mapping takes and the other refuses; returns the letter of the other."""
        self.publish("sensors/7/press", {"n": 7})
        (letter,) = self.await_letters(1)
        return letter


@pytest.fixture
def scene(tmp_path, start_mosquitto):
    with SimulatorProcess("--container-duration", "0.02") as simulator:
        simulator.put_template(INSPECT)
        yield Scene(tmp_path / "bridge", start_mosquitto(MosquittoOptions()), simulator)


def test_an_event_that_died_becomes_its_workflow_by_a_replay(scene):
    """Listed, shown with its order, and replayed through the running bridge: one workflow of the name it always had."""
    with BridgeProcess(scene.files).start_ready() as bridge:
        letter = scene.let_an_event_die()
        (event,) = letter["events"]
        assert (letter["count"], letter["replayable"], letter["topic"]) == (1, 1, TRIGGER)
        assert (event["namespace"], event["parameters"]) == (NAMESPACE, {"n": "7"})
        assert event["manifest"]["spec"]["workflowTemplateRef"]["name"] == "late"
        assert event["workflow"] in scene.run("show", str(letter["id"]))
        assert "late" in scene.run("list")
        scene.put_the_template()
        assert "1 dead letter replayed, 1 event waiting" in scene.run("replay", str(letter["id"]))
        assert scene.await_names(1) == [event["workflow"]]
        (created,) = [one for one in scene.simulator.created if one["name"] == event["workflow"]]
        assert created["annotations"]["argo-bridge/event"] == event["eventId"]
        assert scene.letters() == []
        assert f"no dead letter {letter['id']}" in scene.run("replay", str(letter["id"]), code=1)
        # The sender tries again by itself: it is the same event.
        scene.publish(TRIGGER, {"eventId": "e-1", "submit": {"template": "late", "parameters": {"n": "7"}}})
        assert scene.await_names(1) == [event["workflow"]]
        assert bridge.terminate() == 0
    assert not (scene.files.data_dir / "control.sock").exists()


def test_a_refused_message_is_replayed_by_its_own_mapping_without_a_bridge(scene):
    """With the mapping mended and no bridge running: one workflow of that mapping, none of the one that had it."""
    with BridgeProcess(scene.files).start_ready() as bridge:
        letter = scene.let_a_message_be_refused()
        assert (letter["mapping"], letter["topic"]) == ("boiler", "sensors/7/press")
        assert "not replayed: " in scene.run("replay", "--all", code=1)
        assert bridge.terminate() == 0
    before = sorted(scene.files.data_dir.iterdir())
    shown = scene.run("show", str(letter["id"]))
    assert '{"n": 7}' in shown
    assert scene.letters() == [letter]
    assert scene.letters("--mapping", "good") == []
    assert "dead letter replayed" not in scene.run("replay", "--all", code=1)
    assert scene.letters() == [letter]
    scene.use(MENDED)
    assert "1 event waiting" in scene.run("replay", "--all", "--mapping", "boiler")
    assert "0 dead letters replayed" in scene.run("replay", "--all")
    assert sorted(scene.files.data_dir.iterdir()) == before
    with BridgeProcess(scene.files).start_ready():
        names = scene.await_names(2)
    by_mapping = Counter(one["annotations"].get("argo-bridge/mapping") for one in scene.simulator.created)
    assert len(names) == 2
    assert (by_mapping["good"], by_mapping["boiler"]) == (1, 1)


def test_what_policy_refused_is_replayed_only_when_named(scene):
    """With wider rules a replay of all carries out none of it, and says so; by reason or number it does."""
    scene.use(MENDED, more="interface: {operations: [trigger], manifests: false}")
    spec = {"entrypoint": "m", "templates": [{"name": "m", "suspend": {"duration": "1"}}]}
    with BridgeProcess(scene.files).start_ready() as bridge:
        scene.publish(TRIGGER, {"workflow": {"metadata": {"name": "whole"}, "spec": spec}})
        scene.publish("argo/workflows/delete", {"workflowId": "any", "namespace": NAMESPACE})
        scene.publish("argo/workflows/trigger", {"submit": {"template": "inspect", "name": "lab"}, "namespace": "lab"})
        letters = {letter["reason"]: letter["id"] for letter in scene.await_letters(3)}
        assert set(letters) == {"manifests-not-allowed", "forbidden-operation", "forbidden-namespace"}
        assert bridge.terminate() == 0
    scene.use(MENDED)
    told = scene.run("replay", "--all")
    assert "1 dead letter skipped, refused by policy: to replay them, use --reason forbidden-operation or IDs" in told
    assert "0 dead letters replayed" in told
    assert len(scene.letters()) == 3
    assert "1 event waiting" in scene.run("replay", "--all", "--reason", "manifests-not-allowed")
    assert "1 event waiting" in scene.run("replay", str(letters["forbidden-operation"]))
    assert [letter["reason"] for letter in scene.letters()] == ["forbidden-namespace"]


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", ["event", "message"])
def test_a_bridge_killed_at_the_commit_of_a_replay_runs_the_event_once(scene, kind, point):
    """Killed before the commit the letter is there, after it the event waits: one workflow either way."""
    with BridgeProcess(scene.files).start_ready() as bridge:
        if kind == "event":
            letter, has = scene.let_an_event_die(), 0
        else:
            letter, has = scene.let_a_message_be_refused(), 1
        assert bridge.terminate() == 0
    scene.put_the_template()
    scene.use(MENDED)
    with DoomedBridge(scene.files, point).start_ready() as bridge:
        scene.run("replay", str(letter["id"]), code=1)
        assert bridge.wait() == -9
    assert (scene.files.data_dir / "control.sock").exists()
    with BridgeProcess(scene.files).start_ready():
        left = scene.letters()
        assert [one["id"] for one in left] == ([letter["id"]] if point == "before" else [])
        if left:
            scene.run("replay", "--all")
        names = scene.await_names(has + 1)
        scene.run("replay", str(letter["id"]), code=1)
        assert scene.await_names(has + 1) == names
    assert len(names) == has + 1
    if kind == "event":
        assert names == [letter["events"][0]["workflow"]]


def test_letters_are_purged_beside_a_bridge_and_without_one(tmp_path, scene):
    """By age, reason, number or all, at a path that no socket address can hold; nothing is asked, the number told."""
    deep = Scene(tmp_path / ("d" * 100) / "bridge", scene.broker, scene.simulator)
    with BridgeProcess(deep.files).start_ready() as bridge:
        letter = deep.let_a_message_be_refused()
        deep.publish(TRIGGER, {"nonsense": 1})
        deep.publish(TRIGGER, {"namespace": "elsewhere", "submit": {"template": "x"}})
        reasons = {one["reason"] for one in deep.await_letters(3)}
        assert len(reasons) == 3
        socket = deep.files.data_dir / "control.sock"
        assert socket.stat().st_mode & 0o777 == 0o600
        assert deep.run("purge", "--before", "1h") == "0 dead letters purged\n"
        assert deep.run("purge", "--reason", letter["reason"]) == "1 dead letter purged\n"
        assert bridge.terminate() == 0
    first, second = deep.letters()
    assert first["id"] > second["id"]
    assert deep.letters("--limit", "1") == [first]
    assert deep.run("purge", str(first["id"]), "999") == "1 dead letter purged\n"
    assert deep.run("purge", "--all") == "1 dead letter purged\n"
    assert deep.run("list") == "no dead letters\n"


def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path):
    """A data directory that is not there is named and not made; wrong usage is 2; a bad config tells its problems."""
    files = BridgeFiles(tmp_path, "mqtt://127.0.0.1:1", "http://127.0.0.1:1")
    files.write()
    run = [sys.executable, "-m", "bridge", "dead-letters"]

    def ends(*options: str) -> tuple[int, str]:
        config = ["--config", str(files.config)]
        command = [*run, *options, *config]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = ends("list")
    assert code == 1
    assert f"no-data-dir: bridge.data-dir {files.data_dir} does not exist" in text
    assert not files.data_dir.exists()
    files.data_dir.mkdir()
    assert ends("list") == (0, "no dead letters\n")
    assert "no dead letter 3" in ends("show", "3")[1]
    assert [path.name for path in files.data_dir.iterdir()] == ["lock"]
    for wrong in (
        ["purge"],
        ["purge", "--before", "yesterday"],
        ["purge", "3", "--all"],
        ["replay"],
        ["replay", "3", "--all"],
        ["replay", "3", "--reason", "x"],
        ["show", "x"],
        ["list", "--limit", "0"],
        [],
    ):
        assert ends(*wrong)[0] == 2, wrong
    Path(files.config).write_text("bridge: {id: A}\n")
    code, text = ends("list")
    assert code == 1
    assert "bridge.yaml:1:14" in text
