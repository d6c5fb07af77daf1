"""`argo-bridge send` as people run it: against a real broker, a real bridge and a simulated Argo Server."""

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.simulator import Simulator, SimulatorOptions
from tests.support.machine import scaled
from tests.support.mosquitto import Mosquitto, MosquittoOptions, find_security_plugin, free_port
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

CONFIG = """
bridge: {{id: plant-1, data-dir: data}}
connections:
  plant:
    mqtt: {{url: "{url}", version: {version}{extra}}}
argo: {{url: "{argo}", namespaces: [factory, other]}}
mappings: [mappings.yaml]
web: {{listen: null}}
"""

MAPPINGS = """
mappings:
  - name: boiler
    topic: sensors/{site}/boiler/{device}
    when: payload.value > 90.0
    workflow: {template: quick, parameters: {seconds: "0.3"}}
    status: {topic: "sensors/{site}/boiler/{device}/workflow"}
  - name: press
    topic: sensors/{site}/press/{device}
    when: payload.value > 90.0
    workflow: {template: bad}
  - name: order
    topic: mes/{line}
    payload: {format: cloudevents}
    when: payload.type == 'done' && payload.data.scrap > 2
    workflow: {template: quick}
"""

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("ARGO_", "COLUMNS"))}


def template(name, command, seconds="0.1"):
    """A WorkflowTemplate of one container."""
    container = {"image": "busybox", "command": ["sh", "-c"], "args": [command]}
    metadata = {"annotations": {"simulator.argo-bridge/duration": "{{workflow.parameters.seconds}}"}}
    return {
        "metadata": {"name": name},
        "spec": {
            "entrypoint": "main",
            "arguments": {"parameters": [{"name": "seconds", "value": seconds}]},
            "templates": [{"name": "main", "metadata": metadata, "container": container}],
        },
    }


@dataclass
class Sent:
    """How one `send` went."""

    code: int
    output: str
    notes: str

    @property
    def reply(self):
        """The reply on standard output."""
        return json.loads(self.output)


@dataclass
class Plant:
    """A configuration, its broker and its Argo Server."""

    folder: Path
    broker: Mosquitto
    version: str
    argo: Simulator

    def send(self, *arguments, stdin=b""):
        """Run the verb."""
        command = [sys.executable, "-m", "bridge", "send", "--config", str(self.folder / "bridge.yaml"), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False, env=ENVIRONMENT)
        return Sent(done.returncode, done.stdout.decode(), done.stderr.decode())


def write_config(folder, url, argo_url, version="5", extra=""):
    """Write bridge.yaml and its mappings."""
    (folder / "bridge.yaml").write_text(CONFIG.format(url=url, version=version, extra=extra, argo=argo_url))
    (folder / "mappings.yaml").write_text(MAPPINGS)


@pytest.fixture
def argo():
    """An Argo Server with templates that succeed, fail and take long."""
    with Simulator(SimulatorOptions(namespaces=frozenset({"factory", "other"}))) as simulator:
        for namespace in ("factory", "other"):
            simulator.put_template(namespace, template("quick", "true"))
            simulator.put_template(namespace, template("bad", "exit 3"))
            simulator.put_template(namespace, template("slow", "true", "20"))
        yield simulator


@pytest.fixture(params=["5", "3.1.1"])
def plant(request, tmp_path, mosquitto, argo):
    """A bridge that runs and is online."""
    write_config(tmp_path, mosquitto.url, argo.url, request.param)
    command = [sys.executable, "-m", "bridge", "run", "--config", str(tmp_path / "bridge.yaml")]
    with PlainClient(mosquitto.port) as watcher, (tmp_path / "log").open("w") as log:
        watcher.subscribe("argo/bridge/plant-1/availability")
        with subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT) as process:
            try:
                wait_until(lambda: b"online" in watcher.payloads, "the bridge is online", 30)
                yield Plant(tmp_path, mosquitto, request.param, argo)
            finally:
                process.terminate()
                process.wait(scaled(20))


def submit(name, **keys):
    """A trigger message that runs a template."""
    return json.dumps({"submit": {"template": name, **keys}})


def test_a_trigger_message_gets_its_reply(plant):
    """On standard output to the letter, with exit code 0; in the namespace that the topic names."""
    sent = plant.send("trigger", submit("quick"))
    assert (sent.code, sent.notes) == (0, "")
    assert sent.reply.keys() == {"status", "workflowId"}
    assert plant.argo.workflow("factory", sent.reply["workflowId"]) is not None
    elsewhere = plant.send("trigger/other", "-", stdin=submit("quick").encode())
    assert plant.argo.workflow("other", elsewhere.reply["workflowId"]) is not None
    own_id = plant.send("argo/workflows/trigger", json.dumps({"requestId": [1], **json.loads(submit("quick"))}))
    assert own_id.reply["requestId"] == [1]


def test_a_refused_request_is_told_with_its_reasons(plant, tmp_path):
    """Exit code 1, each reason on standard error, the whole reply on standard output."""
    file = tmp_path / "workflow.json"
    spec = {"entrypont": "main", "templates": [{"name": "main", "suspend": {}}]}
    file.write_text(json.dumps({"workflow": {"metadata": {"generateName": "a-"}, "spec": spec}}))
    sent = plant.send("trigger", f"@{file}")
    assert sent.code == 1
    assert sent.reply["details"]
    assert 'did you mean "entrypoint"' in sent.notes
    assert "Invalid workflow definition" in sent.notes
    unreadable = plant.send("trigger", "no json")
    assert (unreadable.code, list(unreadable.reply)) == (1, ["error"])
    assert "refused" in unreadable.notes
    assert not plant.argo.created


def test_waiting_ends_with_the_workflow(plant):
    """0 when it Succeeded, 1 when it Failed, with the way there in plain lines."""
    good = plant.send("trigger", submit("quick"), "--wait")
    lines = good.notes.splitlines()
    assert good.code == 0, good
    assert lines[-1] == f"factory/{good.reply['workflowId']}  Succeeded 100%"
    assert plant.send("trigger", submit("bad"), "--wait").code == 1
    elsewhere = plant.send("trigger/other", submit("bad"), "--wait")
    assert elsewhere.code == 1
    assert f"other/{elsewhere.reply['workflowId']}  Failed" in elsewhere.notes
    assert "exit code 3" in elsewhere.notes


def test_waiting_gives_up_in_time(plant):
    """Exit code 4, and the reply is still there; the time that is waited without --timeout would see the end."""
    sent = plant.send("trigger", submit("slow"), "--wait", "--timeout", "4s")
    assert sent.code == 4
    assert sent.reply["workflowId"]
    assert "not finished in time" in sent.notes


def test_a_sensor_message_is_followed_to_what_it_started(plant):
    """Whichever mapping fires, and whatever else starts at the same moment."""
    with PlainClient(plant.broker.port, "other-devices") as others:
        stop = threading.Event()

        def chatter():
            while not stop.wait(0.1):
                others.publish("sensors/a/boiler/8", b'{"value": 95}')

        thread = threading.Thread(target=chatter)
        thread.start()
        try:
            good = plant.send("sensors/a/boiler/7", '{"value": 95}', "--wait")
            bad = plant.send("sensors/a/press/7", '{"value": 95}', "--wait")
        finally:
            stop.set()
            thread.join()
    assert good.code == 0, good
    assert len(set(re.findall(r"factory/quick-\w+", good.notes))) == 1
    assert bad.code == 1, bad
    assert "factory/bad-" in bad.notes
    assert (good.output, bad.output) == ("", "")


def test_headers_and_a_content_type_are_sent(plant):
    """A CloudEvents event in binary mode reaches its mapping; without properties nothing is sent."""
    event = ("--header", "specversion=1.0", "--header", "id=1", "--header", "source=/a=b", "--header", "type=done")
    sent = plant.send("mes/7", '{"scrap": 3}', "--content-type", "application/json", *event, "--wait")
    if plant.version == "5":
        assert sent.code == 0, sent
        replies = [plant.send("trigger", submit("quick"), *event).reply for _ in range(2)]
        assert replies[0]["workflowId"] == replies[1]["workflowId"], "a request with the id of a known event"
    else:
        assert (sent.code, sent.output) == (1, "")
        assert "MQTT 3.1.1 has neither headers nor a content type" in sent.notes


def test_a_sensor_message_that_starts_nothing_is_told_so(plant):
    """Exit code 4 in time; without --wait the broker's word is enough."""
    assert plant.send("sensors/a/boiler/7", '{"value": 20}').code == 0
    quiet = plant.send("sensors/a/boiler/7", '{"value": 20}', "--wait", "--timeout", "3s")
    assert quiet.code == 4
    assert "no mapping triggered" in quiet.notes
    unheard = plant.send("lamps/1", "on", "--wait")
    assert unheard.code == 4
    assert "no mapping in this configuration matches" in unheard.notes


def test_nothing_of_a_visit_stays_at_the_broker(plant):
    """A session that stayed would collect messages for ever."""
    plant.send("trigger", submit("quick"))
    plant.send("sensors/a/boiler/7", '{"value": 95}', "--wait")
    visitors = set(re.findall(r"as (argo-bridge-send-[0-9a-f]+) ", plant.broker.log))
    assert len(visitors) == 2
    assert not [visitor for visitor in visitors if session_present(plant, visitor)]


def session_present(plant, client_id):
    """Whether the broker still has a session under `client_id`."""
    is_v5 = plant.version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        protocol=MQTTv5 if is_v5 else MQTTv311,
        clean_session=None if is_v5 else False,
    )
    answers = []
    client.on_connect = lambda *arguments: answers.append(arguments[2].session_present)
    properties = Properties(PacketTypes.CONNECT) if is_v5 else None
    options = {"clean_start": False, "properties": properties} if is_v5 else {}
    client.connect("127.0.0.1", plant.broker.port, **options)
    client.loop_start()
    wait_until(lambda: answers, "CONNACK")
    client.disconnect()
    client.loop_stop()
    return answers[0]


def test_a_bridge_that_is_not_running_is_no_answer_in_time(tmp_path, mosquitto):
    """Exit code 4 after the timeout, for both kinds of message."""
    write_config(tmp_path, mosquitto.url, "http://127.0.0.1:9")
    plant = Plant(tmp_path, mosquitto, "5", None)
    asked = plant.send("trigger", submit("quick"), "--timeout", "1s")
    assert (asked.code, asked.output) == (4, "")
    assert "no reply in time on argo/workflows/response/trigger" in asked.notes
    assert plant.send("sensors/a/boiler/7", "{}", "--wait", "--timeout", "1s").code == 4


def test_a_broker_that_is_away_is_told_at_once(tmp_path):
    """Nobody waits half a minute for a refused connection."""
    write_config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", "http://127.0.0.1:9")
    sent = Plant(tmp_path, None, "5", None).send("trigger", "{}")
    assert sent.code == 1
    assert sent.notes.startswith("argo-bridge: unreachable: broker 127.0.0.1:")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_the_connections_user_is_used(tmp_path, start_mosquitto, version):
    """The right password lets in; the wrong one is told."""
    broker = start_mosquitto(MosquittoOptions(passwords={"ann": "secret"}))
    (tmp_path / "password").write_text("secret\n")
    write_config(tmp_path, broker.url, "http://127.0.0.1:9", version, ", username: ann, password-file: password")
    plant = Plant(tmp_path, broker, version, None)
    assert plant.send("sensors/a/lamp", "on").code == 0
    (tmp_path / "password").write_text("wrong\n")
    refused = plant.send("sensors/a/lamp", "on")
    assert refused.code == 1
    assert "not-authorized" in refused.notes


@pytest.mark.skipif(find_security_plugin() is None, reason="this Mosquitto comes without its security plugin")
def test_a_reply_that_this_user_may_not_read_is_told_before_anything_is_sent(tmp_path, start_mosquitto):
    """Else a workflow would start and nobody be told."""
    broker = start_mosquitto(MosquittoOptions(filters=("sensors/#",)))
    write_config(tmp_path, broker.url, "http://127.0.0.1:9")
    sent = Plant(tmp_path, broker, "5", None).send("trigger", "{}")
    assert sent.code == 1
    assert 'filter-refused: the broker refused topic filter "argo/workflows/response/trigger"' in sent.notes


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sensors/+/x", "1"], 2, "is not a topic"),
        (["", "1"], 2, "is not a topic"),
        (["a", "1", "--timeout", "5"], 2, "is not a duration"),
        (["a", "1", "--connection", "office"], 1, "there are plant"),
        (["a", "@nowhere.json"], 1, "unreadable-file"),
        (["a"], 2, "PAYLOAD"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(tmp_path, arguments, code, words):
    """No broker is needed to find out."""
    write_config(tmp_path, "mqtt://127.0.0.1:9", "http://127.0.0.1:9")
    sent = Plant(tmp_path, None, "5", None).send(*arguments)
    assert sent.code == code
    assert words in sent.notes


def test_a_wrong_configuration_is_told_by_line(tmp_path):
    """As `check` tells it."""
    (tmp_path / "bridge.yaml").write_text("bridge: {id: plant-1, data-dir: data}\nconections: {}\n")
    sent = Plant(tmp_path, None, "5", None).send("trigger", "{}")
    assert sent.code == 1
    assert "bridge.yaml:2:1: unknown-key" in sent.notes
    assert 'did you mean "connections"' in sent.notes
