"""The delivery promise over AMQP: whatever becomes of RabbitMQ, what it confirmed becomes one workflow."""

from __future__ import annotations

import pika
import pytest

from tests.support.accounting import account
from tests.support.amqp_publisher import AmqpPublisher
from tests.support.amqp_stage import amqp_stage
from tests.support.bridge_files import BRIDGE_ID
from tests.support.faults_report import random_source
from tests.support.rabbitmq import RabbitMqOptions
from tests.support.transport_ends import wait_until

BROKER_KILLS = 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_broker_killed_blocked_and_robbed_of_a_queue_costs_nothing(tmp_path, start_rabbitmq, tell):
    """SIGKILL of RabbitMQ (of the bridge with it), its memory alarm, a queue deleted: lost 0, doubled 0."""
    with (
        amqp_stage(tmp_path, start_rabbitmq(RabbitMqOptions()), random_source("amqp outages")) as stage,
        AmqpPublisher(stage.broker.port) as publisher,
    ):
        for kill in range(BROKER_KILLS):
            stage.wait(0.5, 1.5)
            stage.broker.kill()
            if kill % 2:
                stage.bridge.kill()
            stage.broker.start()
            if kill % 2:
                stage.bridge.start_ready()
            else:
                stage.bridge.await_ready(60)
        stage.wait(0.3, 0.6)
        stage.broker.raise_alarm(is_on=True)
        stage.wait(0.5, 1.0)
        stage.broker.raise_alarm(is_on=False)
        delete_the_queue(stage, publisher)
        stage.wait(0.5, 1.0)
        publisher.finish()
        result = stage.count(publisher)
        tell(result, **{"broker kills": BROKER_KILLS, "kills": BROKER_KILLS // 2, "alarms": 1, "queues deleted": 1})
        stage.check(publisher, result)
        assert len(publisher.confirmed) > 100


def delete_the_queue(stage, publisher):
    """Delete the queue under the consumer, while it is empty: what it holds is lost with it."""
    publisher.pause()
    events = set(publisher.confirmed)
    wait_until(lambda: not account(events, stage.simulator.created, publisher.unsure).lost, "every event so far", 60)
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", stage.broker.port)) as connection:
        connection.channel().queue_delete(f"argo-bridge.{BRIDGE_ID}.events")
    publisher.resume()
