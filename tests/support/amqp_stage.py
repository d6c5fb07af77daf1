"""Everything that a fault run over AMQP needs: RabbitMQ behind a proxy, a bridge process, a simulated Argo Server."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.accounting import Account, account
from tests.support.amqp_publisher import AmqpPublisher
from tests.support.bridge_files import CONNECTION, INSPECT, BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import free_port
from tests.support.publisher import MAPPINGS
from tests.support.rabbitmq import RabbitMq
from tests.support.simulator_process import SimulatorProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import wait_until


class AmqpStage:
    """What runs; the publisher is the test's own.

    bridge: a process of its own, behind the proxy.
    """

    def __init__(
        self, folder: Path, broker: RabbitMq, proxy: TcpProxy, simulator: SimulatorProcess, choices: random.Random
    ) -> None:
        self.broker, self.proxy, self.simulator = broker, proxy, simulator
        self.random = choices
        url = proxy.url.replace("mqtt", "amqp")
        self.files = BridgeFiles(
            folder,
            "",
            simulator.url,
            mappings=MAPPINGS,
            web_port=free_port(),
            connections=f'{{{CONNECTION}: {{amqp: {{url: "{url}", heartbeat: 10s}}}}}}',
        )
        self.files.write()
        self.bridge = BridgeProcess(self.files)
        self._pause = threading.Event()

    def wait(self, least_s: float, most_s: float) -> None:
        """Let a random time pass: the point at which the next fault comes."""
        self._pause.wait(self.random.uniform(least_s, most_s))

    def count(self, publisher: AmqpPublisher) -> Account:
        """Wait until everything was handled, end the bridge, and return the account."""
        events = publisher.confirmed
        with contextlib.suppress(AssertionError):  # what is missing is told by the account, in figures
            wait_until(lambda: not account(events, self.simulator.created, publisher.unsure).lost, "every event", 60)
            publisher.await_replies(30)
        assert self.bridge.terminate() == 0
        return account(events, self.simulator.created, publisher.unsure)

    def check(self, publisher: AmqpPublisher, result: Account) -> None:
        """Nothing lost, nothing doubled, everything answered, nothing left."""
        left = LeftBehind(self.files)
        assert result.is_exact, result
        assert (left.figures.waiting, left.dead_letters, left.reports, left.problems) == (0, (), [], ())
        assert publisher.requests & publisher.confirmed <= set(publisher.replies)
        assert not [body for body in publisher.bodies.values() if "workflowId" not in body]
        assert self.simulator.stats["unexpected"] == []


@contextmanager
def amqp_stage(folder: Path, broker: RabbitMq, choices: random.Random) -> Iterator[AmqpStage]:
    """A stage whose bridge is ready, so that its queues are there; `choices` decides when faults come."""
    with (
        TcpProxy(broker.port) as proxy,
        SimulatorProcess("--container-duration", "0.02", "--retention", "2000") as simulator,
    ):
        simulator.put_template(INSPECT)
        stage = AmqpStage(folder, broker, proxy, simulator, choices)
        with stage.bridge.start_ready():
            yield stage
