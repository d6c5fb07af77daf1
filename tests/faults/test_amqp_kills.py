"""The delivery promise over AMQP: killed or cut off at any point, the bridge makes one workflow of one event."""

from __future__ import annotations

import pytest

from tests.support.amqp_publisher import AmqpPublisher
from tests.support.amqp_stage import amqp_stage
from tests.support.faults_report import random_source
from tests.support.rabbitmq import RabbitMqOptions

KILLS = 5

FAULTS = [
    {"kind": "status", "status": 504, "accept": True, "method": "POST", "probability": 0.04, "delay_s": 0.1},
    {"kind": "cut", "accept": True, "method": "POST", "probability": 0.04},
]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_bridge_killed_and_cut_off_under_load_runs_every_event_once(tmp_path, start_rabbitmq, tell):
    """SIGKILL of the bridge and cuts of its connections at any point: lost 0, doubled 0, an answer a request."""
    with amqp_stage(tmp_path, start_rabbitmq(RabbitMqOptions()), random_source("amqp kills")) as stage:
        stage.simulator.add_faults(*FAULTS)
        with AmqpPublisher(stage.broker.port) as publisher:
            for _ in range(KILLS):
                stage.wait(0.1, 0.8)
                stage.proxy.cut()
                stage.wait(0.1, 0.8)
                stage.bridge.kill()
                stage.bridge.start_ready()
            publisher.finish()
            faults = stage.simulator.clear_faults()
            result = stage.count(publisher)
        tell(result, **{"kills": KILLS, "connections cut": KILLS, "restarts": KILLS, "faults of Argo": faults})
        stage.check(publisher, result)
        assert len(publisher.confirmed) > 20 * KILLS
