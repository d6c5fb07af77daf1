"""config/rabbitmq on the real RabbitMQ: the bridge works with the rights of definitions.json, others have theirs."""

from __future__ import annotations

import json

import orjson
import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.support.amqp_client import DIRECT_REPLY, AmqpClient
from tests.support.amqp_spine import AmqpSpine
from tests.support.documents import ROOT
from tests.support.rabbitmq import RabbitMq, RabbitMqOptions
from tests.support.spine import submit
from tests.support.transport_ends import wait_until

DEFINITIONS = json.loads((ROOT / "config" / "rabbitmq" / "definitions.json").read_text(encoding="utf-8"))
MAPPINGS = (ROOT / "config" / "mappings" / "boiler.yaml").read_text(encoding="utf-8").partition("mappings:\n")[2]
PASSWORD = "of-this-test"
READING = {"value": 95.5, "seq": 1}


@pytest.fixture(scope="module")
def broker(needs_rabbitmq):
    """A broker with the definitions of the example, and passwords as its documentation has them given."""
    with RabbitMq(RabbitMqOptions(definitions=DEFINITIONS)) as one:
        for user in DEFINITIONS["users"]:
            for guessed in ("", "guest", user["name"], "change-me"):
                with pytest.raises(AssertionError):
                    one.ctl("authenticate_user", user["name"], guessed)
            one.ctl("change_password", user["name"], PASSWORD)
        yield one


@pytest.fixture
def spine(broker, tmp_path):
    """A bridge that logs in as the example's user."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    login = "username: bridge, password-file: password"
    with AmqpSpine(tmp_path, broker, MAPPINGS, name="plant-1", exchange="argo.workflows", amqp=login) as one:
        yield one


def client(broker, user):
    """A client with the rights of another user."""
    return AmqpClient(broker.port, credentials=pika.PlainCredentials(user, PASSWORD))


def test_the_rights_of_the_example_are_enough_and_no_more(spine, broker):
    """Sensor, service and bridge each do their work; a sensor starts no workflow, a service tells no status."""
    spine.simulator.put_template("factory", {"metadata": {"name": "inspect-boiler"}, "spec": _spec()})
    assert spine.bridge.service.readiness() == []
    with client(broker, "sensor") as sensor:
        sensor.publish("sensors/north/boiler/7/temperature", orjson.dumps(READING))
        wait_until(lambda: len(spine.simulator.created) == 1, "the workflow of the reading")
        with pytest.raises(ChannelClosedByBroker):
            sensor.publish("argo/workflows/trigger/factory", orjson.dumps(submit()))
    with client(broker, "line-control") as service:
        service.listen_for_replies()
        service.publish("argo/workflows/trigger/factory", orjson.dumps(submit()), reply_to=DIRECT_REPLY)
        wait_until(lambda: service.replies, "the reply")
        name = orjson.loads(service.replies[0].payload)["workflowId"]
        wait_until(lambda: spine.on(f"argo/workflows/status/factory/{name}"), "its status")
        for forbidden in ("argo/workflows/trigger/lab", f"argo/workflows/status/factory/{name}"):
            with pytest.raises(ChannelClosedByBroker):
                service.publish(forbidden, b"{}")
    spine.publish("argo/workflows/trigger/factory", b"no JSON")
    wait_until(lambda: spine.on("argo/workflows/dead-letter"), "the notice of the dead letter")
    wait_until(lambda: spine.on("sensors/north/boiler/7/workflow"), "the device's own status")
    wait_until(lambda: spine.on("argo/bridge/plant-1/state"), "the bridge's state")
    assert spine.bridge.service.readiness() == []


def _spec():
    return {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "inspect:1"}}]}
