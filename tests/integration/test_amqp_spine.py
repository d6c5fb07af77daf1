"""The whole way over AMQP: a message becomes a workflow, its sender gets the reply, and its status is published."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time

import orjson
import pytest

from tests.support.amqp_client import DIRECT_REPLY
from tests.support.amqp_spine import AmqpSpine
from tests.support.bridge_process import clean_environment
from tests.support.spine import DEAD_LETTER, RESPONSE, TRIGGER, mapping, submit
from tests.support.transport_ends import wait_until

MAPPINGS = mapping("plain", "sensors/{device}/plain") + mapping(
    "named", "sensors/{device}/named", "event-id: payload.n"
)
STATUS = "argo/workflows/status"


@pytest.fixture(scope="module")
def spine(tmp_path_factory, rabbitmq):
    """One bridge for the tests that leave it as it was; what each publishes has numbers of its own."""
    with AmqpSpine(tmp_path_factory.mktemp("spine"), rabbitmq, MAPPINGS) as one:
        yield one


def reply_to(spine, request_id):
    """The replies to one request on the client's own address."""
    return [one for one in list(spine.client.replies) if orjson.loads(one.payload).get("requestId") == request_id]


def test_a_trigger_message_is_answered_on_its_direct_reply_address(spine):
    """reply_to amq.rabbitmq.reply-to gets the reply with the request's correlation id and the code as a header."""
    spine.publish(TRIGGER, submit(requestId="direct"), reply_to=DIRECT_REPLY, correlation_id="c-1")
    wait_until(lambda: reply_to(spine, "direct"), "the reply")
    reply = reply_to(spine, "direct")[0]
    assert reply.properties.correlation_id == "c-1"
    assert reply.properties.headers == {"code": "200"}
    assert reply.properties.content_type == "application/json"
    assert reply.properties.delivery_mode == 2
    assert orjson.loads(reply.payload)["workflowId"] in [one.name for one in spine.simulator.created]


def test_a_reply_goes_to_the_queue_that_the_request_names(spine):
    """A queue that RabbitMQ named is one of reply-queues; without one the reply is published under its topic."""
    queue = spine.client.do(lambda channel: channel.queue_declare("", exclusive=True)).method.queue
    spine.publish(TRIGGER, submit(requestId="queue"), reply_to=queue)

    def got():
        _, _, body = spine.client.do(lambda channel: channel.basic_get(queue, auto_ack=True))
        return body

    wait_until(lambda: (body := got()) is not None and orjson.loads(body)["requestId"] == "queue", "the reply")
    assert "workflowId" in spine.ask(submit(requestId="topic"))


def test_no_reply_goes_into_a_queue_of_somebody_else(spine):
    """A durable queue, or the bridge's own: it stays empty, and the reply is published with the reason as a header."""
    spine.client.do(lambda channel: channel.queue_declare("victim", durable=True))
    for queue in ("victim", spine.queue("requests")):
        answer = spine.ask(submit(requestId=f"to {queue}"), reply_to=queue, correlation_id=f"to {queue}")
        assert answer["requestId"] == f"to {queue}"
        reply = spine.client.on(RESPONSE)[-1]
        assert reply.properties.correlation_id == f"to {queue}"
        assert reply.properties.headers["reply-address-refused"]
        assert spine.client.depth(queue) == 0


def test_status_is_published_under_its_routing_key_until_the_end(spine):
    """Every change of a workflow is persistent under PREFIX.status.NAMESPACE.NAME, and no message is ever empty."""
    name = spine.ask(submit())["workflowId"]
    topic = f"{STATUS}/factory/{name}"

    def phases():
        return [orjson.loads(one.payload)["status"] for one in spine.on(topic)]

    wait_until(lambda: "Succeeded" in phases(), f"the end of {name}: {phases()}")
    assert all(one.properties.delivery_mode == 2 for one in spine.on(topic))
    spine.simulator.delete("factory", name)
    spine.fence()
    assert all(one.payload for one in spine.client.messages)


def test_a_sensor_message_becomes_one_workflow(spine):
    """A mapping's topic is a routing key with dots, and its captures are the words of it."""
    spine.client.publish("sensors.boiler.plain", orjson.dumps({"n": 101}))
    wait_until(lambda: 101 in spine.numbers, "the workflow")
    created = next(one for one in spine.simulator.created if one.parameters.get("n") == "101")
    assert created.annotations["argo-bridge/topic"] == "sensors/boiler/plain"


def test_a_message_id_names_the_event(spine):
    """Two messages with one message_id on one topic are one event, whatever else they say; another topic is another."""
    for topic in ("sensors/a/plain", "sensors/a/plain", "sensors/b/plain"):
        spine.publish(topic, {"n": 111}, message_id="m-1")
    spine.publish(TRIGGER, submit(requestId=1), message_id="m-2")
    spine.publish(TRIGGER, submit(requestId=2), message_id="m-2")
    spine.fence()
    assert spine.numbers.count(111) == 2
    first, second = (
        next(
            orjson.loads(one.payload)
            for one in spine.on(RESPONSE)
            if orjson.loads(one.payload).get("requestId") == number
        )
        for number in (1, 2)
    )
    assert first["workflowId"] == second["workflowId"]


def test_messages_without_a_name_are_events_of_their_own(spine):
    """Two messages that are alike to the last byte, neither redelivered, are two events."""
    for _ in range(2):
        spine.publish("sensors/a/plain", {"n": 121})
    spine.fence()
    assert spine.numbers.count(121) == 2


def test_an_expired_trigger_is_dead_lettered_and_answered(spine):
    """A trigger whose expiration is over, by its timestamp, does not run: its sender gets an error reply."""
    before = len(spine.simulator.created)
    sent_s = int(time.time()) - 100
    spine.publish(TRIGGER, submit(requestId="late"), expiration="60000", timestamp=sent_s, reply_to=DIRECT_REPLY)
    wait_until(lambda: reply_to(spine, "late"), "the error reply")
    assert "error" in orjson.loads(reply_to(spine, "late")[0].payload)
    assert len(spine.simulator.created) == before
    assert "expired" in [body["reason"] for body in dead_letters(spine)]


def dead_letters(spine):
    """The notices of what was refused."""
    return [orjson.loads(one.payload) for one in spine.on(DEAD_LETTER)]


def test_a_trigger_that_expired_in_the_queue_is_dead_lettered(spine):
    """What RabbitMQ takes out of the queue because its time is over comes back by the third queue, and does not run."""
    before = len(spine.simulator.created)
    properties = {"requestId": "expired-in-queue"}
    headers = {"x-death": [{"queue": spine.queue("requests"), "reason": "expired", "routing-keys": ["x"]}]}
    spine.publish(TRIGGER, submit(**properties), headers=headers, reply_to=DIRECT_REPLY)
    wait_until(lambda: reply_to(spine, "expired-in-queue"), "the error reply")
    assert len(spine.simulator.created) == before


def test_an_unknown_encoding_is_refused_by_name_and_gzip_is_read(spine):
    """A content encoding that is not understood gets an error reply that names it; gzip is unpacked."""
    body = orjson.dumps(submit(requestId="packed"))
    spine.publish(TRIGGER, body, content_encoding="br", reply_to=DIRECT_REPLY, correlation_id="br")
    wait_until(lambda: [one for one in spine.client.replies if one.properties.correlation_id == "br"], "the refusal")
    refusal = next(one for one in spine.client.replies if one.properties.correlation_id == "br")
    assert '"br"' in orjson.loads(refusal.payload)["error"]
    assert refusal.properties.headers == {"code": "400"}
    assert "unknown-encoding" in [body["reason"] for body in dead_letters(spine)]
    spine.publish(TRIGGER, gzip.compress(body), content_encoding="gzip", reply_to=DIRECT_REPLY)
    wait_until(lambda: reply_to(spine, "packed"), "the reply to the packed request")
    assert "workflowId" in orjson.loads(reply_to(spine, "packed")[0].payload)


def test_a_sensor_message_that_cannot_be_read_is_dead_lettered(spine):
    """It has no sender to answer: its dead letter and its notice say why, and it is not met again."""
    spine.publish("sensors/a/plain", {"n": 141}, content_encoding="zstd")

    def notices():
        return [body for body in dead_letters(spine) if body["topic"] == "sensors/a/plain"]

    wait_until(notices, "the notice")
    assert notices()[0]["reason"] == "unknown-encoding"
    assert "zstd" in notices()[0]["message"]
    wait_until(lambda: spine.client.depth(spine.queue("events")) == 0, "an empty queue")
    assert 141 not in spine.numbers


def test_cloud_events_in_both_modes_name_their_event(spine):
    """Binary (headers cloudEvents:*) and structured events of one source and id are one event."""
    binary = {"cloudEvents:specversion": "1.0", "cloudEvents:id": "e-1", "cloudEvents:source": "/office"}
    structured = {"specversion": "1.0", "id": "e-1", "source": "/office", "type": "x", "data": submit(requestId="s")}
    spine.publish(TRIGGER, submit(requestId="b"), headers=binary, reply_to=DIRECT_REPLY)
    spine.publish(TRIGGER, structured, content_type="application/cloudevents+json", reply_to=DIRECT_REPLY)
    wait_until(lambda: reply_to(spine, "b") and reply_to(spine, "s"), "both replies")
    answers = [orjson.loads(reply_to(spine, each)[0].payload)["workflowId"] for each in ("b", "s")]
    assert answers[0] == answers[1]


def test_a_reply_that_cannot_be_routed_is_counted_and_blocks_nothing(spine):
    """reply_to names a queue that is not there: the workflow runs, the reply is dropped, and the next one is sent."""
    spine.publish(TRIGGER, submit(requestId="nowhere"), reply_to="argo-bridge.gone.replies")
    spine.bridge.await_count("replies_unsendable_total", 1, cause="unroutable")
    assert "workflowId" in spine.ask(submit(requestId="after"))


def test_what_is_sent_to_a_queue_by_its_name_is_answered_and_kept(spine):
    """It has no topic: nothing runs, whoever gave a reply address is told so, and the dead letter has the payload."""
    before = len(spine.simulator.created)
    for kind in ("requests", "events", "redelivered"):
        address = {"exchange": "", "key": spine.queue(kind)}
        spine.publish("", submit(requestId=kind), reply_to=DIRECT_REPLY, correlation_id=kind, **address)
        spine.publish("", submit(requestId=kind), **address)

        def answers(kind=kind):
            return [one for one in list(spine.client.replies) if one.properties.correlation_id == kind]

        wait_until(answers, f"the reply of queue {kind}")
        assert answers()[0].properties.headers == {"code": "400"}
        assert f'exchange "{spine.exchange}"' in orjson.loads(answers()[0].payload)["error"]
        wait_until(lambda kind=kind: spine.client.depth(spine.queue(kind)) == 0, "an empty queue")
    assert "wrong-queue" in [body["reason"] for body in dead_letters(spine)]
    spine.fence()
    assert not [one for one in spine.simulator.created[before:] if "n" in one.parameters]
    assert len(answers()) == 1


def test_the_queue_of_requests_never_feeds_mappings(spine):
    """Somebody bound it to a sensor's topic as well: the message runs once, by the mappings' own queue."""
    binding = (spine.queue("requests"), spine.exchange, "sensors.stray.plain")
    spine.client.do(lambda channel: channel.queue_bind(*binding))
    try:
        spine.publish("sensors/stray/plain", {"n": 151})
        wait_until(lambda: [one for one in dead_letters(spine) if one["topic"] == "sensors/stray/plain"], "the notice")
        wait_until(lambda: 151 in spine.numbers, "the workflow")
    finally:
        spine.client.do(lambda channel: channel.queue_unbind(*binding))
    spine.fence()
    assert spine.numbers.count(151) == 1


def test_hostile_headers_harm_nobody(spine):
    """Nested 50 deep, a timestamp of no year and bytes that are no text: the message runs, and so does the next one."""
    deep = {"a": 1}
    for _ in range(50):
        deep = {"a": deep}
    headers = {"deep": deep, "list": [[[deep]]], "bytes": b"\xff\xfe", "text": "kept", "number": 7}
    spine.publish(TRIGGER, submit(requestId="deep"), headers=headers, reply_to=DIRECT_REPLY)
    wait_until(lambda: reply_to(spine, "deep"), "the reply")
    assert "workflowId" in orjson.loads(reply_to(spine, "deep")[0].payload)
    assert spine.bridge.count("disconnects_total", connection="plant", reason="internal-error") == 0


def test_bodies_that_are_no_json_or_too_large_are_refused(spine):
    """A body over interface.max-payload, and one that is no UTF-8, get an error reply and a dead letter."""
    for body, correlation in ((b"x" * 300_000, "large"), (b"\xff\xfe{}", "bytes")):
        spine.publish(TRIGGER, body, reply_to=DIRECT_REPLY, correlation_id=correlation)

    def answers():
        return [one for one in spine.client.replies if one.properties.correlation_id in ("large", "bytes")]

    wait_until(lambda: len(answers()) == 2, "both refusals")
    assert all("error" in orjson.loads(one.payload) for one in answers())


def test_the_command_sends_and_follows_over_amqp(spine):
    """`send --wait` prints the reply of a trigger message and ends with its workflow's end; so for a sensor message."""

    def send(*arguments):
        config = ["--config", str(spine.files.config), "--connection", "plant", "--wait"]
        command = [sys.executable, "-m", "bridge", "send", *config, *arguments]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, timeout=90, check=False)
        return done.returncode, done.stdout

    code, output = send("trigger", orjson.dumps(submit()).decode())
    assert code == 0
    assert orjson.loads(output)["workflowId"] in [one.name for one in spine.simulator.created]
    assert send("sensors/boiler/plain", '{"n": 131}')[0] == 0
    assert 131 in spine.numbers
    assert send("trigger", '{"namespace": "nowhere", "submit": {"template": "inspect"}}')[0] == 1


def test_pika_is_loaded_only_where_a_connection_needs_it():
    """A bridge that speaks MQTT alone never imports it."""
    code = "import sys, bridge.cli.verbs.run, bridge.service.composition; sys.exit('pika' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
