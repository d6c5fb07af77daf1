"""RabbitMQ with its MQTT plugin (one broker, two protocols), and with logins by certificate."""

from __future__ import annotations

import secrets

import orjson
import pytest

from bridge.transports.amqp.options import AmqpLogin
from bridge.transports.tls import TlsOptions
from tests.support.amqp_client import DIRECT_REPLY
from tests.support.amqp_spine import AmqpSpine
from tests.support.certificates import Authority
from tests.support.plain_client import PlainClient
from tests.support.rabbitmq import RabbitMq, RabbitMqOptions, User
from tests.support.spine import TRIGGER, mapping, submit
from tests.support.transport_ends import wait_until

LOGIN = "bridge-by-certificate"
CERTIFICATE_LOGIN = ("auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL", "ssl_cert_login_from = common_name")


@pytest.fixture(scope="module")
def authority_of_all(tmp_path_factory):
    """Who signs the certificates of this file."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def plugged(needs_rabbitmq, authority_of_all):
    """A broker with both plugins, which asks TLS clients for a certificate."""
    options = RabbitMqOptions(
        plugins=("rabbitmq_mqtt", "rabbitmq_auth_mechanism_ssl"),
        config=CERTIFICATE_LOGIN,
        users={LOGIN: User(secrets.token_hex(8))},
        tls=authority_of_all.issue("broker"),
    )
    with RabbitMq(options) as broker:
        yield broker


def test_a_device_speaks_mqtt_and_a_service_amqp_to_one_bridge(plugged, tmp_path):
    """On amq.topic a device publishes over MQTT, a service asks over AMQP, and both see the same status."""
    status = "sensors/{device}/workflow"
    mappings = mapping("plain", "sensors/{device}/plain", f"status: {{topic: '{status}'}}")
    with (
        AmqpSpine(tmp_path, plugged, mappings, name="both", exchange="amq.topic") as spine,
        PlainClient(plugged.mqtt_port, "device") as device,
    ):
        device.subscribe("sensors/boiler/workflow")
        device.subscribe("argo/workflows/status/+/+")
        device.publish("sensors/boiler/plain", b'{"n": 1}')
        spine.await_numbers(1)
        spine.publish(TRIGGER, submit(requestId="service"), reply_to=DIRECT_REPLY)
        wait_until(lambda: spine.client.replies, "the service's reply")
        name = orjson.loads(spine.client.replies[0].payload)["workflowId"]

        def bodies(messages, topic):
            return [orjson.loads(one.payload) for one in list(messages) if one.topic == topic and one.payload]

        topic = f"argo/workflows/status/factory/{name}"
        for messages in (device.messages, spine.client.messages):
            wait_until(
                lambda messages=messages: "Succeeded" in [b["status"] for b in bodies(messages, topic)], "its end"
            )
        assert bodies(device.messages, topic) == bodies(spine.client.messages, topic)
        own = "sensors/boiler/workflow"
        wait_until(lambda: "Succeeded" in [body["status"] for body in bodies(device.messages, own)], "the device's own")


def test_a_certificate_is_the_login(plugged, authority_of_all, transports):
    """SASL EXTERNAL over TLS: the name in the client's certificate is the user, and there is no password."""
    own = authority_of_all.issue(LOGIN)
    tls = TlsOptions(ca=own.ca, cert=own.certificate, key=own.key)
    url = f"amqps://127.0.0.1:{plugged.tls_port}"
    wired = transports.start_amqp(url, "a", bridge_id="tls", tls=tls, login=AmqpLogin.CERTIFICATE).await_ready()
    users = plugged.ctl("list_connections", "user", "ssl")
    assert f"{LOGIN}\ttrue" in users
    assert wired.problem_codes == []


def test_a_broker_that_is_not_trusted_is_told(plugged, authority_of_all, tmp_path, transports):
    """A certificate of another authority: tls-failed, with what to check."""
    stranger = Authority(tmp_path, "stranger")
    own = authority_of_all.issue("other")
    tls = TlsOptions(ca=stranger.ca, cert=own.certificate, key=own.key)
    wired = transports.start_amqp(f"amqps://127.0.0.1:{plugged.tls_port}", "a", bridge_id="untrusted", tls=tls)
    assert "tls.ca" in wired.await_problem("tls-failed")


def test_a_tls_port_that_is_spoken_to_in_plain_is_told(plugged, transports):
    """amqp:// to the port of amqps:// is refused with a hint."""
    wired = transports.start_amqp(f"amqp://127.0.0.1:{plugged.tls_port}", "a", bridge_id="plain")
    assert "amqps://" in wired.await_problem("refused")
